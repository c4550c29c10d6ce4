// Package scripts_test tests the scripts of this folder in throw-away checkouts. The tests
// take long, so that -short leaves them out.
package scripts_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout makes a repository with one commit, on branch main, of the files in this
// checkout, committed or not. In place of test.sh it has a stub that fails if the file
// "broken" is there, and notes its arguments in the file that ranFile returns.
func checkout(t *testing.T) (dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("works on copies of the whole checkout: left out with -short")
	}
	dir = filepath.Join(t.TempDir(), "checkout")
	for name := range strings.SplitSeq(strings.TrimSuffix(git(t, "..", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join("..", name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted but not committed
		}
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(data))
	}
	write(t, filepath.Join(dir, "test.sh"), "#!/bin/sh\necho \"$@\" >>"+ranFile(dir)+"\n[ ! -e broken ]\n")
	for _, script := range []string{"test.sh", "scripts/release.sh", "scripts/consumer.sh"} {
		if err := os.Chmod(filepath.Join(dir, script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "--quiet", "--initial-branch=main")
	git(t, dir, "config", "user.name", "Somebody")
	git(t, dir, "config", "user.email", "somebody@example.com")
	commit(t, dir)
	return dir
}

// ranFile is where the stub in place of test.sh notes its arguments.
func ranFile(dir string) string { return filepath.Join(filepath.Dir(dir), "ran") }

func commit(t *testing.T, dir string) {
	t.Helper()
	git(t, dir, "add", "--all")
	git(t, dir, "commit", "--quiet", "--allow-empty", "--message", "A change")
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, "git", args...)
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return out
}

// run returns what a command prints, to its standard error as well.
func run(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		// A hook of git's may have called this test, and test.sh turns the workspace off.
		if !strings.HasPrefix(v, "GIT_") && !strings.HasPrefix(v, "GOWORK=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
