package otelpacer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	lookups "github.com/twilio/twilio-go/rest/lookups/v2"
	verify "github.com/twilio/twilio-go/rest/verify/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const sender = "+15005550006"

// A world is a fake Twilio and all that is seen of its clients.
type world struct {
	t      testing.TB
	fake   *twiliotest.Fake
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
	tracer trace.Tracer
	option pacer.Option
}

func newWorld(t testing.TB, cfg twiliotest.Config) *world {
	w := &world{t: t, fake: twiliotest.New(cfg), reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans))
	w.tracer = tp.Tracer("test")
	w.option = otelpacer.Instrument(
		otelpacer.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))),
		otelpacer.WithTracerProvider(tp))
	return w
}

func (w *world) params() pacer.ClientParams {
	return paramsOf(w.fake, twiliotest.AccountSid)
}

func paramsOf(fake *twiliotest.Fake, account string) pacer.ClientParams {
	c := &client.Client{Credentials: client.NewCredentials(account, twiliotest.AuthToken), HTTPClient: fake.Client()}
	c.SetAccountSid(account)
	return pacer.ClientParams{Client: c}
}

func (w *world) client(opts ...pacer.Option) *pacer.Client {
	quiet := pacer.WithAlert(func(pacer.Alert) {})
	c, err := pacer.New(w.params(), append([]pacer.Option{w.option, quiet}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func send(rest *twilio.RestClient, from string) error {
	params := (&api.CreateMessageParams{}).SetFrom(from).SetTo("+15555550100").SetBody("Your table is ready.")
	_, err := rest.Api.CreateMessage(params)
	return err
}

// throttle makes the fake throttle the next requests.
func (w *world) throttle(times int, retryAfter string) {
	w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Times: times, RetryAfter: retryAfter})
}

// metrics returns all that is collected, a line for each series: "name{attributes} value
// unit". A histogram's value is its count and its sum, in tenths: hundredths are the
// limiter's margin.
func (w *world) metrics() map[string]string {
	w.t.Helper()
	var rm metricdata.ResourceMetrics
	if err := w.reader.Collect(context.Background(), &rm); err != nil {
		w.t.Fatal(err)
	}
	encoder := attribute.DefaultEncoder()
	all := map[string]string{}
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			add := func(attrs string, value any) {
				all[fmt.Sprintf("%s{%s}", m.Name, attrs)] = fmt.Sprintf("%v %s", value, m.Unit)
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes.Encoded(encoder), p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes.Encoded(encoder), p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes.Encoded(encoder), p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes.Encoded(encoder), fmt.Sprintf("%d/%.1f", p.Count, p.Sum))
				}
			default:
				w.t.Fatalf("%s: %T", m.Name, data)
			}
		}
	}
	return all
}

