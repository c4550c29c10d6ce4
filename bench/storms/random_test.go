package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// A composer makes up a scene, and says in words what it has put into it.
type composer struct {
	*rand.Rand
	*storm.Scene
	words []string
}

// randomScene composes a scene of limits, troubles, failures and loads, all by chance from the seed. The words say in one
// line what it is made of. The first minute is not measured.
//
// What is left out, since no client can do there what the rules ask for, or since it costs too much time:
//   - Many callers without any limit. A few are the limit then.
//   - Bursts with more than half a minute between them. Nobody can be back within a minute where nothing is to be sent.
//   - A Retry-After of an hour where there is not always work. All calls are given up then, and nothing is left to do.
//   - A throttle while all else fails. It is the only answer that says anything then, and is taken for an outage.
//   - A limit of the account beside a trouble that is one stream's alone: what the other streams have depends on that
//     stream then, by right.
func randomScene(seed uint64) (*storm.Scene, string) {
	c := &composer{Rand: rand.New(rand.NewPCG(seed, 12)), Scene: &storm.Scene{Measured: storm.Span{From: minute, To: 5 * minute}, End: 5 * minute}}
	c.latency()
	if c.chance(0.2) {
		c.narrow()
	} else {
		c.limits()
		c.troubles()
	}
	c.failures()
	return c.Scene, strings.Join(c.words, "; ")
}

func (c *composer) say(format string, args ...any) {
	c.words = append(c.words, fmt.Sprintf(format, args...))
}

func (c *composer) chance(p float64) bool { return c.Float64() < p }

func (c *composer) float(from, to float64) float64 {
	return float64(int((from+c.Float64()*(to-from))*10)) / 10
}

// span is one of so many seconds, from a whole second within the given minutes on.
func (c *composer) span(from, to float64, least, most int) storm.Span {
	begin := time.Duration(c.float(from*60, to*60)) * time.Second
	return storm.Span{From: begin, To: begin + time.Duration(least+c.IntN(most-least+1))*time.Second}
}

func oneOf[T any](c *composer, of ...T) T { return of[c.IntN(len(of))] }

func (c *composer) latency() {
	c.Latency = oneOf(c, usual, usual, storm.Latency{Low: 50 * time.Millisecond}, storm.Latency{Low: 350 * time.Millisecond})
	if c.chance(0.1) {
		c.Latency.Slow, c.Latency.SlowFor = c.span(1, 4, 60, 60), 2*time.Second
		c.say("answers of 2 s %s", during(c.Latency.Slow))
	}
	c.say("answers of %v to %v", c.Latency.Low, max(c.Latency.Low, c.Latency.High))
}

func during(s storm.Span) string { return fmt.Sprintf("from %v to %v", s.From, s.To) }

func (c *composer) refusal() storm.Refusal {
	f := storm.Refusal{Code: 20429, RetryAfter: oneOf(c, "1", "1", "1", "1", "2.5", "2.5", "", "", "30")}
	if c.chance(0.2) {
		f.Code = 63018
	}
	return f
}

func (c *composer) rule(what string, r *storm.Rule) *storm.Rule {
	c.Rules = append(c.Rules, r)
	c.say("%s (code %d, Retry-After %q)", what, r.Code, r.RetryAfter)
	return r
}

// limits adds what bounds the rate, and streams that want more or less than that.
func (c *composer) limits() {
	rate := c.float(1, 20)
	switch n := c.IntN(20); {
	case n < 2: // callers who wait for their answers
		c.streams(1+c.IntN(3), 1+c.IntN(c.busy(10)), nil, "")
	case n < 5:
		c.told(rate)
		c.load(rate, 1)
	case n < 9:
		c.inFlight()
	default:
		c.window(rate)
	}
}

// busy is how many requests are in progress at a rate, at least one.
func (c *composer) busy(perSecond float64) int {
	return max(1, int(perSecond*(c.Latency.Low+max(c.Latency.Low, c.Latency.High)).Seconds()/2))
}

