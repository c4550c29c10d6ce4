package sqsqueue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/sqstest"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
)

const short = 2 * time.Second

// A log is what an engine has logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *log) option() sqsqueue.Option {
	return sqsqueue.WithLogger(slog.New(slog.NewTextHandler(l, nil)))
}

// troubled is a ledger that can be made to fail, and to refuse a job.
type troubled struct {
	queue.Engine
	down   atomic.Bool
	refuse atomic.Value // queue.ID
	adds   atomic.Int64
}

var errDown = errors.New("connection refused")

func (l *troubled) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	l.adds.Add(1)
	if l.down.Load() {
		return nil, errDown
	}
	for _, j := range jobs {
		if j.ID == l.refuse.Load() {
			return nil, errors.New("this one I do not like")
		}
	}
	return l.Engine.Add(ctx, jobs)
}

func (l *troubled) Get(ctx context.Context, id queue.ID) (queue.Job, error) {
	if l.down.Load() {
		return queue.Job{}, errDown
	}
	return l.Engine.Get(ctx, id)
}

func (l *troubled) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	if l.down.Load() {
		return nil, errDown
	}
	return l.Engine.Stats(ctx)
}

func add(t *testing.T, e queue.Engine, jobs ...queue.Job) (ids []queue.ID) {
	t.Helper()
	added, err := e.Add(t.Context(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range added {
		ids = append(ids, a.ID)
	}
	return ids
}

// A worker that dies between storing and deleting: the message comes again, and is known.
func TestDeliveredAgain(t *testing.T) {
	url, _ := newQueue(t, 10)
	path := newFile(t)
	var stored atomic.Int64
	dying := openThrough(t, url, ledgerAt(t, path), func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		if action == "DeleteMessageBatch" {
			stored.Add(1)
			return nil, errors.New("killed")
		}
		return next()
	}, quiet, sqsqueue.WithVisibility(short))
	ids := add(t, openOn(t, url, nil), job("a"), job("b", unique("k")), job("c"))
	for _, id := range ids {
		arrives(t, dying, id)
	}
	dying.Move(t.Context(), queue.Move{ID: ids[0], From: []queue.State{queue.Ready}, To: queue.Sent})
	if err := dying.Close(); err != nil || stored.Load() == 0 {
		t.Fatal(err, stored.Load())
	}
	next := openAt(t, url, path, quiet, sqsqueue.WithVisibility(short))
	empty(t, url)
	if j, err := next.Get(t.Context(), ids[0]); count(t, next) != 3 || err != nil || j.State != queue.Sent {
		t.Errorf("%d jobs, the first is %s, %v: expected 3, and sent", count(t, next), j.State, err)
	}
}

// While the ledger does not answer, what is in hand is kept from others, and what waits is
// not delivered: nothing of it goes to the dead-letter queue.
func TestLedgerDown(t *testing.T) {
	url, dead := newQueue(t, 1)
	ledger := &troubled{Engine: ledgerAt(t, newFile(t))}
	var receives, shown atomic.Int64
	worker := openThrough(t, url, ledger, func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		switch action {
		case "ReceiveMessage":
			receives.Add(1)
		case "ChangeMessageVisibilityBatch":
			shown.Add(1)
		}
		return next()
	}, quiet, sqsqueue.WithVisibility(short))
	eventually(t, "the worker waits at SQS", func() bool { return receives.Load() > 0 })
	ledger.down.Store(true)
	producer := openOn(t, url, nil)
	ids := add(t, producer, job("a"), job("b"), job("c"))
	eventually(t, "the ledger is tried twice", func() bool { return ledger.adds.Load() >= 2 })
	ids = append(ids, add(t, producer, job("a"), job("d"))...)
	time.Sleep(2 * short)
	if shown.Load() < 3 || receives.Load() > 1 {
		t.Errorf("visibility was extended %d times in twice its time, with %d receives: expected 3 at least, and 1", shown.Load(), receives.Load())
	}
	ledger.down.Store(false)
	for _, id := range ids {
		arrives(t, worker, id)
	}
	empty(t, url)
	if all, _ := inSQS(t, dead); all != "0" {
		t.Errorf("%s good messages are in the dead-letter queue", all)
	}
}

