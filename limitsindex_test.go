package pacer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// allow is what the limiter's rules say about r.
func (ls Limits) allow(r Resource) allowance { return index(ls).allow(r) }

// With and without the index the same rules win. Rules and resources are made of few words,
// so that many match, also those that one may not write: the index knows no validity.
func TestIndexChangesNoRulesPrecedence(t *testing.T) {
	names := []string{"Messages", "Calls", "Services", "Verifications", "a/b", "Services/Verifications", "x/Services/Verifications", "b", "", "*", "/b", "Accounts"}
	products := []string{"api", "verify", "lookups", "a", "*", ""}
	senders := []string{"", "", sender, sender2, "whatsapp:" + sender}
	accounts := []string{"", "", account, "AC2"}
	ops := []Op{"", "", Create, Read, Write}
	for seed := range unlessShort[uint64](2000, 300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		pick := func(from []string) string { return from[rng.IntN(len(from))] }
		rules := make(Limits, rng.IntN(30))
		for i := range rules {
			l := Limit{Sender: pick(senders), Account: pick(accounts), Op: ops[rng.IntN(len(ops))]}
			switch rng.IntN(5) {
			case 0:
				l.Resource = "*"
			case 1:
				l.Resource = pick(names)
			case 2:
				l.Resource = pick(products) + "/*"
			default:
				l.Resource = pick(products) + "/" + pick(names)
			}
			if rng.IntN(3) > 0 {
				l.Rate, l.Burst = float64(1+i), i
			}
			if rng.IntN(3) > 0 {
				l.MaxInFlight = 1 + i
			}
			rules[i] = l
		}
		rs := index(rules)
		var all []int32
		for i := range rules {
			all = append(all, int32(i))
		}
		for range 30 {
			r := Resource{pick(accounts), "us1", pick(products), pick(names), ops[rng.IntN(len(ops))], pick(senders)}
			want := rs.allowBy(all, r)
			got := rs.allow(r)
			if !want.listed && got.byDefault != nil { // the table of defaults, which has no index
				got.rate, got.burst, got.listed, got.byDefault = want.rate, want.burst, false, nil
			}
			if got != want {
				t.Fatalf("seed %d: %#v\nhas %+v, expected %+v of\n%+v", seed, r, got, want, rules)
			}
		}
	}
}

// A new sender costs a look at the rules that are about it, and not at 10,000 others.
func TestRulesOfOthersAreNotLookedAt(t *testing.T) {
	const n = 10_000
	names := []string{"verify/Services/Verifications", "Calls", "lookups/PhoneNumbers"}
	for name, rule := range map[string]func(i int) (Limit, Resource){
		"senders": func(i int) (Limit, Resource) {
			s := fmt.Sprintf("+1500%07d", i)
			return Limit{Resource: Messages, Sender: s, Rate: 1}, from(s)
		},
		"accounts": func(i int) (Limit, Resource) {
			a := fmt.Sprintf("AC%032d", i)
			return Limit{Resource: Messages, Account: a, Rate: 1}, Resource{a, "us1", "api", Messages, Create, sender}
		},
		"accounts and operations": func(i int) (Limit, Resource) {
			a := fmt.Sprintf("AC%032d", i/3)
			op := []Op{Read, Create, Write}[i%3]
			return Limit{Resource: names[i%len(names)], Account: a, Op: op, Rate: 1}, Resource{a, "us1", "lookups", "PhoneNumbers", Write, ""}
		},
		"resources": func(i int) (Limit, Resource) {
			p := fmt.Sprintf("p%d", i/10)
			return Limit{Resource: fmt.Sprintf("%s/N%d", p, i%10), Rate: 1}, Resource{account, "us1", p, fmt.Sprintf("a/b/N%d", i%10), Create, ""}
		},
	} {
		t.Run(name, func(t *testing.T) {
			rules := Limits{{Resource: "*", Rate: 1}, {Resource: "Messages", Rate: 1}, {Resource: "verify/*", Rate: 2}}
			var rs []Resource
			for i := range n {
				l, r := rule(i)
				rules, rs = append(rules, l), append(rs, r)
			}
			indexed := index(rules)
			for _, r := range rs[n-100:] {
				if looked := len(indexed.about(r)); looked > 4 || looked == 0 {
					t.Fatalf("%d rules looked at for %v", looked, r)
				}
			}
		})
	}
}

