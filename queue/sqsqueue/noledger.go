package sqsqueue

import (
	"context"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// noLedger stands where a producer has no ledger.
type noLedger struct{ queue.Engine } // nil: Add and Close are Engine's

func (noLedger) Work(context.Context) ([]queue.ReadyLane, time.Duration, error) {
	return nil, 0, ErrNoLedger
}
func (noLedger) Await(context.Context, time.Duration) error              { return ErrNoLedger }
func (noLedger) Claim(context.Context, queue.Claim) ([]queue.Job, error) { return nil, ErrNoLedger }
func (noLedger) Move(context.Context, queue.Move) error                  { return ErrNoLedger }
func (noLedger) Park(context.Context, queue.Park) (time.Time, error) {
	return time.Time{}, ErrNoLedger
}
func (noLedger) Holds(context.Context) ([]queue.Hold, error) { return nil, ErrNoLedger }
func (noLedger) Sweep(context.Context, queue.Sweep) (queue.Swept, error) {
	return queue.Swept{}, ErrNoLedger
}
func (noLedger) Get(context.Context, queue.ID) (queue.Job, error)        { return queue.Job{}, ErrNoLedger }
func (noLedger) Stats(context.Context) ([]queue.LaneStats, error)        { return nil, ErrNoLedger }
func (noLedger) CancelWaiting(context.Context, string, int) (int, error) { return 0, ErrNoLedger }
func (noLedger) Put(context.Context, string, []byte, int64) error        { return ErrNoLedger }
func (noLedger) Documents(context.Context, ...string) ([]queue.Document, error) {
	return nil, ErrNoLedger
}
func (noLedger) Now(context.Context) (time.Time, error) { return time.Time{}, ErrNoLedger }
func (noLedger) List(context.Context, queue.Filter, queue.ID, int) ([]queue.Job, error) {
	return nil, ErrNoLedger
}
func (noLedger) Reserve(context.Context, string, float64, int) (time.Duration, error) {
	return 0, ErrNoLedger
}
