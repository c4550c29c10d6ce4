package storm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// send makes a call of the only stream of a scene, with one attempt, and returns the answer.
func send(t *testing.T, s *server) (*Call, *http.Response) {
	t.Helper()
	c := s.begin(&s.scene.Streams[0], nil, s.scene.Streams[0].Object, 0, s.now())
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, c.Request().URL, strings.NewReader(c.Request().Form.Encode()))
	r.Header.Set(HeaderCall, strconv.Itoa(c.ID))
	resp, err := s.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return c, resp
}

func TestAnswersSayWhyAndUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := &Scene{
			Streams: []Stream{{Bucket: "A", Callers: 1}}, Latency: Latency{Low: 80 * time.Millisecond}, End: time.Minute,
			Rules: []*Rule{
				{Model: &Concurrency{Limit: Always(9), Others: Always(3), Header: true}, Scope: Account},
				{Model: &Window{Limit: Always(1)}, Refusal: Refusal{Code: 63018, RetryAfter: "2.5"}},
			},
		}
		s := newServer(sc, 1)
		_, resp := send(t, s)
		if resp.StatusCode != http.StatusCreated || time.Since(s.start) != 80*time.Millisecond || resp.Header.Get("Twilio-Concurrent-Requests") != "4" {
			t.Errorf("status %d after %v, %s in progress; expected 201 after 80ms, and 4", resp.StatusCode, time.Since(s.start), resp.Header.Get("Twilio-Concurrent-Requests"))
		}
		_, resp = send(t, s)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "2.5" || !strings.Contains(string(body), `"code":63018`) {
			t.Errorf("status %d, Retry-After %q, body %s; expected 429, 2.5 and 63018", resp.StatusCode, resp.Header.Get("Retry-After"), body)
		}
		b := s.record.buckets["A"]
		if b.accepted[0] != 1 || b.throttled[0] != 1 {
			t.Errorf("%d accepted, %d throttled, expected 1 and 1", b.accepted[0], b.throttled[0])
		}
	})
}

// What a later rule refuses has used up the limit before it; what the limit refuses never reaches the later rule.
func TestRulesAreMetInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := &Alternating{N: 2}
		sc := &Scene{
			Streams: []Stream{{Bucket: "A", Callers: 1}}, End: time.Minute,
			Rules: []*Rule{{Model: &Window{Limit: Always(2)}}, {Model: second, Refusal: Refusal{RetryAfter: "30"}}},
		}
		s := newServer(sc, 1)
		got := ""
		for range 4 {
			_, resp := send(t, s)
			got += strconv.Itoa(resp.StatusCode) + resp.Header.Get("Retry-After") + " "
		}
		if got != "201 42930 429 429 " || second.count["A"] != 2 {
			t.Errorf("%sand %d requests at the second rule; expected 201, 429 of the second, 429, 429 of the first, and 2", got, second.count["A"])
		}
	})
}

// What fails has used up the limit, and what was never sent has not. Neither is a throttle, or a loss.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		failure                     Failure
		accepted, throttled, failed int
	}{
		{Failure{Share: 1}, 10, 30, 10},
		{Failure{Share: 1, Unsent: true}, 0, 0, 40},
		{Failure{Share: 1, Unsent: true, Span: Span{0, 5 * time.Second}}, 5, 15, 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			sc := &Scene{
				Streams: []Stream{{Bucket: "A", Callers: 3, Due: Every(time.Second / 4)}}, Latency: Latency{Low: 50 * time.Millisecond},
				Rules: []*Rule{{Model: &Window{Limit: Always(1)}}}, Failures: []Failure{tt.failure}, Measured: Span{0, 10 * time.Second}, End: 10 * time.Second,
			}
			failed := 0
			res := Run(sc, 1, func(_ context.Context, transport http.RoundTripper, _ float64) func(*Call) error {
				return func(c *Call) error {
					r, _ := http.NewRequest(http.MethodPost, c.Request().URL, nil)
					r.Header.Set(HeaderCall, strconv.Itoa(c.ID))
					resp, err := transport.RoundTrip(r)
					if err == nil && resp.StatusCode == http.StatusInternalServerError {
						err = errors.New(resp.Status)
					}
					if err != nil {
						failed++
					}
					return err
				}
			})
			if res.Accepted != tt.accepted || res.Throttled != tt.throttled || res.Lost != 0 || failed != tt.failed {
				t.Errorf("%+v: %d accepted, %d throttled, %d lost, %d failed; expected %d, %d, 0 and %d", tt.failure, res.Accepted, res.Throttled, res.Lost, failed, tt.accepted, tt.throttled, tt.failed)
			}
		})
	}
}

func TestARequestOfNoCallIsAnError(t *testing.T) {
	s := newServer(&Scene{End: time.Minute}, 1)
	r, _ := http.NewRequest(http.MethodPost, "https://api.twilio.com/", nil)
	if _, err := s.RoundTrip(r); !errors.Is(err, errUnknownCall) {
		t.Errorf("%v, expected %v", err, errUnknownCall)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.RoundTrip(r.WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, expected context.Canceled", err)
	}
}

// A caller whose calls fail at once lets time pass, and a call that the end has cut is not lost.
func TestLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := errors.New("failed")
		sc := &Scene{Streams: []Stream{{Bucket: "A", Callers: 3}}, Measured: Span{0, 10 * time.Second}, End: 10 * time.Second}
		res := Run(sc, 1, func(context.Context, http.RoundTripper, float64) func(*Call) error {
			return func(*Call) error { return failed }
		})
		if res.Lost < 27 || res.Lost > 33 || res.Calls != res.Lost {
			t.Errorf("%d of %d lost by 3 callers in 10 s, expected some 30", res.Lost, res.Calls)
		}
		sc = &Scene{Streams: []Stream{{Bucket: "A", Callers: 3}}, Measured: Span{0, 10 * time.Second}, End: 10 * time.Second}
		res = Run(sc, 1, func(ctx context.Context, _ http.RoundTripper, _ float64) func(*Call) error {
			return func(*Call) error { <-ctx.Done(); return ctx.Err() }
		})
		if res.Calls != 0 || res.Lost != 0 {
			t.Errorf("%d calls ended, %d lost, expected none", res.Calls, res.Lost)
		}
	})
}

func TestObjectsTakeTurns(t *testing.T) {
	s := &Stream{Object: "ET", Objects: 3}
	if got := s.object(0) + s.object(2) + s.object(3); got != "ET0000ET0002ET0000" {
		t.Errorf("%s", got)
	}
	if got := (&Stream{Object: "CH1"}).object(5); got != "CH1" {
		t.Errorf("%s, expected CH1", got)
	}
}
