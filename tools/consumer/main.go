// Consumer does what a user of the published modules does. scripts/consumer.sh runs it.
//
// In the checkout every go.mod has "replace" lines, which Go ignores in a module that is
// fetched. What is wrong with the requirements shows only outside the checkout. There
// this program makes a module proxy in a folder, with zips of the files in the checkout.
// Then, in empty folders, without go.work and without "replace", it
//
//   - runs "go get" of each published module alone, and the module's examples;
//   - builds and runs examples/quickstart, and the programs in README.md and docs.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	root      = flag.String("root", "", "the checkout's `folder`")
	published = flag.String("published", "", "`folders` of the published modules in the checkout")
	getOnly   = flag.Bool("get", false, "only \"go get\": build and run nothing")
)

func main() {
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

// run consumes the modules in the folders of only, or all if there are none.
func run(only []string) (err error) {
	dir, err := os.MkdirTemp("", "pacer-consumer-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tree := filepath.Join(dir, "tree")
	if err := copyTree(*root, tree); err != nil {
		return err
	}
	releases, version, err := readReleases(tree, strings.Fields(*published))
	if err != nil {
		return err
	}
	proxy := filepath.Join(dir, "proxy")
	for _, r := range releases {
		if err := r.publish(proxy, version); err != nil {
			return err
		}
	}
	c, err := newConsumer(dir, proxy)
	if err != nil {
		return err
	}
	for _, folder := range only {
		if !slices.ContainsFunc(releases, func(r release) bool { return r.folder == folder }) {
			return fmt.Errorf("%q: expected the folder of a published module, one of %s", folder, *published)
		}
	}
	fmt.Printf("%d modules at %s, without this checkout's replace lines and go.work\n", len(releases), version)
	for _, r := range releases {
		if len(only) == 0 || slices.Contains(only, r.folder) {
			if err := c.module(r); err != nil {
				return err
			}
		}
	}
	if *getOnly || len(only) > 0 {
		return nil
	}
	return c.programs(tree, releases)
}

// copyTree copies what a release would have: the files that git knows or would add.
func copyTree(from, to string) error {
	list, err := output(exec.Command("git", "-C", from, "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue // deleted but not committed, or a link, which no module zip has
		}
		if err != nil {
			return err
		}
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// A consumer is a user with nothing but Go.
type consumer struct {
	dir string   // where its folders are
	env []string // of its commands
	n   int      // how many folders it has
}

func newConsumer(dir, proxy string) (*consumer, error) {
	machine, err := output(exec.Command("go", "env", "GOMODCACHE", "GOPROXY"))
	if err != nil {
		return nil, err
	}
	cache, proxies, _ := strings.Cut(strings.TrimSpace(machine), "\n")
	c := &consumer{dir: dir}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TWILIO_") && !strings.HasPrefix(v, "PACER_") {
			c.env = append(c.env, v)
		}
	}
	c.env = append(c.env,
		"GOWORK=off",
		// A cache of its own: the real v0.1.0 must not be taken for this one, nor this one
		// for the real. What the machine has of other modules is as good as a proxy.
		"GOMODCACHE="+filepath.Join(dir, "mod"),
		"GOPROXY=file://"+proxy+",file://"+filepath.Join(cache, "cache", "download")+","+proxies,
		"GONOPROXY=none", "GOSUMDB=off",
		// Our modules come from the folder or not at all.
		"GOVCS=github.com/twilio-pacer:off,public:git|hg,private:all",
		// -trimpath keeps what was compiled for the next run, whose folders have other names.
		"GOFLAGS=-modcacherw -trimpath -buildvcs=false",
	)
	return c, nil
}

// folder makes an empty folder with a go.mod, and gets the modules.
func (c *consumer) folder(paths ...string) (string, error) {
	c.n++
	dir := filepath.Join(c.dir, "consumer"+strconv.Itoa(c.n))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if _, err := c.command(dir, "go", "mod", "init", "example.com/consumer"); err != nil {
		return "", err
	}
	// From an old one "go get" raises the line to the Go that the module needs.
	if _, err := c.command(dir, "go", "mod", "edit", "-go=1.21"); err != nil {
		return "", err
	}
	for _, path := range paths {
		if _, err := c.command(dir, "go", "get", path); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// module gets one module alone, and runs its examples.
func (c *consumer) module(r release) error {
	start := time.Now()
	dir, err := c.folder(r.path)
	if err != nil {
		return err
	}
	text, err := c.command(dir, "go", "list", "-m", "-f", "{{with .Replace}}replaced {{end}}{{.Path}} {{.Version}}", "all")
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	_, goLine, _ := strings.Cut(string(mod), "\ngo ")
	goLine, _, _ = strings.Cut(goLine, "\n")
	said := fmt.Sprintf("needs Go %s, %d modules, %d lines of go.sum", goLine, strings.Count(text, "\n")-1, bytes.Count(sums, []byte("\n")))
	if !*getOnly {
		examples, err := filepath.Glob(filepath.Join(r.dir, "example*_test.go"))
		if err != nil {
			return err
		}
		for _, file := range examples {
			if err := copyFile(file, filepath.Join(dir, filepath.Base(file))); err != nil {
				return err
			}
		}
		if _, err := c.command(dir, "go", "mod", "tidy"); err != nil {
			return err
		}
		// Vet would look for what the examples are of in the folder that they are in now.
		if _, err := c.command(dir, "go", "test", "-vet=off", "-run", "^Example", "."); err != nil {
			return err
		}
		said += fmt.Sprintf("; examples in %d files", len(examples))
	}
	fmt.Printf("ok: go get %s: %s (%.0f s)\n", r.path, said, time.Since(start).Seconds())
	return nil
}

// programs builds and runs examples/quickstart and the programs of the documents.
func (c *consumer) programs(tree string, releases []release) error {
	documents, err := filepath.Glob(filepath.Join(tree, "docs", "*.md"))
	if err != nil {
		return err
	}
	n := 0
	for _, file := range slices.Concat([]string{
		filepath.Join(tree, "examples", "quickstart", "main.go"), filepath.Join(tree, "README.md"),
	}, documents) {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		programs := []string{string(text)}
		if filepath.Ext(file) == ".md" {
			programs = goPrograms(string(text))
			n += len(programs)
		}
		for i, src := range programs {
			start := time.Now()
			name := fmt.Sprintf("%s, program %d", strings.TrimPrefix(file, tree+"/"), i+1)
			said, err := c.program(src, releases)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Printf("ok: %s: %s (%.0f s)\n", name, said, time.Since(start).Seconds())
		}
	}
	if n == 0 {
		return errors.New(`README.md and docs: no block of Go is a program ("package main"): expected one at least`)
	}
	return nil
}

// goPrograms returns the blocks of Go in a document that are whole programs.
func goPrograms(text string) (programs []string) {
	for _, block := range strings.Split(text, "\n```go\n")[1:] {
		if src, _, _ := strings.Cut(block, "\n```"); strings.HasPrefix(src, "package main\n") {
			programs = append(programs, src+"\n")
		}
	}
	return programs
}

// program builds and runs a program. It may fail for one reason only: there are no
// credentials, which a program that sends to Twilio itself must say.
func (c *consumer) program(src string, releases []release) (said string, err error) {
	f, err := parser.ParseFile(token.NewFileSet(), "main.go", src, parser.ImportsOnly)
	if err != nil {
		return "", err
	}
	var paths []string
	for _, spec := range f.Imports {
		pkg, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return "", err
		}
		if r, ok := releaseOf(pkg, releases); ok && !slices.Contains(paths, r.path) {
			paths = append(paths, r.path)
		}
	}
	dir, err := c.folder(paths...)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(src), 0o600); err != nil {
		return "", err
	}
	if _, err := c.command(dir, "go", "mod", "tidy"); err != nil {
		return "", err
	}
	if _, err := c.command(dir, "go", "build", "-o", "program", "."); err != nil {
		return "", err
	}
	if text, err := c.command(dir, filepath.Join(dir, "program")); err != nil {
		if strings.Contains(text, "TWILIO_ACCOUNT_SID") {
			return "builds; asks for credentials", nil
		}
		return "", err
	}
	return "builds and runs", nil
}

// command runs a command in dir. It returns what the command has printed to its standard
// output, and with an error all that it has printed.
func (c *consumer) command(dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // compiling takes minutes, many where others compile
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, append(slices.Clip(c.env), "PWD="+dir), 5*time.Second
	return output(cmd)
}

func output(cmd *exec.Cmd) (string, error) {
	var out, both bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &both), &both
	if err := cmd.Run(); err != nil {
		return both.String(), fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, &both)
	}
	return out.String(), nil
}