func (w *world) want(want map[string]string) {
	w.t.Helper()
	got := w.metrics()
	for name, value := range want {
		if got[name] != value {
			w.t.Errorf("%s = %q; want %q", name, got[name], value)
		}
	}
	if w.t.Failed() {
		for name, value := range got {
			w.t.Logf("have %s = %s", name, value)
		}
	}
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 100 * time.Millisecond})
		c := w.client(pacer.WithMaxRetries(1), pacer.WithLearning(false),
			pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 2, MaxInFlight: 7}, {Resource: "*", MaxInFlight: 50}}))
		_ = send(c.RestClient, sender)
		w.throttle(1, "")
		_ = send(c.RestClient, sender) // waits 400 ms, is throttled, sleeps 1 s, passes
		w.throttle(2, "")
		_ = send(c.RestClient, sender) // gives up
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21211, Times: 1})
		_ = send(c.RestClient, "+15005550007")
		_, _ = c.LookupsV2.FetchPhoneNumber("+15555550100", &lookups.FetchPhoneNumberParams{})

		const messages = "pacer.resource=api/Messages:create"
		const http = "http.client.request.duration{error.type=%s,http.request.method=POST,http.response.status_code=%s,pacer.resource=api/Messages:create,server.address=api.twilio.com,server.port=443}"
		w.want(map[string]string{
			strings.Replace(fmt.Sprintf(http, "", "201"), "error.type=,", "", 1): "2/0.2 s",
			fmt.Sprintf(http, "429", "429"):                                      "3/0.0 s",
			fmt.Sprintf(http, "400", "400"):                                      "1/0.0 s",
			"http.client.request.duration{http.request.method=GET,http.response.status_code=200,pacer.resource=lookups/PhoneNumbers:read,server.address=lookups.twilio.com,server.port=443}": "1/0.1 s",

			"pacer.call.duration{pacer.outcome=ok," + messages + "}":        "2/1.6 s",
			"pacer.call.duration{pacer.outcome=throttled," + messages + "}": "1/1.4 s",
			"pacer.call.duration{pacer.outcome=error," + messages + "}":     "1/0.0 s",
			"pacer.wait.duration{" + messages + "}":                         "6/0.8 s",
			"pacer.requests.throttled{" + messages + "}":                    "3 {request}",
			"pacer.requests.retried{" + messages + "}":                      "2 {request}",
			"pacer.calls.gave_up{pacer.reason=throttled," + messages + "}":  "1 {call}",
			"pacer.calls.gave_up{pacer.reason=quota," + messages + "}":      "0 {call}",

			"pacer.requests.throttled{pacer.resource=lookups/PhoneNumbers:read}": "0 {request}",

			"pacer.alerts{pacer.alert=retries_exhausted}":   "1 {alert}",
			"pacer.alerts{pacer.alert=limits_rejected}":     "0 {alert}",
			"pacer.alerts{pacer.alert=throttled_too_often}": "0 {alert}",
			"pacer.alerts{pacer.alert=paced_by_default}":    "0 {alert}",
			"pacer.alerts{pacer.alert=pool_unknown}":        "0 {alert}",
			"pacer.requests.throttled_ratio{}":              fmt.Sprint(3./7) + " 1",
			"pacer.calls.waiting{}":                         "0 {call}",
			"pacer.requests.in_flight{}":                    "0 {request}",
			"pacer.requests.in_flight_limit{}":              "50 {request}",
		})
	})
}

// TestGauges looks while calls wait. What is known of buckets is added up: here those of
// two senders, in two clients, one of them in another region.
func TestGauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 500 * time.Millisecond})
		limits := pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 2}, {Resource: "Calls", Rate: pacer.Unlimited}})
		c, elsewhere := w.client(limits), w.client(limits)
		elsewhere.SetRegion("ie1")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _ = send(c.RestClient, sender) })
			wg.Go(func() { _ = send(c.RestClient, "+15005550007") })
			wg.Go(func() { _ = send(elsewhere.RestClient, sender) })
		}
		synctest.Wait()
		const messages = "{pacer.resource=api/Messages:create}"
		w.want(map[string]string{
			"pacer.calls.waiting{}":            "9 {call}",
			"pacer.calls.queued" + messages:    "9 {call}",
			"pacer.requests.in_flight{}":       "3 {request}",
			"pacer.requests.in_flight_limit{}": "",
			"pacer.rate.configured" + messages: "6 {request}/s",
			"pacer.rate.learned" + messages:    "",
			"pacer.cool_down" + messages:       "0 s",
		})
		wg.Wait()
		w.throttle(1, "30")
		wg.Go(func() { _ = send(c.RestClient, sender) })
		time.Sleep(10 * time.Second)
		got := w.metrics()
		if left := got["pacer.cool_down"+messages]; !regexp.MustCompile(`^(19|20|21)(\.\d+)? s$`).MatchString(left) {
			t.Errorf("10 s into a cool-down of 30 s: %q left", left)
		}
		if got["pacer.calls.waiting{}"] != "1 {call}" {
			t.Errorf("a call that sleeps between attempts: waiting = %q", got["pacer.calls.waiting{}"])
		}
		wg.Wait()

		_, _ = c.Api.CreateCall((&api.CreateCallParams{}).SetFrom(sender).SetTo("+15555550100").SetUrl("https://example.com"))
		got = w.metrics()
		for _, name := range []string{"pacer.rate.effective", "pacer.rate.configured"} {
			if rate, ok := got[name+"{pacer.resource=api/Calls:create}"]; ok {
				t.Errorf("%s of an unlimited resource: %q", name, rate)
			}
		}
	})
}

func TestSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		c := w.client(pacer.WithMaxRetries(1), pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 2}}))
		ctx, parent := w.tracer.Start(t.Context(), "parent")

		_ = send(c.WithContext(ctx), sender)
		w.throttle(2, "3")
		_ = send(c.WithContext(ctx), sender)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := send(c.WithContext(cancelled), sender); !errors.Is(err, context.Canceled) {
			t.Errorf("with a cancelled context: %v", err)
		}
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1})
		_ = send(c.WithContext(ctx), "+15005550007")

		ended := w.spans.Ended()
		if started := len(w.spans.Started()); started != 5 || len(ended) != 4 {
			t.Fatalf("%d spans started and %d ended; want 5 and 4: all but the parent", started, len(ended))
		}
		for i, want := range []struct {
			outcome, errorType, status string
			attempts                   int
			events                     string
		}{
			{"ok", "", "", 1, ""},
			{"throttled", "429", "throttled: status 429, code 20429", 2, "waited throttled retrying throttled gave up"},
			{"not_sent", "canceled", "not_sent", 0, ""},
			{"in_doubt", "_OTHER", "in_doubt", 1, ""},
		} {
			s := ended[i]
			attrs := map[string]any{}
			for _, kv := range s.Attributes() {
				attrs[string(kv.Key)] = kv.Value.AsInterface()
			}
			var events []string
			for _, e := range s.Events() {
				events = append(events, e.Name)
			}
			if s.Name() != "api/Messages:create" || s.Parent().SpanID() != parent.SpanContext().SpanID() || s.SpanKind() != trace.SpanKindInternal {
				t.Errorf("span %d: %q, %v, child of %v", i, s.Name(), s.SpanKind(), s.Parent().SpanID())
			}
			errorType, _ := attrs["error.type"].(string)
			if attrs["pacer.outcome"] != want.outcome || errorType != want.errorType || s.Status().Description != want.status || attrs["pacer.attempts"] != int64(want.attempts) {
				t.Errorf("span %d: %v, status %q; want %+v", i, attrs, s.Status().Description, want)
			}
			if failed := s.Status().Code == codes.Error; failed != (want.status != "") {
				t.Errorf("span %d: status %v", i, s.Status())
			}
			if got := strings.Join(events, " "); got != want.events {
				t.Errorf("span %d: events %q; want %q", i, got, want.events)
			}
		}
	})
}

// TestSpanEndsWithAPanic: a server that recovers must not collect open spans.
func TestSpanEndsWithAPanic(t *testing.T) {
	w := newWorld(t, twiliotest.Config{})
	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}, w.option,
		pacer.WithHTTPClient(&http.Client{Transport: panicking{}}))
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = send(c.RestClient, sender)
	}()
	if ended := w.spans.Ended(); len(ended) != 1 || ended[0].Status().Code != codes.Error {
		t.Errorf("%d spans ended: %v", len(ended), ended)
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("transport") }

// TestNoIdentifiers drives many accounts, senders and numbers through everything that
// can happen, with errors whose messages hold them, and looks for them in all that
// leaves the program.
func TestNoIdentifiers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		var wg sync.WaitGroup
		for i := range 20 {
			account := fmt.Sprintf("AC%032x", 0xabc000+i)
			c, err := pacer.New(paramsOf(w.fake, account), w.option, pacer.WithMaxRetries(1), pacer.WithAlert(func(pacer.Alert) {}))
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for n := range 5 {
					number := fmt.Sprintf("+1555%03d%04d", i, n)
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					rest := c.WithContext(ctx)
					_ = send(rest, number)
					_ = send(rest, "whatsapp:"+number)
					_ = send(rest, fmt.Sprintf("MG%032x", n))
					_, _ = rest.LookupsV2.FetchPhoneNumber(number, &lookups.FetchPhoneNumberParams{})
					_, _ = rest.Api.FetchMessage(fmt.Sprintf("SM%032x", n), &api.FetchMessageParams{})
					_, _ = rest.VerifyV2.CreateVerification(fmt.Sprintf("VA%032x", n), (&verify.CreateVerificationParams{}).SetTo(number).SetChannel("sms"))
					_, _ = rest.Api.CreateIncomingPhoneNumber((&api.CreateIncomingPhoneNumberParams{}).SetPhoneNumber(number))
					cancel()
				}
			})
		}
		for i := range 60 {
			fault := twiliotest.Fault{Kind: twiliotest.RespondStatus, Times: 1, Message: "The number +15555550100 of AC0123456789abcdef0123456789abcdef is not valid"}
			switch i % 4 {
			case 0:
				fault.Status, fault.Code = 400, 21211
			case 1:
				fault.Status = 429
			case 2:
				fault.Status, fault.Code = 429, 21611
			default:
				fault.Kind = twiliotest.DropBeforeAccept
			}
			w.fake.Inject(fault)
			time.Sleep(100 * time.Millisecond)
		}
		during := fmt.Sprintln(w.metrics())
		wg.Wait()
		dump := during + fmt.Sprintln(w.metrics())
		for _, s := range w.spans.Ended() {
			dump += fmt.Sprintln(s.Name(), s.Status(), s.Attributes(), s.Events(), s.Links(), s.InstrumentationScope(), s.Resource())
		}
		if len(dump) < 100_000 || !strings.Contains(dump, "senders_queue_is_full") || !strings.Contains(dump, "in_doubt") {
			t.Fatalf("this test has seen too little: %d bytes", len(dump))
		}
		for what, re := range map[string]string{
			"phone number": `\+\d{5}|%2B|\b1?555\d{4}|whatsapp`,
			"SID":          `\b[A-Z]{2}[0-9a-f]{32}\b`,
			"error text":   `not valid`,
		} {
			if found := regexp.MustCompile(re).FindString(dump); found != "" {
				t.Errorf("%s: %q", what, found)
			}
		}
		if n := len(w.metrics()); n > 300 {
			t.Errorf("%d series for some ten resources", n)
		}
		if started, ended := len(w.spans.Started()), len(w.spans.Ended()); started != ended {
			t.Errorf("%d spans started, %d ended", started, ended)
		}
	})
}

