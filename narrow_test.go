package pacer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	conversations "github.com/twilio/twilio-go/rest/conversations/v1"
	lookups "github.com/twilio/twilio-go/rest/lookups/v2"
	syncs "github.com/twilio/twilio-go/rest/sync/v1"
	verify "github.com/twilio/twilio-go/rest/verify/v2"

	"github.com/twilio-pacer/pacer/twiliotest"
)

const (
	hotNumber = "+15005550100"
	verifySID = "VA0123456789abcdef0123456789abcdef"
	syncSID   = "IS0123456789abcdef0123456789abcdef"
	hotTalk   = "CH00000000000000000000000000000000"
)

func startVerification(rc *RestClient, to string) error {
	_, err := rc.VerifyV2.CreateVerification(verifySID, new(verify.CreateVerificationParams).SetTo(to).SetChannel("sms"))
	return err
}

func updateDocument(rc *RestClient, name string) error {
	_, err := rc.SyncV1.UpdateDocument(syncSID, name, new(syncs.UpdateDocumentParams).SetData(map[string]any{"a": 1}))
	return err
}

func to(r *twiliotest.Request) string { return r.Form.Get("To") }

// only gives the limit to some receivers or objects, each by itself. All others have none.
func only(of func(*twiliotest.Request) string, ids ...string) func(*twiliotest.Request) string {
	return func(r *twiliotest.Request) string {
		if id := of(r); slices.Contains(ids, id) {
			return id
		}
		return ""
	}
}

// A trouble is a limit of one receiver or object, and requests that meet it.
type trouble struct {
	limit twiliotest.Limit
	hot   []string
	send  func(rc *RestClient, id string) error
	other func(i int) string
}

var troubles = map[string]trouble{
	"60212, one number at Verify": {
		twiliotest.Limit{Resource: "verify/Verifications", Rate: 1, Window: time.Hour, Code: 60212, Per: only(to, hotNumber)},
		[]string{hotNumber}, startVerification, func(i int) string { return fmt.Sprintf("+1500556%04d", i) },
	},
	"20429, one number at Verify": {
		twiliotest.Limit{Resource: "verify/Verifications", Rate: 1, Window: time.Hour, Per: only(to, hotNumber)},
		[]string{hotNumber}, startVerification, func(i int) string { return fmt.Sprintf("+1500556%04d", i) },
	},
	"20429, several numbers at Verify": {
		twiliotest.Limit{Resource: "verify/Verifications", Rate: 1, Window: time.Hour, Per: only(to, hotNumber, "+15005550101", "+15005550102")},
		[]string{hotNumber, "+15005550101", "+15005550102"}, startVerification, func(i int) string { return fmt.Sprintf("+1500556%04d", i) },
	},
	"54009, one document of Sync": {
		twiliotest.Limit{Resource: "sync/Documents", Method: "*", Rate: 20, Window: 10 * time.Second, Code: 54009, Per: only(func(r *twiliotest.Request) string { return path.Base(r.Path) }, "hot")},
		[]string{"hot"}, updateDocument, func(i int) string { return fmt.Sprint("doc-", i%50) },
	},
	"50063, one conversation": {
		twiliotest.Limit{Resource: "conversations/Messages", Rate: 1, Window: 10 * time.Second, Code: 50063, Per: only(func(r *twiliotest.Request) string { return path.Base(path.Dir(r.Path)) }, hotTalk)},
		[]string{hotTalk},
		func(rc *RestClient, id string) error {
			_, err := rc.ConversationsV1.CreateConversationMessage(id, new(conversations.CreateConversationMessageParams).SetBody("b"))
			return err
		},
		func(i int) string { return fmt.Sprintf("CH1%031d", i%50) },
	},
	"60626, one number at Lookup": {
		twiliotest.Limit{Resource: "lookups/PhoneNumbers", Rate: 1, Window: 10 * time.Second, Code: 60626, Per: only(func(r *twiliotest.Request) string { return path.Base(r.Path) }, hotNumber)},
		[]string{hotNumber},
		func(rc *RestClient, id string) error {
			_, err := rc.LookupsV2.FetchPhoneNumber(id, new(lookups.FetchPhoneNumberParams))
			return err
		},
		func(i int) string { return fmt.Sprintf("+1500556%04d", i) },
	},
	"63018, one receiver of a WhatsApp sender": {
		twiliotest.Limit{Resource: Messages, Rate: 1, Window: time.Hour, Code: 63018, Per: only(to, "whatsapp:"+hotNumber)},
		[]string{"whatsapp:" + hotNumber},
		func(rc *RestClient, id string) error {
			_, err := rc.Api.CreateMessage(message("whatsapp:+15005550006").SetTo(id))
			return err
		},
		func(i int) string { return fmt.Sprintf("whatsapp:+1500556%04d", i) },
	},
}

