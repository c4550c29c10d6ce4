package otelpacer_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/twilio-pacer/pacer/internal/doctest"
)

// The blocks of Go in all documents that use otelpacer.
func TestCodeInDocumentsCompiles(t *testing.T) {
	doctest.Go(t, 1, "otelpacer.NoSuchThing()\n")
}

// names returns what re finds first in parentheses in the files, sorted.
func names(t *testing.T, re string, files ...string) []string {
	found := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(string(data), -1) {
			found[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// TestNeedsNoMoreThanPacerAndOpenTelemetry: a client's metrics need no newer Go than the
// client does, and not the queue with its stores. That is why otelqueue is apart.
func TestNeedsNoMoreThanPacerAndOpenTelemetry(t *testing.T) {
	const goLine = `(?m)^go (\S+)$`
	if have, want := names(t, goLine, "go.mod"), names(t, goLine, "../go.mod"); len(have) != 1 || !slices.Equal(have, want) {
		t.Errorf("go.mod needs Go %v; expected %v, as pacer does", have, want)
	}
	if have := names(t, `(github\.com/twilio-pacer/pacer/\S+) v`, "go.mod"); len(have) != 0 {
		t.Errorf("go.mod requires %v", have)
	}
}

// TestWatching: docs/watching.md lists every metric there is and no other, and says what
// to do for every alert.
func TestWatching(t *testing.T) {
	root := doctest.Root(t)
	doc := root + "/docs/watching.md"
	for what, pair := range map[string][2][]string{
		"metrics": {
			names(t, `(?:Histogram|[Cc]ounter|count|amount)\("([a-z_.]+)"`, "metrics.go", "gauges.go", "otelqueue/otelqueue.go", "otelqueue/alerts.go"),
			names(t, "(?m)^\\| `((?:http|pacer)\\.[a-z_.]+)` \\|", doc),
		},
		"alerts": {
			names(t, `- alert: (\w+)`, root+"/deploy/alerts.yml"),
			names(t, `(?m)^### (Pacer\w+)$`, doc),
		},
	} {
		if there, documented := pair[0], pair[1]; len(there) == 0 || !slices.Equal(there, documented) {
			t.Errorf("%s: there are %v; documented are %v", what, there, documented)
		}
	}
}
