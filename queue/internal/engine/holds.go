package engine

import (
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// noMore is what follows the account in the key of a resource that has nothing but an account.
var noMore = queue.BucketKey(pacer.Resource{})

// HeldUntil returns until when a lane is held: by its bucket or by its account, whichever is later. The zero time means that neither is.
// holds has, by [queue.BucketKey], until when each bucket and each account is held.
func HeldUntil(holds map[string]time.Time, l queue.Lane) time.Time {
	if len(holds) == 0 {
		return time.Time{}
	}
	key := queue.BucketKey(l.Resource)
	until := holds[key]
	account, _, _ := strings.Cut(key, "|")
	if of := holds[account+noMore]; of.After(until) {
		until = of
	}
	return until
}

// sameHold is for how long after the end of a hold another one of the same reason continues it.
const sameHold = time.Minute

// HeldBy returns the hold that p leaves, where old is stored. A zero Until means that there is no hold.
func HeldBy(old queue.Hold, p queue.Park, now time.Time) queue.Hold {
	byPerson := old.Reason == queue.HoldByPerson && old.Until.After(now)
	switch {
	case byPerson && p.Reason != queue.HoldByPerson && (p.For > 0 || p.Reason != ""):
		return old
	case p.For < time.Microsecond:
		return queue.Hold{}
	}
	h := queue.Hold{Resource: p.Resource, Reason: p.Reason, Code: p.Code, Since: now, Until: now.Add(p.For).Truncate(time.Microsecond)}
	if old.Reason == p.Reason && !old.Since.IsZero() && now.Sub(old.Until) < sameHold {
		h.Since = old.Since
	}
	return h
}

// Resource returns the resource of a key that [queue.BucketKey] has written, and false if it is none.
func Resource(bucket string) (pacer.Resource, bool) {
	l, err := queue.ParseLane("|" + bucket)
	return l.Resource, err == nil
}
