package redispacer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
)

// A bucket is one of the shared server's, with what its script answers in the server's time,
// in which it is exact. The script has that time from the test: it passes only by pass.
type bucket struct {
	*fixture
	t      *testing.T
	server *redistest.Server
	time   *atomic.Int64 // in microseconds, of all processes that have this bucket
	// turn is held while Redis runs a script for one of these processes. A demand that is repeated, since its
	// answer was late, would bring an earlier time after a later one.
	turn *sync.Mutex
	// lasting has Redis forget nothing: it does so by its own clock, and not by time.
	lasting bool
	mu      sync.Mutex // guards last: a demand that was repeated may be answered twice
	last    []any
}

func newBucket(t *testing.T) *bucket {
	now := new(atomic.Int64)
	now.Store(time.Now().UnixMicro())
	return (&bucket{t: t, server: server(t), time: now, turn: new(sync.Mutex)}).with(newName())
}

// another returns the bucket as another process has it.
func (b *bucket) another() *bucket { return b.with(b.name) }

func (b *bucket) with(name string) *bucket {
	other := &bucket{fixture: start(b.t, on(b.server), name, nil), t: b.t, server: b.server, time: b.time, turn: b.turn}
	other.store.rdb.AddHook(other)
	return other
}

// elapse has so much of the server's time pass.
func (b *bucket) elapse(d time.Duration) { b.time.Add(d.Microseconds()) }

// The hook gives the script its time, and keeps its answers.
func (b *bucket) DialHook(next redis.DialHook) redis.DialHook { return next }
func (b *bucket) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (b *bucket) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch cmd.Name() {
		case "evalsha": // so that the client sends the text
			cmd.SetErr(noScript{})
			return noScript{}
		case "eval":
			const readsClock = "redis.call('TIME')"
			text, _ := cmd.Args()[1].(string)
			if strings.Count(text, readsClock) != 1 {
				return fmt.Errorf("the script is to read the clock once: %.80s", text)
			}
			b.turn.Lock()
			defer b.turn.Unlock()
			if ctx.Err() != nil { // the first answer has come meanwhile
				return ctx.Err()
			}
			now := b.time.Load()
			text = strings.Replace(text, readsClock, fmt.Sprintf("{%d, %d}", now/1e6, now%1e6), 1)
			if b.lasting {
				text = strings.ReplaceAll(text, "redis.call('PEXPIRE'", "tostring('PEXPIRE'")
			}
			cmd.Args()[1] = text
		}
		err := next(ctx, cmd)
		if c, ok := cmd.(*redis.Cmd); ok && strings.HasPrefix(c.Name(), "eval") {
			if answer, ok := c.Val().([]any); ok {
				b.mu.Lock()
				b.last = answer
				b.mu.Unlock()
			}
		}
		return err
	}
}

// noScript is Redis' error for a script that it does not know.
type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT the text is not known" }
func (noScript) RedisError()   {}

// An answer is a grant, and its times in the server's, in microseconds.
type answer struct {
	pacer.Grant
	from, again, until, now float64
}

func (b *bucket) take(d pacer.Demand) (a answer) {
	b.t.Helper()
	var err error
	if a.Grant, err = b.Take(context.Background(), messages, d); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, to := range []*float64{&a.from, &a.again, &a.until, &a.now} {
		if *to, err = strconv.ParseFloat(b.last[2+i].(string), 64); err != nil {
			b.t.Fatal(err)
		}
	}
	return a
}

func (b *bucket) key() string { return b.store.bucketKey(messages) }

func about(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: %.6f, expected %.6f", what, got, want)
	}
}

const ms = 1e3 // microseconds

