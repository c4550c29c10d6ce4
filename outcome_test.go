package pacer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A witness is a limiter that remembers what it was told of each request.
type witness struct {
	Limiter
	mu       sync.Mutex
	outcomes []Outcome
}

func (l *witness) Acquire(ctx context.Context, r Resource) (func(Outcome), error) {
	done, err := l.Limiter.Acquire(ctx, r)
	return func(o Outcome) {
		done(o)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.outcomes = append(l.outcomes, o)
	}, err
}

func (l *witness) told() []Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.outcomes)
}

// watched returns a client whose limiter is a witness.
func watched(t *testing.T, send transport, opts ...Option) (*Client, *witness) {
	l := &witness{Limiter: newLimiter(t, Limit{Resource: "*", Rate: Unlimited})}
	c, err := New(ClientParams{Username: account, Password: "token"}, append([]Option{
		WithLimiter(l), WithHTTPClient(&http.Client{Transport: send}), WithMaxRetries(0), quiet,
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c, l
}

// What was not answered, or answered for a reason of another kind, is neither an
// acceptance nor a throttle.
func TestOutcomeThatSaysNothingIsFailed(t *testing.T) {
	answer := func(status int, body string) transport {
		return func(r *http.Request) (*http.Response, error) {
			resp := respond(status, body)
			resp.Request = r
			return resp, nil
		}
	}
	cut := func(err error) transport {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	accepted, failed, passed, throttled := Outcome{}, Outcome{Failed: true}, Outcome{Failed: true, Passed: true}, Outcome{Throttled: true, RetryAfter: time.Second, Step: true}
	for name, c := range map[string]struct {
		send transport
		want Outcome
	}{
		"201":                       {answer(201, createdBody), accepted},
		"404":                       {answer(404, `{"code":20404,"status":404}`), accepted},
		"400, a wrong number":       {answer(400, `{"code":21211,"status":400}`), accepted},
		"429":                       {answer(429, throttleBody), throttled},
		"503 with code 20429":       {answer(503, throttleBody), throttled},
		"429, queue full":           {answer(429, `{"code":21611,"status":429}`), failed},
		"429, attempts used up":     {answer(429, `{"code":60203,"status":429}`), failed},
		"401":                       {answer(401, `{"code":20003,"status":401}`), failed},
		"403, account suspended":    {answer(403, `{"code":20403,"status":403}`), failed},
		"400, account not active":   {answer(400, `{"code":10001,"status":400}`), failed},
		"500":                       {answer(500, `{"code":20500,"status":500}`), passed},
		"503, a page":               {answer(503, "<html>"), passed},
		"307":                       {answer(307, ""), failed},
		"connection refused":        {cut(&net.OpError{Op: "dial", Err: errors.New("connection refused")}), failed},
		"connection cut":            {cut(io.ErrUnexpectedEOF), failed},
		"a body that is never read": {answer(201, ""), accepted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, l := watched(t, c.send)
				_ = createOn(client.RestClient, sender)
				if got := l.told(); len(got) != 1 || got[0] != c.want {
					t.Errorf("the limiter was told %+v, expected %+v", got, c.want)
				}
			})
		})
	}
}

func TestOutcomeOfAPanicIsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, l := watched(t, func(*http.Request) (*http.Response, error) { panic("transport") })
		func() {
			defer func() { _ = recover() }()
			_ = createOn(client.RestClient, sender)
		}()
		if got := l.told(); len(got) != 1 || got[0] != (Outcome{Failed: true}) {
			t.Errorf("the limiter was told %+v", got)
		}
	})
}

// 100 requests a second fail, and then one is throttled: the failures prove no rate.
func TestFailuresProveNoRate(t *testing.T) {
	for name, o := range map[string]Outcome{"failed": {Failed: true}, "passed": {Failed: true, Passed: true}, "unused": {Unused: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(t)
				r := Resource{account, "us1", "api", "Addresses", Create, ""} // not paced by default
				for range 300 {
					done, err := l.Acquire(bg, r)
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Millisecond)
					done(o)
				}
				done, _ := l.Acquire(bg, r)
				done(Outcome{Throttled: true, RetryAfter: time.Second, Rate: true})
				if done, _ = l.Acquire(bg, r); done != nil {
					done(Outcome{})
				}
				var s Stats
				s.Time = time.Now()
				s.LimiterStats = l.Stats()
				if got := s.Buckets[0].Learned; got > 5 {
					t.Errorf("learned %.0f/s from requests that failed", got)
				}
				if got := s.Buckets[0].Requests; (got > 100) == o.Unused {
					t.Errorf("%d requests counted", got)
				}
			})
		})
	}
}

// Accepted requests take 200 ms. One in ten fails at once, and does not make the others
// look late, which would cost the bucket some of its rate.
func TestFailuresAreNoMeasureOfTime(t *testing.T) {
	for name, o := range map[string]Outcome{"failed": {Failed: true}, "passed": {Failed: true, Passed: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(t, Limit{Resource: Messages, Rate: 10})
				lane := newLane(l, sender)
				var wg sync.WaitGroup
				for i := range 600 {
					wg.Go(func() {
						done, err := lane.enter(bg)
						if err != nil {
							t.Error(err)
							return
						}
						if i%10 == 9 {
							done(o)
							return
						}
						time.Sleep(200 * time.Millisecond)
						done(Outcome{})
					})
					synctest.Wait()
				}
				wg.Wait()
				if last, want := lane.left[599], 599*100*time.Millisecond; last != want {
					t.Errorf("the last one left after %v, expected %v", last, want)
				}
			})
		})
	}
}
