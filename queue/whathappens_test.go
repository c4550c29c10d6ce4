package queue_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/internal/doctest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A row is what shows that one row of a table in docs/queue.md is true.
type row struct {
	// test shows it, in a bubble. nil: other tests do.
	test func(t *testing.T)
	// shown are other tests that show it, with real processes, files or disks: the
	// folder below queue, and the name. nil: test does.
	shown []string
	// untested is why no test can show it. "": one does.
	untested string
}

// The rows of "What happens when", by their first cells.
func TestWhatHappensWhen(t *testing.T) {
	rows := make(map[string]row)
	for _, part := range []map[string]row{whenRefused, whenUnanswered, whenStopped, whenStored} {
		maps.Copy(rows, part)
	}
	showRows(t, "## What happens when", rows)
}

// The rows of the table in "Reconcile", by their first cells.
func TestReconcileTable(t *testing.T) { showRows(t, "## Reconcile", whenInDoubt) }

// The tests that docs/judgement.md names.
func TestCasesOfJudgementHaveTests(t *testing.T) {
	rows := 0
	for line := range strings.Lines(doctest.Read(t, "docs/judgement.md").Text) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 || !strings.Contains(cells[5], "`") {
			continue
		}
		rows++
		for i, name := range strings.Split(cells[5], "`") {
			if i%2 == 1 && !testExists(t, name) {
				t.Errorf("docs/judgement.md, %s: there is no test %s", strings.TrimSpace(cells[1]), name)
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d rows were read, expected 40 at least", rows)
	}
}

// showRows runs the tests of rows, and fails for a row of the document that has no test,
// and for a test that has no row.
func showRows(t *testing.T, heading string, rows map[string]row) {
	t.Helper()
	cells := firstCells(t, heading)
	for _, cell := range cells {
		if _, ok := rows[cell]; !ok {
			t.Errorf("docs/queue.md, %s: no test shows the row %q", heading, cell)
		}
	}
	if len(cells) < len(rows) {
		t.Errorf("docs/queue.md, %s: %d rows, and tests for %d", heading, len(cells), len(rows))
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		if r.test == nil && r.shown == nil && r.untested == "" {
			t.Errorf("the row %q has neither a test of its own nor names another", name)
		}
		for _, other := range r.shown {
			if !testExists(t, other) {
				t.Errorf("the row %q is said to be shown by %s: there is no such test", name, other)
			}
		}
		if r.test == nil {
			continue
		}
		t.Run(name, func(t *testing.T) { r.test(t) })
	}
}

// firstCells returns the first cells of the first table behind a heading, word for word,
// without the marks of code.
func firstCells(t *testing.T, heading string) (cells []string) {
	t.Helper()
	for _, row := range doctest.Read(t, "docs/queue.md").Table(t, strings.TrimPrefix(heading, "## ")) {
		cells = append(cells, strings.ReplaceAll(row[0], "`", ""))
	}
	return cells
}

// testExists reports whether a folder below queue has such a test: "sqlitequeue TestDiskFull",
// or "TestOnResult" for package queue itself.
func testExists(t *testing.T, test string) bool {
	t.Helper()
	folder, name, ok := strings.Cut(test, " ")
	if !ok {
		folder, name = ".", test
	}
	functions, ok := testsIn[folder]
	if !ok {
		functions = functionsIn(t, folder)
		testsIn[folder] = functions
	}
	return functions[name]
}

// testsIn are the functions of the tests of a folder, which is parsed once.
var testsIn = make(map[string]map[string]bool)

func functionsIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	functions := make(map[string]bool)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				functions[f.Name.Name] = true
			}
		}
	}
	return functions
}