func TestCounter(t *testing.T) {
	b := newBucket(t)
	d := pacer.Demand{N: 3, Rate: 10, Burst: 3}
	first := b.take(d)
	if first.N != 3 || first.Every != 100*time.Millisecond || first.Pace != 10 || first.Processes != 1 || first.Learned != 0 || !first.CoolDownUntil.IsZero() {
		t.Errorf("a new bucket: %+v, expected its 3 tokens, at 10/s", first.Grant)
	}
	about(t, "the first of them: it and the two after it are there at once", first.from, first.now-200*ms, 2)

	d.N = 1
	next := b.take(d)
	about(t, "empty: the next token", next.from, first.now+100*ms, 2)
	if next.N != 1 || next.Number != first.Number+1 {
		t.Errorf("after grant %d: %+v, expected one token, as a promise", first.Number, next.Grant)
	}

	d.N = 100
	rest := b.take(d) // 4 are taken: the 5th to the 8th are within the horizon
	about(t, "the one after it", rest.from, first.now+200*ms, 2)
	if rest.N != 4 {
		t.Errorf("%d tokens promised, expected the 4 of the next 500 ms", rest.N)
	}

	none := b.take(d)
	if none.N == 0 {
		about(t, "the next one that can be had", none.again, first.now+float64(2+rest.N)*100*ms-500*ms+ms, 4)
		if wait := none.again - none.now; wait > 102*ms {
			t.Errorf("to ask again in %.3f ms, expected within 100 ms", wait/ms)
		}
	}
	b.elapse(time.Duration(none.again-none.now+1000) * time.Microsecond)
	if again := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 3}); again.N != 1 {
		t.Errorf("asked again in time: %+v, expected a token", again.Grant)
	}

	b.elapse(time.Minute)
	full := b.take(d)
	about(t, "after a minute: no more than the burst is there at once", full.from, full.now-200*ms, 2)
	if full.N != 8 {
		t.Errorf("%d tokens, expected 3, and 5 of the next 500 ms", full.N)
	}
}

// A bucket of which all is taken at once is empty, and not as good as new.
func TestEmpty(t *testing.T) {
	b := newBucket(t)
	d := pacer.Demand{N: 1, Rate: 1, Burst: 1}
	if a := b.take(d); a.N != 1 {
		t.Fatalf("the first: %+v, expected a token", a.Grant)
	}
	if a := b.take(d); a.N != 0 {
		t.Errorf("the second: %+v, expected none for half a second", a.Grant)
	}
}

func TestSlow(t *testing.T) {
	b := newBucket(t)
	a := b.take(pacer.Demand{N: 2, Rate: 1e-5, Burst: 2})
	if a.Pace != 1e-5 || (a.Every-100_000*time.Second).Abs() > time.Microsecond {
		t.Errorf("%+v, expected a pace of one in 100,000 s", a.Grant)
	}
	if none := b.take(pacer.Demand{N: 1, Rate: 1e-5, Burst: 2}); none.N != 0 {
		t.Errorf("%+v, expected none", none.Grant)
	}
}

// Whoever takes how many when: no time has more than its share.
func TestNeverTooMany(t *testing.T) {
	for _, burst := range []int{1, 7} {
		b := newBucket(t)
		buckets := []*bucket{b, b.another(), b.another()}
		const rate = 500
		rng := rand.New(rand.NewPCG(1, uint64(burst)))
		var used []float64
		for range 300 {
			a := buckets[rng.IntN(3)].take(pacer.Demand{N: rng.IntN(20), Rate: rate, Burst: burst})
			for i := range a.N {
				used = append(used, max(a.now, a.from+float64(i)*1e6/rate))
			}
			if rng.IntN(10) == 0 {
				b.elapse(time.Duration(rng.IntN(30)) * time.Millisecond)
			}
		}
		slices.Sort(used)
		if len(used) < 100 {
			t.Errorf("burst %d: %d tokens for 300 demands, expected 100 at least", burst, len(used))
		}
		for i := range used {
			for j := i + 1; j < len(used); j++ {
				if most := float64(burst) + rate*(used[j]-used[i])/1e6 + 0.01; float64(j-i+1) > most {
					t.Fatalf("burst %d: %d tokens within %.3f ms, expected at most %.2f", burst, j-i+1, (used[j]-used[i])/ms, most)
				}
			}
		}
	}
}

