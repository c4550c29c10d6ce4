package pacer

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/internal/doctest"
)

// The blocks of Go in all documents that need no other module than this one.
func TestCodeInDocumentsCompiles(t *testing.T) {
	doctest.Go(t, 12,
		"package main\n\nfunc main() { x := 1 }\n",
		"c.SetLimits(pacer.Limits{{Resource: 1}})\n",
		"pacer.NoSuchThing()\n",
		"undeclared()\n",
		"err := c.SetLimits(nil\n")
}

func TestLinksInDocumentsResolve(t *testing.T) { doctest.Links(t) }

// The changelog tells of names that are gone.
func TestNamesInDocumentsExist(t *testing.T) { doctest.Names(t, "CHANGELOG.md") }

func TestReadmeIsShort(t *testing.T) {
	const most, mostLines = 10_240, 200
	text := doctest.Read(t, "README.md").Text
	if n := strings.Count(text, "\n"); len(text) > most || n > mostLines {
		t.Errorf("README.md has %d bytes and %d lines, expected %d and %d at most: what is more belongs into docs", len(text), n, most, mostLines)
	}
}

func TestIndexHasEveryDocument(t *testing.T) {
	index := doctest.Read(t, "docs/README.md").Text
	for _, d := range doctest.All(t) {
		if name := path.Base(d.Name); path.Dir(d.Name) == "docs" && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md has no line for %s", name)
		}
	}
}

// A reader of the code finds each file in the map.
func TestContributingHasEveryFile(t *testing.T) {
	text := doctest.Read(t, "CONTRIBUTING.md").Text
	for _, dir := range []string{".", "queue", "redispacer"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%v, %d files in %s", err, len(names), dir)
		}
		for _, name := range names {
			base := filepath.Base(name)
			named := strings.Contains(text, "`"+base+"`") || strings.Contains(text, "["+base+"]("+base+")")
			if !named && base != "doc.go" && !strings.HasSuffix(base, "_test.go") {
				t.Errorf("CONTRIBUTING.md, \"Where things are\", does not say what %s decides", name)
			}
		}
	}
}

// TestDocumentListsTheDefaultLimits compares the table of docs/limits.md with DefaultLimits.
func TestDocumentListsTheDefaultLimits(t *testing.T) {
	rows := doctest.Read(t, "docs/limits.md").Table(t, "Defaults")
	for _, d := range DefaultLimits() {
		want := defaultRow(d)
		if !slices.ContainsFunc(rows, func(row []string) bool { return slices.Equal(row, want) }) {
			t.Errorf("docs/limits.md lacks the row\n| %s |", strings.Join(want, " | "))
		}
	}
	if got, want := len(rows), len(DefaultLimits())+1; got != want { // 1: all else
		t.Errorf("docs/limits.md has %d default limits, expected %d", got, want)
	}
}

func defaultRow(d DefaultLimit) []string {
	op := d.Op
	if op == "" {
		if op = Create; d.Resource == Lookups {
			op = Read
		}
	}
	rate := strconv.FormatFloat(d.Rate, 'g', 4, 64) + "/s"
	if d.Rate < 1 {
		rate = "1 in " + strconv.FormatFloat(1/d.Rate, 'g', 4, 64) + " s"
	}
	return []string{"`" + d.Resource + "`", string(op), d.Senders, rate, d.Source}
}

// docs/errors.md lists the codes of each kind of error.
func TestDocumentListsTheCodesOfEachKind(t *testing.T) {
	rows := doctest.Read(t, "docs/errors.md").Table(t, "What you have")
	codes := map[Kind][]string{Throttled: nil, NotSent: nil}
	for _, code := range slices.Sorted(maps.Keys(finalCodes)) {
		codes[finalCodes[code]] = append(codes[finalCodes[code]], fmt.Sprint(code))
	}
	names := map[Kind]string{Throttled: "Throttled", QueueFull: "QueueFull", AttemptCap: "AttemptCap", Quota: "Quota", NotSent: "NotSent"}
	for kind, of := range codes {
		want := strings.Join(of, ", ")
		if len(of) > 0 {
			want += ":"
		}
		if names[kind] == "" || !slices.ContainsFunc(rows, func(row []string) bool {
			return strings.HasPrefix(row[0], "`FromError`: `"+names[kind]+"`") && strings.HasPrefix(row[1], want)
		}) {
			t.Errorf("docs/errors.md has no row for %q that begins with the codes %q", kind, want)
		}
	}
}

// The defaults of options, where they are said.
func TestDocumentsSayTheDefaultsOfOptions(t *testing.T) {
	cfg, err := configOf([]Option{WithLimits(Limits{})})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ document, heading, row, want string }{
		{"docs/waiting.md", "After a throttled answer", "`WithMaxRetries`", fmt.Sprintf("%d times", cfg.maxRetries)},
		{"docs/waiting.md", "After a throttled answer", "`WithMaxRetryAfter`", fmt.Sprintf("%.0f min;", cfg.maxRetryAfter.Minutes())},
		{"docs/watching.md", "Without OpenTelemetry", "`WithThrottledAlert`", fmt.Sprintf("more than %.0f %% of a minute's requests, of %d at least", 100*cfg.alarmAbove, cfg.alarmFrom)},
		{"docs/watching.md", "Without OpenTelemetry", "`WithThrottledAlert`", fmt.Sprintf("below %.1f %%", 50*cfg.alarmAbove)},
	} {
		if rows := doctest.Read(t, tt.document).Table(t, tt.heading); !slices.ContainsFunc(rows, func(row []string) bool {
			whole := strings.Join(row, " | ")
			return strings.Contains(whole, tt.row) && strings.Contains(whole, tt.want)
		}) {
			t.Errorf("%s, %q: no row with %s says %q", tt.document, tt.heading, tt.row, tt.want)
		}
	}
}

// Each alert that a client raises has a row in docs/watching.md.
func TestDocumentListsTheAlerts(t *testing.T) {
	rows := doctest.Read(t, "docs/watching.md").Table(t, "Without OpenTelemetry")
	var documented []string
	for _, row := range rows {
		documented = append(documented, row[0])
	}
	all := strings.Join(documented, ", ")
	source, err := os.ReadFile("observe.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(source)) {
		if _, value, ok := strings.Cut(line, " AlertKind = "); ok {
			n++
			if kind, err := strconv.Unquote(strings.TrimSpace(value)); err != nil || !strings.Contains(all, "`"+kind+"`") {
				t.Errorf("docs/watching.md has no row for the alert %s", value)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d alerts in observe.go, expected 8 or more: are they read rightly?", n)
	}
}
