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

// TestCommandsLeaveTheCheckoutClean: Go adds to go.work.sum what it misses there, so that
// who has tried a command of the README would have a change to commit. It loads what each
// command compiles, which is when Go writes.
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
	for _, document := range append(top, documents...) {
		for _, m := range goCommand.FindAllStringSubmatch(read(t, document), -1) {
			in, packages := cmp.Or(m[1], "."), m[2]
			if done[in+" "+packages] {
				continue
			}
			done[in+" "+packages] = true
			out, err := run(t, dir, "go", "-C", in, "list", "-deps", "-test", "-f", "{{with .Error}}{{.}}{{end}}", packages)
			if err != nil {
				t.Errorf("%s: %q: %v\n%s", filepath.Base(document), m[0], err, out)
			}
			if status := git(t, dir, "status", "--porcelain"); status != "" {
				t.Errorf("%s: %q changes the checkout:\n%s%s", filepath.Base(document), m[0], status, git(t, dir, "diff"))
				git(t, dir, "checkout", "--quiet", ".")
			}
		}
	}
	if len(done) < 10 {
		t.Errorf("%d commands in the documents: are they found rightly?", len(done))
	}
}