// Close while the ledger is down ends soon, and gives back what is in hand.
func TestCloseGivesBack(t *testing.T) {
	url, _ := newQueue(t, 10)
	path := newFile(t)
	ledger := &troubled{Engine: ledgerAt(t, path)}
	var receives atomic.Int64
	worker := openThrough(t, url, ledger, func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		if action == "ReceiveMessage" {
			receives.Add(1)
		}
		return next()
	}, quiet, sqsqueue.WithVisibility(time.Hour))
	eventually(t, "the worker waits at SQS", func() bool { return receives.Load() > 0 })
	ledger.down.Store(true)
	ids := add(t, openOn(t, url, nil), job("a"), job("b"))
	eventually(t, "the ledger is tried", func() bool { return ledger.adds.Load() > 0 })
	if err := worker.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the messages are given back", func() bool { _, inFlight := inSQS(t, url); return inFlight == "0" })
	ledger.down.Store(false)
	next := openAt(t, url, path, quiet)
	for _, id := range ids {
		arrives(t, next, id)
	}
}

// What cannot be read, by this version, goes to the dead-letter queue and is not shown in
// the log; what came with it arrives.
func TestDeadLetters(t *testing.T) {
	url, dead := newQueue(t, 2)
	good, refused := job("c"), job("d")
	ledger := &troubled{Engine: ledgerAt(t, newFile(t))}
	ledger.refuse.Store(refused.ID)
	newer := strings.Replace(encoded(t, job("b")), `"v":"1.0"`, `"v":"2.0"`, 1)
	for i, body := range []string{"call +15551234567", newer, encoded(t, good), encoded(t, refused)} {
		put(t, url, body, fmt.Sprint(i), fmt.Sprint(i))
	}
	var l log
	worker := openOn(t, url, ledger, l.option(), sqsqueue.WithVisibility(short), sqsqueue.WithPoll(time.Second))
	arrives(t, worker, good.ID)
	eventually(t, "three are dead letters", func() bool { all, _ := inSQS(t, dead); return all == "3" })
	empty(t, url)
	if n := count(t, worker); n != 1 {
		t.Errorf("%d jobs: expected the good one", n)
	}
	for _, want := range []string{"not a JSON object", "update this program", "refuses a job"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("the log has no %q", want)
		}
	}
	if strings.Contains(l.String(), "+1555") || strings.Contains(l.String(), "5551234567") || strings.Contains(l.String(), "1500555") || strings.Contains(l.String(), "RedrivePolicy") {
		t.Errorf("the log shows a number, or warns of nothing:\n%s", l.String())
	}
}

// foreign is a message as a program in another language writes it.
func foreign(request string) string { return `{"v":"1.0","request":` + request + `}` }

const foreignMessage = `{"v":"1.0","method":"POST","url":"https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json","form":{"To":["+15005550006"],"From":["a"],"Body":["x"]}}`

// Messages of programs in other languages: no ID, no lane.
func TestForeignMessages(t *testing.T) {
	url, _ := newQueue(t, 10)
	put(t, url, `{"v":"1.7","new":1,"due":"9999-12-31T23:59:59Z","request":`+foreignMessage+`}`, "a", "1")
	put(t, url, `{"v":"1.0","unique":"k","request":`+foreignMessage+`}`, "a", "2")
	worker := openAt(t, url, newFile(t))
	empty(t, url)
	jobs, err := worker.List(t.Context(), queue.Filter{}, "", 10)
	if err != nil || len(jobs) != 2 || jobs[0].Lane != job("a").Lane || !strings.HasPrefix(string(jobs[0].ID), "sqs-") || jobs[1].ID != sqsqueue.IDOf("k") {
		t.Fatalf("%v, %+v", err, jobs)
	}
	if lanes, next, err := worker.Work(t.Context()); err != nil || len(lanes) != 1 || next < 100*365*24*time.Hour {
		t.Errorf("%v, next %v, %v: expected one that is ready, and one that waits until 9999", lanes, next, err)
	}
}

