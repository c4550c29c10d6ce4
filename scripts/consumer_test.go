package scripts_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestConsumerFailsWithoutARealVersion puts back what was in the go.mod files before the
// first release. With it "go get" of a nested module fails outside the checkout.
func TestConsumerFailsWithoutARealVersion(t *testing.T) {
	dir := checkout(t)
	consume := func() (string, error) { return run(t, dir, "scripts/consumer.sh", "-get", "redispacer") }
	if out, err := consume(); err != nil || !strings.Contains(out, "ok: go get github.com/twilio-pacer/pacer/redispacer") {
		t.Fatalf("as it is: %v\n%s", err, out)
	}
	for _, test := range []struct {
		name, file, version, want string
	}{
		{"one v0.0.0", "redispacer/go.mod", "v0.0.0", "pacer@v0.0.0"},
		{"one pseudo-version", "redispacer/go.mod", "v0.0.0-00010101000000-000000000000", "pacer@v0.0.0-00010101000000-000000000000"},
		{"v0.0.0 everywhere", "*", "v0.0.0", `the modules require "v0.0.0" of each other, which is never released`},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := []string{test.file}
			if test.file == "*" {
				files = goMods(t, dir)
			}
			for _, file := range files {
				text := read(t, filepath.Join(dir, file))
				write(t, filepath.Join(dir, file), ours.ReplaceAllString(text, "${1}"+test.version))
				t.Cleanup(func() { write(t, filepath.Join(dir, file), text) })
			}
			out, err := consume()
			if err == nil || !strings.Contains(out, test.want) {
				t.Errorf("error %v, and\n%s\nexpected an error, and %q", err, out, test.want)
			}
		})
	}
}
