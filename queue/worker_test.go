package queue_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

const (
	sender   = "+15005550006"
	receiver = "+15005550009"
)

// A world is a queue, a fake Twilio, and what workers have alerted of. All of it lives in
// a synctest bubble.
type world struct {
	t     *testing.T
	q     *queue.Queue
	fake  *twiliotest.Fake
	start time.Time

	mu     sync.Mutex
	alerts []queue.Alert
}

func newWorld(t *testing.T, cfg twiliotest.Config) *world {
	t.Helper()
	e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	return worldOn(t, e, cfg)
}

// worldOn is newWorld on an engine.
func worldOn(t *testing.T, e queue.Engine, cfg twiliotest.Config) *world {
	t.Helper()
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, q: q, fake: twiliotest.New(cfg), start: time.Now()}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// client returns a client of the fake's, with limits of its own.
func (w *world) client(limits ...pacer.Limit) *pacer.Client {
	w.t.Helper()
	params := pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}
	c, err := pacer.New(params, pacer.WithHTTPClient(w.fake.Client()), pacer.WithLimits(append(pacer.Limits{}, limits...)), pacer.WithAlert(func(pacer.Alert) {}))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

var unlimited = pacer.Limit{Resource: "*", Rate: pacer.Unlimited}

// work starts a worker, and returns what stops it.
func (w *world) work(c *pacer.Client, opts ...queue.WorkerOption) (stop func() error) {
	w.t.Helper()
	alert := queue.WithAlert(func(a queue.Alert) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.alerts = append(w.alerts, a)
	})
	worker, err := queue.NewWorker(w.q, c, append([]queue.WorkerOption{alert}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	w.t.Cleanup(func() { _ = stop() })
	return stop
}

func (w *world) alerted(kind queue.AlertKind) (n int) {
	synctest.Wait() // alerts are delivered by a goroutine of their own
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.alerts {
		if a.Kind == kind {
			n++
			if strings.Contains(a.String(), receiver) || strings.Contains(a.String(), sender) {
				w.t.Errorf("an alert tells a number: %v", a)
			}
		}
	}
	return n
}

func message(from, to, body string) func(*twilio.RestClient) error {
	return func(tw *twilio.RestClient) error {
		p := &api.CreateMessageParams{}
		p.SetTo(to).SetFrom(from).SetBody(body)
		_, err := tw.Api.CreateMessage(p)
		return err
	}
}

func (w *world) enqueue(body string, opts ...queue.EnqueueOption) queue.ID {
	w.t.Helper()
	return w.enqueueFrom(sender, body, opts...)
}

func (w *world) enqueueFrom(from, body string, opts ...queue.EnqueueOption) queue.ID {
	w.t.Helper()
	id, err := w.q.Enqueue(context.Background(), message(from, receiver, body), opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// want waits for a result and checks its state.
func (w *world) want(id queue.ID, state queue.State) queue.Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Hour)
	defer cancel()
	await := w.q.Wait
	if !state.Final() { // then it is to stay as it is
		time.Sleep(5 * time.Minute)
		await = w.q.Result
	}
	r, err := await(ctx, id)
	if r.State != state {
		w.t.Errorf("%s is %q (%v, %v), expected %q", id, r.State, r.Err, err, state)
	}
	return r
}

// sent is when each message was accepted, by its text.
func (w *world) sent() map[string]time.Duration {
	at := make(map[string]time.Duration)
	for _, m := range w.fake.Messages() {
		at[m.Form.Get("Body")] = m.Time.Sub(w.start)
	}
	return at
}

// once checks that each of so many messages was accepted once.
func (w *world) once(n int) {
	w.t.Helper()
	if d := w.fake.Duplicates(); len(d) > 0 {
		w.t.Errorf("%d accepted twice: %v", len(d), d)
	}
	if got := len(w.fake.Messages()); got != n {
		w.t.Errorf("%d accepted, expected %d", got, n)
	}
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestWorkerSends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 50 * time.Millisecond})
		early := w.enqueue("before the worker", queue.Label("order", "1234"))
		w.work(w.client(unlimited), queue.WithResponses())
		r := w.want(early, queue.Sent)
		if r.SID != w.fake.Messages()[0].SID || r.Err != nil || r.Attempts != 1 || r.Labels["order"] != "1234" || !strings.Contains(string(r.Response), r.SID) {
			t.Errorf("result %+v", r)
		}
		w.want(w.enqueue("beside the worker"), queue.Sent)
		w.once(2)
		s, err := w.q.Stats(t.Context())
		if err != nil || s.Total.Sent != 2 || s.Total.Ready+s.Total.Sending != 0 {
			t.Errorf("stats %+v, %v", s.Total, err)
		}
	})
}