func (c *composer) window(rate float64) {
	buckets := 1
	if c.chance(0.2) {
		buckets = 2 + c.IntN(9)
		rate = min(rate, 20/float64(buckets))
	}
	whole := func(f float64) float64 { return max(1, math.Floor(f)) }
	w := &storm.Window{Kind: storm.Kind(c.IntN(4)), Limit: storm.Always(whole(rate))}
	what := fmt.Sprintf("%s of %g/s", []string{"sliding window", "fixed window", "token bucket", "strict window"}[w.Kind], w.Limit[0].Value)
	span := c.span(2, 3, 20, 150)
	switch c.IntN(10) {
	case 0:
		w.Per, w.Limit = minute, storm.Always(60*w.Limit[0].Value)
		what += " counted by the minute"
	case 1:
		w.Limit = append(w.Limit, storm.Step{At: span.To, Value: whole(rate * oneOf(c, 0.5, 0.7, 1.5, 2))})
		what += fmt.Sprintf(", then %g/s from %v on", w.Limit[1].Value, w.Limit[1].At)
	case 2:
		w.Tenant, w.TenantSpan = 0.5, span
		c.recovering(span)
		what += ", half of it another tenant's " + during(span)
	case 3:
		w.Limit = append(w.Limit, storm.Step{At: span.From, Value: whole(rate / 4)}, storm.Step{At: span.To, Value: w.Limit[0].Value})
		c.recovering(span)
		what += fmt.Sprintf(", but %g/s %s", w.Limit[1].Value, during(span))
	}
	c.rule(what, &storm.Rule{Model: w, Refusal: c.refusal()})
	switch perSecond, _ := w.Possible(0, 0); c.IntN(4) {
	case 0:
		c.told(perSecond)
	case 1:
		c.told(perSecond * oneOf(c, 0.5, 1.02, 1.1, 1.5))
	}
	c.load(rate, buckets)
}

func (c *composer) told(rate float64) {
	c.Told = rate
	c.say("%.3g/s configured", rate)
}

func (c *composer) inFlight() {
	permits := func() float64 { return float64(1 + c.IntN(c.busy(30))) }
	m := &storm.Concurrency{Limit: storm.Always(permits()), Header: c.chance(0.5)}
	what := fmt.Sprintf("%g in progress", m.Limit[0].Value)
	if c.chance(0.3) {
		m.Others = storm.Always(float64(1 + c.IntN(8)))
		m.Limit[0].Value += m.Others[0].Value
		what = fmt.Sprintf("%g in progress, %g of them of others", m.Limit[0].Value, m.Others[0].Value)
	}
	if c.chance(0.3) {
		m.Limit = append(m.Limit, storm.Step{At: c.span(2, 4, 1, 1).From, Value: m.Others.At(0) + permits()})
		what += fmt.Sprintf(", then %g from %v on", m.Limit[1].Value, m.Limit[1].At)
	}
	if m.Header {
		what += ", told in answers"
	}
	f := c.refusal()
	f.Code = 20429
	c.rule(what, &storm.Rule{Model: m, Refusal: f, Scope: storm.Account})
	if c.chance(0.3) {
		c.told(c.float(2, 20))
	}
	buckets := 1
	if c.chance(0.4) {
		buckets = 2 + c.IntN(9)
	}
	c.streams(buckets, 1+60/buckets, nil, "")
}

// streams adds streams of so many callers, which always have work if due is nil, each of a sender of its own. One may be of
// a product without senders instead.
func (c *composer) streams(buckets, callers int, due storm.Schedule, when string) {
	s := storm.Stream{Callers: callers, Due: due}
	if buckets == 1 && c.Told == 0 && c.chance(0.15) {
		s.Product, s.Bucket, s.Object, s.Objects = storm.Verify, "verify", "+1500555", 9000
		c.Streams = append(c.Streams, s)
		c.say("Verify, 9,000 numbers, %d callers%s", callers, when)
		return
	}
	for i := range buckets {
		s.Bucket = fmt.Sprintf("%s%d", sender, i)
		c.Streams = append(c.Streams, s)
	}
	c.say("%d senders with %d callers each%s", buckets, callers, when)
}

// load adds streams of buckets that may send at rate each.
func (c *composer) load(rate float64, buckets int) {
	many := int(20 + 2*rate)
	switch c.IntN(12) {
	case 0:
		every := time.Duration(c.float(5, 30) * float64(time.Second))
		c.streams(buckets, 10, storm.Every(every), fmt.Sprintf(", a call every %v", every))
	case 1:
		n, every := int(rate*c.float(2, 20))+1, time.Duration(10+c.IntN(20))*time.Second
		c.streams(buckets, n, storm.Bursts(n, every), fmt.Sprintf(", %d calls every %v", n, every))
	case 2:
		n := int(rate * c.float(60, 300))
		c.streams(buckets, many, storm.Campaign(n, minute), fmt.Sprintf(", %d calls after a minute", n))
	case 3, 4:
		perSecond := rate * c.float(0.3, 1)
		c.streams(buckets, 10*many, storm.About(time.Duration(float64(time.Second)/perSecond)), fmt.Sprintf(", %.3g calls a second", perSecond))
	default:
		c.streams(buckets, many, nil, "")
	}
}

// troubles adds refusals of all, for a while: mostly of one kind, and sometimes of two, or of none.
func (c *composer) troubles() {
	for range oneOf(c, 0, 1, 1, 1, 1, 1, 2) {
		c.trouble()
	}
}