func TestGivenBack(t *testing.T) {
	b := newBucket(t)
	first := b.take(pacer.Demand{N: 5, Rate: 10, Burst: 1})
	second := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1, Unused: 2, Last: first.Number})
	about(t, "2 of 5 given back: the next", second.from, first.now+300*ms, 2)
	third := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1, Unused: 1, Last: first.Number})
	about(t, "given back too late: the next", third.from, first.now+400*ms, 2)
	if none := b.take(pacer.Demand{N: 0, Rate: 10, Burst: 1, Unused: 1, Last: third.Number}); none.N != 0 || none.Number != third.Number {
		t.Errorf("nothing wanted: %+v", none.Grant)
	}
	b.take(pacer.Demand{N: 0, Rate: 10, Burst: 1, Unused: 1000, Last: third.Number})
	full := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1})
	about(t, "more given back than it holds: the next", full.from, full.now, 2)
}

func TestRateChanges(t *testing.T) {
	b := newBucket(t)
	b.take(pacer.Demand{N: 5, Rate: 10, Burst: 1})
	fast := b.take(pacer.Demand{N: 1, Rate: 1000, Burst: 1})
	if fast.N != 1 || fast.Pace != 1000 || fast.Every != time.Millisecond || fast.from > fast.now+5*ms {
		t.Errorf("at 1000/s: %+v, %.3f ms ahead, expected the next within 5 ms", fast.Grant, (fast.from-fast.now)/ms)
	}
	b.take(pacer.Demand{N: 10, Rate: 1000, Burst: 1})
	slow := b.take(pacer.Demand{N: 1, Rate: 1, Burst: 1})
	if slow.N != 0 || slow.Pace != 1 {
		t.Errorf("at 1/s: %+v, expected none for seconds", slow.Grant)
	}
	for _, rate := range []float64{0, pacer.Unlimited} {
		all := b.take(pacer.Demand{N: 5000, Rate: rate, Burst: 1})
		if all.N != 5000 || all.Pace != pacer.Unlimited || all.Every != 0 {
			t.Errorf("rate %v: %+v, expected all", rate, all.Grant)
		}
	}
}

func TestCoolDown(t *testing.T) {
	b := newBucket(t)
	first := b.take(pacer.Demand{N: 2, Rate: 10, Burst: 5})
	hold := b.take(pacer.Demand{Rate: 10, Burst: 5, CoolDownFor: 2 * time.Second})
	about(t, "until", hold.until, hold.now+2000*ms, 2)
	if hold.N != 0 || hold.CoolDownUntil.IsZero() {
		t.Errorf("%+v, expected a cool-down of 2 s", hold.Grant)
	}
	if none := b.take(pacer.Demand{N: 5, Rate: 10, Burst: 5, Unused: 1, Last: first.Number}); none.N != 0 || none.CoolDownUntil.IsZero() {
		t.Errorf("during it: %+v, expected none", none.Grant)
	}
	short := b.take(pacer.Demand{Rate: 10, Burst: 5, CoolDownFor: 10 * time.Millisecond})
	about(t, "until, after a shorter one", short.until, hold.until, 0)
	long := b.take(pacer.Demand{Rate: 10, Burst: 5, CoolDownFor: 3 * time.Second})
	about(t, "until, after a longer one", long.until, long.now+3000*ms, 2)

	b.elapse(time.Duration(long.until-long.now) * time.Microsecond) // it is over
	herd := b.take(pacer.Demand{N: 3, Rate: 10, Burst: 5})
	about(t, "the first one after it", herd.from, long.until, 2)
	if herd.N != 3 || herd.Every != 100*time.Millisecond || !herd.CoolDownUntil.IsZero() {
		t.Errorf("after it: %+v, expected three, one by one", herd.Grant)
	}
}

func TestRestsOneHourAtMost(t *testing.T) {
	b := newBucket(t)
	hold := b.take(pacer.Demand{Rate: 10, Burst: 1, CoolDownFor: 1000 * time.Hour})
	about(t, "until", hold.until, hold.now+3600e6, 2)
	if !hold.RetryAt.IsZero() {
		t.Errorf("%+v: expected that calls wait", hold.Grant)
	}
}