// A throttled request goes back to its place, costs no attempt, and its lane pauses
// for exactly as long as Twilio says, plus up to a second.
func TestThrottledLaneWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: "30", Times: 1, Match: isMessage})
		first, second := w.enqueue("first"), w.enqueue("second")
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
		if r := w.want(first, queue.Sent); r.Attempts != 1 {
			t.Errorf("%d attempts, expected 1: a throttle is none", r.Attempts)
		}
		w.want(second, queue.Sent)
		at := w.sent()
		if d := at["first"]; d < 30*time.Second || d > 32*time.Second {
			t.Errorf("first sent after %v, expected 30 s to 31 s and a little", d)
		}
		if at["second"] < at["first"]+900*time.Millisecond {
			t.Errorf("second at %v after first at %v: expected it after, at the pace of 1/s", at["second"], at["first"])
		}
		w.once(2)
	})
}

func isMessage(r *twiliotest.Request) bool { return r.Method == http.MethodPost }

// Without Retry-After: 1, 2, 4, 8, 16, 16 s, an alert at the sixth, and on it goes.
func TestThrottledInARow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Times: 7, Match: isMessage, Delay: 30 * time.Millisecond})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		w.want(id, queue.Sent)
		var at []time.Duration
		for _, r := range w.fake.Refused() {
			at = append(at, r.Time.Sub(w.start).Round(time.Second))
		}
		s := time.Second
		if want := []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s, 31 * s, 47 * s}; !slices.Equal(at, want) {
			t.Errorf("tried at %v, expected %v", at, want)
		}
		if n := w.alerted(queue.AlertThrottled); n != 1 {
			t.Errorf("%d alerts, expected 1", n)
		}
		w.once(1)
	})
}

func TestFinalErrorsFail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21211, Message: "Invalid 'To' Phone Number", Times: 1})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		r := w.want(id, queue.Failed)
		var te *client.TwilioRestError
		if !errors.As(r.Err, &te) || te.Code != 21211 || te.Status != 400 || r.Attempts != 1 {
			t.Errorf("result %+v, error %v", r, r.Err)
		}
		if err := w.q.Requeue(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if r := w.want(id, queue.Sent); r.Attempts != 2 {
			t.Errorf("%d attempts after Requeue, expected 2", r.Attempts)
		}
	})
}

func TestUnreachable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RefuseConnection, Times: 8})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		w.want(id, queue.Sent)
		// 1+2+4+8+16+32+60+60 s
		if at := w.sent()["one"].Round(time.Second); at != 183*time.Second {
			t.Errorf("sent after %v, expected 183 s", at)
		}
		if n := w.alerted(queue.AlertUnreachable); n != 1 {
			t.Errorf("%d alerts, expected 1", n)
		}
		w.once(1)
	})
}

// A worker with a wrong token fails nothing.
func TestUnauthorized(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003, Times: 2})
		ids := []queue.ID{w.enqueue("one"), w.enqueue("two")}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
		for _, id := range ids {
			if r := w.want(id, queue.Sent); r.Attempts != 1 {
				t.Errorf("%d attempts, expected 1", r.Attempts)
			}
		}
		if at := w.sent()["one"]; at < time.Minute || at > 3*time.Minute {
			t.Errorf("sent after %v, expected some minutes", at)
		}
		if n := w.alerted(queue.AlertUnauthorized); n == 0 {
			t.Error("no alert")
		}
	})
}

