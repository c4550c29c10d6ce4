package queue_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/twilio-pacer/pacer/internal/doctest"
	"github.com/twilio-pacer/pacer/queue"
)

// The blocks of Go in all documents that use the queue or its engines.
func TestCodeInDocumentsCompiles(t *testing.T) {
	doctest.Go(t, 9,
		"package main\n\nfunc main() { x := 1 }\n",
		"q.Enqueue(ctx, 1)\n",
		"queue.NoSuchThing()\n",
		"err := q.Cancel(ctx, id\n")
}

// The test that docs/queue.md shows is the one that runs.
func TestDocumentedTestRuns(t *testing.T) {
	file, err := os.ReadFile("examples/tested/shop_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(doctest.Read(t, "docs/queue.md").Blocks(t, "go"), func(b doctest.Block) bool { return b.Source == string(file) }) {
		t.Error("docs/queue.md does not show examples/tested/shop_test.go as it is")
	}
}

// The request that docs/queue.md shows is one.
func TestDocumentedRequest(t *testing.T) {
	blocks := doctest.Read(t, "docs/queue.md").Blocks(t, "json")
	if len(blocks) == 0 {
		t.Fatal("docs/queue.md has no block of JSON")
	}
	for _, b := range blocks {
		var r queue.Request
		if err := json.Unmarshal([]byte(b.Source), &r); err != nil {
			t.Errorf("docs/queue.md:%d: %v", b.Line, err)
		}
		if r.Method != "POST" || len(r.Form["Body"]) != 1 || r.Form["Body"][0] == "" {
			t.Errorf("docs/queue.md:%d: %+v", b.Line, r)
		}
	}
}
