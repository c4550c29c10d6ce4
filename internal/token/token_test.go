package token

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/internal/line"
)

var start = time.Unix(1_800_000_000, 0)

const ms = time.Millisecond

func at(d time.Duration) time.Time { return start.Add(d) }

var (
	_ Source = (*Local)(nil)
	_ Source = (*Shared)(nil)
)

// The head's token stays reserved for the next head, and comes back if nobody waits.
func TestReservationPassesOn(t *testing.T) {
	o := NewLocal(10, 2)
	o.TakeNow(start)
	o.TakeNow(start)
	if o.TakeNow(start) {
		t.Error("a third token of a burst of two")
	}
	for range 3 {
		if d := o.Reserve(start, 10); d != 100*ms {
			t.Fatalf("due in %v, expected 100 ms", d)
		}
	}
	if due, ok := o.Reserved(); !ok || !due.Equal(at(100*ms)) {
		t.Errorf("reserved for %v, %v", due.Sub(start), ok)
	}
	o.Unreserve(start)
	if _, ok := o.Reserved(); ok || o.Reserve(start, 5) != 200*ms {
		t.Error("the token has not come back, or has the old pace")
	}
	if due, _ := o.Take(at(200 * ms)); !due.Equal(at(200 * ms)) {
		t.Errorf("was due at %v", due.Sub(start))
	}
	if o.Full(at(500*ms), 2) || !o.Full(at(700*ms), 2) {
		t.Error("full at another time than after 0.6 s")
	}
}

// After a cool-down one request finds a token, and those behind it find none.
func TestReopenLetsOneThrough(t *testing.T) {
	for _, tc := range []struct {
		name   string
		used   int // of a burst of 10
		rested bool
		first  time.Duration
	}{
		{"full", 0, true, 0},
		{"half empty", 5, true, 0},
		{"empty", 12, true, 0},
		{"empty, and not rested", 12, false, 3 * time.Second},
	} {
		o := NewLocal(1, 10)
		o.bucket.ReserveN(start, tc.used)
		if tc.used > 10 { // more than the burst can be reserved in steps only
			for range tc.used {
				o.bucket.ReserveN(start, 1)
			}
		}
		o.Reopen(start, 1, 10, tc.rested)
		if d := o.Reserve(start, 1); d != tc.first {
			t.Errorf("%s: the first waits %v, expected %v", tc.name, d, tc.first)
		}
		o.Take(start)
		if d := o.Reserve(start, 1); d != tc.first+time.Second {
			t.Errorf("%s: the second waits %v, expected %v", tc.name, d, tc.first+time.Second)
		}
	}
}

func TestUnlimitedTokens(t *testing.T) {
	o := NewLocal(Unlimited, 1)
	for range 1000 {
		if !o.TakeNow(start) {
			t.Fatal("a token is not there")
		}
	}
	o.Reshape(start, 1, 1)
	if d := o.Reserve(start, 1); d > time.Second {
		t.Errorf("then, at 1/s: %v", d)
	}
}

// A fake is a bucket whose tokens are leased, and records what the store is asked.
type fake struct {
	*Shared
	link    Link
	allowed float64
	waiting int
	asked   []Demand
}

func newFake(allowed float64) *fake {
	f := &fake{allowed: allowed}
	f.Shared = f.bucket()
	return f
}

func (f *fake) bucket() *Shared {
	return NewShared(&f.link, 1, User{
		Rate: func() float64 { return f.allowed }, Waiting: func() int { return f.waiting },
		Tell: func(d Demand, _ time.Time) { f.asked = append(f.asked, d) }, Lessons: func() (float64, float64) { return Unlimited, 0 },
	})
}

func (f *fake) last() Demand { return f.asked[len(f.asked)-1] }