// SetLimits does not keep the lock until it has come to all of 20,000 buckets: others get in
// while it is at work. Then it has come to every one, to those made meanwhile as well.
func TestSetLimitsLetsCallsPass(t *testing.T) {
	n := unlessShort(20_000, 5000)
	l := newLimiter(t, Limit{Resource: Messages, Rate: 1e6})
	pass := func(i int) {
		done, err := l.Acquire(bg, from(fmt.Sprintf("+1500%07d", i)))
		if err != nil {
			t.Error(err)
			return
		}
		done(Outcome{})
	}
	for i := range n {
		pass(i)
	}
	var between atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			pass(n/2 + i%n) // half of them are new
			l.mu.Lock()
			rates := map[float64]bool{}
			for e := l.byAge.Front(); e != nil && len(rates) < 2; e = e.Next() {
				rates[e.Value.(*bucket).allowed.rate] = true
			}
			l.mu.Unlock()
			if len(rates) == 2 {
				between.Add(1)
			}
		}
	})
	var setting sync.WaitGroup
	for i := range 5 {
		setting.Go(func() { // of several at a time the last one counts, in all buckets
			_ = l.SetLimits(Limits{{Resource: Messages, Rate: 2e6 + float64(i), Burst: 100}})
		})
	}
	setting.Wait()
	close(stop)
	wg.Wait()
	if between.Load() == 0 {
		t.Error("nobody got in while the limits were set")
	}
	want := l.Limits()[0].Rate
	l.mu.Lock() // on a slow machine sweep runs meanwhile
	defer l.mu.Unlock()
	for r, b := range l.buckets {
		if b.allowed.rate != want {
			t.Fatalf("%v has a rate of %v, expected %v", r, b.allowed.rate, want)
		}
	}
	if len(l.buckets) < n {
		t.Errorf("%d buckets", len(l.buckets))
	}
}

// While rules are matched, calls pass: one that comes in the middle of that does not wait. The
// rules are matched once for each bucket, and each bucket gets what was found for it.
func TestRulesAreMatchedWithoutTheLimitersLock(t *testing.T) {
	l := newLimiter(t, Limit{Resource: Messages, Rate: 1e6})
	pass := func(sender string) {
		done, err := l.Acquire(bg, from(sender))
		if err != nil {
			t.Error(err)
			return
		}
		done(Outcome{})
	}
	const n = 3*eachBatch + 5
	for i := range n {
		pass(fmt.Sprint(i))
	}
	looked := map[Resource]int{}
	changed := map[Resource]int{}
	l.mu.Lock()
	l.each(func(r Resource) allowance {
		if !l.mu.TryLock() {
			t.Fatal("the lock is held while rules are matched")
		}
		l.mu.Unlock()
		if looked[r]++; len(looked) == n/2 {
			pass("7")
		}
		return allowance{rate: float64(len(r.Sender)), burst: 3}
	}, func(b *bucket, found allowance, _ time.Time) {
		if l.mu.TryLock() {
			t.Fatal("a bucket is changed without the lock")
		}
		changed[b.resource]++
		if found.rate != float64(len(b.resource.Sender)) {
			t.Errorf("%s has been given what was found for another: %+v", b.resource.Sender, found)
		}
	})
	l.mu.Unlock()
	for r := range l.buckets {
		if looked[r] != 1 || changed[r] != 1 {
			t.Errorf("%s: rules matched %d times, changed %d times, expected once each", r.Sender, looked[r], changed[r])
		}
	}
	if len(looked) != n {
		t.Errorf("%d buckets, expected %d", len(looked), n)
	}
}

