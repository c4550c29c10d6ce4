package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// man is for those who package pacer: it is hidden, as it makes files that a user has no use for.
func (a *app) man() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the man pages of all commands into a folder", Args: exactly("DIR"), Hidden: true,
		Example: "  pacer man /usr/local/share/man/man1",
		RunE:    func(cmd *cobra.Command, args []string) error { return writeMan(cmd.Root(), args[0]) },
	}
}

// writeMan writes a page for each command that help shows. The pages have no date and no version, so that they
// change only with the commands.
func writeMan(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root.DisableAutoGenTag = true
	long := root.Long
	root.Long = unfilled(long)
	defer func() { root.Long = long }()
	return writePages(root, dir)
}

func writePages(c *cobra.Command, dir string) error {
	for _, below := range c.Commands() {
		if !below.IsAvailableCommand() || below.IsAdditionalHelpTopicCommand() {
			continue
		}
		below.DisableAutoGenTag = true
		if err := writePages(below, dir); err != nil {
			return err
		}
	}
	var page bytes.Buffer
	if err := doc.GenMan(c, &doc.GenManHeader{Section: "1", Date: new(time.Time), Source: "pacer", Manual: "pacer"}, &page); err != nil {
		return err
	}
	text := strings.Replace(page.String(), `"Jan 0001"`, `""`, 1)
	text = shownLine.ReplaceAllStringFunc(text, keyboard.Replace)
	name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
}

// shownLine is a line of a page that is no request to the formatter. A reader copies commands and flags from it, so
// its hyphens are those of the keyboard.
var shownLine = regexp.MustCompile(`(?m)^[^.\n].*$`)

var keyboard = strings.NewReplacer("-", `\-`, "•", `\(bu`)

var indented = regexp.MustCompile(`(?m)(^  .*\n?)+`)

// unfilled keeps the lines of a text as they are that begin with blanks, such as the list of exit codes. Without
// that a page has them in one paragraph.
func unfilled(text string) string {
	return indented.ReplaceAllStringFunc(text, func(lines string) string {
		return "```\n" + strings.TrimSuffix(lines, "\n") + "\n```\n"
	})
}