// others sends for two minutes, twice a second, each for another receiver or object, and
// meanwhile, every two seconds, for the one with the trouble. It returns how long the former
// took on average, and how long the whole took.
func (tr trouble) others(t *testing.T, troubled bool, opts ...Option) (mean time.Duration, c *Client) {
	fake := twiliotest.New(twiliotest.Config{Latency: 200 * time.Millisecond, RetryAfter: twiliotest.NoRetryAfter})
	c = fakeClient(t, fake, append([]Option{WithLimits(Limits{{Resource: Lookups, Rate: Unlimited}}), WithAlert(func(a Alert) { t.Log(a) })}, opts...)...)
	if troubled {
		fake.SetLimits([]twiliotest.Limit{tr.limit})
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var took time.Duration
	n := unlessShort(240, 120)
	for i := range n {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 500 * time.Millisecond)
			began := time.Now()
			if err := tr.send(c.RestClient, tr.other(i)); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took += time.Since(began)
		})
	}
	for i := range n / 4 {
		wg.Go(func() {
			time.Sleep(10*time.Second + time.Duration(i)*2*time.Second + 100*time.Millisecond)
			for n := range 8 {
				wg.Go(func() { _ = tr.send(c.RestClient, tr.hot[(i+n)%len(tr.hot)]) })
			}
		})
	}
	wg.Wait()
	if troubled && fake.Stats().Throttled < 20 {
		t.Errorf("%d throttled: this is no trouble", fake.Stats().Throttled)
	}
	return took / time.Duration(n), c
}

func TestTroubleOfOneReceiverOrObjectDelaysNobodyElse(t *testing.T) {
	for name, tr := range troubles {
		for what, opts := range map[string][]Option{"": nil, ", learning off": {WithLearning(false)}} {
			if testing.Short() && (what != "" || tr.limit.Code != 60212 && tr.limit.Code != codePair) {
				continue
			}
			t.Run(name+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					without, _ := tr.others(t, false, opts...)
					with, c := tr.others(t, true, opts...)
					if with > without+without/10 {
						t.Errorf("all others take %v on average, %v without the trouble: expected at most 1.1 times that", with, without)
					}
					for _, b := range c.Stats().Buckets {
						if b.Learned != 0 && tr.limit.Code != codePair { // whose first answer may be about all

							t.Errorf("%v: learned %v/s from the limit of another thing", b.Resource, b.Learned)
						}
					}
				})
			})
		}
	}
}