// Calls that wait feel new limits, in whichever batch their bucket is.
func TestSetLimitsReachesWaitersOfAllBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Limit{Resource: "*", Rate: 1e-6})
		const n = 5 * eachBatch
		var left atomic.Int64
		var wg sync.WaitGroup
		for i := range 2 * n {
			wg.Go(func() {
				done, err := l.Acquire(bg, from(fmt.Sprintf("+1500%07d", i%n)))
				if err != nil {
					t.Error(err)
					return
				}
				left.Add(1)
				done(Outcome{})
			})
		}
		synctest.Wait()
		if left.Load() != n {
			t.Fatalf("%d have left, expected one of each sender", left.Load())
		}
		try(t, l.SetLimits(Limits{{Resource: "*", Rate: Unlimited}}))
		synctest.Wait()
		if left.Load() != 2*n {
			t.Errorf("%d have left, expected all", left.Load())
		}
		wg.Wait()
	})
}

// Limits of the caller's may change afterwards.
func TestSetLimitsKeepsACopy(t *testing.T) {
	given := Limits{{Resource: Messages, Rate: 7}}
	l := newLimiter(t)
	try(t, l.SetLimits(given))
	given[0].Rate = 1
	if got := l.Limits(); !slices.Equal(got, Limits{{Resource: Messages, Rate: 7}}) || l.allow(from(sender)).rate != 7 {
		t.Errorf("limits %+v", got)
	}
}

// BenchmarkNewSender is the first request of a sender, with few rules and with many. It is
// all under the limiter's lock.
func BenchmarkNewSender(b *testing.B) {
	for _, rules := range []int{0, 10, 10_000} {
		b.Run(fmt.Sprintf("%d rules", rules), func(b *testing.B) {
			var limits Limits
			for i := range rules {
				limits = append(limits, Limit{Resource: Messages, Sender: fmt.Sprintf("+1500%07d", i), Rate: 1})
			}
			l, err := NewLimiter(limits)
			if err != nil {
				b.Fatal(err)
			}
			i := 0
			for b.Loop() {
				i++
				done, err := l.Acquire(bg, from(fmt.Sprintf("+1600%07d", i)))
				if err != nil {
					b.Fatal(err)
				}
				done(Outcome{})
			}
		})
	}
}

// BenchmarkSetLimits sets limits of 10,000 senders in use, with one rule and with one for each of
// them. The wait is that of calls that come meanwhile: of 100 all but one are not longer.
func BenchmarkSetLimits(b *testing.B) {
	const senders = 10_000
	for _, rules := range []int{1, senders} {
		b.Run(fmt.Sprintf("%d rules", rules), func(b *testing.B) {
			var sets [2]Limits
			for i := range rules {
				for j := range sets {
					rule := Limit{Resource: Messages, Rate: float64(1 + j)}
					if rules > 1 {
						rule.Sender = fmt.Sprintf("+1500%07d", i)
					}
					sets[j] = append(sets[j], rule)
				}
			}
			l, err := NewLimiter(sets[1])
			if err != nil {
				b.Fatal(err)
			}
			pass := func(r Resource) {
				done, err := l.Acquire(bg, r)
				if err != nil {
					b.Error(err)
					return
				}
				done(Outcome{})
			}
			for i := range senders {
				pass(from(fmt.Sprintf("+1500%07d", i)))
			}
			stop := make(chan struct{})
			var waits []time.Duration
			var wg sync.WaitGroup
			wg.Go(func() {
				other := Resource{account, "us1", "verify", "Verifications", Create, ""}
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Microsecond):
						began := time.Now()
						pass(other)
						waits = append(waits, time.Since(began))
					}
				}
			})
			i := 0
			for b.Loop() {
				if err := l.SetLimits(sets[i%2]); err != nil {
					b.Fatal(err)
				}
				i++
			}
			close(stop)
			wg.Wait()
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "µs-wait-p99")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(i)/senders, "ns/bucket")
		})
	}
}
