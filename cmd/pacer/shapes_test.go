package main

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/internal/doctest"
)

// A shapesDocument is docs/json.md.
type shapesDocument struct {
	prints map[string]string             // the kind of what a command prints, by its name without "pacer"
	shapes map[string]map[string]shapeOf // by name and field
	used   map[string]bool               // shapes that a command prints
	times  map[string]bool               // fields, as in "request.due", that had a time
}

// A shapeOf is a field of a shape.
type shapeOf struct {
	kind  string // the cell "Type", without links
	never bool   // it is not ""
	loose bool   // it may be left out
}

var link = regexp.MustCompile(`\[([a-z]+)\]\(#([a-z]+)\)`)

// readShapes reads docs/json.md.
func readShapes(t *testing.T) *shapesDocument {
	t.Helper()
	doc := doctest.Read(t, "docs/json.md")
	d := &shapesDocument{map[string]string{}, map[string]map[string]shapeOf{}, map[string]bool{}, map[string]bool{}}
	unlinked := func(cell string) string { return link.ReplaceAllString(cell, "$1") }
	for _, row := range doc.Table(t, "Commands") {
		name := strings.TrimPrefix(strings.Trim(row[0], "`"), "pacer ")
		d.prints[name], _, _ = strings.Cut(unlinked(row[1]), ":")
		d.prints[name], _, _ = strings.Cut(d.prints[name], ",")
	}
	_, shapes, _ := strings.Cut(doc.Text, "\n## Shapes\n")
	for _, m := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(shapes, -1) {
		fields := map[string]shapeOf{}
		for _, row := range doc.Table(t, m[1]) {
			if len(row) != 5 {
				t.Fatalf("docs/json.md: %s: expected a row of 5 cells: %q", m[1], row)
			}
			kind, loose := strings.CutSuffix(strings.ReplaceAll(unlinked(row[1]), "`", ""), ", or left out")
			fields[strings.Trim(row[0], "`")] = shapeOf{kind, row[4] == "never", loose}
		}
		d.shapes[m[1]] = fields
	}
	return d
}

// check compares a value with a kind, and returns what is wrong. at is where it stands, for the error.
func (d *shapesDocument) check(at, kind string, v any) (wrong []string) {
	bad := func() []string { return []string{fmt.Sprintf("%s is %#v, expected %s", at, v, kind)} }
	if element, ok := strings.CutPrefix(kind, "array of "); ok {
		all, ok := v.([]any)
		if !ok {
			return bad()
		}
		for _, e := range all {
			wrong = append(wrong, d.check(element, element, e)...)
		}
		return wrong
	}
	if words, ok := strings.CutPrefix(kind, "one of "); ok {
		if s, ok := v.(string); !ok || !slices.Contains(strings.Split(words, ", "), s) {
			return bad()
		}
		return nil
	}
	if one, other, ok := strings.Cut(kind, ` or "`); ok && v == strings.TrimSuffix(other, `"`) {
		return nil
	} else if ok {
		return d.check(at, one, v)
	}
	var ok bool
	switch kind {
	case "text":
		_, ok = v.(string)
	case "number":
		_, ok = v.(float64)
	case "whole number":
		n, isNumber := v.(float64)
		ok = isNumber && n == float64(int64(n))
	case "true or false":
		_, ok = v.(bool)
	case "time":
		s, isText := v.(string)
		when, err := time.Parse("2006-01-02T15:04:05Z", s)
		ok = isText && (s == "" || err == nil && when.Year() > 2000)
		d.times[at] = d.times[at] || s != ""
	default:
		return d.object(at, kind, v)
	}
	if !ok {
		return bad()
	}
	return nil
}

// object compares a value with a shape.
func (d *shapesDocument) object(at, shape string, v any) (wrong []string) {
	fields, known := d.shapes[shape]
	object, ok := v.(map[string]any)
	if !known || !ok {
		return []string{fmt.Sprintf("%s is %#v, expected an object of the shape %q, which is documented: %v", at, v, shape, known)}
	}
	d.used[shape] = true
	for name := range object {
		if _, documented := fields[name]; !documented {
			wrong = append(wrong, fmt.Sprintf("%s has a field %q that docs/json.md lacks", shape, name))
		}
	}
	for name, f := range fields {
		value, there := object[name]
		switch {
		case !there && !f.loose:
			wrong = append(wrong, fmt.Sprintf("%s lacks %q, which docs/json.md has", shape, name))
		case there && f.never && value == "":
			wrong = append(wrong, fmt.Sprintf(`%s.%s is "", which docs/json.md says never happens`, shape, name))
		case there:
			wrong = append(wrong, d.check(shape+"."+name, f.kind, value)...)
		}
	}
	return wrong
}