// each makes one test of several cases of a row, each in a bubble of its own. With -short
// only the first of them is tried.
func each[T any](cases map[string]T, test func(t *testing.T, c T)) func(t *testing.T) {
	return func(t *testing.T) {
		for i, name := range slices.Sorted(maps.Keys(cases)) {
			if testing.Short() && i == 1 {
				t.Logf("-short: %d more cases are left out", len(cases)-i)
				return
			}
			t.Run(name, func(t *testing.T) { bubble(t, func(t *testing.T) { test(t, cases[name]) }) })
		}
	}
}

// alone makes a test of a row that has one case.
func alone(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { bubble(t, test) }
}

// Visits are when requests came as far as a fault.
type visits struct {
	mu sync.Mutex
	at []time.Time
}

// inject makes a fault strike those that match ("": all that create), and notes when.
func (w *world) inject(f twiliotest.Fault, match func(*twiliotest.Request) bool) *visits {
	v := &visits{}
	if match == nil {
		match = isMessage
	}
	f.Match = func(r *twiliotest.Request) bool {
		if !match(r) {
			return false
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if f.Times == 0 || len(v.at) < f.Times {
			v.at = append(v.at, time.Now())
		}
		return true
	}
	w.fake.Inject(f)
	return v
}

func (v *visits) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.at)
}

// pauses checks how long was waited between the visits, to the second.
func (v *visits) pauses(t *testing.T, seconds ...int) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	var got []int
	for i := 1; i < len(v.at); i++ {
		got = append(got, int(v.at[i].Sub(v.at[i-1]).Seconds()))
	}
	if fmt.Sprint(got) != fmt.Sprint(seconds) {
		t.Errorf("pauses of %v s, expected %v", got, seconds)
	}
}

// is checks what state a request is in now, and how many attempts are counted.
func (w *world) is(id queue.ID, state queue.State, attempts int) queue.Job {
	w.t.Helper()
	j, err := w.q.Engine().Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	if j.State != state || j.Attempts != attempts {
		w.t.Errorf("it is %q after %d attempts, expected %q after %d (%q)", j.State, j.Attempts, state, attempts, j.Outcome.Reason)
	}
	return j
}

// kept checks until when its bucket pauses, as all processes see it.
func (w *world) kept(id queue.ID, atLeast, atMost time.Duration) {
	w.t.Helper()
	j, err := w.q.Engine().Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	lanes, _, err := w.q.Engine().Work(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range lanes {
		if l.Lane != j.Lane {
			continue
		}
		if d := time.Until(l.Parked); d < atLeast || d > atMost {
			w.t.Errorf("its bucket pauses for %v, expected %v to %v", d, atLeast, atMost)
		}
		return
	}
	w.t.Errorf("nothing waits in the lane of %s", id)
}

// raised checks how many alerts were raised of a kind, and that there are no others.
func (w *world) raised(want map[queue.AlertKind]int) {
	w.t.Helper()
	for _, kind := range []queue.AlertKind{queue.AlertThrottled, queue.AlertHeld, queue.AlertUnauthorized, queue.AlertUnreachable,
		queue.AlertInDoubt, queue.AlertGrowing, queue.AlertStore, queue.AlertResults, queue.AlertStopped} {
		if n := w.alerted(kind); n != want[kind] {
			w.t.Errorf("%d alerts %q, expected %d", n, kind, want[kind])
		}
	}
}

// from returns what matches requests of a sender.
func from(sender string) func(*twiliotest.Request) bool {
	return func(r *twiliotest.Request) bool { return isMessage(r) && r.Sender == sender }
}

const otherSender = "+15005550001"

// status is a fault that answers so, in Twilio's manner.
func status(status, code int) twiliotest.Fault {
	return twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Code: code}
}

// foreign is an answer that is not Twilio's.
func foreign(status int, body string) twiliotest.Fault {
	f := twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: status, Foreign: true, Body: []byte(body)}
	if movedTo := status >= 300 && status < 400; movedTo {
		f.Header = http.Header{"Location": {"https://portal.example/login"}}
	}
	return f
}

const loginPage = "<html>Welcome. Please sign in.</html>"