// A limit of all that is sent shows in that most keys are throttled. Then everybody waits,
// and the limit is found and kept, as for any other resource.
func TestLimitOfAWholeProductHoldsEverybody(t *testing.T) {
	for name, tt := range map[string]struct {
		limit twiliotest.Limit
		send  func(rc *RestClient, i int) error
	}{
		"20429 of Verify": {twiliotest.Limit{Resource: "verify/Verifications", Rate: 10}, func(rc *RestClient, i int) error {
			return startVerification(rc, fmt.Sprintf("+1500%07d", i))
		}},
		"63018 of a sender, many receivers": {twiliotest.Limit{Resource: Messages, Rate: 10, Code: 63018, PerSender: true}, func(rc *RestClient, i int) error {
			_, err := rc.Api.CreateMessage(message("whatsapp:+15005550006").SetTo(fmt.Sprintf("whatsapp:+1500%07d", i)))
			return err
		}},
		"63018 of a sender, one receiver": {twiliotest.Limit{Resource: Messages, Rate: 10, Code: 63018, PerSender: true}, func(rc *RestClient, _ int) error {
			_, err := rc.Api.CreateMessage(message("whatsapp:+15005550006").SetTo("whatsapp:" + hotNumber))
			return err
		}},
		"54009 of new documents": {twiliotest.Limit{Resource: "sync/Documents", Rate: 10, Code: 54009}, func(rc *RestClient, i int) error {
			_, err := rc.SyncV1.CreateDocument(syncSID, new(syncs.CreateDocumentParams).SetUniqueName(fmt.Sprint(i)))
			return err
		}},
	} {
		if testing.Short() && tt.limit.Resource != "sync/Documents" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				alike := unlisted // without a default, as Verify and Sync
				if tt.limit.Resource == Messages {
					alike = "12345" // with a default that is too high here, as WhatsApp
				}
				control := crowd(t, twiliotest.Limit{Resource: Messages, Rate: 10, Code: tt.limit.Code}, func(rc *RestClient, _ int) error { return createOn(rc, alike) })
				got := crowd(t, tt.limit, tt.send)
				if got.Accepted < 95*control.Accepted/100 || got.Throttled > got.Accepted/20 {
					t.Errorf("%d accepted of 600 possible, %d throttled: expected as many as of a resource that has no narrower limits, %d, and at most 5 %%", got.Accepted, got.Throttled, control.Accepted)
				}
			})
		})
	}
}

