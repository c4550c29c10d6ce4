package doctest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// packages are what a fragment may use without an import.
var packages = map[string]string{
	"api":         "github.com/twilio/twilio-go/rest/api/v2010",
	"aws":         "github.com/aws/aws-sdk-go-v2/aws",
	"client":      "github.com/twilio/twilio-go/client",
	"context":     "context",
	"errors":      "errors",
	"filepath":    "path/filepath",
	"fmt":         "fmt",
	"http":        "net/http",
	"log":         "log",
	"messaging":   "github.com/twilio/twilio-go/rest/messaging/v1",
	"os":          "os",
	"otelpacer":   module + "/otelpacer",
	"otelqueue":   module + "/otelpacer/otelqueue",
	"pacer":       module,
	"queue":       module + "/queue",
	"redis":       "github.com/redis/go-redis/v9",
	"redispacer":  module + "/redispacer",
	"redisqueue":  module + "/queue/redisqueue",
	"signal":      "os/signal",
	"sqlitequeue": module + "/queue/sqlitequeue",
	"sqs":         "github.com/aws/aws-sdk-go-v2/service/sqs",
	"sqsqueue":    module + "/queue/sqsqueue",
	"synctest":    "testing/synctest",
	"syscall":     "syscall",
	"testing":     "testing",
	"time":        "time",
	"twilio":      "github.com/twilio/twilio-go",
	"twilioApi":   "github.com/twilio/twilio-go/rest/api/v2010",
	"twiliotest":  module + "/twiliotest",
}

// variables are what a fragment may use without a declaration, with their types.
var variables = map[string]string{
	"build":        "func(*twilio.RestClient) error",
	"c":            "*pacer.Client",
	"cfg":          "aws.Config",
	"client":       "*pacer.Client",
	"ctx":          "context.Context",
	"id":           "queue.ID",
	"limits":       "pacer.Limits",
	"otherAccount": "string",
	"params":       "*api.CreateMessageParams",
	"q":            "*queue.Queue",
	"queueURL":     "string",
	"service":      "string",
	"smsParams":    "pacer.ClientParams",
	"voiceParams":  "pacer.ClientParams",
}

// Go checks the types of the blocks of Go in all documents that the module of the test can compile. A
// program is checked as it stands, a fragment with imports and a function round it. All of them take
// one call of the go command. A block that is not to be checked stands below <!-- no check: why -->.
//
// It fails if there are fewer blocks than least, or if one of wrong compiles. It also fails for
// a block that no module checks: a module with blocks has a docs_test.go that calls Go.
func Go(t *testing.T, least int, wrong ...string) {
	t.Helper()
	root := Root(t)
	modules := modulesIn(t, root)
	_, here := moduleHere(t)
	var blocks []Block
	for _, d := range All(t) {
		for _, b := range d.Blocks(t, "go") {
			if b.skip != "" {
				continue
			}
			if formatted, err := format.Source([]byte(b.Source)); err == nil && string(formatted) != b.Source {
				t.Errorf("%s:%d: not as gofmt has it; expected\n%s", b.Document, b.Line, formatted)
			}
			owner, err := ownerOf(b.Source, modules)
			switch {
			case err != nil:
				t.Errorf("%s:%d: %v", b.Document, b.Line, err)
			case owner == here:
				blocks = append(blocks, b)
			default:
				test, err := os.ReadFile(root + "/" + modules[owner].dir + "/docs_test.go")
				if err != nil || !bytes.Contains(test, []byte("doctest.Go(t, ")) {
					t.Errorf("%s:%d: nobody checks this block: write %s/docs_test.go, with a call of doctest.Go", b.Document, b.Line, modules[owner].dir)
				}
			}
		}
	}
	if len(blocks) < least {
		t.Fatalf("%d blocks of Go, expected %d or more: are they read rightly?", len(blocks), least)
	}
	sources := slices.Clone(wrong)
	for _, b := range blocks {
		sources = append(sources, b.Source)
	}
	check := compiler(t, sources)
	for _, b := range blocks {
		if err := check(b.Source); err != nil {
			t.Errorf("%s:%d: does not compile: %v", b.Document, b.Line, err)
		}
	}
	for _, src := range wrong {
		if check(src) == nil {
			t.Errorf("no error for %q", src)
		}
	}
}

// A goModule is a module of the repository.
type goModule struct {
	dir   string // from the root
	goMod string
}

