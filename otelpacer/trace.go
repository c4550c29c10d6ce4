package otelpacer

import (
	"fmt"

	"github.com/twilio-pacer/pacer"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// The attributes that only spans have. Durations are in seconds.
const (
	keyAttempt    = attribute.Key("pacer.attempt")
	keyAttempts   = attribute.Key("pacer.attempts")
	keyWait       = attribute.Key("pacer.wait.duration")
	keyRetryAfter = attribute.Key("pacer.retry_after")
	keyScope      = attribute.Key("pacer.scope")
	keyCode       = attribute.Key("twilio.error_code")
)

// trace adds an event to the call's span. Messages of errors stay out: Twilio's may hold
// phone numbers.
func (c *call) trace(e pacer.Event) {
	switch e.Kind {
	case pacer.EventWaited:
		c.event(e, keyWait.Float64(e.Wait.Seconds()))
	case pacer.EventThrottled:
		attrs := answer(e.Status, e.Code)
		if e.RetryAfter > 0 {
			attrs = append(attrs, keyRetryAfter.Float64(e.RetryAfter.Seconds()))
		}
		if e.Scope != "" {
			attrs = append(attrs, keyScope.String(string(e.Scope)))
		}
		c.event(e, append(attrs, keyAttempt.Int(e.Attempt))...)
	case pacer.EventRetrying:
		c.event(e, keyWait.Float64(e.Wait.Seconds()), keyAttempt.Int(e.Attempt))
	case pacer.EventGaveUp:
		c.event(e, keyReason.String(outcome(e.Err)))
	case pacer.EventDone:
		c.end(e)
	}
}

func (c *call) event(e pacer.Event, attrs ...attribute.KeyValue) {
	c.span.AddEvent(string(e.Kind), trace.WithTimestamp(e.Time), trace.WithAttributes(attrs...))
}

func (c *call) end(e pacer.Event) {
	became := outcome(e.Err)
	c.span.SetAttributes(
		keyMethod.String(e.Method),
		keyOutcome.String(became),
		keyAttempts.Int(e.Attempt),
		keyWait.Float64(e.Wait.Seconds()),
	)
	c.span.SetAttributes(answer(e.Status, c.code)...)
	if e.Err == nil {
		return // of a span that worked the status is left unset
	}
	c.span.SetAttributes(keyError.String(errorType(e)))
	if e.Status != 0 {
		became = fmt.Sprintf("%s: status %d, code %d", became, e.Status, c.code)
	}
	c.span.SetStatus(codes.Error, became)
}

func answer(status, code int) (attrs []attribute.KeyValue) {
	if status != 0 {
		attrs = append(attrs, keyStatus.Int(status))
	}
	if code != 0 {
		attrs = append(attrs, keyCode.Int(code))
	}
	return attrs
}