// What calls do not wait for closes the bucket for five minutes. Then one request asks again. Each
// process learns until when Twilio asked to wait.
func TestTooLongToWait(t *testing.T) {
	b := newBucket(t)
	hold := b.take(pacer.Demand{Rate: 10, Burst: 1, CoolDownFor: 2 * time.Hour, TooLong: true})
	about(t, "until", hold.until, hold.now+300e6, 2)
	later := b.another().take(pacer.Demand{N: 1, Rate: 10, Burst: 1})
	for _, a := range []answer{hold, later} {
		if left := time.Until(a.RetryAt); a.N != 0 || (left-2*time.Hour).Abs() > 10*time.Minute {
			t.Errorf("%+v, to be tried again in %v: expected two hours", a.Grant, left)
		}
	}
	b.elapse(5*time.Minute + time.Second)
	if a := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1}); a.N != 1 || !a.RetryAt.IsZero() {
		t.Errorf("after five minutes: %+v, expected one token", a.Grant)
	}
}

// After a failover the clock may be another one. What was over stays over, and what was not lasts as
// long as before.
func TestServersClockIsSetBack(t *testing.T) {
	const back = 20 * time.Minute
	b := newBucket(t)
	b.take(pacer.Demand{Rate: 10, Burst: 1, CoolDownFor: time.Second})
	b.elapse(time.Second)
	b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1})
	b.elapse(-back)
	b.elapse(200 * time.Millisecond)
	if a := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1}); a.N != 1 || !a.CoolDownUntil.IsZero() {
		t.Errorf("a cool-down that was over: %+v, expected a token", a.Grant)
	}

	b = newBucket(t)
	b.take(pacer.Demand{Rate: 10, Burst: 1, CoolDownFor: 30 * time.Second})
	b.elapse(10 * time.Second)
	before := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1})
	b.elapse(-back)
	after := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1})
	about(t, "what is left of a cool-down, in s", (after.until-after.now)/1e6, (before.until-before.now)/1e6, 0.05)
}

// A demand that comes twice, since its answer was late, has the answer of the first, and no other
// effect, whatever others do meanwhile. A cool-down voids it.
func TestDemandThatComesTwice(t *testing.T) {
	b := newBucket(t)
	other := b.another()
	send := func(d pacer.Demand, times int) (a answer) {
		n := b.store.demands.Load()
		for range times {
			b.store.demands.Store(n)
			a = b.take(d)
		}
		return a
	}
	d := pacer.Demand{N: 2, Rate: 10, Burst: 1}
	first := send(d, 1)
	other.take(pacer.Demand{N: 1, Rate: 10, Burst: 1})
	b.store.demands.Add(-1)
	if a := send(d, 3); a.N != 2 || a.Number != first.Number || math.Abs(a.from-first.from) > 2 {
		t.Errorf("%+v, and then %+v: expected the same tokens", first.Grant, a.Grant)
	}
	next := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1})
	about(t, "the next token after 3 that were given out", next.from, first.now+300*ms, 5)

	until := send(pacer.Demand{Rate: 10, Burst: 1, CoolDownFor: time.Second, Throttled: 1}, 1)
	b.store.demands.Add(-1)
	b.elapse(20 * time.Millisecond)
	if again := b.take(pacer.Demand{Rate: 10, Burst: 1, CoolDownFor: time.Second, Throttled: 1}); again.until != until.until {
		t.Errorf("the same cool-down told twice ends %.3f ms later", (again.until-until.until)/ms)
	}
	b.store.demands.Add(-2)
	if a := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1}); a.N != 0 {
		t.Errorf("during a cool-down, what was given before it: %+v", a.Grant)
	}
}

// Processes that find no token are served in the order in which they came, and none asks more often than
// twice for a token.
func TestProcessesStandInLine(t *testing.T) {
	d := pacer.Demand{N: 1, Rate: 20, Burst: 1}
	type process struct {
		*bucket
		next float64
		got  int
	}
	b := newBucket(t)
	all := []*process{{bucket: b}}
	for range 29 {
		all = append(all, &process{bucket: b.another()})
	}
	asked, given := 0, 0
	for range 3000 { // milliseconds
		for _, p := range all {
			if float64(b.time.Load()) < p.next {
				continue
			}
			a := p.take(d)
			asked++
			if p.next = a.again; a.N > 0 {
				p.got++
				given++
				p.next = a.from
			}
		}
		b.elapse(time.Millisecond)
	}
	least, most := given, 0
	for _, p := range all {
		least, most = min(least, p.got), max(most, p.got)
	}
	if given < 60 || least < most-1 || float64(asked) > 2.5*float64(given)+float64(len(all)) {
		t.Errorf("%d tokens for %d demands, the processes had %d to %d: expected some 68, two demands for each, and about the same for all", given, asked, least, most)
	}
}