// without reports that a command has no JSON with a shape of its own.
func without(kind string) bool { return strings.HasPrefix(kind, "no ") }

// Each command with --json prints what docs/json.md says.
func TestJSONIsThatOfTheDocument(t *testing.T) {
	d, s, all := readShapes(t), seed(t), leaves()
	for name := range d.prints {
		if all[name] == nil {
			t.Errorf("docs/json.md has %q, which is no command", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		kind, documented := d.prints[name]
		switch {
		case !documented:
			t.Errorf("docs/json.md has no row for pacer %s: say what it prints with --json", name)
			continue
		case without(kind):
			continue
		case len(ways[name]) == 0:
			t.Errorf("pacer %s: ways does not say how to run it", name)
		}
		for _, w := range ways[name] {
			t.Run(strings.TrimSpace(name+" "+w.args), func(t *testing.T) {
				s.fresh(t)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				if name == "fake" {
					stop() // it prints its JSON at its end
				}
				p := doIn(ctx, t, "", append(s.line(t, name, w), "--json")...)
				if p.code != w.code {
					t.Errorf("exit code %d, expected %d: %s", p.code, w.code, p.err)
				}
				element, many := strings.CutPrefix(kind, "lines of ")
				for n, v := range values(t, p.out) {
					if n > 0 && !many {
						t.Errorf("more than one JSON value: %s", p.out)
					}
					for _, wrong := range d.check(element, element, v) {
						t.Error(wrong)
					}
				}
			})
		}
	}
	for name, fields := range d.shapes {
		if !d.used[name] {
			t.Errorf("docs/json.md: no command prints %s", name)
		}
		for field, f := range fields {
			if at := name + "." + field; f.kind == "time" && !d.times[at] {
				t.Errorf("%s was never a time: give one to the queue of this test", at)
			}
		}
	}
}

// values returns the JSON values of a text. There is at least one.
func values(t *testing.T, text string) (all []any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	for d.More() || len(all) == 0 {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		all = append(all, v)
	}
	return all
}

func TestListsThatAreEmptyAreNotNull(t *testing.T) {
	address := file(t)
	makeQueue(t, address)
	t.Setenv("PACER_QUEUE", address)
	for _, name := range []string{"campaign list", "doubt list", "hold list", "queue failures", "queue list", "why", "workers"} {
		if !strings.HasPrefix(readShapes(t).prints[name], "array of ") {
			t.Errorf("%s: docs/json.md has no array", name)
		}
		if out := ok(t, append(strings.Fields(name), "--json")...); out != "[]\n" {
			t.Errorf("%s: %q", name, out)
		}
	}
	if s := decode[depths](t, ok(t, "queue", "stats", "--json")); s.Lanes == nil {
		t.Error("lanes: null")
	}
}

// The words that a field can be are those of the code.
func TestDocumentedWordsAreThoseOfTheCode(t *testing.T) {
	d := readShapes(t)
	for at, of := range map[string][2]string{
		"campaign.state": {"../../queue", "CampaignState"}, "failure.state": {"../../queue", "State"}, "finding.result": {".", "verdict"},
		"hold.reason": {"../../queue", "HoldReason"}, "reason.kind": {"../../queue", "Cause"}, "request.state": {"../../queue", "State"},
		"sent.state": {"../../queue", "State"},
	} {
		shape, field, _ := strings.Cut(at, ".")
		got := strings.Split(strings.TrimPrefix(d.shapes[shape][field].kind, "one of "), ", ")
		want := constants(t, of[0], func(_, typed string) bool { return typed == of[1] })
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("docs/json.md: %s is one of %q, expected %q", at, got, want)
		}
	}
}

// constants returns the values of the constants in a folder whose name and type match, sorted.
func constants(t *testing.T, dir string, match func(name, typed string) bool) (found []string) {
	t.Helper()
	names, err := filepath.Glob(dir + "/*.go")
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		must(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				return true
			}
			typed, _ := v.Type.(*ast.Ident)
			value, ok := v.Values[0].(*ast.BasicLit)
			if ok && match(v.Names[0].Name, fmt.Sprint(typed)) {
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					text = value.Value
				}
				found = append(found, text)
			}
			return true
		})
	}
	slices.Sort(found)
	return found
}
