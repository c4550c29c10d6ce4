package scripts_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// ours finds where a go.mod requires one of our modules, and at which version.
var ours = regexp.MustCompile(`(?m)^((?:require)?[ \t]+github\.com/twilio-pacer/pacer\S* )(v\S+)`)

var tags = []string{"otelpacer/otelqueue/v0.2.0", "otelpacer/v0.2.0", "queue/v0.2.0", "redispacer/v0.2.0", "v0.2.0"}

// state is all that a release may change of a repository: files, commits, tags, worktrees.
func state(t *testing.T, dir string) string {
	t.Helper()
	return strings.Join([]string{
		git(t, dir, "status", "--porcelain", "--branch"), git(t, dir, "diff"), git(t, dir, "show-ref"), git(t, dir, "worktree", "list"),
	}, "\n")
}

func TestReleaseRefuses(t *testing.T) {
	original := checkout(t)
	nothing := func(*testing.T, string) {}
	tagged := func(tags ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, tag := range tags {
				git(t, dir, "tag", tag)
			}
		}
	}
	changelog := func(text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "CHANGELOG.md"), text)
			commit(t, dir)
		}
	}
	const link = "\n[Unreleased]: https://example.com/pacer/commits/main\n"
	for _, test := range []struct {
		name    string
		arrange func(*testing.T, string)
		args    string
		want    string // of what it prints
	}{
		{"no version", nothing, "", "usage:"},
		{"two versions", nothing, "v0.2.0 v0.3.0", "expected one"},
		{"an unknown flag", nothing, "--force v0.2.0", "--force: there is no such flag"},
		{"a version without v", nothing, "0.2.0", "0.2.0: expected vX.Y.Z"},
		{"a version of two numbers", nothing, "v0.2", "v0.2: expected vX.Y.Z"},
		{"a version with a leading zero", nothing, "v0.02.0", "v0.02.0: expected vX.Y.Z"},
		{"a pre-release", nothing, "v0.2.0-rc.1", "v0.2.0-rc.1: expected vX.Y.Z"},
		{"a version of another major path", nothing, "v2.0.0", "ends in /v2"},
		{"v0.0.0", nothing, "v0.0.0", "v0.0.0: expected a version above it"},
		{"the last tag", tagged("v0.2.0"), "v0.2.0", "expected a version above the last tag, v0.2.0"},
		{"a version below the last tag", tagged("v0.2.0"), "v0.1.9", "expected a version above the last tag, v0.2.0"},
		{"a version below a last tag of two digits", tagged("v0.9.0", "v0.10.0"), "v0.9.1", "expected a version above the last tag, v0.10.0"},
		{"a tag of one module that is there", tagged("queue/v0.2.0"), "v0.2.0", "tag queue/v0.2.0 exists already"},
		{"a file that is changed", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "doc.go"), "package pacer\n") }, "v0.2.0", " M doc.go"},
		{"a file that is not committed", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "uncommitted.go"), "package pacer\n") }, "v0.2.0", "?? uncommitted.go"},
		{"no branch", func(t *testing.T, dir string) { git(t, dir, "checkout", "--quiet", "--detach") }, "v0.2.0", "no branch is checked out"},
		{"an empty Unreleased", changelog("# Changelog\n\n## [Unreleased]\n\n### Added\n\n## [0.1.0] - 2026-01-01\n\n- The first.\n" + link), "v0.2.0", "no entry"},
		{"no Unreleased", changelog("# Changelog\n\n## [0.1.0] - 2026-01-01\n\n- The first.\n" + link), "v0.2.0", "no entry"},
		{"a changelog without links", changelog("# Changelog\n\n## [Unreleased]\n\n- A change.\n"), "v0.2.0", `no line "[Unreleased]: https`},
		{"a module that the script does not know", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "new/go.mod"), "module github.com/twilio-pacer/pacer/new\n")
			commit(t, dir)
		}, "v0.2.0", "new/go.mod: is this module published?"},
		{"a release without tests", nothing, "--really --skip-tests v0.2.0", "a release is tested"},
		{"a release whose tests fail", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "broken"), ""); commit(t, dir) }, "--really v0.2.0", "the tests have failed"},
		{"a release whose tests change the checkout", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "test.sh"), "#!/bin/sh\necho h1: >>go.work.sum\n")
			commit(t, dir)
		}, "--really v0.2.0", " M go.work.sum"},
		{"a release whose tests change a go.mod", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "test.sh"), "#!/bin/sh\necho // >>queue/go.mod\n")
			commit(t, dir)
		}, "--really v0.2.0", "the tests have changed files"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "checkout")
			git(t, original, "clone", "--quiet", "--local", original, dir)
			git(t, dir, "config", "user.name", "Somebody")
			git(t, dir, "config", "user.email", "somebody@example.com")
			test.arrange(t, dir)
			before := state(t, dir)
			out, err := run(t, dir, "scripts/release.sh", strings.Fields(test.args)...)
			if err == nil || !strings.Contains(out, test.want) {
				t.Errorf("error %v, and\n%s\nexpected an error, and %q", err, out, test.want)
			}
			if after := state(t, dir); after != before {
				t.Errorf("was\n%s\nis\n%s", before, after)
			}
		})
	}
}

