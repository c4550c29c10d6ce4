package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file alerts people when the work of a loop fails again and again.

// troubleAfter is how many failures in a row raise an alert: one or two pass by themselves.
const troubleAfter = 3

// troubleEvery is how long the log is silent about one more failure after the third: a store that is away fails many times a second.
const troubleEvery = 30 * time.Second

// A trouble tells people of a loop whose work fails again and again. Without it the loop
// would go on in silence. The first failures in a row are logged, and then
// one each half a minute. The third raises an alert.
// It is safe for concurrent use.
type trouble struct {
	n      *notifier
	kind   AlertKind
	advice string
	what   string // what fails, as in "the sweep of leases and deadlines"

	mu       sync.Mutex
	failures int       // in a row
	since    time.Time // the first of them
	logged   time.Time // when the last one was logged
	raised   time.Time // when the last alert was raised; zero: none since it has worked last
}

// failed notes a failure. The third in a row raises an alert, and then one each hour. A failure
// after the end of ctx comes of that end, and does not count.
func (t *trouble) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	if t.failures++; t.failures == 1 {
		t.since = time.Now()
	}
	count := t.failures
	tell := count >= troubleAfter && (t.raised.IsZero() || time.Since(t.raised) >= alarmEvery)
	if tell {
		t.raised = time.Now()
	}
	log := count <= troubleAfter || time.Since(t.logged) >= troubleEvery
	if log {
		t.logged = time.Now()
	}
	t.mu.Unlock()
	if log {
		t.n.warn(t.what+" fails, and is tried again", "failures", count, "error", pacer.MaskNumbers(err.Error()))
	}
	if tell {
		advice := t.advice
		if errors.As(err, new(*refusedError)) {
			advice = adviceListRefused
		}
		t.n.raise(Alert{Kind: t.kind, Advice: advice, Err: fmt.Errorf("%s has failed %d times in a row: %w", t.what, count, err)})
	}
}

// lasted returns for how long the work has failed. It is 0 if the work has not failed since it has worked last.
func (t *trouble) lasted() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failures == 0 {
		return 0
	}
	return time.Since(t.since)
}

// worked notes a success. The next alert needs three failures again.
func (t *trouble) worked() {
	t.mu.Lock()
	n := t.failures
	told := !t.raised.IsZero()
	t.failures, t.raised = 0, time.Time{}
	t.mu.Unlock()
	if told || n > 0 && t.n.logger != nil {
		t.n.passed(t.what+" works again", "failures", n)
	}
}