// crowd has 50 callers send as much as they may, after a while, for a minute.
func crowd(t *testing.T, limit twiliotest.Limit, send func(rc *RestClient, i int) error) (s twiliotest.Stats) {
	fake := twiliotest.New(twiliotest.Config{Latency: 30 * time.Millisecond, Limits: []twiliotest.Limit{limit}})
	c := fakeClient(t, fake, quiet)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for caller := range 50 {
		wg.Go(func() {
			for i := caller; ctx.Err() == nil; i += 50 {
				if err := send(c.WithContext(ctx), i); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	time.Sleep(15 * time.Second)
	before := fake.Stats()
	time.Sleep(time.Minute)
	s = fake.Stats()
	stop()
	wg.Wait()
	s.Accepted -= before.Accepted
	s.Throttled -= before.Throttled
	return s
}

const hotBody = `{"code": 54009, "message": "Rate limit exceeded", "more_info": "https://www.twilio.com/docs/errors/54009", "status": 429}`

// hot answers what is about the document or map "hot" by a script of its own, all else well.
func hot(s script) script {
	var mu sync.Mutex
	n := 0
	return func(_ int, r *http.Request) *http.Response {
		if !strings.Contains(r.URL.Path, "/hot") {
			return respond(200, `{"unique_name":"doc"}`)
		}
		mu.Lock()
		n++
		i := n
		mu.Unlock()
		return s(i, r)
	}
}

// tooOften throttles the first n, for one object.
func tooOften(n int, header ...string) script {
	return func(i int, _ *http.Request) *http.Response {
		if i <= n {
			return respond(429, hotBody, header...)
		}
		return respond(200, `{"unique_name":"hot"}`)
	}
}

func TestKeyIsHeldAsLongAsTheAnswerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var waits []time.Duration
		w := newWorld(t, hot(tooOften(1, "Retry-After", "7")), quiet, WithObserver(func(_ context.Context, e Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == EventWaited {
				waits = append(waits, e.Wait)
			}
			if e.Kind == EventThrottled && e.Scope != ScopeObject {
				t.Errorf("scope %q, expected that of an object", e.Scope)
			}
		}))
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := updateDocument(w.c.RestClient, "hot"); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		wg.Go(func() {
			if err := updateDocument(w.c.RestClient, "hot"); err != nil || time.Since(w.start) != 7*time.Second {
				t.Errorf("%v after %v: expected to wait for the 7 s that the answer asked for", err, time.Since(w.start))
			}
		})
		time.Sleep(time.Second)
		if n := w.c.Stats().Waiting; n != 2 {
			t.Errorf("%d calls wait, expected the throttled one and the one behind it", n)
		}
		if _, err := w.c.SyncV1.FetchDocument(syncSID, "hot"); err != nil || time.Since(w.start) != 2*time.Second {
			t.Errorf("a read, which has a limit of its own: %v after %v", err, time.Since(w.start))
		}
		if err := updateDocument(w.c.RestClient, "other"); err != nil || time.Since(w.start) != 2*time.Second {
			t.Errorf("another document: %v after %v", err, time.Since(w.start))
		}
		wg.Wait()
		if len(waits) != 1 || waits[0] != 6*time.Second {
			t.Errorf("observers heard of waits %v, expected 6 s", waits)
		}
	})
}

func TestWaitForAKeyIsRefusedIfItIsTooLong(t *testing.T) {
	for name, tt := range map[string]struct {
		opts    []Option
		timeout time.Duration
		is      []error
	}{
		"deadline": {nil, 3 * time.Second, []error{ErrWaitTooLong, context.DeadlineExceeded}},
		"max wait": {[]Option{WithMaxWait(3 * time.Second)}, time.Hour, []error{ErrWaitTooLong}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, hot(tooOften(1, "Retry-After", "60")), append(tt.opts, quiet, WithMaxRetries(0))...)
				_ = updateDocument(w.c.RestClient, "hot")
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				err := updateDocument(w.c.WithContext(ctx), "hot")
				for _, target := range tt.is {
					wantWaitError(t, err, target)
				}
				if since := time.Since(w.start); since != 0 {
					t.Errorf("refused after %v, expected at once", since)
				}
			})
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, hot(tooOften(1, "Retry-After", "60")), quiet, WithMaxRetries(0))
			_ = updateDocument(w.c.RestClient, "hot")
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			wantWaitError(t, updateDocument(w.c.WithContext(ctx), "hot"), context.Canceled)
			if since := time.Since(w.start); since != time.Second {
				t.Errorf("ended after %v, expected with its context", since)
			}
		})
	})
	t.Run("a longer hold than the deadline begins while it waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, hot(func(n int, r *http.Request) *http.Response {
				return tooOften(2, "Retry-After", []string{"", "5", "60"}[min(n, 2)])(n, r)
			}), quiet)
			go func() { _ = updateDocument(w.c.RestClient, "hot") }()
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() { _ = updateDocument(w.c.RestClient, "hot") }) // goes at 5 s, and is throttled
			time.Sleep(time.Second)
			wantWaitError(t, updateDocument(w.c.WithContext(ctx), "hot"), ErrWaitTooLong)
			if since := time.Since(w.start); since < 5*time.Second || since > 7*time.Second {
				t.Errorf("refused after %v, expected when the hold of 60 s began", since)
			}
			wg.Wait()
		})
	})
}

// A Retry-After that no call waits for: those for the same object fail at once, until five
// minutes of it are over.
func TestKeyThatIsHeldForTooLongRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hot(tooOften(1, "Retry-After", "3600")), quiet)
		for i := range 2 {
			err := updateDocument(w.c.RestClient, "hot")
			rl, ok := FromError(err)
			if !ok || rl.Kind != Throttled || rl.Scope != ScopeObject || rl.RetryAfter.Round(time.Second) != time.Hour || rl.Attempts != 1-i {
				t.Errorf("call %d: %v: %+v", i, err, rl)
			}
		}
		if err := updateDocument(w.c.RestClient, "other"); err != nil || time.Since(w.start) != 0 {
			t.Errorf("another document: %v after %v", err, time.Since(w.start))
		}
		time.Sleep(5 * time.Minute)
		if err := updateDocument(w.c.RestClient, "hot"); err != nil {
			t.Errorf("after five minutes: %v", err)
		}
	})
}