func TestReleaseHelpTeaches(t *testing.T) {
	out, err := run(t, ".", "./release.sh", "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"usage:", "--really", "--skip-tests", "--modules", "dry run", "require", "replace", "Nothing is pushed", "RELEASING.md"} {
		if !strings.Contains(out, want) {
			t.Errorf("--help lacks %q:\n%s", want, out)
		}
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	dir := checkout(t)
	before := state(t, dir)
	for _, test := range []struct {
		args, ran  string
		want, lack string
	}{
		{"--skip-tests v0.2.0", "", "!!! THE TESTS ARE SKIPPED", "== ./test.sh long"},
		{"v0.2.0", "long\n", "== ./test.sh long", "!!!"},
	} {
		out, err := run(t, dir, "scripts/release.sh", strings.Fields(test.args)...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", test.args, err, out)
		}
		for _, want := range append(tags, test.want, "a dry run: nothing was changed here", "## [0.2.0] - ", "pacer v0.2.0") {
			if !strings.Contains(out, want) {
				t.Errorf("%s: it does not print %q:\n%s", test.args, want, out)
			}
		}
		if strings.Contains(out, test.lack) {
			t.Errorf("%s: it prints %q", test.args, test.lack)
		}
		if ran, err := os.ReadFile(ranFile(dir)); string(ran) != test.ran || err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: test.sh ran with %q, %v; expected %q", test.args, ran, err, test.ran)
		}
		if after := state(t, dir); after != before {
			t.Errorf("%s: was\n%s\nis\n%s", test.args, before, after)
		}
	}
}

func TestReleaseTagsAllPublishedModules(t *testing.T) {
	dir := checkout(t)
	origin := filepath.Join(t.TempDir(), "origin.git")
	git(t, dir, "init", "--quiet", "--bare", origin)
	git(t, dir, "remote", "add", "origin", origin)
	git(t, dir, "push", "--quiet", "origin", "main")
	first := strings.TrimSpace(git(t, dir, "rev-parse", "HEAD"))
	replaced := replaceLines(t, dir)

	out, err := run(t, dir, "scripts/release.sh", "--really", "v0.2.0")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if ran := read(t, ranFile(dir)); ran != "long\n" {
		t.Errorf("test.sh ran with %q; expected long", ran)
	}
	if got := strings.Fields(git(t, dir, "tag", "--list")); !slices.Equal(got, tags) {
		t.Errorf("tags %q; expected %q", got, tags)
	}
	head := git(t, dir, "rev-parse", "HEAD")
	for _, tag := range tags {
		if commit := git(t, dir, "rev-parse", tag+"^{commit}"); commit != head {
			t.Errorf("%s is on %s; expected %s", tag, commit, head)
		}
	}
	if parent := strings.TrimSpace(git(t, dir, "rev-parse", "HEAD^")); parent != first {
		t.Errorf("the release's parent is %s; expected %s", parent, first)
	}
	if status := git(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("after the release there are changes:\n%s", status)
	}
	if changed, want := git(t, dir, "diff", "--name-only", first), regexp.MustCompile(`^(CHANGELOG\.md|.*go\.(mod|sum))$`); slices.ContainsFunc(strings.Fields(changed), func(name string) bool { return !want.MatchString(name) }) {
		t.Errorf("the release changes\n%s", changed)
	}

	n := 0
	for _, file := range goMods(t, dir) {
		for _, m := range ours.FindAllStringSubmatch(read(t, filepath.Join(dir, file)), -1) {
			n++
			if m[2] != "v0.2.0" {
				t.Errorf("%s: %q", file, m[0])
			}
		}
	}
	if n < 8 {
		t.Errorf("%d requires between our modules: is go.mod read rightly?", n)
	}
	if got := replaceLines(t, dir); !maps.Equal(got, replaced) {
		t.Errorf("replace lines are\n%v\nwere\n%v", got, replaced)
	}

	log := read(t, filepath.Join(dir, "CHANGELOG.md"))
	date := time.Now().UTC().Format(time.DateOnly)
	for _, want := range []string{"## [Unreleased]\n\n## [0.2.0] - " + date + "\n", "/compare/v0.2.0...HEAD\n[0.2.0]: https://"} {
		if !strings.Contains(log, want) {
			t.Errorf("CHANGELOG.md lacks %q", want)
		}
	}

	if refs := git(t, origin, "show-ref"); strings.Count(refs, "\n") != 1 || !strings.Contains(refs, first) {
		t.Errorf("something was pushed:\n%s", refs)
	}
	_, command, _ := strings.Cut(out, "This pushes it:\n")
	if out, err := run(t, dir, "sh", "-c", command); err != nil {
		t.Errorf("%q: %v\n%s", command, err, out)
	}
	if got := strings.Fields(git(t, origin, "tag", "--list")); !slices.Equal(got, tags) {
		t.Errorf("pushed were %q; expected %q", got, tags)
	}

	if out, err := run(t, dir, "scripts/release.sh", "--really", "v0.3.0"); err == nil || !strings.Contains(out, "no entry") {
		t.Errorf("the next release without an entry: %v\n%s", err, out)
	}
}

func goMods(t *testing.T, dir string) []string {
	return strings.Fields(git(t, dir, "ls-files", "go.mod", "*/go.mod"))
}

func replaceLines(t *testing.T, dir string) map[string]string {
	lines := map[string]string{}
	for _, file := range goMods(t, dir) {
		lines[file] = strings.Join(regexp.MustCompile(`(?m)^replace .*$`).FindAllString(read(t, filepath.Join(dir, file)), -1), "\n")
	}
	return lines
}