func TestQuotaHoldsTheLane(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 63038, Times: 1})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		time.Sleep(59 * time.Minute)
		if r, _ := w.q.Result(t.Context(), id); r.State != queue.Ready {
			t.Errorf("%q after 59 minutes, expected it to wait", r.State)
		}
		w.want(id, queue.Sent)
		if n := w.alerted(queue.AlertHeld); n != 1 {
			t.Errorf("%d alerts, expected 1", n)
		}
	})
}

func TestInDoubt(t *testing.T) {
	for name, tt := range map[string]struct {
		fault    twiliotest.FaultKind
		opts     []queue.WorkerOption
		want     queue.State
		accepted int
		alerts   int
		attempts int
	}{
		"accepted, then cut: found":           {twiliotest.DropAfterAccept, nil, queue.Sent, 1, 0, 1},
		"accepted, then 5xx: found":           {twiliotest.AcceptThenStatus, nil, queue.Sent, 1, 0, 1},
		"cut before accepted: sent":           {twiliotest.DropBeforeAccept, nil, queue.Sent, 1, 0, 2},
		"5xx and not accepted: sent":          {twiliotest.RespondStatus, nil, queue.Sent, 1, 0, 2},
		"parked":                              {twiliotest.DropAfterAccept, []queue.WorkerOption{queue.WithInDoubt(queue.ParkInDoubt)}, queue.InDoubt, 1, 1, 1},
		"sent again, as told, and twice then": {twiliotest.DropAfterAccept, []queue.WorkerOption{queue.WithInDoubt(queue.Resend, "api/Messages:create")}, queue.Sent, 2, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{Latency: 100 * time.Millisecond})
				w.fake.Inject(twiliotest.Fault{Kind: tt.fault, Times: 1, Match: isMessage})
				id := w.enqueue("one")
				w.work(w.client(unlimited), tt.opts...)
				r := w.want(id, tt.want)
				if r.Attempts != tt.attempts {
					t.Errorf("%d attempts, expected %d", r.Attempts, tt.attempts)
				}
				accepted := w.fake.Messages()
				if len(accepted) != tt.accepted {
					t.Errorf("accepted %d times, expected %d", len(accepted), tt.accepted)
				}
				if r.State == queue.Sent && r.SID != accepted[len(accepted)-1].SID {
					t.Errorf("SID %q, expected %q", r.SID, accepted[len(accepted)-1].SID)
				}
				if n := w.alerted(queue.AlertInDoubt); n != tt.alerts {
					t.Errorf("%d alerts, expected %d", n, tt.alerts)
				}
			})
		})
	}
}

// A worker that vanishes after it has claimed: its lease ends, and Twilio is asked.
func TestVanishedWorker(t *testing.T) {
	for _, sent := range []bool{false, true} {
		t.Run(fmt.Sprintf("sent=%v", sent), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{})
				id := w.enqueue("one")
				lanes, _, err := w.q.Engine().Work(t.Context())
				if err != nil || len(lanes) != 1 {
					t.Fatal(lanes, err)
				}
				jobs, err := w.q.Engine().Claim(t.Context(), queue.Claim{Lane: lanes[0].Lane, Max: 1, Lease: time.Minute})
				if err != nil || len(jobs) != 1 {
					t.Fatal(jobs, err)
				}
				if sent {
					p := &api.CreateMessageParams{}
					p.SetTo(receiver).SetFrom(sender).SetBody("one")
					if _, err := w.client(unlimited).Api.CreateMessage(p); err != nil {
						t.Fatal(err)
					}
				}
				w.work(w.client(unlimited))
				w.want(id, queue.Sent)
				w.once(1)
			})
		})
	}
}

func TestSafeRequestsAreSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 503, Times: 2})
		id, err := w.q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
			_, err := tw.LookupsV2.FetchPhoneNumber(receiver, nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.work(w.client(unlimited), queue.WithResponses())
		if r := w.want(id, queue.Sent); r.Attempts != 3 || len(r.Response) == 0 {
			t.Errorf("result %+v", r)
		}
	})
}

func TestOrderAndPriorities(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		var last queue.ID
		for i := range 5 {
			w.enqueue(fmt.Sprintf("low %d", i), queue.Low)
			last = w.enqueue(fmt.Sprintf("normal %d", i))
		}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
		time.Sleep(1500 * time.Millisecond)
		otp := w.enqueue("otp", queue.High)
		w.want(otp, queue.Sent)
		w.want(last, queue.Sent)
		time.Sleep(20 * time.Second)
		var order []string
		for _, m := range w.fake.Messages() {
			order = append(order, m.Form.Get("Body"))
		}
		want := []string{"normal 0", "normal 1", "otp", "normal 2", "normal 3", "normal 4", "low 0", "low 1", "low 2", "low 3", "low 4"}
		if !slices.Equal(order, want) {
			t.Errorf("order\n%v, expected\n%v", order, want)
		}
	})
}

// However many of high priority there are, one in ten is the one that waits longest.
func TestNoPriorityStarves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		low := w.enqueue("low", queue.Low)
		for i := range 60 {
			w.enqueue(fmt.Sprintf("high %d", i), queue.High)
		}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 10}))
		w.want(low, queue.Sent)
		if n := len(w.fake.Messages()); n > 12 {
			t.Errorf("sent as number %d, expected at most the tenth, and what left beside it", n)
		}
	})
}

func TestAtInDeadlineCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		at := w.enqueue("at", queue.At(w.start.Add(15*time.Minute)))
		in := w.enqueue("in", queue.In(10*time.Minute))
		cancelled := w.enqueue("cancelled", queue.In(5*time.Minute))
		if err := w.q.Cancel(t.Context(), cancelled); err != nil {
			t.Fatal(err)
		}
		late := w.enqueue("late", queue.Deadline(w.start.Add(time.Minute)))
		time.Sleep(2 * time.Minute) // no worker was there
		w.work(w.client(unlimited))
		r := w.want(late, queue.Failed)
		if r.Err == nil || r.Err.Error() != queue.ReasonDeadline {
			t.Errorf("late: %v", r.Err)
		}
		w.want(cancelled, queue.Cancelled)
		w.want(in, queue.Sent)
		w.want(at, queue.Sent)
		for body, want := range map[string]time.Duration{"at": 15 * time.Minute, "in": 10 * time.Minute} {
			if d := w.sent()[body] - want; d < 0 || d > 100*time.Millisecond {
				t.Errorf("%q sent %v after its time", body, d)
			}
		}
		w.once(2)
		var state *queue.StateError
		if err := w.q.Cancel(t.Context(), at); !errors.As(err, &state) || state.State != queue.Sent {
			t.Errorf("cancelling what was sent: %v", err)
		}
		if err := w.q.Requeue(t.Context(), late); err != nil {
			t.Error(err)
		}
		w.want(late, queue.Sent) // its deadline does not apply any more
	})
}

func TestUniqueAcrossStates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		first := w.enqueue("one", queue.Unique("order-1234"))
		if again := w.enqueue("one", queue.Unique("order-1234")); again != first {
			t.Errorf("a second one: %s beside %s", again, first)
		}
		w.work(w.client(unlimited), queue.WithRetention(time.Minute))
		w.want(first, queue.Sent)
		if again := w.enqueue("one", queue.Unique("order-1234")); again != first {
			t.Errorf("a second one after it was sent: %s", again)
		}
		time.Sleep(2 * time.Minute)
		if _, err := w.q.Result(t.Context(), first); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("when it is not kept any more: %v", err)
		}
		w.once(1)
	})
}