// Without a Retry-After each hold of a key is the next step of the schedule, whichever call
// meets it.
func TestHoldsOfAKeyGrowInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hot(func(n int, r *http.Request) *http.Response {
			if n == 8 {
				return respond(200, `{"unique_name":"hot"}`)
			}
			return respond(429, hotBody)
		}), quiet, WithMaxRetries(0))
		for range 9 {
			_ = updateDocument(w.c.RestClient, "hot")
		}
		var pauses []string
		at := w.times()
		for i := 1; i < len(at); i++ {
			pauses = append(pauses, (at[i] - at[i-1]).String())
		}
		if got := strings.Join(pauses, " "); got != "1s 2s 4s 8s 16s 16s 16s 0s" {
			t.Errorf("pauses %s: expected 1, 2, 4, 8, 16 s, and none after an acceptance", got)
		}
		_ = updateDocument(w.c.RestClient, "hot")
		if at := w.times(); at[9]-at[8] != time.Second {
			t.Errorf("%v after the first in a row, expected 1 s", at[9]-at[8])
		}
	})
}

// Those who wait for a key do not leave together: first one, then as many more as pass.
func TestThoseWhoWaitForAKeyLeaveInOrderAndWithoutAHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order [][]string // who was sent at each time
		var last time.Time
		w := newWorld(t, hot(func(n int, r *http.Request) *http.Response {
			mu.Lock()
			if item, now := path.Base(r.URL.Path), time.Now(); now.Equal(last) {
				order[len(order)-1] = append(order[len(order)-1], item)
			} else {
				order, last = append(order, []string{item}), now
			}
			mu.Unlock()
			if n == 1 {
				return respond(429, hotBody, "Retry-After", "10")
			}
			time.Sleep(100 * time.Millisecond)
			return respond(200, `{"key":"k"}`)
		}), quiet)
		update := func(item string) {
			if _, err := w.c.SyncV1.UpdateSyncMapItem(syncSID, "hot", item, new(syncs.UpdateSyncMapItemParams).SetData(map[string]any{})); err != nil {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() { update("first") })
		time.Sleep(time.Millisecond)
		for i := range 14 {
			wg.Go(func() { update(fmt.Sprintf("%02d", i)) })
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		at := make(map[time.Duration]int)
		for _, t := range w.times() {
			at[t]++
		}
		rest := at[10300*time.Millisecond] // the first has up to a second of jitter: it may be among them
		if at[10*time.Second] != 1 || at[10100*time.Millisecond] != 2 || at[10200*time.Millisecond] != 4 || rest != 7 && rest != 8 {
			t.Errorf("sent at %v: expected 1, 2, 4, 7 or 8 at a time from 10 s on", at)
		}
		latest := ""
		for _, together := range order[1:] {
			slices.Sort(together) // nobody can tell which of them was first
			if i := slices.Index(together, "first"); i >= 0 {
				together = slices.Delete(together, i, i+1)
			}
			if len(together) > 0 && together[0] < latest {
				t.Errorf("order %v: expected that of arrival", order)
			}
			if len(together) > 0 {
				latest = together[len(together)-1]
			}
		}
	})
}

// More is wanted of one document than Twilio allows: it gets about what is allowed.
func TestHotObjectGetsWhatTwilioAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := crowd(t, twiliotest.Limit{Resource: "sync/Documents", Method: "*", Rate: 20, Code: 54009}, func(rc *RestClient, _ int) error { return updateDocument(rc, "hot") })
		if got.Accepted < 1080 || got.Throttled > got.Accepted/20 {
			t.Errorf("%d accepted of 1200 possible, %d throttled: expected at least 90 %%, and at most 5 %%", got.Accepted, got.Throttled)
		}
	})
}