// Tokens of a grant may be used one after the other, and those that are left go back.
func TestGrantIsASchedule(t *testing.T) {
	f := newFake(100)
	f.waiting = 5
	if d := f.Reserve(start, 100); d != line.UntilWoken || f.last().N != 5 {
		t.Fatalf("due in %v, asked for %+v", d, f.asked)
	}
	if d := f.Reserve(start, 100); d != line.UntilWoken || len(f.asked) != 1 {
		t.Fatalf("due in %v, asked again: %+v", d, f.asked)
	}
	f.Granted(f.last(), Grant{N: 5, Number: 7, From: start, Every: 10 * ms, Pace: 100, Processes: 2}, start)
	f.waiting = 0
	for i := range 3 {
		due := time.Duration(i) * 10 * ms
		if d := f.Reserve(start, 100); d != due {
			t.Fatalf("the %d. is due in %v, expected %v", i, d, due)
		}
		if got, ok := f.Take(at(due)); !ok || !got.Equal(at(due)) {
			t.Errorf("the %d. was due at %v", i, got.Sub(start))
		}
	}
	f.Return(at(20 * ms))
	if d := f.Demand(0); d.Unused != 2 || d.Last != 7 {
		t.Errorf("given back: %+v, expected 2 of grant 7", d)
	}
	if d := f.Demand(0); d.Unused != 0 {
		t.Errorf("given back once more: %+v", d)
	}
}

// A token is of no use long after its time, and a cool-down leaves none.
func TestTokensEnd(t *testing.T) {
	f := newFake(100)
	f.waiting = 2
	grant := Grant{N: 2, From: start, Every: 10 * ms, Pace: 100}
	f.Reserve(start, 100)
	f.Granted(f.last(), grant, start)
	f.waiting = 0
	f.Unreserve(start)
	if f.Reserve(at(time.Second), 100) != line.UntilWoken {
		t.Error("a token is used a second after its time")
	}
	f.Granted(f.last(), grant, start)
	grant.CoolDownUntil = at(3 * time.Second)
	if held := f.Granted(f.Demand(0), grant, at(time.Second)); !held || len(f.hand.grants) != 0 || f.Demand(0).Unused != 0 {
		t.Errorf("held %v, %d grants, %d unused", held, len(f.hand.grants), f.tells.unused)
	}
}

// A token that is late since its request waited for something else, perhaps for a permit, is not
// lost. Where others use the bucket it goes back, and is exchanged once.
func TestTokenOfALateHead(t *testing.T) {
	grant := Grant{N: 4, Number: 3, From: start, Every: 10 * ms, Pace: 100, Processes: 1}
	f := newFake(100)
	f.waiting = 4
	f.Reserve(start, 100)
	f.Granted(f.last(), grant, start)
	f.Reserve(at(25*ms), 100)
	if due, ok := f.Take(at(25 * ms)); !ok || !due.Equal(start) {
		t.Errorf("due at %v, %v: expected the first token", due.Sub(start), ok)
	}
	for i, want := range []time.Duration{10 * ms, 20 * ms, 30 * ms} {
		if d := f.Reserve(at(25*ms), 100); d != want {
			t.Errorf("the token %d after it is due in %v, expected %v", i+1, d, want)
		}
		f.Take(at(25*ms + want))
	}

	f = newFake(100)
	f.waiting = 4
	f.Reserve(start, 100)
	grant.Processes = 2
	f.Granted(f.last(), grant, start)
	f.Reserve(at(25*ms), 100)
	if due, ok := f.Take(at(25 * ms)); !ok || !due.Equal(at(10*ms)) {
		t.Errorf("others use the bucket: the token of %v was used, %v: expected the first that is not late", due.Sub(start), ok)
	}
	f.Granted(f.last(), Grant{Again: at(59 * ms), Pace: 100, Processes: 2}, at(26*ms)) // it had asked for more
	f.Reserve(at(58*ms), 100)
	if _, ok := f.Take(at(60 * ms)); ok {
		t.Error("others use the bucket, and a token was used 30 ms after its time")
	}
	if d := f.last(); d.N != 4 || d.Unused != 1 || d.Last != 3 {
		t.Fatalf("asked %+v: expected 4 tokens in exchange for the last one of grant 3", f.asked)
	}
	grant.N = 1
	for i := range maxSwaps {
		given := time.Duration(61+100*i) * ms
		grant.From, grant.Number = at(given), int64(4+i)
		f.Granted(f.last(), grant, at(given))
		f.Reserve(at(given+30*ms), 100)
		if _, ok := f.Take(at(given + 30*ms)); ok != (i == maxSwaps-1) {
			t.Errorf("exchange %d: used %v: expected that no head can starve, and that the others come first before", i+1, ok)
		}
	}
}

