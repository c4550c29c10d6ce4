package queue

import (
	"context"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// What a heartbeat costs besides its two calls of the engine: once every 5 s.
func BenchmarkHeartbeat(b *testing.B) {
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken})
	if err != nil {
		b.Fatal(err)
	}
	h := &heart{base: &base{client: client, engine: newMemory(), slots: newSlots(200)}, board: &board{tally: tally{since: time.Now()}}, slot: -1}
	h.Format, h.ID = formatVersion, "x"
	for b.Loop() {
		if err := h.write(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// What counting a request for the heartbeat costs the request.
func BenchmarkTally(b *testing.B) {
	t := &tally{since: time.Now()}
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			t.add("spring")
		}
	})
}