func (n *narrow) known() (keys, resources int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.keys), len(n.resources)
}

// What is known of keys is bounded, and forgotten when it is over.
func TestKeysAreBoundedAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{}
		throttle := func(i int) Scope {
			k := keyOfRequest("POST", fmt.Sprintf("%sDocuments/%d", syncURL, i), nil)
			return n.throttled(k, time.Now(), 54009, false, 0, &Outcome{Throttled: true})
		}
		for i := range 2 * maxKeys {
			if scope := throttle(i); scope != ScopeObject {
				t.Fatalf("key %d: scope %q", i, scope)
			}
		}
		if keys, _ := n.known(); keys != maxKeys {
			t.Errorf("%d keys, expected %d at most", keys, maxKeys)
		}
		time.Sleep(3 * time.Minute)
		if keys, _ := n.known(); keys != 0 || n.sweeper != nil {
			t.Errorf("%d keys are known when all is over", keys)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{}
		for i := range maxKeys { // each has a request in flight, so that none can be forgotten
			k := keyOfRequest("POST", fmt.Sprintf("%sDocuments/%d", syncURL, i), nil)
			n.throttled(k, time.Now(), 54009, false, time.Millisecond, &Outcome{Throttled: true, RetryAfter: time.Millisecond})
		}
		time.Sleep(time.Second)
		n.mu.Lock()
		all := slices.Collect(maps.Keys(n.keys))
		n.mu.Unlock()
		var passages []passage
		for _, k := range all {
			p, err := n.try(&k, k.resource)
			if err != nil {
				t.Fatal(err)
			}
			passages = append(passages, p)
		}
		o := Outcome{Throttled: true}
		if scope := n.throttled(keyOfRequest("POST", syncURL+"Documents/more", nil), time.Now(), 54009, false, 0, &o); scope != ScopeObject || !o.Narrow {
			t.Errorf("one more: scope %q, narrow %v: expected that nobody else waits for it", scope, o.Narrow)
		}
		for _, p := range passages {
			n.done(p, Outcome{})
		}
		if keys, _ := n.known(); keys != 0 {
			t.Errorf("%d keys are held whose requests pass again", keys)
		}
	})
	synctest.Test(t, func(t *testing.T) { // of resources, too
		n := &narrow{}
		for i := range 2 * maxKeys {
			k := keyOfRequest("POST", messagesURL, url.Values{"From": {fmt.Sprintf("whatsapp:+1500%07d", i)}, "To": {"whatsapp:+15005550009"}})
			n.done(passage{key: k}, Outcome{})
		}
		if _, resources := n.known(); resources != maxKeys {
			t.Errorf("%d resources, expected %d at most", resources, maxKeys)
		}
		time.Sleep(12 * time.Minute)
		if _, resources := n.known(); resources != 0 {
			t.Errorf("%d resources are known when all is over", resources)
		}
	})
}

// A limiter that fails or panics costs no place in the line of a key.
func TestKeyIsFreeAgainWhateverTheLimiterDoes(t *testing.T) {
	for name, acquire := range map[string]limiterFunc{
		"error":  func(context.Context, Resource) (func(Outcome), error) { return nil, errors.New("not now") },
		"panic":  func(context.Context, Resource) (func(Outcome), error) { panic("limiter") },
		"unused": func(context.Context, Resource) (func(Outcome), error) { return func(Outcome) {}, nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			n, k := &narrow{}, keyOfRequest("POST", syncURL+"Documents/hot", nil)
			n.throttled(k, time.Now(), 54009, false, 0, &Outcome{Throttled: true})
			time.Sleep(2 * time.Second)
			func() {
				defer func() { _ = recover() }()
				done, err := n.acquire(t.Context(), acquire, k.resource, k, time.Now())
				if err == nil {
					done(Outcome{Unused: true})
				}
			}()
			if _, err := n.try(k, k.resource); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestNarrowOutcomeChangesNoBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t)
		r := Resource{Account: account, Region: "us1", Product: "sync", Name: "Services/Documents", Op: Write}
		for range 20 {
			done, err := l.Acquire(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			done(Outcome{Throttled: true, Narrow: true, RetryAfter: time.Hour, TooLong: true, Rate: true, ConcurrentRequests: 7})
		}
		var s Stats
		s.Time = time.Now()
		s.LimiterStats = l.Stats()
		if b := s.Buckets[0]; b.Throttled != 20 || b.CoolDown != 0 || b.Learned != 0 || b.Pace != 0 || s.Accounts[0].Learned != 0 {
			t.Errorf("%+v, %+v", b, s.Accounts[0])
		}
	})
}

