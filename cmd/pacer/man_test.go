package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shown returns the text of a man page, without the marks of roff.
func shown(page string) string {
	page = regexp.MustCompile(`\\f[BIPR]`).ReplaceAllString(page, "")
	return strings.NewReplacer(`\-`, "-", `\&`, "", `\e`, `\`, `\(bu`, "•", `\\`, `\`).Replace(page)
}

func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if out := ok(t, "man", dir); out != "" {
		t.Error(out)
	}
	pages, err := filepath.Glob(dir + "/*")
	must(t, err)
	commands := 0
	root := (&app{}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	each(root, func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		commands++
		raw, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		page := shown(string(raw))
		if regexp.MustCompile(`(?m)^[^.].*[^\\]--`).Match(raw) {
			t.Errorf("the page of %s has hyphens that are no minus signs, so that nobody can copy a flag", c.CommandPath())
		}
		c.InitDefaultHelpFlag()
		for _, set := range []*pflag.FlagSet{c.NonInheritedFlags(), c.InheritedFlags()} {
			set.VisitAll(func(f *pflag.Flag) {
				if !strings.Contains(page, "--"+f.Name) {
					t.Errorf("the page of %s lacks --%s", c.CommandPath(), f.Name)
				}
			})
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			if !strings.Contains(page, strings.TrimSpace(line)) {
				t.Errorf("the page of %s lacks its example: %s", c.CommandPath(), line)
			}
		}
		_, head, _ := strings.Cut(page, ".TH ")
		head, _, _ = strings.Cut(head, "\n")
		if !strings.HasSuffix(head, ` "1" "" "pacer" "pacer"`) || strings.Contains(page, "cobra") {
			t.Errorf("the page of %s has a date, or who has made it: %s", c.CommandPath(), head)
		}
	})
	if len(pages) != commands {
		t.Errorf("%d pages of %d commands: %v", len(pages), commands, pages)
	}
}

// Whoever builds a package twice gets the same files.
func TestManPagesAreTheSameEachTime(t *testing.T) {
	one, other := t.TempDir(), t.TempDir()
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	ok(t, "man", one)
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PACER_QUEUE", "sqlite:other.db")
	ok(t, "man", other)
	pages, err := os.ReadDir(one)
	must(t, err)
	for _, p := range pages {
		a, err := os.ReadFile(filepath.Join(one, p.Name()))
		must(t, err)
		b, err := os.ReadFile(filepath.Join(other, p.Name()))
		must(t, err)
		if string(a) != string(b) {
			t.Errorf("%s differs", p.Name())
		}
	}
}

// A list in a long text, such as that of the exit codes, stays a list.
func TestManPageKeepsTheExitCodes(t *testing.T) {
	dir := t.TempDir()
	ok(t, "man", dir)
	page, err := os.ReadFile(filepath.Join(dir, "pacer.1"))
	must(t, err)
	if !strings.Contains(shown(string(page)), "\n  0  done\n  1  failed\n") {
		t.Error(string(page))
	}
	fails(t, exitUsage, "expected 1 DIR", "man")
	fails(t, exitFailed, "not a directory", "man", filepath.Join(dir, "pacer.1"))
}
