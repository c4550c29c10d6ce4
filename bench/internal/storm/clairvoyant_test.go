package storm

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A clairvoyant knows the scene. It sends each request when the tightest limit has room for it, nothing while all is
// refused, and lets nobody wait but a throttled call.
type clairvoyant struct {
	scene     *Scene
	transport http.RoundTripper
	start     time.Time
	lines     map[string]chan *time.Duration // of each bucket: whose turn it is has when the next request may leave
	inFlight  atomic.Int64
}

func dialClairvoyant(scene *Scene) Dial {
	return func(ctx context.Context, transport http.RoundTripper, _ float64) func(*Call) error {
		cl := &clairvoyant{scene: scene, transport: transport, start: time.Now(), lines: map[string]chan *time.Duration{}}
		for _, s := range scene.Streams {
			cl.lines[s.Bucket] = make(chan *time.Duration, 1)
			cl.lines[s.Bucket] <- new(time.Duration)
		}
		return func(c *Call) error { return cl.send(ctx, c) }
	}
}

func (cl *clairvoyant) send(ctx context.Context, c *Call) error {
	for n := 1; ; n++ {
		cl.await(ctx, c.Stream)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, c.Request().URL, nil)
		r.Header.Set(HeaderCall, strconv.Itoa(c.ID))
		resp, err := cl.transport.RoundTrip(r)
		cl.inFlight.Add(-1)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusTooManyRequests {
			return nil
		}
		if n > retries {
			return errUnknownCall
		}
		d, header := Refusal{RetryAfter: resp.Header.Get("Retry-After")}.hold(n)
		if header {
			d += time.Duration(rand.Float64() * float64(time.Second))
		}
		sleep(ctx, d)
	}
}

// await returns when s may send a request, which is in progress then.
func (cl *clairvoyant) await(ctx context.Context, s *Stream) {
	line := cl.lines[s.Bucket]
	next := <-line
	defer func() { line <- next }()
	for ctx.Err() == nil {
		now := time.Since(cl.start)
		perSecond, permits, open := cl.allowed(s, now)
		switch {
		case *next > now:
			sleep(ctx, min(*next-now, time.Second)) // a limit may rise meanwhile
		case !open || cl.inFlight.Load() >= permits:
			sleep(ctx, time.Millisecond)
		default:
			cl.inFlight.Add(1)
			if perSecond < unlimited {
				*next = now + time.Duration(math.Ceil(float64(time.Second)/perSecond))
			}
			return
		}
	}
}

func (cl *clairvoyant) allowed(s *Stream, now time.Duration) (perSecond float64, permits int64, open bool) {
	perSecond, permits, open = unlimited, math.MaxInt64, true
	if cl.scene.Told > 0 {
		perSecond = cl.scene.Told
	}
	for _, r := range cl.scene.Rules {
		if !r.applies(s, now) {
			continue
		}
		if m, ok := r.Model.(*Concurrency); ok {
			permits = min(permits, int64(m.Limit.At(now)-m.Others.At(now)))
			continue
		}
		rate, refused := r.Possible(now, 0)
		if r.Scope == Object {
			rate *= float64(max(1, s.Objects)) // they take turns
		}
		open = open && refused < 1
		perSecond = min(perSecond, rate)
	}
	return perSecond, permits, open
}

