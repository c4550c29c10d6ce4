package pacer

import (
	"fmt"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

// isService reports whether a sender is a Messaging Service. It is cheap: each call asks.
func isService(sender string) bool { return strings.HasPrefix(sender, "MG") && endpoint.IsSID(sender) }

func validServiceSID(sid string) error {
	if !isService(sid) {
		return fmt.Errorf("sid: %s: expected that of a Messaging Service, MG and 32 hex digits", quoted(sid))
	}
	return nil
}

// SetMessagingServiceRate sets the rate of a Messaging Service, all senders of its pool
// together. Without it the service is not paced until Twilio throttles it; see
// [Client.LearnMessagingService], which finds the rate and calls it. sid is the service's. The rate
// is in requests per second, 0.000001 at least. With [Unlimited] the service is not paced,
// whether Twilio throttles it or not.
//
// It applies where no rule of the limiter's [Limits] gives the service a rate, and
// SetLimits does not change it. Calls that wait feel it at once. An invalid argument is
// an error and changes nothing.
func (l *BucketLimiter) SetMessagingServiceRate(sid string, requestsPerSecond float64) error {
	if err := validServiceSID(sid); err != nil {
		return fmt.Errorf("pacer: SetMessagingServiceRate: %w", err)
	}
	if !(requestsPerSecond >= minRate) { // so that NaN is refused
		return fmt.Errorf("pacer: SetMessagingServiceRate: requestsPerSecond: %v: expected at least %v", requestsPerSecond, minRate)
	}
	l.setPool(sid, pool{rate: requestsPerSecond})
	return nil
}

// setPool notes what is known about a service's pool. What pacer has found by itself does
// not replace what the program has set.
func (l *BucketLimiter) setPool(sid string, p pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, known := l.pools[sid]; known && before.found == nil && p.found != nil {
		return
	}
	if l.pools == nil {
		l.pools = make(map[string]pool)
	}
	l.pools[sid] = p
	now := time.Now()
	for r, b := range l.buckets {
		if r.Sender == sid {
			l.apply(b, now)
		}
	}
}

// lacksPool reports whether r is not paced since nobody has said what its sender may send.
func (l *BucketLimiter) lacksPool(r Resource) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[r]; ok {
		return !b.allowed.listed
	}
	return !l.allow(r).listed
}
