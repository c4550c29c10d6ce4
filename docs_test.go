package pacer

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

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

// Documents and packages are named here when all their sentences are short.
func TestSentencesAreShort(t *testing.T) {
	doctest.Sentences(t,
		"README.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "examples/README.md",
		"docs/README.md", "docs/errors.md", "docs/faq.md", "docs/json.md", "docs/judgement.md", "docs/learning.md", "docs/limits.md", "docs/queue.md", "docs/redis.md", "docs/scope.md",
		"docs/sqs.md", "docs/testing.md", "docs/waiting.md", "docs/watching.md",
		".", "queue", "queue/dashboard", "queue/sqlitequeue", "queue/redisqueue", "queue/sqsqueue", "queue/queuetest", "queue/killtest", "twiliotest",
		"redispacer", "otelpacer", "otelpacer/otelqueue", "internal/doctest", "internal/endpoint", "internal/learn", "internal/line", "internal/redistest",
		"internal/spacing", "internal/token",
		"bench/fleet", "bench/herd", "bench/queues", "bench/scenarios", "bench/storms",
		"bench/internal/clients", "bench/internal/cmdline", "bench/internal/output", "bench/internal/storm",
		"examples/context", "examples/dropin", "examples/errors", "examples/learning", "examples/limits", "examples/quickstart", "examples/testing",
		"queue/examples/campaign", "queue/examples/nodeproducer", "queue/examples/otp", "queue/examples/sqs", "queue/examples/worker",
		"otelpacer/otelqueue/examples/observability", "redispacer/examples/fleet", "tools/consumer", "queue/redisqueue/load")
}

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

// A reader of the code finds each file in the map: in a row of its own, or in one of its package.
func TestContributingHasEveryFile(t *testing.T) {
	packages := []string{"queue", "redispacer", "queue/internal/engine"}
	for _, pattern := range []string{"internal/*", "internal/*/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, found...)
	}
	named := make(map[string]bool)
	for line := range strings.Lines(doctest.Read(t, "CONTRIBUTING.md").Text) {
		row := strings.Split(line, "|")
		if len(row) < 4 {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimLeft(row[1], " ["), "]")
		first, _, _ = strings.Cut(strings.TrimSpace(first), ",")
		for _, m := range regexp.MustCompile("`([a-z_]+\\.go)`").FindAllStringSubmatch(line, -1) {
			named[path.Join(first, m[1])] = true
		}
		for _, m := range regexp.MustCompile(`\]\((\w+\.go)\)`).FindAllStringSubmatch(line, -1) {
			named[m[1]] = true
		}
	}
	for _, dir := range append(packages, ".") {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			name = filepath.ToSlash(name)
			if !named[name] && path.Base(name) != "doc.go" && !strings.HasSuffix(name, "_test.go") {
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

// docs/waiting.md says how often and after how long a throttled call is sent again.
func TestDocumentSaysTheDefaultWaits(t *testing.T) {
	rows := doctest.Read(t, "docs/waiting.md").Table(t, "After a throttled answer")
	says := func(row, want string) {
		t.Helper()
		if !slices.ContainsFunc(rows, func(cells []string) bool {
			return strings.Contains(cells[2], row) && strings.HasPrefix(cells[1], want)
		}) {
			t.Errorf("docs/waiting.md, \"After a throttled answer\": the row with %s does not begin with %q", row, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first(100, throttle()))
		_ = w.send() // its error is that the retries are used up
		var waits []string
		for i, at := range w.times() {
			if i > 0 {
				waits = append(waits, fmt.Sprint((at - w.times()[i-1]).Seconds()))
			}
		}
		says("`WithMaxRetries`", fmt.Sprintf("%d times", len(waits)))
		last := len(waits) - 1
		says("`WithFallbackJitter`", strings.Join(waits[:last], ", ")+" and "+waits[last]+" s,")
	})
	longest := 0
	for minutes := 1; minutes <= 10; minutes++ {
		synctest.Test(t, func(t *testing.T) {
			if w := newWorld(t, first(1, throttle("Retry-After", fmt.Sprint(60*minutes)))); w.send() == nil {
				longest = minutes
			}
		})
	}
	says("`WithMaxRetryAfter`", fmt.Sprintf("%d min;", longest))
}

// docs/watching.md has a row for each alert that a client raises, with the default share.
func TestDocumentListsTheAlerts(t *testing.T) {
	var table strings.Builder
	for _, row := range doctest.Read(t, "docs/watching.md").Table(t, "Without OpenTelemetry") {
		table.WriteString(strings.Join(row, " | ") + "\n")
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	alert := regexp.MustCompile(`AlertKind = "([^"]+)"`)
	share := regexp.MustCompile(`alarmAbove: ([0-9.]+), alarmFrom: ([0-9]+)`)
	kinds, shares := 0, 0
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range alert.FindAllSubmatch(source, -1) {
			if kinds++; !strings.Contains(table.String(), "`"+string(m[1])+"`") {
				t.Errorf("docs/watching.md has no row for the alert %q", m[1])
			}
		}
		for _, m := range share.FindAllSubmatch(source, -1) {
			above, err := strconv.ParseFloat(string(m[1]), 64)
			if err != nil {
				t.Fatal(err)
			}
			shares++
			for _, want := range []string{fmt.Sprintf("more than %g %% of a minute's requests, of %s at least", 100*above, m[2]), fmt.Sprintf("below %g %%", 50*above)} {
				if !strings.Contains(table.String(), want) {
					t.Errorf("docs/watching.md, \"Without OpenTelemetry\", does not say %q", want)
				}
			}
		}
	}
	if kinds < 8 || shares != 1 {
		t.Errorf("%d alerts and %d default shares in the code, expected 8 or more and 1: are they read rightly?", kinds, shares)
	}
}
