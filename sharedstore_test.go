package pacer

import (
	"context"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/internal/token"
	"github.com/twilio-pacer/pacer/internal/token/storemodel"
)

// A model is a store in this process, which several limiters of a test share.
type model struct{ *storemodel.Store[Resource] }

func newModel() model { return model{storemodel.New[Resource]()} }

// A member is one process's way to the model.
type member struct{ *storemodel.Member[Resource] }

func (m member) Take(_ context.Context, r Resource, d Demand) (Grant, error) {
	g, err := m.Member.Take(r, token.Demand(d))
	return Grant(g), err
}

// toldToTheStore waits until what a limiter tells its store in the background has been told. A test that ends before
// that in virtual time has failed.
func toldToTheStore() { time.Sleep(10 * time.Millisecond) }

// join returns a limiter on the model, which hears of the others' cool-downs.
func (m model) join(t testing.TB, who string, limits Limits) *BucketLimiter {
	t.Helper()
	way := &member{}
	l, err := NewSharedLimiter(limits, way)
	if err != nil {
		t.Fatal(err)
	}
	way.Member = m.Join(who, func(r Resource, hold time.Duration, tooLong bool) {
		l.Hold(r, Outcome{Throttled: true, RetryAfter: hold, TooLong: tooLong})
	})
	t.Cleanup(toldToTheStore)
	return l
}
