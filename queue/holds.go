package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
)

// This file has holds as people see, make and end them.

// A HoldReason names why a bucket or an account is held. "" is for what an older version has stored.
type HoldReason string

// The reasons of holds.
const (
	HoldThrottled    HoldReason = "throttled"     // Twilio has answered "too many requests"
	HoldQuota        HoldReason = "quota used up" // a quota of minutes or hours
	HoldQueueFull    HoldReason = "queue full"    // Twilio's queue of the sender
	HoldUnreachable  HoldReason = "unreachable"   // Twilio cannot be reached, or does not answer properly
	HoldUnauthorized HoldReason = "unauthorized"  // Twilio does nothing for the account, or for the bucket with these credentials
	HoldByPerson     HoldReason = "by a person"   // [Queue.Hold]
)

// A Park asks an [Engine] to hold a bucket, or to end its hold.
type Park struct {
	Resource pacer.Resource // of the bucket; an account as a whole has an Account and nothing else
	For      time.Duration  // from now; 0 or less ends the hold
	Reason   HoldReason
	Code     int // Twilio's error code; 0: none
}

// A Hold is a bucket, or an account as a whole, of which nothing is sent. Its times are of the engine's
// clock.
type Hold struct {
	Resource pacer.Resource // an account as a whole has an Account and nothing else. Sender may be a phone number
	Reason   HoldReason
	Code     int       // Twilio's error code; 0: none
	Since    time.Time // zero: an older version has stored the hold
	Until    time.Time
}

// Name names what is held, in eight letters and digits, without the phone number that a bucket may have. The
// command pacer and the dashboard call a hold so.
func (h Hold) Name() string {
	sum := sha256.Sum256([]byte(BucketKey(h.Resource)))
	return hex.EncodeToString(sum[:4])
}

// suspendedCodes are Twilio's codes for an account that is suspended, closed or not active.
var suspendedCodes = map[int]bool{10001: true, 20005: true, 20403: true, 70051: true, 90010: true}

// Suspended reports whether Twilio's code says that the account is suspended or closed. The Reason is [HoldUnauthorized] then.
func (h Hold) Suspended() bool { return h.Reason == HoldUnauthorized && suspendedCodes[h.Code] }

// ErrNotHeld is wrapped by the error of [Queue.EndHold] for what is not held.
var ErrNotHeld = errors.New("it is not held")

// Holds returns what is held now, those first that have been held longest. Any process may call it.
func (q *Queue) Holds(ctx context.Context) ([]Hold, error) {
	holds, err := q.engine.Holds(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: holds: %w", err)
	}
	slices.SortFunc(holds, func(a, b Hold) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(BucketKey(a.Resource), BucketKey(b.Resource)))
	})
	return holds, nil
}

// Hold holds a bucket for d from now, in all processes, with the reason [HoldByPerson]. A resource
// with an Account and nothing else stands for all of that account. Workers do not end or shorten such a
// hold. What is on the wire is not interrupted. Hold returns until when the bucket is held, by the
// engine's clock.
func (q *Queue) Hold(ctx context.Context, r pacer.Resource, d time.Duration) (until time.Time, err error) {
	if d <= 0 {
		return time.Time{}, fmt.Errorf("queue: hold %v: for %v: expected a duration above 0; EndHold is what ends a hold", r, d)
	}
	until, err = q.engine.Park(ctx, Park{Resource: r, For: d, Reason: HoldByPerson})
	if err != nil {
		return time.Time{}, fmt.Errorf("queue: hold %v: %w", r, err)
	}
	return until, nil
}

// EndHold ends the hold of a bucket, or of an account as a whole. Workers obey at once, and end the
// cool-downs that their clients keep for the same reason. With an account the holds of its buckets end
// too that have the reason [HoldUnauthorized]. The error wraps [ErrNotHeld] if there is nothing to end.
func (q *Queue) EndHold(ctx context.Context, r pacer.Resource) error {
	holds, err := q.engine.Holds(ctx)
	if err != nil {
		return fmt.Errorf("queue: end the hold of %v: %w", r, err)
	}
	account, ended := pacer.Resource{Account: r.Account}, 0
	for _, h := range holds {
		if h.Resource != r && !(r == account && h.Resource.Account == r.Account && h.Reason == HoldUnauthorized) {
			continue
		}
		if _, err := q.engine.Park(ctx, Park{Resource: h.Resource}); err != nil {
			return fmt.Errorf("queue: end the hold of %v: %w", r, err)
		}
		ended++
	}
	switch {
	case ended > 0:
		return nil
	case slices.ContainsFunc(holds, func(h Hold) bool { return h.Resource == account }):
		return fmt.Errorf("queue: end the hold of %v: %w, but its account is: end the hold of that", r, ErrNotHeld)
	}
	return fmt.Errorf("queue: end the hold of %v: %w", r, ErrNotHeld)
}
