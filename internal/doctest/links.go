package doctest

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	codeSpan = regexp.MustCompile("`+[^`]*`+")
	link     = regexp.MustCompile(`\]\(([^)\s]+)(?: "[^"]*")?\)`)
	linkDef  = regexp.MustCompile(`^\[[^\]]+\]:\s+(\S+)`)
	attr     = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	anchor   = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	linkText = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	mention  = regexp.MustCompile(`[\w.][\w./-]*\.md\b(?:#[\w-]+)?`)
)

// Links checks the links of all documents to files and headings of the repository. It also
// checks where other text files, such as Go and YAML, name a document. Links to other hosts are
// not looked at.
func Links(t *testing.T) {
	t.Helper()
	root := Root(t)
	anchors := make(map[string]map[string]bool) // by document
	for _, d := range All(t) {
		anchors[d.Name] = d.anchors()
	}
	for _, d := range All(t) {
		n := 0
		for line, text := range d.prose {
			for _, target := range links(text) {
				n++
				if err := resolve(root, anchors, d.Name, target); err != nil {
					t.Errorf("%s:%d: %v", d.Name, line, err)
				}
			}
		}
		if n == 0 && strings.Contains(d.Text, "](") {
			t.Errorf("%s: no link was read", d.Name)
		}
	}
	for _, name := range files(t, root, ".go", ".yml", ".yaml", ".json", ".sh", ".js", ".lua", ".tf") {
		if strings.HasPrefix(name, "internal/doctest/") {
			continue // its tests name what is not there
		}
		text, err := os.ReadFile(root + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if !strings.Contains(line, ".md") {
				continue // the expression takes long
			}
			for _, target := range mention.FindAllString(line, -1) {
				if err := resolveMention(anchors, name, target); err != nil {
					t.Errorf("%s:%d: %v", name, i+1, err)
				}
			}
		}
	}
}

// links returns the targets of the links in a line.
func links(line string) (targets []string) {
	line = codeSpan.ReplaceAllString(line, "``")
	for _, re := range []*regexp.Regexp{link, linkDef, attr} {
		for _, m := range re.FindAllStringSubmatch(line, -1) {
			targets = append(targets, m[1])
		}
	}
	return targets
}

// resolve says why a link of a document leads nowhere.
func resolve(root string, anchors map[string]map[string]bool, document, target string) error {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return fmt.Errorf("link %q: %w", target, err)
	case u.Scheme != "" || u.Host != "":
		return nil
	case strings.HasPrefix(u.Path, "/"):
		return fmt.Errorf("link %q: expected a path relative to the document", target)
	}
	name := document
	if u.Path != "" {
		name = path.Join(path.Dir(document), u.Path)
	}
	if _, err := os.Stat(root + "/" + name); err != nil || strings.HasPrefix(name, "../") {
		return fmt.Errorf("link %q: there is no file %s in the repository", target, name)
	}
	if u.Fragment != "" && !anchors[name][u.Fragment] {
		return fmt.Errorf("link %q: %s has no heading #%s", target, name, u.Fragment)
	}
	return nil
}

// resolveMention says why a document that a file names is not there. Its path is from the
// repository's root, or from the file's folder.
func resolveMention(anchors map[string]map[string]bool, file, target string) error {
	if _, inRepository, ok := strings.Cut(target, module+"/blob/main/"); ok {
		target = inRepository
	}
	name, fragment, _ := strings.Cut(target, "#")
	found := anchors[path.Clean(name)]
	if found == nil {
		found = anchors[path.Join(path.Dir(file), name)]
	}
	switch {
	case found == nil:
		return fmt.Errorf("it names %s: there is no such document", name)
	case fragment != "" && !found[fragment]:
		return fmt.Errorf("it names %s: the document has no such heading", target)
	}
	return nil
}

// anchors returns what links can name behind a #, by GitHub's rules.
func (d Document) anchors() map[string]bool {
	found := make(map[string]bool)
	for _, line := range d.prose {
		for _, m := range anchor.FindAllStringSubmatch(line, -1) {
			found[m[1]] = true
		}
		title, ok := headingOf(line)
		if !ok {
			continue
		}
		slug := slugOf(title)
		for i, base := 1, slug; found[slug]; i++ {
			slug = fmt.Sprintf("%s-%d", base, i)
		}
		found[slug] = true
	}
	return found
}

func slugOf(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, linkText.ReplaceAllString(title, "$1"))
}
