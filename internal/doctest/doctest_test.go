package doctest

import (
	"slices"
	"strings"
	"testing"
)

const sample = "# A title\n\n" +
	"See [the end](#the-end), [`New`](doc.go) and `[no](link)`.\n\n" +
	"```go\nx()\n```\n\n" +
	"<!-- no check: it is C -->\n\n```go\nint x;\n```\n\n" +
	"## Table of `a_b`, and more\n\nText.\n\n| a | b |\n|---|---|\n| 1 | `x \\| y` |\n| 2 |  |\n\n" +
	"## The end\n\n### The end\n"

func TestBlocksAndTheirReasons(t *testing.T) {
	blocks := Document{Name: "x.md", Text: sample}.Blocks(t, "go")
	want := []Block{
		{Document: "x.md", Line: 6, Language: "go", Source: "x()\n"},
		{Document: "x.md", Line: 12, Language: "go", Source: "int x;\n", skip: "it is C"},
	}
	if !slices.Equal(blocks, want) {
		t.Errorf("got %+v, want %+v", blocks, want)
	}
}

func TestTableBelowHeading(t *testing.T) {
	rows := Document{Text: sample}.Table(t, "Table of `a_b`, and more")
	if len(rows) != 2 || !slices.Equal(rows[0], []string{"1", "`x | y`"}) || !slices.Equal(rows[1], []string{"2", ""}) {
		t.Errorf("got %q", rows)
	}
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	got := Document{Text: sample}.anchors()
	for _, want := range []string{"a-title", "table-of-a_b-and-more", "the-end", "the-end-1"} {
		if !got[want] {
			t.Errorf("no anchor %q in %v", want, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("got %v", got)
	}
}

func TestLinksThatLeadNowhere(t *testing.T) {
	root := Root(t)
	anchors := map[string]map[string]bool{"docs/queue.md": {"states": true}, "README.md": {}}
	for target, ok := range map[string]bool{
		"queue.md":               true,
		"queue.md#states":        true,
		"../README.md":           true,
		"../queue/doc.go":        true,
		"https://example.com/#x": true,
		"queue.md#no":            false,
		"#no":                    false,
		"no.md":                  false,
		"../../" + "etc":         false,
		"/docs/queue.md":         false,
	} {
		if err := resolve(root, anchors, "docs/queue.md", target); (err == nil) != ok {
			t.Errorf("%s: %v", target, err)
		}
	}
	for target, ok := range map[string]bool{
		"docs/queue.md":        true,
		"docs/queue.md#states": true,
		"github.com/twilio-pacer/pacer/blob/main/docs/queue.md#states": true,
		"docs/queue.md#no": false,
		"docs/no.md":       false,
	} {
		if err := resolveMention(anchors, "queue/doc.go", target); (err == nil) != ok {
			t.Errorf("%s: %v", target, err)
		}
	}
	if got := links("[a](b.md) and ![c](d.svg \"e\") not `[f](g)`"); !slices.Equal(got, []string{"b.md", "d.svg"}) {
		t.Errorf("links %q", got)
	}
}

func TestWhoChecksABlock(t *testing.T) {
	modules := modulesIn(t, Root(t))
	for src, want := range map[string]string{
		"x := pacer.Limits{}\n":                                                          module,
		"err := q.Cancel(ctx, id)\n":                                                     module + "/queue",
		"engine := sqlitequeue.Open(\"queue.Open\")\n":                                   module + "/queue",
		"redispacer.New(&redis.UniversalOptions{})\n":                                    module + "/redispacer",
		"s := \"queue.Open\" // queue.Open\n":                                            module,
		"package main\n\nimport _ \"github.com/twilio-pacer/pacer/queue/sqlitequeue\"\n": module + "/queue",
	} {
		if got, err := ownerOf(src, modules); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", src, got, err, want)
		}
	}
	if owner, err := ownerOf("redispacer.New(queue.High)\n", map[string]goModule{module + "/queue": {}, module + "/redispacer": {}}); err == nil {
		t.Errorf("%s checks a block of two modules that do not require each other", owner)
	}
}

func TestNamesOfFragments(t *testing.T) {
	imports, vars := surroundings("worker, err := queue.NewWorker(q, client) // http.Get\n")
	if !slices.Equal(vars, []string{"client", "q"}) || !slices.Equal(imports, []string{"pacer", "queue"}) {
		t.Errorf("imports %q, variables %q", imports, vars)
	}
	imports, vars = surroundings("te := err.(*client.TwilioRestError)\nx := te.ctx\n")
	if len(vars) != 0 || strings.Join(imports, " ") != "client" {
		t.Errorf("imports %q, variables %q", imports, vars)
	}
}

func TestLongSentences(t *testing.T) {
	short, long := strings.Repeat("word ", 24)+"end", strings.Repeat("word ", 25)+"end"
	for text, want := range map[string]int{
		short + ".\n" + short + ".\n":                  0,
		long + ".\n":                                   1,
		short + "\n" + short + ".\n":                   1,
		short + "\n\n" + short + ".\n":                 0,
		"- " + short + "\n- " + short + "\n":           0,
		"| a | " + short + " | " + long + " |\n":       1,
		"```\n" + long + "\n```\n\n    " + long + "\n": 0,
		"`" + long + "` [x](y.md).\n":                  0,
		"Why? (" + short + ".) " + short + ".\n":       0,
		short + " [" + long + "](y.md).\n":             1,
	} {
		if got := (Document{Name: "x.md", Text: text}).tooLong(); len(got) != want {
			t.Errorf("%q: %d are too long, expected %d: %q", text, len(got), want, got)
		}
	}
	got, err := tooLongOf("x.go", []byte("// Package x.\npackage x\n\n// F "+long+".\n//\n//\t"+long+"\nfunc F() {}\n\n// f "+long+".\nfunc f() {}\n\n"+
		"type (\n\t// T "+short+"\n\t// [F].\n\tT struct {\n\t\tA int // "+long+"\n\t\tb int // "+long+"\n\t}\n)\n\n// M "+long+"\nfunc (t *t) M() {}\n"))
	if err != nil || len(got) != 3 {
		t.Errorf("%d are too long, expected those on F, T and T.A: %v, %q", len(got), err, got)
	}
	got, err = tooLongOf("x.go", []byte("package main\n\n// f "+long+".\nfunc f() {\n\t// Why "+long+".\n}\n"))
	if err != nil || len(got) != 2 {
		t.Errorf("%d are too long in a program, expected those on and in f: %v, %q", len(got), err, got)
	}
}
