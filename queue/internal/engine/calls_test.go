package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

func TestCloseLetsCallsUnderWayReturnFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCalls()
		if err := c.Begin(); err != nil {
			t.Fatal(err)
		}
		ended := false
		c.Go(func(open context.Context) {
			<-open.Done()
			time.Sleep(time.Minute)
			ended = true
		})
		closed := make(chan error, 1)
		go func() { closed <- c.Close() }()
		synctest.Wait()
		if err := c.Begin(); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("a call after Close: %v, expected ErrClosed", err)
		}
		if err := c.Close(); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("a second Close: %v, expected ErrClosed", err)
		}
		c.Go(func(context.Context) { t.Error("work has begun after Close") })
		time.Sleep(time.Hour)
		select {
		case <-closed:
			t.Fatal("Close has returned while a call was under way")
		default:
		}
		c.End()
		if err := <-closed; err != nil || !ended {
			t.Errorf("Close: %v, work in the background has ended: %v", err, ended)
		}
	})
}
