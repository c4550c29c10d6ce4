package pacer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// logs is where a client logs.
type logs struct {
	logger *slog.Logger // of WithLogger; nil: alerts go to slog's default, and all else is not logged
}

// log returns the client's logger, else slog's default.
func (c *logs) log() *slog.Logger {
	if c.logger != nil {
		return c.logger
	}
	return slog.Default()
}

// recovered is deferred around a function of the program's: its panic is logged and ends
// nothing else.
func (c *logs) recovered(what string) {
	if p := recover(); p != nil {
		c.logPanic(what, p)
	}
}

func (c *logs) logPanic(what string, p any) {
	c.log().Error("pacer: the program's function has panicked, the call goes on", "function", what, "panic", panicText(p), "stack", string(debug.Stack()))
}

// panicText is the value of a panic, for the log. It shows the text of an error and of a
// string, with phone numbers masked, and of all others only the type: they may hold anything.
func panicText(p any) string {
	switch p.(type) {
	case error, string:
		return MaskNumbers(fmt.Sprint(p))
	}
	return fmt.Sprintf("a value of type %T", p)
}

// begin gives the call a context of the program's. A function that panics or returns nil
// leaves the one before.
func (c *logs) begin(ctx context.Context, f func(context.Context, Resource) context.Context, r Resource) (begun context.Context) {
	begun = ctx
	defer c.recovered("WithCallContext")
	if made := f(ctx, r); made != nil {
		begun = made
	}
	return begun
}

// logRetry logs at Debug: under a throttle there is one for each call and attempt.
func (c *logs) logRetry(r Resource, attempt int, wait time.Duration, rl RateLimit) {
	if c.logger != nil && c.logger.Enabled(context.Background(), slog.LevelDebug) {
		c.logger.Debug("pacer: throttled, will retry", "request", r, "attempt", attempt, "wait", wait, "status", rl.Status, "code", rl.Code)
	}
}

// logAlert logs an alert at its level.
func (*logs) logAlert(logger *slog.Logger, a Alert) {
	if a.RateLimit == (RateLimit{}) {
		logger.Log(context.Background(), a.Kind.level(), "pacer: "+string(a.Kind), "error", a.shownError(), "advice", a.Advice)
		return
	}
	logger.Error("pacer: "+string(a.Kind), "request", a.Resource, "attempts", a.RateLimit.Attempts,
		"waited", a.RateLimit.Waited, "status", a.RateLimit.Status, "code", a.RateLimit.Code, "advice", a.Advice)
}
