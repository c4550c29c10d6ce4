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