// modulesIn returns the repository's modules by their paths.
func modulesIn(t testing.TB, root string) map[string]goModule {
	t.Helper()
	modules := make(map[string]goModule)
	for _, name := range files(t, root, "go.mod") {
		text, err := os.ReadFile(root + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		modules[modulePath(text)] = goModule{dir: path.Dir(name), goMod: string(text)}
	}
	return modules
}

// ownerOf returns the path of the module that checks a block: the one that has all packages of
// the repository that the block uses, itself or by what it requires.
func ownerOf(src string, modules map[string]goModule) (string, error) {
	var used []string
	for _, imported := range importsOf(src) {
		best := ""
		for name := range modules {
			if len(name) > len(best) && (imported == name || strings.HasPrefix(imported, name+"/")) {
				best = name
			}
		}
		if best != "" && best != module && !slices.Contains(used, best) {
			used = append(used, best)
		}
	}
	if len(used) == 0 {
		return module, nil
	}
	for _, owner := range used {
		if !slices.ContainsFunc(used, func(other string) bool {
			return other != owner && !strings.Contains(modules[owner].goMod, other+" v")
		}) {
			return owner, nil
		}
	}
	return "", fmt.Errorf("no module of the repository has all packages of this block: it uses the modules %v", used)
}

// surroundings returns the packages and the variables that a fragment needs. A name that may be
// both is a variable where no dot follows it.
func surroundings(src string) (imports, vars []string) {
	vars = names(src, func(name string, dot bool) bool {
		return variables[name] != "" && (!dot || packages[name] == "")
	})
	text := src
	for _, name := range vars {
		text += "\n" + variables[name]
	}
	imports = names(text, func(name string, dot bool) bool {
		return dot && packages[name] != "" && !slices.Contains(vars, name)
	})
	return imports, vars
}

// names returns the identifiers in src for which keep reports true, sorted, each once. dot says
// that a dot follows, and none comes before.
func names(src string, keep func(name string, dot bool) bool) (found []string) {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", -1, len(src)), []byte(src), nil, 0)
	var before, last token.Token
	var name string
	for {
		_, tok, text := s.Scan()
		if last == token.IDENT && before != token.PERIOD && keep(name, tok == token.PERIOD) {
			found = append(found, name)
		}
		if tok == token.EOF {
			break
		}
		before, last, name = last, tok, text
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func isWhole(src string) bool { return strings.HasPrefix(src, "package ") }

// fileOf makes a fragment a file. Unless it is declarations, it becomes a function's body.
func fileOf(src string) string {
	if isWhole(src) {
		return src
	}
	imports, vars := surroundings(src)
	var file strings.Builder
	file.WriteString("package p\n\n")
	for _, name := range imports {
		fmt.Fprintf(&file, "import %s %q\n", name, packages[name])
	}
	for _, name := range vars {
		fmt.Fprintf(&file, "var %s %s\n", name, variables[name])
	}
	if f, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+src, 0); err == nil && len(f.Decls) > 0 {
		return file.String() + src
	}
	return file.String() + "func _() error {\n{\n" + src + "}\nreturn nil\n}\n"
}

// importsOf returns the packages that a block uses.
func importsOf(src string) (imports []string) {
	f, err := parser.ParseFile(token.NewFileSet(), "", fileOf(src), parser.ImportsOnly)
	if err != nil {
		return nil // the compiler says it better
	}
	for _, spec := range f.Imports {
		if name, err := strconv.Unquote(spec.Path.Value); err == nil {
			imports = append(imports, name)
		}
	}
	return imports
}

// Importer returns what imports these packages, and those that they import. It reads what the
// compiler has exported of them, in one call of the go command. They are not compiled again if
// they are as in this test.
func Importer(t testing.TB, fset *token.FileSet, imports []string) types.Importer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // for a cold build cache
	defer cancel()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	imports = slices.Compact(slices.Sorted(slices.Values(imports)))
	cmd := exec.CommandContext(ctx, "go", append(args, imports...)...)
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	cmd.WaitDelay = 5 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("go list: %v\n%s", cmp.Or(ctx.Err(), err), &errOut)
	}
	exports := map[string]string{}
	for line := range strings.Lines(out.String()) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		exports[name] = file
	}
	return importer.ForCompiler(fset, "gc", func(name string) (io.ReadCloser, error) {
		if exports[name] == "" {
			return nil, fmt.Errorf("package %s is none that is imported", name)
		}
		return os.Open(exports[name])
	})
}

// compiler returns a function that says why a block does not compile; sources are those that it
// will be asked about.
func compiler(t testing.TB, sources []string) func(src string) error {
	t.Helper()
	var imports []string
	for _, src := range sources {
		imports = append(imports, importsOf(src)...)
	}
	fset := token.NewFileSet()
	imp := Importer(t, fset, imports)
	return func(src string) error {
		f, err := parser.ParseFile(fset, "", fileOf(src), parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var errs []error
		conf := types.Config{Importer: imp, Error: func(err error) {
			var te types.Error
			if errors.As(err, &te) && te.Soft && !isWhole(src) {
				return // a variable that the fragment does not use: what uses it is left out
			}
			errs = append(errs, err)
		}}
		_, _ = conf.Check(f.Name.Name, fset, []*ast.File{f}, nil) // its error is the first of errs
		return errors.Join(errs...)
	}
}
