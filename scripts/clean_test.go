package scripts_test

import (
	"cmp"
	"path/filepath"
	"regexp"
	"testing"
)

// goCommand is a command of a document that compiles packages: its folder, if it has -C,
// and its packages.
var goCommand = regexp.MustCompile("(?m)\\bgo (?:-C (\\S+) )?(?:run|test|build|vet)(?: -[-\\w]+)* (\\./[^\\s`|]*)")

// TestCommandsLeaveTheCheckoutClean: Go adds to go.work.sum the sums that it misses there,
// whenever it loads packages or modules. Who has tried a command of the README would then
// have a change in the checkout. The test loads what each command of a document compiles.
// The mending: "go list -m all && go mod download", and commit go.work.sum.
func TestCommandsLeaveTheCheckoutClean(t *testing.T) {
	dir := checkout(t)
	documents, err := filepath.Glob(filepath.Join(dir, "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]bool{}
	load := func(document, command string, args ...string) {
		if out, err := run(t, dir, "go", args...); err != nil {
			t.Errorf("%s: %q: %v\n%s", document, command, err, out)
		}
		if status := git(t, dir, "status", "--porcelain"); status != "" {
			t.Errorf("%s: %q changes the checkout:\n%s%s", document, command, status, git(t, dir, "diff"))
			git(t, dir, "checkout", "--quiet", ".")
		}
	}
	for _, document := range append(top, documents...) {
		for _, m := range goCommand.FindAllStringSubmatch(read(t, document), -1) {
			in, packages := cmp.Or(m[1], "."), m[2]
			if done[in+" "+packages] {
				continue
			}
			done[in+" "+packages] = true
			load(filepath.Base(document), m[0], "-C", in, "list", "-deps", "-test", "-f", "{{with .Error}}{{.}}{{end}}", packages)
		}
	}
	load("an editor", "go list -m all", "list", "-m", "all")
	if len(done) < 10 {
		t.Errorf("%d commands in the documents: are they found rightly?", len(done))
	}
}