func TestDropInConstructors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		rest := pacer.NewRestClientWithParams(w.params(), w.option)
		if err := send(rest, sender); err != nil {
			t.Fatal(err)
		}
		w.want(map[string]string{
			"pacer.call.duration{pacer.outcome=ok,pacer.resource=api/Messages:create}": "1/0.0 s",
			"pacer.rate.configured{pacer.resource=api/Messages:create}":                "1 {request}/s",
		})
	})
}

// TestClientsCanBeCollected: a program may make a client for each tenant and drop it.
func TestClientsCanBeCollected(t *testing.T) {
	w := newWorld(t, twiliotest.Config{})
	gone := make(chan bool)
	runtime.AddCleanup(w.client(), func(ch chan bool) { close(ch) }, gone)
	for {
		runtime.GC()
		select {
		case <-gone:
			if n := len(w.metrics()); n != 0 {
				t.Errorf("%d series of a client that is gone", n)
			}
			return
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the client is kept alive")
		}
	}
}

func TestInstrumentErrorsAreTheConstructors(t *testing.T) {
	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}, otelpacer.Instrument(otelpacer.WithMeterProvider(brokenProvider{})))
	if err == nil || !strings.Contains(err.Error(), "no gauge today") {
		t.Errorf("New: %v", err)
	}
	if err := send(c.RestClient, sender); err == nil {
		t.Error("the client works")
	}
}

type brokenProvider struct{ embedded.MeterProvider }

func (brokenProvider) Meter(name string, opts ...metric.MeterOption) metric.Meter {
	return brokenMeter{sdkmetric.NewMeterProvider().Meter(name, opts...)}
}

type brokenMeter struct{ metric.Meter }

func (m brokenMeter) Int64ObservableGauge(name string, opts ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	g, _ := m.Meter.Int64ObservableGauge(name, opts...)
	return g, errors.New("no gauge today")
}

// store is a pacer.BucketStore that gives all that is wanted, or its error.
type store struct{ err error }

func (s *store) Take(_ context.Context, _ pacer.Resource, d pacer.Demand) (pacer.Grant, error) {
	return pacer.Grant{N: d.N, Pace: d.Rate, From: time.Now(), Every: time.Nanosecond, Processes: 1}, s.err
}

func TestLimitsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		s := &store{}
		l, err := pacer.NewSharedLimiter(pacer.Limits{{Resource: pacer.Messages, Rate: 10}}, s)
		if err != nil {
			t.Fatal(err)
		}
		c := w.client(pacer.WithLimiter(l))
		if err := send(c.RestClient, sender); err != nil {
			t.Fatal(err)
		}
		w.want(map[string]string{"pacer.limits.shared{}": "1 1"})
		s.err = errors.New("gone")
		time.Sleep(time.Minute)
		if err := send(c.RestClient, sender); err != nil {
			t.Fatal(err)
		}
		w.want(map[string]string{"pacer.limits.shared{}": "0 1"})
	})
}