// What a program in another language may not order, or has written so that it would be sent
// as something else, goes to the dead-letter queue; the log says why, without the text.
func TestForeignMessagesThatAreRefused(t *testing.T) {
	change := func(old, new string) string {
		changed := strings.Replace(foreignMessage, old, new, 1)
		if changed == foreignMessage {
			t.Fatalf("%q is not in the message", old)
		}
		return changed
	}
	for name, test := range map[string]struct{ body, want string }{
		"buys a number":     {foreign(change("Messages.json", "IncomingPhoneNumbers.json")), "operation"},
		"deletes":           {foreign(change("POST", "DELETE")), "operation"},
		"not UTF-8":         {foreign(change(`"x"`, "\"Jos\xe9\"")), "not UTF-8"},
		"a label not UTF-8": {`{"v":"1.0","labels":{"a":"Jos` + "\xe9" + `"},"request":` + foreignMessage + `}`, "not UTF-8"},
		"half a character":  {foreign(change(`"x"`, `"\ud83d"`)), "half a character"},
		"too large":         {foreign(change(`"x"`, `"`+strings.Repeat("<", 200_000)+`"`)), "expected at most"},
		"no address":        {foreign(change("+15005550006", "15005550006")), "country code"},
		"no sender":         {foreign(change(`"From":["a"],`, "")), "From"},
		"no account":        {foreign(change("AC00000000000000000000000000000001", "SK00000000000000000000000000000001")), "account SID"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sqsqueue.Decode(test.body, "m")
			if name == "buys a number" || name == "deletes" { // the engine's business
				err = queue.Operations{}.Check(mustDecode(t, test.body).Request)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "5005550006") || strings.Contains(err.Error(), "Jos") {
				t.Fatalf("got %v: expected %q, and neither number nor text", err, test.want)
			}
		})
	}
	url, dead := newQueue(t, 1)
	put(t, url, foreign(change("Messages.json", "IncomingPhoneNumbers.json")), "b", "1")
	put(t, url, foreign(change(`"x"`, `"\ud83d"`)), "c", "2")
	put(t, url, foreign(foreignMessage), "a", "3")
	var l log
	worker := openAt(t, url, newFile(t), l.option(), sqsqueue.WithVisibility(short), sqsqueue.WithPoll(time.Second))
	eventually(t, "two are dead letters", func() bool { all, _ := inSQS(t, dead); return all == "2" })
	empty(t, url)
	if n := count(t, worker); n != 1 {
		t.Errorf("%d jobs: expected the one that is allowed", n)
	}
	for _, want := range []string{"WithOperations", "half a character"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("the log has no %q", want)
		}
	}
	if strings.Contains(l.String(), "5005550006") {
		t.Errorf("the log shows a number:\n%s", l.String())
	}
}