// A stopping worker lets what is on the wire end, and leaves the rest as it is.
func TestGracefulStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 5 * time.Second})
		var ids []queue.ID
		for i := range 10 {
			ids = append(ids, w.enqueue(fmt.Sprint(i)))
		}
		stop := w.work(w.client(unlimited), queue.WithConcurrency(4), queue.WithGrace(10*time.Second))
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(w.start); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("stopped after %v, expected when the answers had come, after 5 s", d)
		}
		s, err := w.q.Stats(t.Context())
		if err != nil || s.Total.Sent != 4 || s.Total.Ready != 6 || s.Total.Sending+s.Total.InDoubt != 0 {
			t.Errorf("%+v, %v", s.Total, err)
		}
		w.work(w.client(unlimited))
		for _, id := range ids {
			w.want(id, queue.Sent)
		}
		w.once(10)
	})
}

// What takes longer than the grace period is cut off, and found later.
func TestGraceEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 20 * time.Second})
		id := w.enqueue("one")
		stop := w.work(w.client(unlimited), queue.WithGrace(3*time.Second))
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(w.start); d != 4*time.Second {
			t.Errorf("stopped after %v, expected 4 s", d)
		}
		if r, err := w.q.Result(t.Context(), id); r.State != queue.InDoubt {
			t.Errorf("%q, %v: expected it in doubt", r.State, err)
		}
		w.fake.SetLatency(0)
		w.work(w.client(unlimited))
		w.want(id, queue.Sent)
		w.once(1)
	})
}

func TestOnResult(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21211, Times: 1})
		var mu sync.Mutex
		told := make(map[queue.ID]int)
		results := func(_ context.Context, r queue.Result) error {
			mu.Lock()
			defer mu.Unlock()
			if told[r.ID]++; told[r.ID] == 1 && r.State == queue.Failed {
				return errors.New("not now")
			}
			return nil
		}
		bad, good := w.enqueue("bad"), w.enqueue("good")
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}), queue.WithOnResult(results))
		w.want(bad, queue.Failed)
		w.want(good, queue.Sent)
		time.Sleep(5 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if told[bad] != 2 || told[good] != 1 {
			t.Errorf("told %d times of the failed one and %d of the other, expected 2 and 1", told[bad], told[good])
		}
	})
}

func TestWorkersShareTheWork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 20 * time.Millisecond})
		const n = 300
		var ids []queue.ID
		for i := range n {
			ids = append(ids, w.enqueueFrom(fmt.Sprintf("+1500555%04d", i%30), fmt.Sprint(i)))
		}
		for range 3 {
			w.work(w.client(pacer.Limit{Resource: "*", Rate: 50}))
		}
		for _, id := range ids {
			w.want(id, queue.Sent)
		}
		w.once(n)
	})
}

// A lane that is parked for an hour delays no other.
func TestParkedLaneDelaysNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		const parked = "+15005550001"
		pause := unlessShort(time.Hour, 10*time.Minute)
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: fmt.Sprint(pause.Seconds()), Times: 1,
			Match: func(r *twiliotest.Request) bool { return r.Sender == parked }})
		held := make([]queue.ID, 200)
		for i := range held {
			held[i] = w.enqueueFrom(parked, fmt.Sprintf("held %d", i))
		}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 10}), queue.WithConcurrency(2))
		time.Sleep(time.Second)
		begun := time.Since(w.start)
		var ids []queue.ID
		for i := range 100 {
			ids = append(ids, w.enqueueFrom("+15005550002", fmt.Sprint(i)))
		}
		for _, id := range ids {
			w.want(id, queue.Sent)
		}
		if d := time.Since(w.start) - begun; d > 11*time.Second {
			t.Errorf("100 at 10/s took %v beside a parked lane", d)
		}
		for _, id := range held {
			w.want(id, queue.Sent)
		}
		at := w.sent()
		for i := range held {
			if d := at[fmt.Sprintf("held %d", i)]; d < pause {
				t.Fatalf("held %d was sent after %v, expected %v", i, d, pause)
			}
		}
		w.once(300)
	})
}
