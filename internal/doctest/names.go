package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	span   = regexp.MustCompile("`([^`]+)`")
	option = regexp.MustCompile(`\bWith[A-Z]\w*`)
	dotted = regexp.MustCompile(`\b([a-z]+)\.([A-Z]\w*)(?:\.([A-Z]\w*))?`)
)

// Names checks that the code which documents name between back quotes is there. Such code is options,
// as WithMaxWait, and what packages of the repository export, as pacer.Limit and queue.Queue.List. It
// does not look at documents that tell of the past.
func Names(t *testing.T, past ...string) {
	t.Helper()
	root := Root(t)
	exported := make(map[string]map[string]bool) // by package, as a fragment names it
	options := make(map[string]bool)
	for name, imported := range packages {
		dir, ok := strings.CutPrefix(imported, module)
		if !ok {
			continue
		}
		exported[name] = exports(t, filepath.Join(root, filepath.FromSlash(dir)))
		for n := range exported[name] {
			options[n] = true
		}
	}
	checked := 0
	for _, d := range All(t) {
		if slices.Contains(past, d.Name) {
			continue
		}
		for line, text := range d.prose {
			for _, m := range span.FindAllStringSubmatch(text, -1) {
				for _, name := range option.FindAllString(m[1], -1) {
					checked++
					if !options[name] {
						t.Errorf("%s:%d: no package has %s", d.Name, line, name)
					}
				}
				for _, n := range dotted.FindAllStringSubmatch(m[1], -1) {
					there := exported[n[1]]
					if there == nil {
						continue
					}
					checked++
					if !there[n[2]] || n[3] != "" && !there[n[3]] {
						t.Errorf("%s:%d: there is no %s", d.Name, line, n[0])
					}
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("%d names were checked, expected 100 or more: are they read rightly?", checked)
	}
}

// exports returns the names that a package in a folder exports: of functions, methods, types,
// fields, constants and variables.
func exports(t testing.TB, dir string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			ast.Inspect(decl, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					found[n.Name.Name] = true
					return false
				case *ast.TypeSpec:
					found[n.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range n.Names {
						found[name.Name] = true
					}
				case *ast.Field:
					for _, name := range n.Names {
						found[name.Name] = true
					}
				}
				return true
			})
		}
	}
	return found
}
