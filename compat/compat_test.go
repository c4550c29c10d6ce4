package compat

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const twilioGo = "github.com/twilio/twilio-go"

// command runs a program in dir, for at most timeout, and returns what it printed.
func command(t *testing.T, timeout time.Duration, dir string, env []string, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &errOut
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s %s: not done within %v\n%s%s", name, strings.Join(args, " "), timeout, &out, &errOut)
	}
	return out.String(), errOut.String(), err
}

// goEnv is the environment for the go command: a missing go.sum entry is an error.
func goEnv() []string {
	return append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
}

// goTimeout allows for twilio-go to be compiled with the race detector.
const goTimeout = 8 * time.Minute

// twilioGoDir is where the module cache has twilio-go.
func twilioGoDir(t *testing.T) string {
	t.Helper()
	out, errOut, err := command(t, time.Minute, ".", goEnv(), "go", "list", "-m", "-f", "{{.Dir}}", twilioGo)
	dir := strings.TrimSpace(out)
	if err != nil || dir == "" {
		t.Fatalf("no directory of %s: %v\n%s", twilioGo, err, errOut)
	}
	return dir
}

// newModule makes a module that requires what this one does, and returns its directory.
func newModule(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mod := replaceOnce(t, read(t, "go.mod"), "module github.com/twilio-pacer/pacer/compat\n", "module programs\n")
	mod = replaceOnce(t, mod, "=> ../\n", "=> "+root+"\n")
	write(t, filepath.Join(dir, "go.mod"), mod)
	write(t, filepath.Join(dir, "go.sum"), read(t, "go.sum"))
	return dir
}

// replaceOnce fails the test unless there is exactly one place to replace.
func replaceOnce(t *testing.T, s, from, to string) string {
	t.Helper()
	if n := strings.Count(s, from); n != 1 {
		t.Fatalf("%q is there %d times, expected once, in:\n%s", from, n, s)
	}
	return strings.Replace(s, from, to, 1)
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
