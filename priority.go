package pacer

import (
	"context"
	"time"
)

// A Priority is the order in which calls of one bucket leave when they have to wait.
// The zero Priority is Normal.
type Priority int

// The priorities.
const (
	Low    Priority = -1 // a campaign
	Normal Priority = 0
	High   Priority = 1 // what somebody waits for: a one-time password
)

type priorityKey struct{}

// WithPriority returns a context whose calls have priority p; see [Client.WithContext].
// A call overtakes all calls of a lower priority that wait for the same bucket or
// permit. It does not starve them: of any ten requests that leave while calls of
// a lower priority wait, at least one is of them.
//
//	ctx = pacer.WithPriority(ctx, pacer.High)
//	_, err := c.WithContext(ctx).Api.CreateMessage(oneTimePassword)
//
// Values other than the three are taken for the nearest of them.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, min(max(p, Low), High))
}

// PriorityOf returns the priority that ctx carries, for a [Limiter] of your own.
func PriorityOf(ctx context.Context) Priority {
	p, _ := ctx.Value(priorityKey{}).(Priority)
	return p
}

type arrivalKey struct{}

// An arrival is what a call tells the limiter of itself, where it asks again.
type arrival struct {
	at    time.Time // when the call began
	tries int       // attempts that it has made
}

// ArrivalOf returns when the call began that asks a [Limiter] with ctx. It is zero for a call that
// has only just begun. It is not zero for one that asks again, since it was throttled, or that had to
// wait for an access token first. Of those that wait with the same priority, the earliest should go
// first. It is for a Limiter of your own.
func ArrivalOf(ctx context.Context) time.Time {
	a, _ := ctx.Value(arrivalKey{}).(arrival)
	return a.at
}

// classOf is the class of ctx's calls in a line: 0 goes first.
func classOf(ctx context.Context) int { return int(High - PriorityOf(ctx)) }
