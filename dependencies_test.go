package pacer

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/internal/doctest"
)

// A layer is a row of files. A file may use what stands in the rows above it, and to its left.
type layer struct {
	name  string
	files []string
}

const module = "github.com/twilio-pacer/pacer"

// layers is the order of the files of package pacer. Above it stand the packages in internal/, which
// import nothing of it.
var layers = []layer{
	{"resource limits", []string{
		"doc.go", "twilio.go", "mask.go", "resource.go", "scope.go", "errors.go", "attempt.go", "alert.go",
		"limits.go", "limitsdefault.go", "limitsvalid.go", "limitsjson.go", "limitsindex.go", "allowance.go",
	}},
	{"limiter", []string{
		"priority.go", "limiterstats.go", "limiter.go", "cooldown.go", "store.go",
		"keystate.go", "spread.go", "narrow.go",
	}},
	{"bucket limiter shared", []string{
		"history.go", "notice.go", "gate.go", "bucket.go", "learn.go", "sharing.go", "bucketlimiter.go", "sweep.go",
		"buckets.go", "setlimits.go", "pool.go", "acquire.go", "describe.go", "shared.go",
	}},
	{"recorder observe", []string{"observe.go", "log.go", "listener.go", "stats.go", "recorder.go", "config.go"}},
	{"call wire oauth", []string{
		"backoff.go", "baseurl.go", "wire.go", "fetcher.go", "tokensource.go", "oauth.go", "core.go", "call.go", "ended.go", "wait.go", "send.go",
	}},
	{"client turn", []string{"client.go", "turn.go"}},
	{"limitsfile limitshandler messagingservice", []string{
		"limitsfile.go", "limitshandler.go", "messagingservice.go", "pooldiscovery.go", "credentials.go", "options.go", "new.go",
	}},
}

// TestDependencies fails on a use that runs up: from a file to one that stands below it in layers.
func TestDependencies(t *testing.T) {
	type place struct{ layer, file int }
	places := map[string]place{}
	for i, l := range layers {
		for j, file := range l.files {
			places[file] = place{i, j}
		}
	}
	p := load(t, ".")
	for name, file := range p.files {
		from, known := places[name]
		if !known {
			t.Errorf("%s is in no layer: expected it in the table of this test, below what it uses", name)
			continue
		}
		seen := map[string]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			used := p.info.Uses[id]
			if used == nil || used.Pkg() != p.types || !used.Pos().IsValid() {
				return true
			}
			in := filepath.Base(p.fset.Position(used.Pos()).Filename)
			to, known := places[in]
			up := to.layer > from.layer || to.layer == from.layer && to.file > from.file
			if !known || !up || seen[in+id.Name] {
				return true
			}
			seen[in+id.Name] = true
			t.Errorf("%v uses %s of %s: layer %q must not use what is below it or to its right, in layer %q",
				p.fset.Position(id.Pos()), id.Name, in, layers[from.layer].name, layers[to.layer].name)
			return true
		})
	}
	for name := range places {
		if p.files[name] != nil {
			continue
		}
		t.Errorf("%s is in the table of layers, and there is no such file", name)
	}
}

// The packages below the root know nothing of it.
func TestInternalPackagesImportNothingOfTheRoot(t *testing.T) {
	for _, name := range []string{"endpoint", "learn", "line", "spacing", "token"} {
		for file, parsed := range parseDir(t, token.NewFileSet(), filepath.Join("internal", name)) {
			for _, spec := range parsed.Imports {
				at := strings.Trim(spec.Path.Value, `"`)
				if strings.HasPrefix(at, module) && !strings.HasPrefix(at, module+"/internal/") {
					t.Errorf("internal/%s/%s imports %s", name, file, at)
				}
			}
		}
	}
}

// maxLines and maxFields are what one file, and one struct, may have.
const (
	maxLines  = 400
	maxFields = 14
)

func TestFilesAreShort(t *testing.T) {
	n := 0
	for _, root := range []string{".", "internal", "queue"} {
		try(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && name != root && (root == "." || d.Name() == "node_modules" || d.Name() == "testdata"):
				return fs.SkipDir
			case d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(name)
			n++
			if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
				t.Errorf("%s has %d lines, expected at most %d: split it by job", name, lines, maxLines)
			}
			return err
		}))
	}
	if n < 100 {
		t.Errorf("%d files, expected more than 100", n)
	}
}

// A request passes these types. One with many fields has several jobs.
func TestStructsAreSmall(t *testing.T) {
	n := 0
	for _, dir := range []string{".", "internal/endpoint", "internal/learn", "internal/line", "internal/spacing", "internal/token"} {
		for name, file := range parseDir(t, token.NewFileSet(), dir) {
			ast.Inspect(file, func(node ast.Node) bool {
				spec, ok := node.(*ast.TypeSpec)
				if !ok {
					return true
				}
				fields, ok := spec.Type.(*ast.StructType)
				if !ok {
					return true
				}
				n++
				if got := fields.Fields.NumFields(); got > maxFields {
					t.Errorf("%s: struct %s has %d fields, expected at most %d: group those of one job", path.Join(dir, name), spec.Name.Name, got, maxFields)
				}
				return true
			})
		}
	}
	if n < 80 {
		t.Errorf("%d structs, expected more than 80", n)
	}
}

// parseDir returns the files of a package by name, without its tests.
func parseDir(t *testing.T, fset *token.FileSet, dir string) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	try(t, err)
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		try(t, err)
		files[filepath.Base(name)] = file
	}
	return files
}

// A checked is a package whose identifiers are resolved.
type checked struct {
	fset  *token.FileSet
	files map[string]*ast.File
	info  *types.Info
	types *types.Package
}

// load resolves what the identifiers of a package mean.
func load(t *testing.T, dir string) checked {
	t.Helper()
	fset := token.NewFileSet()
	c := checked{fset: fset, files: parseDir(t, fset, dir), info: &types.Info{Uses: map[*ast.Ident]types.Object{}}}
	var files []*ast.File
	var imports []string
	for _, file := range c.files {
		files = append(files, file)
		for _, spec := range file.Imports {
			imports = append(imports, strings.Trim(spec.Path.Value, `"`))
		}
	}
	var err error
	conf := types.Config{Importer: doctest.Importer(t, fset, imports)}
	c.types, err = conf.Check(module, fset, files, c.info)
	try(t, err)
	return c
}