// The limit of one receiver is one end user's affair: nobody is alerted. That of an object
// is the program's, and the alert says what to do.
func TestAlertsOfNarrowLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		code, alerts int
		send         func(rc *RestClient) error
	}{
		"a receiver": {60212, 0, func(rc *RestClient) error { return startVerification(rc, hotNumber) }},
		"an object":  {54009, 1, func(rc *RestClient) error { return updateDocument(rc, "hot") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var alerts []Alert
				w := newWorld(t, func(int, *http.Request) *http.Response { return respond(429, errorBody(429, tt.code)) },
					WithThrottledAlert(0.01, 1), WithAlert(func(a Alert) { alerts = append(alerts, a) }))
				rl, ok := FromError(tt.send(w.c.RestClient))
				if !ok || rl.Attempts != 6 || !rl.Scope.Narrow() {
					t.Errorf("%+v", rl)
				}
				if len(alerts) != tt.alerts {
					t.Fatalf("alerts %v, expected %d", alerts, tt.alerts)
				}
				if tt.alerts > 0 && alerts[0].Advice != adviceObject {
					t.Error(alerts[0])
				}
				if s := w.c.Stats(); s.Throttled != 6 {
					t.Errorf("%d throttled, expected 6: they are counted all the same", s.Throttled)
				}
			})
		})
	}
}

// A turn that meets a receiver or object that is held can be used for another one.
func TestTurnOfAHeldKeySendsNothingAndIsNotUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hot(tooOften(1, "Retry-After", "7")), quiet)
		r := Resource{Account: account, Region: "us1", Product: "sync", Name: "Services/Documents", Op: Write}
		send := func(turn *Turn, name string) error {
			resp, err := turn.Send(t.Context(), SentRequest{Method: http.MethodPost, URL: syncURL + "Documents/" + name, Form: url.Values{"Data": {"{}"}},
				Header: map[string]any{"Content-Type": "application/x-www-form-urlencoded"}})
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		}
		turn := func() *Turn {
			turn, err := w.c.Turn(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return turn
		}
		if rl, ok := FromError(send(turn(), "hot")); !ok || rl.Scope != ScopeObject || rl.Attempts != 1 {
			t.Errorf("%+v", rl)
		}
		time.Sleep(time.Second)
		mine := turn()
		err := send(mine, "hot")
		wantWaitError(t, err, errKeyThrottled)
		if rl, _ := FromError(err); rl.Kind != NotSent || rl.Scope != ScopeObject || rl.RetryAfter != 6*time.Second || rl.Attempts != 0 || InDoubt(err) {
			t.Errorf("%+v, in doubt %v", rl, InDoubt(err))
		}
		if err := send(mine, "other"); err != nil {
			t.Errorf("the same turn, another document: %v", err)
		}
		if err := send(mine, "other"); err == nil || !strings.Contains(err.Error(), "used up") {
			t.Errorf("a turn twice: %v", err)
		}
		time.Sleep(6 * time.Second)
		probe := turn()
		if err := send(probe, "hot"); err != nil {
			t.Error(err)
		}
		if n := len(w.times()); n != 3 {
			t.Errorf("%d requests, expected 3", n)
		}
		unused := turn()
		unused.Drop()
		if n := w.c.Stats().Buckets[0].InFlight; n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// While a probe of a key is in flight others for it are sent back, and not along with it.
func TestTurnsOfAKeyGoOneByOneAfterAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, k := &narrow{}, keyOfRequest("POST", syncURL+"Documents/hot", nil)
		n.throttled(k, time.Now(), 54009, false, 0, &Outcome{Throttled: true})
		time.Sleep(time.Second)
		p, err := n.try(k, k.resource)
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.try(k, k.resource)
		wantWaitError(t, err, errKeyThrottled)
		n.done(p, Outcome{})
		for range 3 {
			if _, err := n.try(k, k.resource); err != nil {
				t.Errorf("after the probe has passed: %v", err)
			}
		}
	})
}