func mustDecode(t *testing.T, body string) queue.Job {
	t.Helper()
	j, err := sqsqueue.Decode(body, "m")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// With WithOperations a worker takes what else it is told to, and a producer sends it.
func TestOperationsThatAreAllowed(t *testing.T) {
	url, _ := newQueue(t, 10)
	number := job("a", func(j *queue.Job) {
		j.Request.URL = strings.Replace(j.Request.URL, "Messages", "IncomingPhoneNumbers", 1)
	})
	allowed := sqsqueue.WithOperations(append(queue.DefaultOperations(), "api/IncomingPhoneNumbers:create")...)
	add(t, openOn(t, url, nil, allowed), number)
	arrives(t, openAt(t, url, newFile(t), allowed), number.ID)
	if _, err := sqsqueue.Open(t.Context(), sqstest.Client(emulator(t).URL), url, nil, sqsqueue.WithOperations("Messages")); err == nil || !strings.Contains(err.Error(), "WithOperations") {
		t.Errorf("a name that is none: %v", err)
	}
	// What a program with the ledger enqueues is its own business, but cannot go by SQS.
	ledger := &troubled{Engine: ledgerAt(t, newFile(t))}
	otherURL, _ := newQueue(t, 10)
	own := openOn(t, otherURL, ledger, quiet)
	add(t, own, job("a", func(j *queue.Job) { j.Request = number.Request }))
	ledger.down.Store(true)
	if _, err := own.Add(t.Context(), []queue.Job{job("a", func(j *queue.Job) { j.Request = number.Request })}); err == nil {
		t.Error("what no worker takes was sent to SQS")
	}
	ledger.down.Store(false)
}

// A backlog stays in SQS: what is Ready in the ledger is bounded, what is Delayed is not.
func TestWindow(t *testing.T) {
	url, _ := newQueue(t, 100)
	producer := openOn(t, url, nil)
	var ids []queue.ID
	for range 15 {
		ids = append(ids, add(t, producer, job("far", func(j *queue.Job) { j.Due = time.Now().Add(time.Hour) }))...)
	}
	worker := openAt(t, url, newFile(t), sqsqueue.WithWindow(5))
	for _, id := range ids {
		arrives(t, worker, id)
	}
	var ready []queue.Job
	for range 20 {
		ready = append(ready, job("near"))
	}
	add(t, producer, ready...)
	arrives(t, worker, ready[4].ID)
	time.Sleep(500 * time.Millisecond)
	if n := count(t, worker); n != 20 {
		t.Errorf("%d jobs in the ledger: expected 15 delayed and 5 ready", n)
	}
	for i := range ready {
		arrives(t, worker, ready[i].ID)
		if err := worker.Move(t.Context(), queue.Move{ID: ready[i].ID, From: []queue.State{queue.Ready}, To: queue.Sent}); err != nil {
			t.Fatal(err)
		}
	}
}

// With a ledger Add needs no SQS; only if the ledger is down it does.
func TestAddWithLedger(t *testing.T) {
	url, _ := newQueue(t, 10)
	ledger := &troubled{Engine: ledgerAt(t, newFile(t))}
	var sent atomic.Int64
	e := openThrough(t, url, ledger, func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		if action == "SendMessageBatch" {
			sent.Add(1)
		}
		return next()
	}, quiet)
	direct := job("a", unique("k"))
	add(t, e, direct)
	if _, err := e.Add(t.Context(), []queue.Job{direct, {ID: direct.ID, Lane: direct.Lane, Request: direct.Request}}); err == nil || sent.Load() != 0 {
		t.Fatalf("what the ledger refuses was sent to SQS: %v", err)
	}
	ledger.down.Store(true)
	other := job("a")
	again := job("a", unique("k"))
	added, err := e.Add(t.Context(), []queue.Job{other, again})
	if err != nil || sent.Load() != 1 || added[0] != (queue.Added{ID: other.ID}) {
		t.Fatalf("%+v, %v, %d calls", added, err, sent.Load())
	}
	ledger.down.Store(false)
	arrives(t, e, other.ID)
	empty(t, url)
	if n := count(t, e); n != 2 {
		t.Errorf("%d jobs: expected 2, as a key is held", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Add(ctx, []queue.Job{job("a")}); !errors.Is(err, context.Canceled) || sent.Load() != 1 {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestAddToSQS(t *testing.T) {
	url, _ := newQueue(t, 10)
	e := openAt(t, url, newFile(t), sqsqueue.WithAddToSQS())
	ids := add(t, e, job("a"), job("a", unique("k")))
	arrives(t, e, ids[0])
	if ids[1] != sqsqueue.IDOf("k") || arrives(t, e, ids[1]).Unique != "k" {
		t.Errorf("IDs %v", ids)
	}
}

// Two ledgers on one queue would send messages twice.
func TestOneLedger(t *testing.T) {
	url, _ := newQueue(t, 10)
	path := newFile(t)
	first := openAt(t, url, path)
	openAt(t, url, path) // the same
	if docs, err := first.Documents(t.Context()); err != nil || len(docs) != 0 {
		t.Errorf("documents %v, %v", docs, err)
	}
	other := ledgerAt(t, newFile(t))
	defer other.Close()
	client := sqstest.Client(emulator(t).URL)
	if _, err := sqsqueue.Open(t.Context(), client, url, other); err == nil || !strings.Contains(err.Error(), "belongs to another ledger") || !strings.Contains(err.Error(), "untag-queue") {
		t.Fatalf("a second ledger: %v", err)
	}
	if _, err := client.UntagQueue(t.Context(), &sqs.UntagQueueInput{QueueUrl: &url, TagKeys: []string{"pacer-ledger"}}); err != nil {
		t.Fatal(err)
	}
	e, err := sqsqueue.Open(t.Context(), client, url, other)
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	var l log
	openThrough(t, url, ledgerAt(t, newFile(t)), func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		if action == "ListQueueTags" {
			return answer(400, `{"__type":"com.amazonaws.sqs#AccessDenied","message":"no"}`), nil
		}
		return next()
	}, l.option())
	if !strings.Contains(l.String(), "sqs:TagQueue") {
		t.Errorf("tags may not be read, and nobody is told: %s", l.String())
	}
}

func TestStats(t *testing.T) {
	url, _ := newQueue(t, 10)
	producer := openOn(t, url, nil)
	add(t, producer, job("a"), job("b"), job("c"))
	worker := openAt(t, url, newFile(t), sqsqueue.WithWindow(1))
	eventually(t, "one is moved, and two wait in SQS", func() bool {
		all, inFlight := inSQS(t, url)
		return all == "2" && inFlight == "0"
	})
	stats, err := worker.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(stats, func(s queue.LaneStats) bool { return s.Lane == sqsqueue.InSQS })
	if len(stats) != 2 || i < 0 || stats[i].Ready != 2 || stats[1-i].Ready != 1 {
		t.Errorf("%+v", stats)
	}
	q, err := queue.Open(worker, queue.WithAccount("AC00000000000000000000000000000001"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.Stats(t.Context())
	if err != nil || s.Total.Ready != 3 || sqsqueue.InSQS.String() != "sqs/messages:waiting" {
		t.Errorf("%v, %+v, %v", err, s.Total, sqsqueue.InSQS)
	}
}

// Settings that lead to trouble are told of.
func TestWarnings(t *testing.T) {
	s := emulator(t)
	name := "bare.fifo"
	out, err := sqstest.Client(s.URL).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"FifoQueue": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	var l log
	e := openAt(t, *out.QueueUrl, newFile(t), l.option())
	for _, keep := range []time.Duration{0, 5 * 24 * time.Hour} {
		if _, err := e.Sweep(t.Context(), queue.Sweep{Lease: time.Hour, Max: 1, Keep: keep}); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(l.String(), "results are kept") {
		t.Errorf("%s", l.String())
	}
	for range 2 {
		if _, err := e.Sweep(t.Context(), queue.Sweep{Lease: time.Hour, Max: 1, Keep: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(l.String(), "RedrivePolicy") || strings.Count(l.String(), "results are kept") != 1 {
		t.Errorf("%s", l.String())
	}
}

// SQS is away for a while: what waits comes afterwards.
func TestSQSDown(t *testing.T) {
	url, _ := newQueue(t, 10)
	var down atomic.Bool
	var failed atomic.Int64
	var l log
	worker := openThrough(t, url, ledgerAt(t, newFile(t)), func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		if down.Load() {
			failed.Add(1)
			return nil, errors.New("no route")
		}
		return next()
	}, l.option(), sqsqueue.WithPoll(time.Second))
	down.Store(true)
	eventually(t, "calls fail", func() bool { return failed.Load() > 1 })
	if stats, err := worker.Stats(t.Context()); err != nil || len(stats) != 0 {
		t.Errorf("Stats: %v, %v", stats, err)
	}
	ids := add(t, openOn(t, url, nil), job("a"))
	down.Store(false)
	arrives(t, worker, ids[0])
	if n := strings.Count(l.String(), "SQS hands out none"); n != 1 {
		t.Errorf("it was told %d times: expected once", n)
	}
}

// What is moved ends Await, and Close leaves no goroutine behind.
func TestAwaitAndClose(t *testing.T) {
	url, _ := newQueue(t, 10)
	var asking atomic.Int64
	worker := openThrough(t, url, ledgerAt(t, newFile(t)), func(_ string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		asking.Add(1)
		defer asking.Add(-1)
		return next()
	})
	waited := make(chan error, 1)
	go func() {
		for {
			if err := worker.Await(context.WithoutCancel(t.Context()), 10*time.Minute); err != nil {
				waited <- err
				return
			}
			if lanes, _, err := worker.Work(context.WithoutCancel(t.Context())); err != nil || len(lanes) > 0 {
				waited <- err
				return
			}
		}
	}()
	add(t, openOn(t, url, nil), job("a"))
	select {
	case err := <-waited:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Minute):
		t.Fatal("nothing is told")
	}
	if err := worker.Close(); err != nil {
		t.Fatal(err)
	}
	if asking.Load() != 0 {
		t.Error("it still asks SQS after Close")
	}
	if err := worker.Close(); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Close again: %v", err)
	}
}
