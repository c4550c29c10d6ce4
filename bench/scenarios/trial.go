package main

import (
	"context"
	"errors"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/clients"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// callers is how many goroutines send through each kind of client.
const callers = 60

// errOver ends the calls that are still under way at the end.
var errOver = errors.New("the run is over")

// A trial is one client in one scenario, with a fake Twilio of its own.
type trial struct {
	scenario scenario
	entrant  entrant
	windows  []window
	fake     *twiliotest.Server
	load     *load
	start    time.Time
	ctx      context.Context // of all calls
	cancel   context.CancelCauseFunc
}

func newTrial(ctx context.Context, s scenario, e entrant, tm timing) *trial {
	t := &trial{
		scenario: s, entrant: e, windows: s.windows(tm),
		fake: twiliotest.NewServer(s.phases[0].config()),
		load: &load{offered: s.offered(), callers: callers},
	}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	for range s.shared {
		t.load.sends = append(t.load.sends, e.sender(t.ctx, setup{
			clients.Setup{User: twiliotest.AccountSid, Password: twiliotest.AuthToken, Transport: whole{t.fake.Transport()}}, s.told,
		}, s.sender))
	}
	return t
}

// run sends, and changes the limit as time goes by. At the end of the last window
// it ends the calls that are under way, and returns when all have.
func (t *trial) run() {
	go func() {
		defer t.cancel(errOver)
		for i, w := range t.windows {
			if i > 0 {
				w.apply(t.fake.Fake)
			}
			select {
			case <-time.After(time.Until(t.start.Add(w.to))):
			case <-t.ctx.Done():
				return
			}
		}
	}()
	t.load.run(t.ctx, t.start)
}

// rows are what came of it, by the fake's records.
func (t *trial) rows() []row {
	rows := account(t.windows, t.start, t.load.calls, t.fake.Accepted(), t.fake.Refused(), t.fake.Duplicates())
	for i := range rows {
		rows[i].Client = t.entrant.name
	}
	return rows
}

func (t *trial) close() {
	t.cancel(errOver)
	t.fake.Close()
}