// A process that does not come when it is its turn loses it, and holds nobody up for long.
func TestPlaceInLineExpires(t *testing.T) {
	b := newBucket(t)
	gone := b.another()
	d := pacer.Demand{N: 1, Rate: 1, Burst: 1}
	b.take(d)
	if a := gone.take(d); a.N != 0 {
		t.Fatalf("%+v", a.Grant)
	}
	second := b.take(d)
	about(t, "in how many ms the second in line is to ask", (second.again-second.now)/ms, 1500, 30)
	b.elapse(2 * time.Second)
	if a := b.take(d); a.N != 1 {
		t.Errorf("%+v: expected a token, as the first in line has not come", a.Grant)
	}
}

func TestExpires(t *testing.T) {
	b := newBucket(t)
	lives := func(what, key string, most float64) { // the server's own time, in ms, of which some has passed
		t.Helper()
		n, _ := strconv.Atoi(cli(t, b.server, "PTTL", key))
		about(t, what, float64(n), most*0.75, most*0.25)
	}
	b.take(pacer.Demand{N: 1, Rate: 10, Burst: 5})
	lives("a bucket", b.key(), 60_500)
	lives("its users", b.key()+":users", 10_000)
	b.take(pacer.Demand{Rate: 10, Burst: 5, CoolDownFor: 10 * time.Minute})
	lives("one that is held", b.key(), 660_500)
	b.elapse(10 * time.Minute)
	b.take(pacer.Demand{Rate: 10, Burst: 5, Throttled: 1, Learn: true})
	b.take(pacer.Demand{Rate: 10, Burst: 5, Learn: true, Pace: 8, Learned: 8})
	lives("one that has learned", b.key(), 3600_000)
}

func TestTellsOthers(t *testing.T) {
	b := newBucket(t)
	sub := b.store.rdb.Subscribe(context.Background(), b.store.channel())
	defer sub.Close()
	if _, err := sub.Receive(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1})
	b.take(pacer.Demand{Rate: 10, Burst: 1, CoolDownFor: 1500 * time.Millisecond, TooLong: true})
	m, err := sub.ReceiveMessage(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	n, err := parseNotice(m.Payload)
	if err != nil || n.From != b.store.who || n.Micros != 1_500_000 || !n.TooLong || n.Resource.Name != "Messages" {
		t.Errorf("%+v, %v: expected the cool-down", n, err)
	}
}

// One process learns for all: it hears of the others' answers, and all have its pace. When it is
// gone another one goes on from there.
func TestOneProcessLearns(t *testing.T) {
	b := newBucket(t)
	other := b.another()
	d := pacer.Demand{N: 1, Rate: 100, Burst: 5, Learn: true, Pace: -1}
	if a := b.take(d); a.Learner || a.Heeded {
		t.Errorf("%+v: expected that nobody learns while nothing is throttled", a.Grant)
	}
	d.Throttled, d.Accepted = 1, 9
	if a := b.take(d); !a.Learner || !a.Heeded || a.Accepted+a.Throttled != 0 {
		t.Errorf("the first that was throttled: %+v, expected that it learns", a.Grant)
	}
	d.Throttled, d.Accepted = 2, 30
	for range 2 {
		if a := other.take(d); a.Learner || !a.Heeded || a.Pace != 100 {
			t.Errorf("another one: %+v, expected that it is heeded, and does not learn", a.Grant)
		}
	}
	l := pacer.Demand{N: 1, Rate: 100, Burst: 5, Learn: true, Pace: 40, Learned: 38}
	if a := b.take(l); !a.Learner || a.Accepted != 60 || a.Throttled != 4 || a.Pace != 40 || a.Learned != 38 {
		t.Errorf("the learner: %+v, expected the others' answers, and its own pace", a.Grant)
	}
	if a := b.take(l); a.Accepted+a.Throttled != 0 {
		t.Errorf("again: %+v, expected no answers", a.Grant)
	}
	if a := other.take(d); a.Pace != 40 || a.Learned != 38 {
		t.Errorf("another one: %+v, expected the learner's pace", a.Grant)
	}
	b.elapse(3 * time.Second)
	if a := other.take(d); !a.Learner || a.Pace != 40 || a.Learned != 38 {
		t.Errorf("3 s later: %+v, expected that it learns, from that pace on", a.Grant)
	}
	if a := b.take(l); a.Learner || a.Pace != 40 {
		t.Errorf("the first one: %+v, expected that it follows", a.Grant)
	}
	d.Pace, d.Throttled, d.Accepted = pacer.Unlimited, 0, 0
	if a := other.take(d); !a.Learner || a.Pace != 100 || a.Learned != 0 {
		t.Errorf("it finds that there is no limit: %+v", a.Grant)
	}
	d.Pace = -1
	if a := other.take(d); !a.Learner {
		t.Errorf("it has forgotten that it learns: %+v, expected that it is told", a.Grant)
	}
}

