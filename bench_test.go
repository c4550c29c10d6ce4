package pacer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

var created = []byte(`{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","to":"+15005550001","from":"+15005550006"}`)

// stub answers each request at once, so that what is measured is the client.
type stub struct{}

func (stub) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(created)), Request: r}, nil
}

func stubClient(hc *http.Client) *client.Client {
	c := &client.Client{Credentials: client.NewCredentials(account, "token"), HTTPClient: hc}
	c.SetAccountSid(account)
	return c
}

func createMessage(b *testing.B, rc *twilio.RestClient, p *api.CreateMessageParams) {
	if _, err := rc.Api.CreateMessage(p); err != nil {
		b.Fatal(err)
	}
}

func message(from string) *api.CreateMessageParams {
	return (&api.CreateMessageParams{}).SetFrom(from).SetTo("+15005550001").SetBody("Your table is ready.")
}

// BenchmarkCreateMessage sends over the same stub through twilio-go and through pacer,
// in turn, so that the ratio means something on a noisy machine: compare the metrics
// of one line. no-timeout is the strict comparison; with twilio-go's default of 10 s
// pacer's cheaper timeout pays for its pacing.
func BenchmarkCreateMessage(b *testing.B) {
	for _, bm := range []struct {
		name string
		hc   *http.Client
	}{
		{"no-timeout", &http.Client{Transport: stub{}}},
		{"default-timeout", &http.Client{Transport: stub{}, Timeout: defaultHTTPClient.Timeout}},
	} {
		plain := twilio.NewRestClientWithParams(twilio.ClientParams{Client: stubClient(bm.hc)})
		fast := WithLimits(Limits{{Resource: "*", Rate: 1e9, Burst: 1e6}})
		paced := NewRestClientWithParams(ClientParams{Client: stubClient(bm.hc)}, fast)
		observed := NewRestClientWithParams(ClientParams{Client: stubClient(bm.hc)}, fast, WithObserver(func(context.Context, Event) {}))
		p := message("+15005550006")
		b.Run(bm.name+"/twilio-go", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				createMessage(b, plain, p)
			}
		})
		b.Run(bm.name+"/pacer", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				createMessage(b, paced, p)
			}
		})
		b.Run(bm.name+"/pacer-observed", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				createMessage(b, observed, p)
			}
		})
		for _, vs := range []struct {
			name string
			rc   *twilio.RestClient
		}{{"ratio", paced}, {"ratio-observed", observed}} {
			b.Run(bm.name+"/"+vs.name, func(b *testing.B) {
				var ratios []float64
				for b.Loop() {
					ratios = append(ratios, pairedRatio(b, plain, vs.rc, p))
				}
				slices.Sort(ratios)
				b.ReportMetric(ratios[len(ratios)/2], "pacer/twilio-go")
				b.ReportMetric(0, "ns/op") // of a pair of batches: says nothing
			})
		}
	}
}

// pairedRatio times a batch of messages through each, one right after the other, first
// the one and then the other first.
func pairedRatio(b *testing.B, plain, paced *twilio.RestClient, p *api.CreateMessageParams) float64 {
	batch := func(rc *twilio.RestClient) float64 {
		start := time.Now()
		for range 50 {
			createMessage(b, rc, p)
		}
		return float64(time.Since(start))
	}
	before, with1 := batch(plain), batch(paced)
	with2, after := batch(paced), batch(plain)
	return (with1 + with2) / (before + after)
}

// BenchmarkAcquire is the limiter's share of an uncontended call.
func BenchmarkAcquire(b *testing.B) {
	ctx := context.Background()
	r := ResourceOf("POST", "https://api.twilio.com/2010-04-01/Accounts/"+account+"/Messages.json", map[string][]string{"From": {"+15005550006"}}, account)
	acquire := func(b *testing.B, l *BucketLimiter) {
		done, err := l.Acquire(ctx, r)
		if err != nil {
			b.Fatal(err)
		}
		done(Outcome{})
	}
	for _, bm := range []struct {
		name   string
		limits Limits
	}{
		{"rate", Limits{{Resource: Messages, Rate: 1e9, Burst: 1e6}}},
		{"rate+in-flight", Limits{{Resource: Messages, Rate: 1e9, Burst: 1e6, MaxInFlight: 100}, {Resource: "*", MaxInFlight: 1000}}},
	} {
		l, err := NewLimiter(bm.limits)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				acquire(b, l)
			}
		})
		b.Run(bm.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					acquire(b, l)
				}
			})
		})
	}
}

func BenchmarkResourceOf(b *testing.B) {
	form := map[string][]string{"From": {"+15005550006"}}
	for name, u := range map[string]string{
		"Messages":      "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json",
		"Verifications": "https://verify.twilio.com/v2/Services/VA0123456789abcdef0123456789abcdef/Verifications",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ResourceOf("POST", u, form, account)
			}
		})
	}
}

// BenchmarkWithContext is what one request that a program serves costs to carry its
// context.
func BenchmarkWithContext(b *testing.B) {
	c, err := New(ClientParams{Client: stubClient(&http.Client{Transport: stub{}})})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		c.WithContext(ctx)
	}
}

// heap returns the bytes in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkBucket is the memory of a sender's bucket while it is in use.
func BenchmarkBucket(b *testing.B) {
	const senders = 100_000
	for b.Loop() {
		l, err := NewLimiter(nil)
		if err != nil {
			b.Fatal(err)
		}
		before := heap()
		for i := range senders {
			done, err := l.Acquire(context.Background(), Resource{Account: account, Region: "us1", Product: "api", Name: Messages, Op: Create, Sender: fmt.Sprintf("+1500%07d", i)})
			if err != nil {
				b.Fatal(err)
			}
			done(Outcome{})
		}
		b.ReportMetric(float64(heap()-before)/senders, "B/sender")
		runtime.KeepAlive(l)
	}
}

// BenchmarkParallel is CreateMessage from 1,000 goroutines for each core, and what they
// feel of statistics: counting for them alone, and reading them all the time meanwhile.
func BenchmarkParallel(b *testing.B) {
	hc := &http.Client{Transport: stub{}}
	plain := twilio.NewRestClientWithParams(twilio.ClientParams{Client: stubClient(hc)})
	c, err := New(ClientParams{Client: stubClient(hc)}, WithLimits(Limits{{Resource: "*", Rate: 1e9, Burst: 1e6}}), WithObserver(func(context.Context, Event) {}))
	if err != nil {
		b.Fatal(err)
	}
	p := message("+15005550006")
	run := func(name string, rc *twilio.RestClient) {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(1000)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					createMessage(b, rc, p)
				}
			})
		})
	}
	run("twilio-go", plain)
	run("pacer", c.RestClient)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_ = c.Stats()
			}
		}
	})
	run("pacer, Stats read 1,000 times a second", c.RestClient)
	close(stop)
	wg.Wait()
	b.Run("recorder", func(b *testing.B) {
		r := newRecorder()
		b.SetParallelism(1000)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r.called(time.Now(), nil)
			}
		})
	})
}
