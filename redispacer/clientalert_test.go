package redispacer

import (
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
)

// An outage of Redis reaches each client's WithAlert and Stats, whether the client was made before
// it was noticed or later, and then it is not logged as well.
func TestOutageReachesTheClients(t *testing.T) {
	f := &fixture{name: newName()}
	l, err := New(&redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}, perSecond(10), WithName(f.name))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := func() (heard func() int) {
		var mu sync.Mutex
		var alerts []pacer.Alert
		c, err := pacer.New(pacer.ClientParams{Username: "AC0123456789abcdef0123456789abcdef", Password: "token"}, pacer.WithLimiter(l),
			pacer.WithAlert(func(a pacer.Alert) {
				mu.Lock()
				defer mu.Unlock()
				alerts = append(alerts, a)
			}))
		if err != nil {
			t.Fatal(err)
		}
		return func() int {
			mu.Lock()
			defer mu.Unlock()
			if n := c.Stats().Alerts[pacer.AlertNotShared]; n != len(alerts) {
				return -1
			}
			return len(alerts)
		}
	}
	first := client()
	until(t, "the first client hears of it", func() bool { return first() == 1 })
	second := client()
	until(t, "the second one does", func() bool { return second() == 1 })
	if n := first(); n != 1 {
		t.Errorf("the first client has heard of it %d times", n)
	}
}

// The logger that the program has set gets alerts although a client raises them, too.
func TestLoggerOfTheProgramGetsAlertsBesideAClient(t *testing.T) {
	f := &fixture{name: newName()}
	l, err := New(&redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}, nil, WithName(f.name), WithLogger(slog.New(slog.NewTextHandler(f, nil))))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan pacer.Alert, 10)
	l.OnAlert(func(a pacer.Alert) { heard <- a })
	l.store.alert(pacer.Alert{Kind: pacer.AlertNotShared, Err: errors.New("gone")})
	<-heard
	until(t, "the log has it", func() bool { return f.logged() != "" })
}
