package pacer_test

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
	"go/token"
	"go/types"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
)

// readmeImports are the packages that a fragment in the README may use without an
// import.
var readmeImports = map[string]string{
	"pacer":      "github.com/twilio-pacer/pacer",
	"twiliotest": "github.com/twilio-pacer/pacer/twiliotest",
	"client":     "github.com/twilio/twilio-go/client",
	"api":        "github.com/twilio/twilio-go/rest/api/v2010",
	"twilioApi":  "github.com/twilio/twilio-go/rest/api/v2010",
	"messaging":  "github.com/twilio/twilio-go/rest/messaging/v1",
	"context":    "context",
	"errors":     "errors",
	"fmt":        "fmt",
	"http":       "net/http",
	"log":        "log",
	"os":         "os",
	"synctest":   "testing/synctest",
	"testing":    "testing",
	"time":       "time",
}

// readmeVariables are the variables that a fragment may use without a declaration.
const readmeVariables = `
	c                        *pacer.Client
	ctx                      context.Context
	params                   *api.CreateMessageParams
	limits                   pacer.Limits
	service, otherAccount    string
	smsParams, voiceParams   pacer.ClientParams
`

// TestReadmeCompiles checks the types of every block of Go in the README and in docs/faq.md:
// a program as it stands, a fragment with imports and a function round it.
func TestReadmeCompiles(t *testing.T) {
	blocks := readmeBlocks(t, "README.md")
	if len(blocks) < 5 {
		t.Fatalf("%d blocks of Go in README.md, expected more: is it read rightly?", len(blocks))
	}
	blocks = append(blocks, readmeBlocks(t, "docs/faq.md")...)
	check := readmeChecker(t)
	for _, b := range blocks {
		if strings.Contains(b.src, "queue.") || strings.Contains(b.src, "redispacer.") {
			continue // of another module, whose readme_test.go checks it
		}
		if formatted, err := format.Source([]byte(b.src)); err == nil && string(formatted) != b.src {
			t.Errorf("%s:%d: not as gofmt has it:\n%s", b.file, b.line, formatted)
		}
		if err := check(b.src); err != nil {
			t.Errorf("%s:%d: does not compile: %v", b.file, b.line, err)
		}
	}

	// The checker itself: what does not compile is an error.
	for _, src := range []string{
		"package main\n\nfunc main() { x := 1 }\n",
		"c.SetLimits(pacer.Limits{{Resource: 1}})\n",
		"pacer.NoSuchThing()\n",
		"undeclared()\n",
		"err := c.SetLimits(nil\n",
	} {
		if check(src) == nil {
			t.Errorf("no error for %q", src)
		}
	}
}

// A readmeBlock is a block of Go that begins at a line of a document.
type readmeBlock struct {
	file string
	line int
	src  string
}

func readmeBlocks(t *testing.T, file string) (blocks []readmeBlock) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var fence string
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		switch mark, isFence := strings.CutPrefix(line, "```"); {
		case isFence && fence == "":
			fence = "```" + strings.TrimSpace(mark)
			if fence == "```go" {
				blocks = append(blocks, readmeBlock{file: file, line: n + 1})
			}
		case isFence:
			fence = ""
		case fence == "```go":
			blocks[len(blocks)-1].src += line
		}
	}
	if fence != "" {
		t.Errorf("%s: the last block of code does not end", file)
	}
	return blocks
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readmeChecker returns a function that says why a block does not compile. It reads
// what the compiler has exported of the packages, which it need not compile again if
// they are as in this test.
func readmeChecker(t *testing.T) func(src string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // for a cold build cache
	defer cancel()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, slices.Sorted(maps.Values(readmeImports))...)...)
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

	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(name string) (io.ReadCloser, error) {
		if exports[name] == "" {
			return nil, fmt.Errorf("package %s is not in readmeImports", name)
		}
		return os.Open(exports[name])
	})
	return func(src string) error {
		whole := strings.HasPrefix(src, "package ")
		if !whole {
			src = readmeFile(src)
		}
		f, err := parser.ParseFile(fset, "", src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var errs []error
		conf := types.Config{Importer: imp, Error: func(err error) {
			var te types.Error
			if errors.As(err, &te) && te.Soft && !whole {
				return // a variable that the fragment does not use: what uses it is left out
			}
			errs = append(errs, err)
		}}
		_, _ = conf.Check(f.Name.Name, fset, []*ast.File{f}, nil) // its error is the first of errs
		return errors.Join(errs...)
	}
}

// readmeFile makes a fragment a file. Unless it is declarations, it becomes a function's
// body.
func readmeFile(fragment string) string {
	var file strings.Builder
	file.WriteString("package p\n\nimport (\n")
	for _, name := range slices.Sorted(maps.Keys(readmeImports)) {
		fmt.Fprintf(&file, "\t%s %q\n", name, readmeImports[name])
	}
	file.WriteString(")\n\n")
	if f, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+fragment, 0); err == nil && len(f.Decls) > 0 {
		return file.String() + fragment
	}
	vars := "var (" + readmeVariables + ")\n"
	return file.String() + vars + "func _() error {\n{\n" + fragment + "}\nreturn nil\n}\n"
}

// TestReadmeDefaults checks that the README's table of limits is pacer's.
func TestReadmeDefaults(t *testing.T) {
	text := readme(t)
	for _, d := range pacer.DefaultLimits() {
		if row := defaultRow(d); !strings.Contains(text, row) {
			t.Errorf("README.md lacks the row\n%s", row)
		}
	}
	_, table, _ := strings.Cut(text, "| Source |\n|---|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	if got, want := strings.Count(table, "\n")+1, len(pacer.DefaultLimits())+1; got != want { // 1: all else
		t.Errorf("README.md's table of limits has %d rows, expected %d", got, want)
	}
}

func defaultRow(d pacer.DefaultLimit) string {
	op := d.Op
	if op == "" {
		if op = pacer.Create; d.Resource == pacer.Lookups {
			op = pacer.Read
		}
	}
	rate := strconv.FormatFloat(d.Rate, 'g', 4, 64) + "/s"
	if d.Rate < 1 {
		rate = "1 in " + strconv.FormatFloat(1/d.Rate, 'g', 4, 64) + " s"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |", d.Resource, op, d.Senders, rate, d.Source)
}

var readmeLink = regexp.MustCompile(`\]\(([^)]+)\)`)

// TestReadmeLinks checks that what the README links to in this repository is there.
func TestReadmeLinks(t *testing.T) {
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/faq.md", "docs/learning.md", "docs/queue.md", "docs/redis.md", "docs/scope.md", "docs/sqs.md", "docs/watching.md", "bench/README.md", "examples/README.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range readmeLink.FindAllSubmatch(text, -1) {
			u, err := url.Parse(string(m[1]))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.Scheme != "" || u.Path == "" {
				continue
			}
			if _, err := os.Stat(path.Join(path.Dir(name), u.Path)); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}
