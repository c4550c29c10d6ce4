package compat

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// internalTests are those tests of twilio-go's client which are of package client
// itself. They cannot be copied out of it, and send nothing that pacer could.
var internalTests = map[string]string{
	"page_util_test.go":         "the page functions, on documents and a mock of BaseClient",
	"request_validator_test.go": "signatures of requests that come from Twilio",
}

// TestClientTests runs the tests of twilio-go's package client with one change: where
// they say client.Client they get clienttest's Client, which sends through pacer.
func TestClientTests(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles twilio-go's tests")
	}
	files, err := filepath.Glob(filepath.Join(twilioGoDir(t), "client", "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of %s/client: %v", twilioGo, err)
	}
	module := newModule(t)
	dir := filepath.Join(module, "client")
	var tests, internal []string
	var rewritten, sends int
	for _, file := range files {
		name := filepath.Base(file)
		src := read(t, file)
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name.Name == "client" {
			if internalTests[name] == "" {
				t.Errorf("%s is of package client: copy it, or say in internalTests why not", name)
			}
			internal = append(internal, name)
			continue
		}
		tests = append(tests, testsOf(f)...)
		sends += sendsOf(f)
		src, n := throughPacer(fset, f, src)
		rewritten += n
		write(t, filepath.Join(dir, name), src)
	}
	if len(internal) != len(internalTests) {
		t.Errorf("the tests of package client are %v, but internalTests has %d", internal, len(internalTests))
	}
	if rewritten == 0 || sends == 0 || len(tests) == 0 {
		t.Fatalf("%d tests, %d requests, %d mentions of client.Client: expected some", len(tests), sends, rewritten)
	}
	write(t, filepath.Join(dir, "shim_test.go"), read(t, filepath.Join("clienttest", "shim_test.go")))

	calls := filepath.Join(module, "calls")
	// A request that left the machine would meet a proxy that is not there.
	env := append(goEnv(), "PACER_COMPAT_CALLS="+calls, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=")
	out, errOut, err := command(t, goTimeout, module, env, "go", "test", "-race", "-count=1", "-timeout=2m", "-json", "./client")
	if err != nil {
		t.Errorf("go test: %v\n%s", err, errOut)
	}
	passed := passedTests(t, out)
	slices.Sort(tests)
	if !slices.Equal(passed, tests) {
		t.Errorf("passed: %v\nexpected: %v", passed, tests)
	}
	// Each place that sends must have been seen by pacer, some of them several times.
	done := strings.Count(read(t, calls), "\n")
	if done < sends {
		t.Errorf("pacer has made %d calls for the %d places in the tests that send", done, sends)
	}
	t.Logf("%d tests passed; from %d places in them pacer got %d calls", len(passed), sends, done)
}

// throughPacer replaces client.Client by Client.
func throughPacer(fset *token.FileSet, f *ast.File, src string) (string, int) {
	pkg := ""
	for _, spec := range f.Imports {
		if path, _ := strconv.Unquote(spec.Path.Value); path == twilioGo+"/client" {
			if pkg = "client"; spec.Name != nil {
				pkg = spec.Name.Name
			}
		}
	}
	var at []int
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Client" {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg {
				at = append(at, fset.Position(x.Pos()).Offset)
			}
		}
		return true
	})
	for _, i := range slices.Backward(at) {
		src = src[:i] + src[i+len(pkg+"."):]
	}
	return src, len(at)
}

// testsOf are the names of f's tests.
func testsOf(f *ast.File) (names []string) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || fn.Name.Name == "TestMain" {
			continue
		}
		if rest, ok := strings.CutPrefix(fn.Name.Name, "Test"); ok && (rest == "" || !unicode.IsLower([]rune(rest)[0])) {
			names = append(names, fn.Name.Name)
		}
	}
	return names
}

// sendsOf counts the places in f that send a request.
func sendsOf(f *ast.File) (n int) {
	ast.Inspect(f, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				x, _ := sel.X.(*ast.Ident)
				handler := x != nil && x.Name == "requestHandler" && sel.Sel.Name != "BuildUrl"
				if handler || sel.Sel.Name == "SendRequest" {
					n++
				}
			}
		}
		return true
	})
	return n
}

// passedTests reads go test -json, and reports what did not pass.
func passedTests(t *testing.T, out string) (names []string) {
	dec := json.NewDecoder(strings.NewReader(out))
	var printed bytes.Buffer
	failed := false
	for {
		var e struct{ Action, Test, Output string }
		err := dec.Decode(&e)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("go test -json: %v\n%s", err, out)
		}
		printed.WriteString(e.Output)
		switch {
		case e.Action == "fail" || e.Action == "skip":
			failed = true
			t.Errorf("%s: %s", e.Action, e.Test)
		case e.Action == "pass" && e.Test != "" && !strings.Contains(e.Test, "/"):
			names = append(names, e.Test)
		}
	}
	if failed || len(names) == 0 {
		t.Errorf("go test printed:\n%s", &printed)
	}
	slices.Sort(names)
	return names
}