// While the store does not answer each process has its share, after a moment in which it
// pauses. When the store answers again all buckets rejoin at the time that it says.
func TestOutage(t *testing.T) {
	f := newFake(100)
	other := f.bucket()
	f.waiting = 1
	f.Reserve(start, 100)
	f.Granted(f.last(), Grant{N: 1, From: start, Every: 10 * ms, Pace: 100, Processes: 3}, start)
	f.Take(start)
	f.Reserve(start, 100)
	gone := errors.New("gone")
	first, _ := f.Failed(f.last(), gone, false, start, start)
	if second, alone := f.Failed(f.last(), gone, false, start, start); !first || second || alone {
		t.Error("an outage is news once, for all buckets")
	}
	for _, x := range []*Shared{f.Shared, other} {
		if got := x.Share(100); got != 100*awayShare/3 {
			t.Errorf("share %v, expected 30", got)
		}
		x.Away(start, 30)
		if d := x.Reserve(start, 30); d != quietAtFirst || x.TakeNow(start) {
			t.Errorf("it goes on in %v, expected %v", d, quietAtFirst)
		}
		if d := x.Reserve(at(quietAtFirst), 30); d > 0 {
			t.Errorf("after that it waits %v", d)
		}
	}
	var asked []time.Duration
	for now := time.Duration(0); now < 2*time.Second; now += 50 * ms {
		n := len(f.asked)
		if f.Rejoin(at(now)) || other.Rejoin(at(now)) {
			t.Fatal("rejoined a store that does not answer")
		}
		if len(f.asked) > n {
			asked = append(asked, now)
			f.Failed(f.last(), gone, false, at(now), at(now))
		}
	}
	if want := []time.Duration{500 * ms, 1000 * ms, 1500 * ms}; !slices.Equal(asked, want) {
		t.Errorf("asked at %v, expected %v", asked, want)
	}
	f.Rejoin(at(2 * time.Second))
	f.Granted(f.last(), Grant{Pace: 100, Processes: 1, Again: at(3 * time.Second)}, at(2*time.Second))
	if !f.last().Back || other.Rejoin(at(2900*ms)) {
		t.Error("rejoined before the store's time")
	}
	if !other.Rejoin(at(3*time.Second)) || f.Rejoin(at(3*time.Second)) || f.link.Err != nil || !f.FromStore() || f.Share(100) != 100 {
		t.Errorf("not rejoined: %+v", f.link)
	}
}

// A bucket that nothing limits does not ask, until the store paces it.
func TestUnpacedBucketDoesNotAsk(t *testing.T) {
	f := newFake(Unlimited)
	if !f.TakeNow(start) || f.Reserve(start, Unlimited) != 0 || f.FromStore() || len(f.asked) > 0 {
		t.Errorf("asked for %+v", f.asked)
	}
	f.CooledByOthers(0, start)
	if f.TakeNow(start) || f.Reserve(start, Unlimited) != line.UntilWoken || len(f.asked) != 1 {
		t.Errorf("another process was throttled: asked for %+v", f.asked)
	}
}

// A report that has waited for the one before it says what is left of its cool-down. Calls wait for
// that, if the time that was too long to wait for has passed meanwhile.
func TestReportThatHasWaitedSaysWhatIsLeft(t *testing.T) {
	for _, tc := range []struct {
		name     string
		answered time.Duration
		want     time.Duration
		tooLong  bool
	}{
		{"before the time that was too long", time.Second, 2 * time.Second, true},
		{"after it", 4 * time.Second, 6 * time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake(100)
			f.CoolsDown(at(time.Second), time.Time{}, start)
			first := f.last()
			f.CoolsDown(at(10*time.Second), at(3*time.Second), start)
			f.Granted(first, Grant{Pace: 100, Processes: 1}, at(tc.answered))
			if d := f.last(); len(f.asked) != 2 || d.CoolDownFor != tc.want || d.TooLong != tc.tooLong {
				t.Errorf("%d demands, the last is for %v, too long %v: expected a second one, for %v, %v", len(f.asked), d.CoolDownFor, d.TooLong, tc.want, tc.tooLong)
			}
		})
	}
}
