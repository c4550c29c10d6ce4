package pacer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// An outage of the store reaches each client of the limiter, once, and the counts that a metric is
// made of.
func TestOutageOfTheStoreReachesTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(2)
		l := sharedLimiter(t, b, Limit{Resource: Messages, Rate: 10})
		heard := make([][]Alert, 2)
		var clients []*Client
		for i := range heard {
			w := newWorld(t, ok201, withoutLimits(l), WithAlert(func(a Alert) { heard[i] = append(heard[i], a) }))
			clients = append(clients, w.c)
		}
		send := func() {
			for _, c := range clients {
				try(t, createOn(c.RestClient, sender))
			}
		}
		check := func(outages int) {
			t.Helper()
			synctest.Wait()
			for i, c := range clients {
				if n := c.Stats().Alerts[AlertNotShared]; n != outages || len(heard[i]) != outages {
					t.Errorf("client %d: %d outages, %d alerts counted, %v heard", i, outages, n, heard[i])
				}
			}
		}
		send()
		check(0)
		for outage := 1; outage <= 2; outage++ {
			gone := errors.New("gone")
			b.fail(gone)
			for range 5 {
				time.Sleep(time.Second)
				send()
			}
			check(outage)
			for _, a := range heard[0][outage-1:] {
				if a.Kind != AlertNotShared || !errors.Is(a.Err, gone) || a.Resource != (Resource{}) || a.Advice == "" {
					t.Errorf("%+v", a)
				}
			}
			b.fail(nil)
			for range 5 {
				time.Sleep(time.Second)
				send()
			}
			check(outage)
		}
	})
}

// One bucket that the store cannot serve is named.
func TestBucketThatTheStoreCannotServeIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(2)
		l := sharedLimiter(t, b, Limit{Resource: Messages, Rate: 10})
		var heard []Alert
		w := newWorld(t, ok201, withoutLimits(l), WithAlert(func(a Alert) { heard = append(heard, a) }))
		b.fail(ErrBucketOnly)
		for range 3 {
			try(t, w.send())
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if len(heard) != 1 || heard[0].Kind != AlertNotShared || heard[0].Resource.Sender != sender || heard[0].RateLimit != (RateLimit{}) {
			t.Errorf("%+v", heard)
		}
	})
}

// A client that is made during an outage hears of it.
func TestClientThatIsMadeInAnOutageHearsOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(2)
		l := sharedLimiter(t, b, Limit{Resource: Messages, Rate: 10})
		b.fail(errors.New("gone"))
		x := newLane(l, sender)
		try(t, x.pass(t.Context()))
		var heard []Alert
		c := newWorld(t, ok201, withoutLimits(l), WithAlert(func(a Alert) { heard = append(heard, a) })).c
		synctest.Wait()
		if n := c.Stats().Alerts[AlertNotShared]; n != 1 || len(heard) != 1 || heard[0].Kind != AlertNotShared {
			t.Errorf("%d alerts counted, %v heard", n, heard)
		}
	})
}

// After stop nothing is told.
func TestLimiterTellsNothingAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(2)
		l := sharedLimiter(t, b, Limit{Resource: Messages, Rate: 10})
		told, stopped := 0, 0
		l.OnAlert(func(Alert) { told++ })
		stop := l.OnAlert(func(Alert) { stopped++ })
		stop()
		b.fail(errors.New("gone"))
		x := newLane(l, sender)
		try(t, x.pass(t.Context()))
		synctest.Wait()
		if told != 1 || stopped != 0 {
			t.Errorf("told %d times, after stop %d times", told, stopped)
		}
	})
}
