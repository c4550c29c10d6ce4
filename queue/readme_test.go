package queue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/queue"
)

// docImports are the packages that a fragment may use without an import, docVariables the
// variables that it may use without a declaration.
var docImports = map[string]string{
	"pacer":       "github.com/twilio-pacer/pacer",
	"queue":       "github.com/twilio-pacer/pacer/queue",
	"redisqueue":  "github.com/twilio-pacer/pacer/queue/redisqueue",
	"redis":       "github.com/redis/go-redis/v9",
	"sqlitequeue": "github.com/twilio-pacer/pacer/queue/sqlitequeue",
	"twilio":      "github.com/twilio/twilio-go",
	"api":         "github.com/twilio/twilio-go/rest/api/v2010",
	"twiliotest":  "github.com/twilio-pacer/pacer/twiliotest",
	"context":     "context",
	"fmt":         "fmt",
	"filepath":    "path/filepath",
	"log":         "log",
	"os":          "os",
	"signal":      "os/signal",
	"syscall":     "syscall",
	"synctest":    "testing/synctest",
	"testing":     "testing",
	"time":        "time",
}

const docVariables = `
	ctx    context.Context
	q      *queue.Queue
	client *pacer.Client
	id     queue.ID
	params *api.CreateMessageParams
`

// TestDocumentsCompile checks the types of the blocks of Go that use the queue: in the
// README, whose other blocks the root module checks, and in docs/queue.md.
func TestDocumentsCompile(t *testing.T) {
	check := docChecker(t)
	for name, least := range map[string]int{"../README.md": 3, "../docs/queue.md": 4} {
		n := 0
		for line, src := range blocks(t, name, "go") {
			if !strings.Contains(src, "queue.") {
				if name != "../README.md" {
					t.Errorf("%s:%d: nobody checks a block that does not say queue.", name, line)
				}
				continue
			}
			n++
			if formatted, err := format.Source([]byte(src)); err == nil && string(formatted) != src {
				t.Errorf("%s:%d: not as gofmt has it; expected\n%s", name, line, formatted)
			}
			if err := check(src); err != nil {
				t.Errorf("%s:%d: does not compile: %v", name, line, err)
			}
		}
		if n < least {
			t.Errorf("%s: %d blocks, expected %d or more: is it read rightly?", name, n, least)
		}
	}

	// The checker itself: what does not compile is an error.
	for _, src := range []string{
		"package main\n\nfunc main() { x := 1 }\n",
		"q.Enqueue(ctx, 1)\n",
		"queue.NoSuchThing()\n",
		"err := q.Cancel(ctx, id\n",
	} {
		if check(src) == nil {
			t.Errorf("no error for %q", src)
		}
	}
}

// The test that docs/queue.md shows is the one that runs.
func TestDocumentedTestRuns(t *testing.T) {
	file, err := os.ReadFile("examples/tested/shop_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(slices.Collect(maps.Values(blocks(t, "../docs/queue.md", "go"))), string(file)) {
		t.Error("docs/queue.md does not show examples/tested/shop_test.go as it is")
	}
}

// The request that docs/queue.md shows is one.
func TestDocumentedRequest(t *testing.T) {
	for line, src := range blocks(t, "../docs/queue.md", "json") {
		var r queue.Request
		if err := json.Unmarshal([]byte(src), &r); err != nil {
			t.Errorf("docs/queue.md:%d: %v", line, err)
		}
		if r.Form["Body"][0] == "" || r.Method != "POST" {
			t.Errorf("docs/queue.md:%d: %+v", line, r)
		}
		return
	}
	t.Error("docs/queue.md has no block of JSON")
}

// blocks returns a file's blocks of code of a language, by the line each begins at.
func blocks(t *testing.T, name, language string) map[int]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[int]string)
	n, begin, fence := 0, 0, ""
	for line := range strings.Lines(string(text)) {
		n++
		switch mark, isFence := strings.CutPrefix(line, "```"); {
		case isFence && fence == "":
			fence, begin = "```"+strings.TrimSpace(mark), n+1
		case isFence:
			fence = ""
		case fence == "```"+language:
			found[begin] += line
		}
	}
	return found
}

// docChecker returns a function that says why a block does not compile. It reads what the
// compiler has exported of the packages.
func docChecker(t *testing.T) func(src string) error {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, slices.Sorted(maps.Values(docImports))...)...)
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &errOut)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		exports[name] = file
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(name string) (io.ReadCloser, error) {
		if exports[name] == "" {
			return nil, fmt.Errorf("package %s is not in docImports", name)
		}
		return os.Open(exports[name])
	})
	return func(src string) error {
		whole := strings.HasPrefix(src, "package ")
		if !whole {
			var file strings.Builder
			file.WriteString("package p\n\nimport (\n")
			for _, name := range slices.Sorted(maps.Keys(docImports)) {
				fmt.Fprintf(&file, "\t%s %q\n", name, docImports[name])
			}
			file.WriteString(")\n\nvar (" + docVariables + ")\n\nfunc _() error {\n{\n" + src + "}\nreturn nil\n}\n")
			src = file.String()
		}
		f, err := parser.ParseFile(fset, "", src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var errs []error
		conf := types.Config{Importer: imp, Error: func(err error) {
			var te types.Error
			if errors.As(err, &te) && te.Soft && !whole {
				return // what a fragment does not use, what is left out uses
			}
			errs = append(errs, err)
		}}
		_, _ = conf.Check(f.Name.Name, fset, []*ast.File{f}, nil) // its error is the first of errs
		return errors.Join(errs...)
	}
}