func TestTeachesNothing(t *testing.T) {
	b := newBucket(t)
	for _, rate := range []float64{20, pacer.Unlimited} {
		b.take(pacer.Demand{N: 10, Rate: rate, Burst: 20})
		if a := b.take(pacer.Demand{Rate: rate, Burst: 20, CoolDownFor: 50 * time.Millisecond, Accepted: 10}); a.Learned != 0 || a.Learner || a.CoolDownUntil.IsZero() {
			t.Errorf("rate %v: %+v, expected a cool-down and no more", rate, a.Grant)
		}
		b.elapse(time.Second)
	}
}

// Rates that are valid, and far from what is usual, are kept as any other.
func TestExtremeRates(t *testing.T) {
	for _, tc := range []struct {
		rate    float64
		burst   int
		n, want int
	}{
		{1e17, 1, 50, 50}, {math.MaxFloat64 / 2, 1, 50, 50}, {1e-6, 100_000, 50, 50}, {1e-6, 3, 50, 3}, {1e-9, 100_000, 50, 1}, {1e-300, 5, 50, 1}, {5e-324, 1, 1, 1}, {1e-3, 1 << 62, 50, 50},
	} {
		b := newBucket(t)
		d := pacer.Demand{N: tc.n, Rate: tc.rate, Burst: tc.burst}
		a := b.take(d)
		for i := range a.N {
			if due := a.from - a.now + float64(i)*float64(a.Every.Microseconds()); due > 501*ms {
				t.Errorf("rate %v, burst %d: token %d is due in %.0f ms", tc.rate, tc.burst, i, due/ms)
				break
			}
		}
		if a.N != tc.want {
			t.Errorf("rate %v, burst %d: %+v, expected %d tokens", tc.rate, tc.burst, a.Grant, tc.want)
		}
		b.take(d)
	}
}

func TestUsers(t *testing.T) {
	d := pacer.Demand{Rate: 10, Burst: 1}
	last := newBucket(t)
	for want := 1; want <= 3; want++ {
		if a := last.take(d); a.Processes != want {
			t.Errorf("%d processes, expected %d", a.Processes, want)
		}
		if want < 3 {
			last = last.another()
		}
	}
	last.elapse(11 * time.Second) // none has asked for so long
	if a := last.take(d); a.Processes != 1 {
		t.Errorf("%d processes, expected those that are gone to be forgotten", a.Processes)
	}
}

// Those that come back to a bucket that none has used begin together.
func TestBack(t *testing.T) {
	b := newBucket(t)
	d := pacer.Demand{Rate: 10, Burst: 1, Back: true}
	first := b.take(d)
	about(t, "it opens", first.again, first.now+1000*ms, 2)
	second := b.take(d)
	about(t, "for the second one", second.again, first.again, 2)
	if early := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1}); early.N != 0 || math.Abs(early.again-first.again) > 2 {
		t.Errorf("before that: %+v, expected none until then", early.Grant)
	}
	b.elapse(1100 * time.Millisecond)
	if a := b.take(pacer.Demand{N: 1, Rate: 10, Burst: 1}); a.N != 1 {
		t.Errorf("afterwards: %+v, expected a token", a.Grant)
	}
	if late := b.take(d); late.again != late.now {
		t.Errorf("into a bucket in use: after %.0f ms, expected at once", (late.again-late.now)/ms)
	}
}
