package pacer

import (
	"context"
	"fmt"

	messaging "github.com/twilio/twilio-go/rest/messaging/v1"
)

// LearnMessagingService asks Twilio which phone numbers and short codes are in the pool of a
// Messaging Service. The sum of their rates becomes the service's default rate. A long code has 1
// message per second, a toll-free number 3, and a short code 100 (see [DefaultLimits]). It returns
// how many they are. Other senders in the pool, such as alphanumeric ones, do not count. Without it,
// and without [WithPoolDiscovery], which asks by itself, a service is not paced until Twilio
// throttles it.
//
// The rate is a default of the client's limiter. A rule of yours that gives the service a rate
// wins, be it for "*", for "Messages" or for the service. Setting or reloading limits does
// not undo the default. It is in force until the program ends or asks again; pacer
// does not notice when the pool changes. A call that waits feels it at once.
//
// Each page of 1,000 senders is a request, paced and retried as any other; ctx ends it.
// An error of Twilio's is wrapped: 404, if there is no such service. An empty pool is an
// error, too, and so is a limiter, of [WithLimiter], without the method
// SetMessagingServiceRate of [BucketLimiter]. An error changes nothing.
func (c *Client) LearnMessagingService(ctx context.Context, sid string) (numbers int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	limiter, ok := c.cfg.limiter.(ServiceLimiter)
	if !ok {
		return 0, fmt.Errorf("pacer: LearnMessagingService: limiter %T has no method SetMessagingServiceRate(string, float64) error", c.cfg.limiter)
	}
	if err := validServiceSID(sid); err != nil {
		return 0, fmt.Errorf("pacer: LearnMessagingService: %w", err)
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
