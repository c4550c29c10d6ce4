package pacer

import (
	"context"
	"fmt"
	"strings"
	"time"

	messaging "github.com/twilio/twilio-go/rest/messaging/v1"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

// A pool is what is known about the senders of a Messaging Service.
type pool struct {
	rate  float64  // requests/s that all of them together may send; Unlimited
	found *builtin // how pacer has come to the rate by itself; nil: the program has set it
	size  int      // phone numbers and short codes; 0: not known
}

// serviceMessages is what the rate of a pool limits.
var serviceMessages = Limit{Resource: Messages}

// MessagingServiceSize asks Twilio which phone numbers and short codes are in the pool of
// a Messaging Service, and makes the service's default rate the sum of theirs: 1 message
// per second for a long code, 3 for a toll-free number, 100 for a short code (see
// [DefaultLimits]). It returns how many they are. Other senders in the pool, such as
// alphanumeric ones, do not count. Without it, and without [WithPoolDiscovery], which asks
// by itself, a service is not paced until Twilio throttles it.
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
	p, err := c.pool(ctx, sid)
	if err != nil {
		return 0, fmt.Errorf("pacer: %w", err)
	}
	return p.size, limiter.SetMessagingServiceRate(sid, p.rate)
}

// pool asks Twilio for the pool of a service.
func (c *Client) pool(ctx context.Context, sid string) (p pool, err error) {
	api := c.WithContext(ctx).MessagingV1
	const page = 1000 // the most that Twilio gives at once
	phones, err := api.ListPhoneNumber(sid, new(messaging.ListPhoneNumberParams).SetPageSize(page))
	if err != nil {
		return p, fmt.Errorf("phone numbers of Messaging Service %s: %w", sid, err)
	}
	codes, err := api.ListShortCode(sid, new(messaging.ListShortCodeParams).SetPageSize(page))
	if err != nil {
		return p, fmt.Errorf("short codes of Messaging Service %s: %w", sid, err)
	}
	if p.size = len(phones) + len(codes); p.size == 0 {
		return p, fmt.Errorf("senders of Messaging Service %s: no phone number and no short code in its pool: expected one at least; add one, or give the service a rate with SetLimits", sid)
	}
	p.rate = float64(len(codes)) * defaultRate(shortCode)
	for _, phone := range phones {
		kind := longCode // also for what pacer does not know: it is the least
		if phone.PhoneNumber != nil && kindOf(*phone.PhoneNumber) == tollFree {
			kind = tollFree
		}
		p.rate += defaultRate(kind)
	}
	limit := serviceMessages
	limit.Rate = p.rate
	p.found = &builtin{
		limit:   limit,
		senders: senderKind(fmt.Sprintf("%s, phone numbers and short codes in its pool: %d", messagingService, p.size)),
		source:  "the pool, as Twilio lists it, and pacer's default for each sender in it (DefaultLimits)",
	}
	return p, nil
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
// [MessagingServiceSize], which finds the rate and calls it. sid is the service's. The rate
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

// allow is what limits, pools and defaults say about r, in this order.
func (l *BucketLimiter) allow(r Resource) allowance { return l.withPool(l.rules.allow(r), r) }

// withPool adds to what the rules say about r what its pool says, if it has one.
func (l *BucketLimiter) withPool(a allowance, r Resource) allowance {
	if p, known := l.pools[r.Sender]; known && !a.listed && serviceMessages.matches(r) > 0 {
		a.rate, a.listed, a.byDefault = p.rate, true, p.found
	}
	return a
}
