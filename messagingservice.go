package pacer

import (
	"context"
	"fmt"
	"time"

	messaging "github.com/twilio/twilio-go/rest/messaging/v1"
)

// MessagingServiceSize asks Twilio which phone numbers and short codes are in the pool of
// a Messaging Service, and makes the service's default rate the sum of theirs: 1 message
// per second for a long code, 3 for a toll-free number, 100 for a short code (see
// [DefaultLimits]). It returns how many they are. Other senders in the pool, such as
// alphanumeric ones, do not count.
//
// The rate is a default of the client's limiter: a rule of yours that gives the service
// a rate wins, one for "*" or "Messages" as well as one for the service, and setting or
// reloading limits does not undo it. It holds until the program ends or asks again; pacer
// does not notice when the pool changes. A call that waits feels it at once.
//
// Each page of 1,000 senders is a request, paced and retried as any other; ctx ends it.
// An error of Twilio's is wrapped: 404, if there is no such service. An empty pool is an
// error, too, and so is a limiter, of [WithLimiter], without the method
// SetMessagingServiceRate of [BucketLimiter]. An error changes nothing.
func MessagingServiceSize(ctx context.Context, c *Client, sid string) (numbers int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	limiter, ok := c.cfg.limiter.(interface {
		SetMessagingServiceRate(sid string, requestsPerSecond float64) error
	})
	if !ok {
		return 0, fmt.Errorf("pacer: MessagingServiceSize: limiter %T has no method SetMessagingServiceRate(string, float64) error", c.cfg.limiter)
	}
	if err := validServiceSID(sid); err != nil {
		return 0, fmt.Errorf("pacer: MessagingServiceSize: %w", err)
	}
	api := c.WithContext(ctx).MessagingV1
	const page = 1000 // the most that Twilio gives at once
	phones, err := api.ListPhoneNumber(sid, new(messaging.ListPhoneNumberParams).SetPageSize(page))
	if err != nil {
		return 0, fmt.Errorf("pacer: phone numbers of Messaging Service %s: %w", sid, err)
	}
	codes, err := api.ListShortCode(sid, new(messaging.ListShortCodeParams).SetPageSize(page))
	if err != nil {
		return 0, fmt.Errorf("pacer: short codes of Messaging Service %s: %w", sid, err)
	}
	if numbers = len(phones) + len(codes); numbers == 0 {
		return 0, fmt.Errorf("pacer: Messaging Service %s: no phone number and no short code in its pool: expected one at least; add one, or give the service a rate with SetLimits", sid)
	}

	sum := float64(len(codes)) * defaultRate(shortCode)
	for _, p := range phones {
		kind := longCode // also for what pacer does not know: it is the least
		if p.PhoneNumber != nil && kindOf(*p.PhoneNumber) == tollFree {
			kind = tollFree
		}
		sum += defaultRate(kind)
	}
	return numbers, limiter.SetMessagingServiceRate(sid, sum)
}

// defaultRate is what the table says of messages from one sender, in requests per second.
func defaultRate(kind senderKind) float64 {
	for _, d := range defaultLimits {
		if d.senders == kind {
			return d.limit.Rate
		}
	}
	return 0
}

func validServiceSID(sid string) error {
	if kindOf(sid) != messagingService {
		return fmt.Errorf("sid: %s: expected that of a Messaging Service, MG and 32 hex digits", quoted(sid))
	}
	return nil
}

// SetMessagingServiceRate replaces the default rate of a Messaging Service, which is 1
// message per second as long as pacer does not know how many numbers it has; see
// [MessagingServiceSize], which finds out and calls it. sid is the service's. The rate is
// in requests per second, 0.000001 at least; [Unlimited] switches the default off.
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pools == nil {
		l.pools = make(map[string]float64)
	}
	l.pools[sid] = requestsPerSecond
	now := time.Now()
	for r, b := range l.buckets {
		if r.Sender == sid {
			l.apply(b, now)
		}
	}
	return nil
}

// allow is what limits, pools and defaults say about r, in this order.
func (l *BucketLimiter) allow(r Resource) allowance {
	a := l.limits.allow(r)
	if rate, known := l.pools[r.Sender]; known && a.byDefault {
		a.rate = rate
	}
	return a
}