// Each case is a sequence of answers of one resource, in words: "a" and so on is accepted
// for key a, "A" throttled; a digit is as many seconds. Expected: "n" for each throttled answer
// that is about its key, "w" for each that is about all.
func TestWhatAPlainThrottleIsAbout(t *testing.T) {
	for name, tt := range map[string]struct{ verify, pair string }{
		"A":                                    {"n", "w"},           // nothing is known: Verify's are mostly about a number, 63018 about the sender
		"AB":                                   {"nw", "ww"},         // others are throttled, too
		"ABCD":                                 {"nwww", "wwww"},     //
		"AAAA":                                 {"nnnn", "wwww"},     // it alone
		"bcdefghA1A2A4A":                       {"nnnn", "wnnn"},     // others pass
		"bAbAbA":                               {"nnn", "wnn"},       //
		"abcdefgABCDE":                         {"nwwww", "wwwww"},   // most of them are refused
		"bcdefghijklmnopqrstuvwxyzA1B1C1A1B1C": {"nnnnnn", "wwwnnn"}, // three of many
		"AB9bcdefghijklmnopqrA1A1A1C":          {"nwnnnn", "wwnnnw"}, // what looked like all was a coincidence
		"ABCDEfghijklmnopqrstuvwxyfghijklmnopqrstuvwxyA1A2A4AZ": {"nwwwwnnnnw", "wwwwwnnnnw"}, // where several are throttled, one may be again and again by chance
		"AB999bcdefghijklmnC": {"nww", "www"}, // after a limit of all was met, the next answer is taken for that
	} {
		for product, want := range map[string]string{"verify": tt.verify, "api": tt.pair} {
			t.Run(product+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := &narrow{}
					code := map[string]int{"verify": 20429, "api": 63018}[product]
					var got strings.Builder
					for _, step := range name {
						k := &key{Resource{Account: account, Product: product}, ScopeReceiver, "", strings.ToLower(string(step))}
						switch {
						case step >= '0' && step <= '9':
							time.Sleep(time.Duration(step-'0') * time.Second)
						case step >= 'a':
							n.done(passage{key: k}, Outcome{})
						default:
							o := Outcome{Throttled: true}
							scope := n.throttled(k, time.Now(), code, false, 0, &o)
							if scope.Narrow() != o.Narrow {
								t.Errorf("scope %q, narrow %v", scope, o.Narrow)
							}
							got.WriteString(map[bool]string{true: "n", false: "w"}[o.Narrow])
						}
					}
					if got.String() != want {
						t.Errorf("%s: %s, expected %s", name, got.String(), want)
					}
				})
			})
		}
	}
}

// Verify names a Service Rate Limit that was reached: that is never about all.
func TestServiceRateLimitOfVerifyIsNarrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, throttle("Twilio-Reached-Rate-Limit", "end_user_ip", "Retry-After", "60"), quiet, WithMaxRetries(0))
		for i := range 20 {
			rl, ok := FromError(startVerification(w.c.RestClient, fmt.Sprintf("+1500555%04d", i)))
			if !ok || rl.Scope != ScopeReceiver {
				t.Errorf("%+v", rl)
			}
		}
		if since := time.Since(w.start); since != 0 {
			t.Errorf("20 users were asked for after %v: they waited for each other", since)
		}
	})
}
