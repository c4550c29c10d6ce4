// Package doctest checks the documents of this repository: each block of Go compiles, each
// link resolves, each name of the code exists. It also reads tables, so that tests can compare
// them with the code. Only tests import it; those of nested modules may.
package doctest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// module is the path of the root module.
const module = "github.com/twilio-pacer/pacer"

// A Document is a Markdown file of the repository.
type Document struct {
	Name string // its path from the repository's root, with slashes
	Text string
}

// A Block is a block of code in a document.
type Block struct {
	Document string
	Line     int    // of its first line, from 1
	Language string // "" if the block does not say
	Source   string
	skip     string // why nobody checks it; "": somebody does
}

// All returns the repository's documents, in the order of their names.
func All(t testing.TB) (documents []Document) {
	t.Helper()
	root := Root(t)
	for _, name := range files(t, root, ".md") {
		documents = append(documents, Read(t, name))
	}
	return documents
}

// Read returns the document with a name, such as "docs/queue.md".
func Read(t testing.TB, name string) Document {
	t.Helper()
	text, err := os.ReadFile(Root(t) + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return Document{Name: name, Text: string(text)}
}

// Root returns the folder of the repository: the one of the root module's go.mod.
//
// The go command repeats a cached test only if a file below the folder of the test's module has
// changed. To it, /repo/queue/../docs/queue.md is such a file, and /repo/docs/queue.md is none. So
// the path is that of the module's folder and as many .. as needed, and must not be cleaned.
func Root(t testing.TB) string {
	t.Helper()
	here, _ := moduleHere(t)
	up := ""
	for {
		text, err := os.ReadFile(here + up + "/go.mod")
		if err == nil && modulePath(text) == module {
			return here + up
		}
		if filepath.Clean(here+up) == filepath.Dir(filepath.Clean(here+up)) {
			t.Fatalf("no folder above the test has a go.mod of %s", module)
		}
		up += "/.."
	}
}

// moduleHere returns the folder and the path of the module that the test belongs to.
func moduleHere(t testing.TB) (dir, path string) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, modulePath(text)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no folder above the test has a go.mod")
		}
		dir = filepath.Dir(dir)
	}
}

func modulePath(goMod []byte) string {
	for line := range strings.Lines(string(goMod)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// files returns the repository's files whose names end so, by their paths from its root.
func files(t testing.TB, root string, suffixes ...string) (names []string) {
	t.Helper()
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := os.ReadDir(root + "/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			name := path.Join(dir, entry.Name())
			foreign := entry.Name() == "node_modules" || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".")
			switch {
			case entry.IsDir() && !foreign:
				walk(name)
			case !entry.IsDir() && slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) }):
				names = append(names, name)
			}
		}
	}
	walk(".")
	return names
}

// noCheck is what stands above a block that is not checked, with the reason. Readers do not
// see it.
var noCheck = regexp.MustCompile(`^<!-- no check: (.+) -->$`)

// Blocks returns the document's blocks of code of a language.
func (d Document) Blocks(t testing.TB, language string) (blocks []Block) {
	t.Helper()
	var fence, skip string
	n := 0
	for line := range strings.Lines(d.Text) {
		n++
		text := strings.TrimSpace(line)
		switch mark, isFence := strings.CutPrefix(line, "```"); {
		case isFence && fence == "":
			fence = "```" + strings.TrimSpace(mark)
			if fence == "```"+language {
				blocks = append(blocks, Block{Document: d.Name, Line: n + 1, Language: language, skip: skip})
			}
			skip = ""
		case isFence:
			fence = ""
		case fence != "":
			if fence == "```"+language {
				blocks[len(blocks)-1].Source += line
			}
		case text != "":
			skip = ""
			if m := noCheck.FindStringSubmatch(text); m != nil {
				skip = m[1]
			}
		}
	}
	if fence != "" {
		t.Errorf("%s: the last block of code does not end", d.Name)
	}
	return blocks
}

// prose returns the document's lines by their numbers, from 1, without blocks of code.
func (d Document) prose(yield func(int, string) bool) {
	inBlock := false
	n := 0
	for line := range strings.Lines(d.Text) {
		n++
		if strings.HasPrefix(line, "```") {
			inBlock = !inBlock
			continue
		}
		if !inBlock && !yield(n, strings.TrimRight(line, "\n")) {
			return
		}
	}
}

// Table returns the rows of the first table below a heading, without its head. A cell is as it
// is written, without blanks around it.
func (d Document) Table(t testing.TB, heading string) (rows [][]string) {
	t.Helper()
	below := false
	for _, line := range d.prose {
		switch title, isTitle := headingOf(line); {
		case isTitle && below && len(rows) == 0:
			t.Fatalf("%s has no table below %q", d.Name, heading)
		case isTitle && !below:
			below = title == heading
		case below && strings.HasPrefix(line, "|"):
			rows = append(rows, cells(line))
		case below && len(rows) > 0:
			return rows[min(2, len(rows)):]
		}
	}
	if !below {
		t.Fatalf("%s has no heading %q", d.Name, heading)
	}
	return rows[min(2, len(rows)):]
}

func headingOf(line string) (title string, ok bool) {
	text := strings.TrimLeft(line, "#")
	if level := len(line) - len(text); level == 0 || level > 6 || !strings.HasPrefix(text, " ") {
		return "", false
	}
	return strings.TrimSpace(text), true
}

func cells(row string) (cells []string) {
	row = strings.TrimSuffix(strings.TrimSpace(row)[1:], "|")
	for _, cell := range strings.Split(strings.ReplaceAll(row, `\|`, "\x00"), "|") {
		cells = append(cells, strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|")))
	}
	return cells
}