func (c *composer) trouble() {
	span, f := c.span(2, 3, 5, 180), c.refusal()
	var m storm.Model
	var what string
	switch c.IntN(6) {
	case 0, 1:
		p := oneOf(c, 0.001, 0.005, 0.01, 0.05, 0.1, 0.3)
		m, what = storm.Random(p), fmt.Sprintf("%g %% refused at random", 100*p)
	case 2:
		p := storm.Periodic{Every: time.Duration(10+c.IntN(50)) * time.Second}
		p.For = (p.Every / time.Duration(2+c.IntN(5))).Truncate(time.Second / 10)
		m, what = p, fmt.Sprintf("all refused in the first %v of each %v", p.For, p.Every)
	case 3:
		n := 2 + c.IntN(4)
		m, what = &storm.Alternating{N: n}, fmt.Sprintf("one of %d refused", n)
	default:
		m, what = storm.Random(1), "all refused"
	}
	if c.chance(0.05) && c.Streams[0].Due == nil {
		f.RetryAfter = "3600"
	}
	c.rule(what+" "+during(span), &storm.Rule{Model: m, Refusal: f, Scope: storm.Account, Span: span, Trouble: true})
	c.recovering(span)
}

// recovering leaves time to recover from a trouble, and from one before it. A bucket is closed for 5 minutes at most.
func (c *composer) recovering(span storm.Span) {
	if before := c.Trouble; before.To > 0 {
		span = storm.Span{From: min(before.From, span.From), To: max(before.To, span.To)}
	}
	recovering(c.Scene, span)
	if slices.ContainsFunc(c.Rules, func(r *storm.Rule) bool { return r.RetryAfter == "3600" }) {
		c.End += 5 * minute
	}
	c.Measured.To = c.End - 2*minute
}

// failures adds requests that fail for another reason than a throttle.
func (c *composer) failures() {
	if !c.chance(0.3) {
		return
	}
	f := storm.Failure{Share: oneOf(c, 0.01, 0.05, 0.3, 1), Unsent: c.chance(0.4), Span: c.span(1, 3, 20, 180)}
	if f.Share == 1 {
		f.Span = c.span(1, 1.5, 5, 30)
	}
	c.Failures = append(c.Failures, f)
	c.say("%g %% of all fail %s %s", 100*f.Share, map[bool]string{true: "without a connection", false: "with status 500"}[f.Unsent], during(f.Span))
}

// narrow adds streams of which one is in trouble: all others are to go on as if nothing were.
func (c *composer) narrow() {
	rate := c.float(1, 10)
	calm := storm.Stream{Callers: 200, Due: storm.About(time.Duration(float64(time.Second) / rate))}
	hot := storm.Stream{Callers: 1 + c.IntN(100), Due: storm.About(time.Duration(float64(time.Second) / c.float(0.2, 15))), Hot: true}
	code, scope := 20429, storm.Object
	if c.chance(0.3) {
		c.Rules = append(c.Rules, &storm.Rule{Model: &storm.Concurrency{Limit: storm.Always(10_000), Header: true}, Scope: storm.Account})
		c.say("answers tell how many are in progress")
	}
	object := func(product storm.Product, bucket, name string, objects, its int) {
		code = its
		calm.Product, calm.Bucket, calm.Object, calm.Objects = product, bucket, name, objects
		hot.Product, hot.Bucket, hot.Object = product, bucket, name+"9999"
		c.Streams = append(c.Streams, calm)
		c.say("%s, %d others, %.3g calls a second", bucket, objects, rate)
	}
	switch c.IntN(4) {
	case 0:
		object(storm.Verify, "verify", "+1500555", 9000, oneOf(c, 60212, 20429))
	case 1:
		object(storm.Sync, "sync", "ET0000000000000000000000000000", 50, 54009)
	case 2:
		object(storm.Conversations, "conversations", "CH0000000000000000000000000000", 50, 50063)
	default:
		scope, code = storm.Bucket, oneOf(c, 20429, 63018)
		if c.chance(0.3) {
			c.told(2 * rate)
		}
		if c.chance(0.5) {
			c.streams(2+c.IntN(4), 1+c.IntN(c.busy(10)), nil, "")
		} else {
			c.streams(2+c.IntN(4), calm.Callers, calm.Due, fmt.Sprintf(", %.3g calls a second", rate))
		}
		hot.Bucket = "HOT"
	}
	c.Streams = append(c.Streams, hot)
	c.say("one in trouble, %d callers", hot.Callers)
	f := storm.Refusal{Code: code, RetryAfter: oneOf(c, "1", "1", "2.5", "", "30", "3600")}
	r := &storm.Rule{Model: storm.Random(1), Refusal: f, Scope: scope, HotOnly: true, Trouble: true}
	what := "it is always refused"
	switch c.IntN(3) {
	case 0:
		limit := float64(1 + c.IntN(10))
		r.Model, what = &storm.Window{Limit: storm.Always(limit)}, fmt.Sprintf("it may send %g/s", limit)
	case 1:
		share := c.float(0.1, 1)
		r.Model, what = storm.Random(share), fmt.Sprintf("%g %% of it refused", 100*share)
	}
	c.rule(what, r)
}
