package queue_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

var (
	trials     = flag.Int("trials", 0, "how many trials of the judgement to run; 0: some hundreds, or some tens with -short")
	firstTrial = flag.Uint64("trial", 1, "the first trial's number, from which all of it is made up")
)

// slower is how much slower a trial is than usual: the race detector makes it so.
var slower = 1

// trialsOr returns how many trials to run.
func trialsOr(usual, short int) int {
	switch {
	case *trials > 0:
		return *trials
	case testing.Short():
		return max(1, short/slower)
	}
	return max(1, usual/slower)
}

// Whatever happens between the queue and Twilio, a message is never accepted twice, and it
// ends as Sent, which Twilio has then accepted, as refused by Twilio, or parked with an
// alert that names it. Each trial makes up messages and disturbances from its number.
//
//	go test ./queue -run TestNothingIsDoubledOrLost -trials 10000
//	go test ./queue -run TestNothingIsDoubledOrLost -trials 1 -trial 4711 -v
func TestNothingIsDoubledOrLost(t *testing.T) {
	dir := memoryDir(t)
	var all tally
	const atATime = 2
	t.Run("trials", func(t *testing.T) {
		for part := range uint64(atATime) {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				for n := part; n < uint64(trialsOr(250, 50)); n += atATime {
					number := *firstTrial + n
					t.Run(fmt.Sprint(number), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { all.add(virtualTrial(t, number, filepath.Join(dir, fmt.Sprint(number)))) })
					})
				}
			})
		}
	})
	all.print(t)
}

// unlessShort returns how much of something a test has: less with -short, so that it takes no
// seconds of the processor. The long lane of test.sh has all of it.
func unlessShort[T any](all, short T) T {
	if testing.Short() {
		return short
	}
	return all
}

// oneOfEachKind skips, with -short, a case that is none of those named: one of them is of its kind.
func oneOfEachKind(t *testing.T, cases ...string) {
	t.Helper()
	if testing.Short() && !slices.ContainsFunc(cases, func(c string) bool { return strings.HasSuffix(t.Name(), "/"+strings.ReplaceAll(c, " ", "_")) }) {
		t.Skip("another case is of this kind: run without -short")
	}
}

// virtualTrial runs a trial in virtual time, on a file.
func virtualTrial(t *testing.T, number uint64, path string) *trial {
	defer removeAll(path)
	e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	tr := newTrial(number, time.Second)
	tr.run(t, e)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	return tr
}

// memoryDir returns a directory that is in memory, where the system has one.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "judgement-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func removeAll(path string) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(path + suffix)
	}
}

// A tally counts what has become of the messages of all trials.
type tally struct {
	mu      sync.Mutex
	trials  int
	states  map[queue.State]int
	reasons map[string]int
}

func (a *tally) add(t *trial) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.states == nil {
		a.states, a.reasons = make(map[queue.State]int), make(map[string]int)
	}
	a.trials++
	for _, m := range t.letters {
		a.states[m.is.State]++
		if m.is.State == queue.InDoubt {
			a.reasons[withoutDetails(m.is.Outcome.Reason)]++
		}
	}
}

func (a *tally) print(t *testing.T) {
	t.Logf("%d trials: %v", a.trials, a.states)
	for reason, n := range a.reasons {
		t.Logf("parked %d: %s", n, reason)
	}
}

// A chance draws what a trial is made of.
type chance struct{ *rand.Rand }

// in reports true in so many of a hundred cases.
func (c chance) in100(n int) bool { return c.IntN(100) < n }

// between returns a duration.
func (c chance) between(from, to time.Duration) time.Duration {
	return from + time.Duration(c.Int64N(int64(to-from)+1))
}

// one returns one of all.
func one[T any](c chance, all ...T) T { return all[c.IntN(len(all))] }
