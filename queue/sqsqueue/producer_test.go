package sqsqueue_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/sqstest"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
)

// What a producer adds is in the ledger as it was given.
func TestJobsArrive(t *testing.T) {
	url, _ := newQueue(t, 10)
	producer, worker := openOn(t, url, nil, sqsqueue.WithOperations("*")), openAt(t, url, newFile(t), sqsqueue.WithOperations("*"))
	jobs := []queue.Job{
		job("+15550001"),
		job("spring|%", unique("u:order-1"), func(j *queue.Job) {
			j.Priority, j.Labels = pacer.High, map[string]string{"order": "1", "": "no name", `quote"d`: "é"}
			j.Lane.Campaign = "a|b%"
			j.Due, j.Deadline = time.Now().Add(48*time.Hour), time.Now().Add(72*time.Hour)
		}),
		job("", func(j *queue.Job) { j.Priority, j.Lane.Resource.Name = pacer.Low, "日本\x00|" }),
		job("a", func(j *queue.Job) { j.Request = queue.Request{Method: "GET", URL: "https://api.twilio.com/x?a=b%20c"} }),
		job("a", func(j *queue.Job) {
			j.Request = queue.Request{Method: "POST", URL: "https://flex.twilio.com/x", Header: map[string]string{"Content-Type": "application/json"}, Body: `{"a": "<>&\u0000 ü"}`}
		}),
		job("a", func(j *queue.Job) {
			j.Request.Form = map[string][]string{"Body": {strings.Repeat("long ", 40_000)}, "": {"", "x"}, "a\x00\ufffe": {"\x7f\u2028👋"}}
		}),
	}
	added, err := producer.Add(t.Context(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range jobs {
		if want.Unique != "" {
			want.ID = sqsqueue.IDOf(want.Unique)
		}
		if added[i] != (queue.Added{ID: want.ID}) {
			t.Errorf("job %d: added %+v, want ID %s", i, added[i], want.ID)
		}
		got := arrives(t, worker, want.ID)
		if want.Due.IsZero() {
			want.Due = got.Due
		} else if d := got.Due.Sub(want.Due).Abs() + got.Deadline.Sub(want.Deadline).Abs(); d > time.Millisecond {
			t.Errorf("job %d: due %v, deadline %v, want %v, %v", i, got.Due, got.Deadline, want.Due, want.Deadline)
		}
		want.State, want.Created, want.Due, want.Deadline = got.State, got.Created, got.Due, got.Deadline
		if !reflect.DeepEqual(got, want) {
			t.Errorf("job %d is another one:\n got %+v\nwant %+v", i, got, want)
		}
	}
	if j := arrives(t, worker, added[1].ID); j.State != queue.Delayed {
		t.Errorf("a job for the day after tomorrow is %s", j.State)
	}
}

// A key is sent once, whoever sends it and whenever: SQS knows it for 5 minutes, and the
// ledger for as long as it keeps the job.
func TestKeys(t *testing.T) {
	url, _ := newQueue(t, 10)
	worker := openAt(t, url, newFile(t))
	var ids []queue.ID
	for range 2 {
		producer := openOn(t, url, nil)
		added, err := producer.Add(t.Context(), []queue.Job{job("a", unique("k")), job("a", unique("k")), job("a")})
		if err != nil {
			t.Fatal(err)
		}
		if added[0].Known || !added[1].Known || added[1].ID != added[0].ID || added[2].Known {
			t.Errorf("added %+v", added)
		}
		ids = append(ids, added[0].ID)
		arrives(t, worker, added[2].ID)
	}
	if ids[0] != ids[1] {
		t.Errorf("two producers got the IDs %v for one key", ids)
	}
	worker.Move(t.Context(), queue.Move{ID: ids[0], From: []queue.State{queue.Ready}, To: queue.Sent})
	// As after 5 minutes: SQS takes the message once more.
	late := job("a", unique("k"))
	late.ID = ids[0]
	put(t, url, encoded(t, late), "a", "late")
	last := job("a")
	put(t, url, encoded(t, last), "a", "last")
	arrives(t, worker, last.ID)
	if j := arrives(t, worker, ids[0]); j.State != queue.Sent || count(t, worker) != 4 {
		t.Errorf("the job of the key is %s, and there are %d jobs: expected sent, and 4", j.State, count(t, worker))
	}
	// And under an ID of somebody else's making.
	other := job("a", unique("k"))
	put(t, url, encoded(t, other), "a", "other")
	empty(t, url)
	if _, err := worker.Get(t.Context(), other.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a job whose key is held was stored: %v", err)
	}
}

func encoded(t *testing.T, j queue.Job) string {
	t.Helper()
	body, err := sqsqueue.Encode(j)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// put sends a message past the engine.
func put(t *testing.T, url, body, group, once string) {
	t.Helper()
	if _, err := sqstest.Client(emulator(t).URL).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: &once}); err != nil {
		t.Fatal(err)
	}
}

// inSQS returns how many messages a queue has, and how many of them are in somebody's hands.
func inSQS(t *testing.T, url string) (all, inFlight string) {
	t.Helper()
	out, err := sqstest.Client(emulator(t).URL).GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessages"], out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

// empty waits until a queue is.
func empty(t *testing.T, url string) {
	t.Helper()
	eventually(t, "the queue is empty", func() bool {
		all, inFlight := inSQS(t, url)
		return all == "0" && inFlight == "0"
	})
}

func count(t *testing.T, e queue.Engine) int {
	t.Helper()
	jobs, err := e.List(t.Context(), queue.Filter{}, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return len(jobs)
}

// Jobs of a lane arrive in the order in which they were added, in one call or in many.
func TestOrder(t *testing.T) {
	url, _ := newQueue(t, 10)
	producer := openOn(t, url, nil)
	want := map[string][]queue.ID{}
	var jobs []queue.Job
	for n := range 60 {
		sender := fmt.Sprint("sender ", n%3)
		jobs = append(jobs, job(sender))
		want[sender] = append(want[sender], jobs[n].ID)
	}
	for _, some := range [][]queue.Job{jobs[:1], jobs[1:40], jobs[40:]} {
		if _, err := producer.Add(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	worker := openAt(t, url, newFile(t))
	empty(t, url)
	for sender, ids := range want {
		lane := job(sender).Lane
		got, err := worker.Claim(t.Context(), queue.Claim{Lane: lane, Max: 100, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, ids, func(j queue.Job, id queue.ID) bool { return j.ID == id }) {
			t.Errorf("lane of %s: claimed %v, want %v", sender, got, ids)
		}
	}
}

func TestProducerOnly(t *testing.T) {
	url, _ := newQueue(t, 10)
	p := openOn(t, url, nil)
	ctx := t.Context()
	calls := map[string]error{}
	_, _, calls["Work"] = p.Work(ctx)
	calls["Await"] = p.Await(ctx, time.Second)
	_, calls["Claim"] = p.Claim(ctx, queue.Claim{})
	calls["Move"] = p.Move(ctx, queue.Move{})
	_, calls["Park"] = p.Park(ctx, queue.Park{For: time.Hour})
	_, calls["Holds"] = p.Holds(ctx)
	_, calls["Sweep"] = p.Sweep(ctx, queue.Sweep{Keep: 1})
	_, calls["Get"] = p.Get(ctx, "x")
	_, calls["List"] = p.List(ctx, queue.Filter{}, "", 1)
	_, calls["Stats"] = p.Stats(ctx)
	_, calls["CancelWaiting"] = p.CancelWaiting(ctx, "x", 1)
	_, calls["Reserve"] = p.Reserve(ctx, "x", 1, 1)
	calls["Put"] = p.Put(ctx, "x", nil, 0)
	_, calls["Documents"] = p.Documents(ctx)
	_, calls["Now"] = p.Now(ctx)
	for name, err := range calls {
		if !errors.Is(err, sqsqueue.ErrNoLedger) {
			t.Errorf("%s: %v, want ErrNoLedger", name, err)
		}
	}
	if n := reflect.TypeFor[queue.Engine]().NumMethod(); n != len(calls)+2 {
		t.Errorf("%d methods are tested of %d: all but Add and Close", len(calls), n)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Add(ctx, []queue.Job{job("a")}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Add after Close: %v", err)
	}
}

func TestBadJobs(t *testing.T) {
	url, _ := newQueue(t, 10)
	p := openOn(t, url, nil)
	same := job("a")
	for name, test := range map[string]struct {
		jobs []queue.Job
		want string
	}{
		"no ID":        {[]queue.Job{{}}, "without an ID"},
		"an ID twice":  {[]queue.Job{same, same}, "twice"},
		"no request":   {[]queue.Job{job("a"), job("a", func(j *queue.Job) { j.Request = queue.Request{} })}, "no worker would take it"},
		"not Twilio's": {[]queue.Job{job("a", func(j *queue.Job) { j.Request.URL = "https://example.com/+15551234567" })}, "under twilio.com"},
		"not UTF-8":    {[]queue.Job{job("a", func(j *queue.Job) { j.Labels = map[string]string{"a": "\xff"} })}, "UTF-8"},
		"not allowed": {[]queue.Job{job("a", func(j *queue.Job) {
			j.Request.URL = strings.Replace(j.Request.URL, "Messages", "IncomingPhoneNumbers", 1)
		})}, "WithOperations"},
		"no lane":  {[]queue.Job{job("\xff")}, "UTF-8"},
		"the year": {[]queue.Job{job("a", func(j *queue.Job) { j.Due = time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC) })}, "cannot be stored"},
		"too large": {[]queue.Job{job("a", func(j *queue.Job) {
			j.Unique, j.Request.Form = strings.Repeat("k", 500), map[string][]string{"Body": {strings.Repeat("x", 1<<20-300)}}
		})},
			"expected at most 1048576, the MaximumMessageSize of queue q"},
	} {
		_, err := p.Add(t.Context(), test.jobs)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "5551234567") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	if all, _ := inSQS(t, url); all != "0" {
		t.Errorf("%s messages were sent all the same", all)
	}
}

// Large jobs go in as many calls as they need.
func TestLargeJobs(t *testing.T) {
	url, _ := newQueue(t, 10)
	var calls atomic.Int64
	p := openThrough(t, url, nil, func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		if action == "SendMessageBatch" {
			calls.Add(1)
		}
		return next()
	})
	var jobs []queue.Job
	for range 6 {
		jobs = append(jobs, job("a", func(j *queue.Job) { j.Request.Form = map[string][]string{"Body": {strings.Repeat("x", 400_000)}} }))
	}
	if _, err := p.Add(t.Context(), jobs); err != nil || calls.Load() != 3 {
		t.Fatalf("%v, %d calls: expected 3, of two messages of 400 kB each", err, calls.Load())
	}
	if all, _ := inSQS(t, url); all != "6" {
		t.Errorf("%s messages", all)
	}
}

// A meddler sees each call to SQS, by action and body, and may do something else.
type meddler func(action string, body []byte, next func() (*http.Response, error)) (*http.Response, error)

func (m meddler) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return m(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."), body, func() (*http.Response, error) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		return http.DefaultClient.Do(r)
	})
}

func openThrough(tb testing.TB, url string, ledger queue.Engine, m meddler, opts ...sqsqueue.Option) *sqsqueue.Engine {
	tb.Helper()
	client := sqstest.Client(emulator(tb).URL, func(o *sqs.Options) { o.HTTPClient, o.RetryMaxAttempts = m, 1 })
	e, err := sqsqueue.Open(tb.Context(), client, url, ledger, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body))}
}

// drops has SQS refuse some entries of each batch, for the given number of calls.
func drops(calls int, senderFault bool, refused func(i int) bool) meddler {
	var n atomic.Int64
	return func(action string, body []byte, next func() (*http.Response, error)) (*http.Response, error) {
		if action != "SendMessageBatch" || n.Add(1) > int64(calls) {
			return next()
		}
		var in struct{ Entries []map[string]any }
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		out := map[string][]map[string]any{"Successful": {}, "Failed": {}}
		for i, e := range in.Entries {
			if refused(i) {
				out["Failed"] = append(out["Failed"], map[string]any{"Id": e["Id"], "Code": "InternalError", "Message": "not now", "SenderFault": senderFault})
			} else {
				out["Successful"] = append(out["Successful"], map[string]any{"Id": e["Id"], "MessageId": "x", "MD5OfMessageBody": md5Of(e["MessageBody"].(string))})
			}
		}
		b, err := json.Marshal(out)
		return answer(200, string(b)), err
	}
}

func TestPartialFailures(t *testing.T) {
	jobs := func(n int) (jobs []queue.Job) {
		for range n {
			jobs = append(jobs, job("a", func(j *queue.Job) { j.Unique = string(j.ID) }))
		}
		return jobs
	}
	t.Run("for a while", func(t *testing.T) {
		url, _ := newQueue(t, 10)
		var sent atomic.Int64
		refuse := drops(2, false, func(int) bool { return true })
		p := openThrough(t, url, nil, func(action string, body []byte, next func() (*http.Response, error)) (*http.Response, error) {
			if action == "SendMessageBatch" {
				sent.Add(1)
			}
			return refuse(action, body, next)
		})
		if _, err := p.Add(t.Context(), jobs(3)); err != nil || sent.Load() != 3 {
			t.Fatalf("%v after %d calls, want success at the third", err, sent.Load())
		}
		if all, _ := inSQS(t, url); all != "3" {
			t.Errorf("%s messages", all)
		}
	})
	t.Run("for good", func(t *testing.T) {
		url, _ := newQueue(t, 10)
		p := openThrough(t, url, nil, drops(1, true, func(i int) bool { return i%2 == 1 }))
		all := jobs(13)
		_, err := p.Add(t.Context(), all)
		var ns *sqsqueue.NotStored
		if !errors.As(err, &ns) || !slices.Equal(ns.Indices, []int{1, 3, 5, 7, 9, 10, 11, 12}) || ns.IDs[0] != sqsqueue.IDOf(all[1].Unique) || !strings.Contains(err.Error(), "8 jobs are not stored") {
			t.Fatalf("%v: %+v", err, ns)
		}
		if _, err := p.Add(t.Context(), all); err != nil {
			t.Errorf("all of them again: %v", err)
		}
	})
	t.Run("while the context ends", func(t *testing.T) {
		url, _ := newQueue(t, 10)
		p := openThrough(t, url, nil, drops(100, false, func(i int) bool { return i == 0 }))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var ns *sqsqueue.NotStored
		if _, err := p.Add(ctx, jobs(2)); !errors.As(err, &ns) || len(ns.Indices) != 1 {
			t.Errorf("%v", err)
		}
	})
}

// Errors of AWS say what to do, and keep what the SDK says.
func TestErrors(t *testing.T) {
	url, _ := newQueue(t, 10)
	for code, want := range map[string]string{
		"AccessDenied":      "allow sqs:SendMessage on the queue",
		"QueueDoesNotExist": "there is no such queue",
		"ExpiredToken":      "renew them",
		"RequestThrottled":  "SQS throttles",
		"KmsAccessDenied":   "KMS key",
		"SomethingNew":      "API reference",
	} {
		p := openThrough(t, url, nil, func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
			if action != "SendMessageBatch" {
				return next()
			}
			return answer(400, fmt.Sprintf(`{"__type":"com.amazonaws.sqs#%s","message":"as AWS has it"}`, code)), nil
		})
		_, err := p.Add(t.Context(), []queue.Job{job("a")})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "as AWS has it") {
			t.Errorf("%s: %v, want %q", code, err, want)
		}
	}
	p := openThrough(t, url, nil, func(action string, _ []byte, next func() (*http.Response, error)) (*http.Response, error) {
		if action != "SendMessageBatch" {
			return next()
		}
		return nil, errors.New("no route")
	})
	if _, err := p.Add(t.Context(), []queue.Job{job("a")}); err == nil || !strings.Contains(err.Error(), "is SQS reachable") {
		t.Errorf("%v", err)
	}
}

func TestOpen(t *testing.T) {
	s := emulator(t)
	url, _ := newQueue(t, 10)
	client := sqstest.Client(s.URL)
	standard, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("standard")})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		client *sqs.Client
		url    string
		opt    sqsqueue.Option
		want   string
	}{
		"no client":      {nil, url, nil, "nil client"},
		"no URL":         {client, "", nil, "no queue URL"},
		"standard queue": {client, *standard.QueueUrl, nil, "standard is a standard queue"},
		"missing queue":  {client, url + "x", nil, "there is no such queue"},
		"window":         {client, url, sqsqueue.WithWindow(0), "WithWindow: 0: expected at least 1"},
		"visibility":     {client, url, sqsqueue.WithVisibility(1500 * time.Millisecond), "WithVisibility: 1.5s: expected whole seconds"},
		"poll":           {client, url, sqsqueue.WithPoll(time.Minute), "WithPoll: 1m0s: expected whole seconds"},
		"logger":         {client, url, sqsqueue.WithLogger(nil), "WithLogger: nil"},
	} {
		if _, err := sqsqueue.Open(t.Context(), test.client, test.url, nil, test.opt); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// md5Of is what the SDK compares an answer with.
func md5Of(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}
