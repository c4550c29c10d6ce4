package doctest

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// mostWords is how many words a sentence may have: readers know English as a second language.
const mostWords = 25

// Sentences fails for each sentence that is too long. It reads the documents with these names, and
// comments on the exported names of the packages in these folders. A program exports nothing: all of
// its comments are read. Both are paths from the root.
func Sentences(t *testing.T, paths ...string) {
	t.Helper()
	root := Root(t)
	for _, p := range paths {
		var long []string
		if strings.HasSuffix(p, ".md") {
			long = Read(t, p).tooLong()
		} else {
			long = tooLongIn(t, root, p)
		}
		for _, s := range long {
			t.Errorf("%s: a sentence has at most %d words", s, mostWords)
		}
	}
}

// tooLong returns the sentences of the document that are too long.
func (d Document) tooLong() (long []string) {
	var text strings.Builder
	first := 0
	end := func() {
		long = append(long, longOnes(d.Name, first, text.String())...)
		text.Reset()
	}
	for n, line := range d.prose {
		if text.Len() == 0 && strings.HasPrefix(line, "    ") {
			continue // a block of code
		}
		line = strings.TrimSpace(line)
		_, isHeading := headingOf(line)
		isTable, isItem := strings.HasPrefix(line, "|"), item.MatchString(line)
		if line == "" || isHeading || isTable || isItem {
			end()
		}
		switch {
		case line == "" || isHeading:
			continue
		case isTable:
			for _, cell := range cells(line) {
				long = append(long, longOnes(d.Name, n, cell)...)
			}
			continue
		}
		if text.Len() == 0 {
			first = n
		}
		text.WriteString(item.ReplaceAllString(line, "") + " ")
	}
	end()
	return long
}

// tooLongIn returns the sentences that are too long in comments on a package in a folder, and on
// what it exports. Of a program it reads all comments.
func tooLongIn(t *testing.T, root, dir string) (long []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %d files in %s", err, len(names), dir)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ones, err := tooLongOf(path.Join(dir, filepath.Base(name)), src)
		if err != nil {
			t.Fatal(err)
		}
		long = append(long, ones...)
	}
	return long
}

// tooLongOf is tooLongIn for one file.
func tooLongOf(name string, src []byte) (long []string, err error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	check := func(groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if g == nil {
				continue
			}
			for _, block := range new(comment.Parser).Parse(g.Text()).Content {
				for _, text := range textOf(block) {
					long = append(long, longOnes(name, fset.Position(g.Pos()).Line, text)...)
				}
			}
		}
	}
	if parsed.Name.Name == "main" {
		check(parsed.Comments...)
		return long, nil
	}
	check(parsed.Doc)
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
				check(d.Doc)
			}
		case *ast.GenDecl:
			exported := false
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						exported = true
						check(s.Doc, s.Comment)
						ast.Inspect(s.Type, func(n ast.Node) bool {
							if f, ok := n.(*ast.Field); ok && len(f.Names) > 0 && f.Names[0].IsExported() {
								check(f.Doc, f.Comment)
							}
							return true
						})
					}
				case *ast.ValueSpec:
					if s.Names[0].IsExported() {
						exported = true
						check(s.Doc, s.Comment)
					}
				}
			}
			if exported {
				check(d.Doc)
			}
		}
	}
	return long, nil
}

// receiver returns the name of the type that a method is of.
func receiver(f *ast.FuncDecl) string {
	t := f.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if g, ok := t.(*ast.IndexExpr); ok {
		t = g.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// textOf returns the texts of a block of a comment: each paragraph and each item of a list alone.
func textOf(block comment.Block) (texts []string) {
	switch b := block.(type) {
	case *comment.Paragraph:
		texts = append(texts, plain(b.Text))
	case *comment.List:
		for _, i := range b.Items {
			for _, inner := range i.Content {
				texts = append(texts, textOf(inner)...)
			}
		}
	}
	return texts
}

func plain(parts []comment.Text) string {
	var s strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case comment.Plain:
			s.WriteString(string(p))
		case comment.Italic:
			s.WriteString(string(p))
		case *comment.Link:
			s.WriteString(plain(p.Text))
		case *comment.DocLink:
			s.WriteString(plain(p.Text))
		}
	}
	return s.String()
}

var (
	item     = regexp.MustCompile(`^([-*]|\d+\.) `)
	code     = regexp.MustCompile("`[^`]*`")
	target   = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	sentence = regexp.MustCompile(`[.!?][)"”*]*(\s+|$)| · |<br>`)
)

// longOnes returns the sentences of a text that are too long, each with where it begins.
func longOnes(name string, line int, text string) (long []string) {
	text = target.ReplaceAllString(code.ReplaceAllString(text, "x"), "$1")
	for _, s := range sentence.Split(text, -1) {
		n := 0
		for _, word := range strings.Fields(s) {
			if strings.IndexFunc(word, unicode.IsLetter) >= 0 || strings.IndexFunc(word, unicode.IsDigit) >= 0 {
				n++
			}
		}
		if n > mostWords {
			long = append(long, fmt.Sprintf("%s:%d: %d words: %s", name, line, n, strings.Join(strings.Fields(s), " ")))
		}
	}
	return long
}