func TestPossibleIsWhatAClairvoyantReaches(t *testing.T) {
	usual := Latency{Low: 50 * time.Millisecond, High: 350 * time.Millisecond}
	quick := Latency{Low: 50 * time.Millisecond}
	many := []Stream{{Bucket: "A", Callers: 60}}
	second := func(n int) time.Duration { return time.Duration(n) * time.Second }
	noise := func(share float64, f Refusal) *Rule {
		return &Rule{Model: Random(share), Refusal: f, Scope: Account}
	}
	soon := Refusal{RetryAfter: "1"}
	limit := func(w *Window) *Rule { return &Rule{Model: w, Refusal: soon} }
	short := map[string]bool{"callers that wait for noise": true, "a sliding window and noise behind it": true, "a storm": true, "bursts": true}
	for name, scene := range map[string]func() *Scene{
		"a configured rate and noise": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Told: 20, Rules: []*Rule{noise(0.1, soon)}}
		},
		"requests that fail": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{limit(&Window{Limit: Always(20)}), noise(0.05, soon)}, Failures: []Failure{{Share: 0.3, Span: Span{second(60), second(120)}}}}
		},
		"requests without a connection": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Told: 20, Failures: []Failure{{Share: 0.3, Unsent: true, Span: Span{second(60), second(180)}}, {Share: 1, Unsent: true, Span: Span{second(200), second(210)}}}}
		},
		"callers that wait for noise": func() *Scene {
			return &Scene{Latency: quick, Streams: many, Rules: []*Rule{noise(0.05, soon)}}
		},
		"callers that wait for noise, by the fixed schedule": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{noise(0.3, Refusal{})}}
		},
		"callers that wait for noise of two kinds": func() *Scene {
			return &Scene{Latency: quick, Streams: many, Rules: []*Rule{noise(0.05, soon), noise(0.05, Refusal{RetryAfter: "5"})}}
		},
		"calls that are given up": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{noise(0.5, Refusal{RetryAfter: "0.5"})}}
		},
		"a sliding window and noise behind it": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{limit(&Window{Limit: Always(20)}), noise(0.05, soon)}}
		},
		"a fixed window": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{limit(&Window{Kind: Fixed, Limit: Always(20)})}}
		},
		"a token bucket": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{limit(&Window{Kind: TokenBucket, Limit: Always(20)})}}
		},
		"a strict window": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{limit(&Window{Kind: Strict, Limit: Always(20)})}}
		},
		"a minute's window": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{limit(&Window{Limit: Always(600), Per: time.Minute})}}
		},
		"a limit in steps": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{limit(&Window{Limit: Steps{{0, 20}, {second(60), 5}, {second(150), 30}}})}}
		},
		"another tenant": func() *Scene {
			w := &Window{Limit: Always(20), Tenant: 0.5, TenantSpan: Span{second(60), second(120)}}
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{limit(w)}}
		},
		"requests in progress": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Rules: []*Rule{{Model: &Concurrency{Limit: Always(10)}, Scope: Account, Refusal: soon}}}
		},
		"requests in progress, also of others, and slow answers": func() *Scene {
			l := usual
			l.Slow, l.SlowFor = Span{second(60), second(120)}, 2*time.Second
			return &Scene{Latency: l, Streams: many, Rules: []*Rule{{Model: &Concurrency{Limit: Always(20), Others: Always(10), Header: true}, Scope: Account, Refusal: soon}}}
		},
		"a storm": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Told: 20, Rules: []*Rule{{Model: Random(1), Refusal: soon, Scope: Account, Span: Span{second(60), second(150)}}}}
		},
		"periods": func() *Scene {
			return &Scene{Latency: quick, Streams: []Stream{{Bucket: "A", Callers: 6}}, Rules: []*Rule{{Model: Periodic{Every: second(20), For: second(10)}, Refusal: soon, Scope: Account}}}
		},
		"each second request": func() *Scene {
			return &Scene{Latency: usual, Streams: many, Told: 20, Rules: []*Rule{{Model: &Alternating{N: 2}, Refusal: soon, Scope: Account}}}
		},
		"a campaign": func() *Scene {
			return &Scene{Latency: usual, Streams: []Stream{{Bucket: "A", Callers: 60, Due: Campaign(3000, second(20))}}, Told: 20}
		},
		"less than the limit": func() *Scene {
			return &Scene{Latency: usual, Streams: []Stream{{Bucket: "A", Callers: 60, Due: About(second(1) / 12)}}, Told: 20, Rules: []*Rule{noise(0.05, soon)}}
		},
		"bursts": func() *Scene {
			return &Scene{Latency: usual, Streams: []Stream{{Bucket: "A", Callers: 60, Due: Bursts(200, second(30))}}, Told: 20}
		},
		"senders with a limit each": func() *Scene {
			return &Scene{Latency: usual, Streams: []Stream{{Bucket: "A", Callers: 60}, {Bucket: "B", Callers: 60}, {Bucket: "C", Callers: 1}}, Rules: []*Rule{limit(&Window{Limit: Always(20)})}}
		},
		"a document of its own limit": func() *Scene {
			return &Scene{Latency: usual, Streams: []Stream{
				{Product: Sync, Bucket: "sync", Object: "ET0", Objects: 10, Callers: 60, Due: Every(second(1) / 30)},
				{Product: Sync, Bucket: "hot", Object: "ET1", Callers: 60, Hot: true},
			}, Rules: []*Rule{{Model: &Window{Limit: Always(20)}, Refusal: soon, Scope: Object}}}
		},
	} {
		if testing.Short() && !short[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := scene()
				sc.Measured, sc.End = Span{second(10), second(240)}, second(240)
				res := Run(sc, 1, dialClairvoyant(sc))
				if share := float64(res.Accepted) / res.Possible; share < 0.97 || share > 1.03 {
					t.Errorf("a clairvoyant client has reached %d of the possible %.0f (%.1f %%), expected 97 to 103 %%", res.Accepted, res.Possible, 100*share)
				}
			})
		})
	}
}
