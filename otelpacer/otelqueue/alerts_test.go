package otelqueue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/otelpacer/otelqueue"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// A worker whose credentials are wrong raises one alert, and the counter has it.
func TestCountAlerts(t *testing.T) {
	fake := twiliotest.New(twiliotest.Config{Credentials: map[string]string{"SK1": "other"}})
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}, pacer.WithHTTPClient(fake.Client()))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	reader := sdkmetric.NewManualReader()
	alerts, err := otelqueue.CountAlerts(otelqueue.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}
	counted := func(line string) bool {
		got, err := collected(t, reader)
		if err != nil || len(got) < 9 {
			t.Fatal(got, err)
		}
		return slices.Contains(got, line)
	}
	if !counted("pacer.queue.alerts pacer.alert=unauthorized 0") || !counted("pacer.queue.alerts pacer.alert=in_doubt 0") {
		t.Error("no counter before the first alert")
	}
	worker, err := queue.NewWorker(q, client, alerts, queue.WithGrace(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
		_, err := tw.Api.CreateMessage((&api.CreateMessageParams{}).SetFrom("+15005550006").SetTo("+15555550100").SetBody("Hello."))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	for ctx.Err() == nil && !counted("pacer.queue.alerts pacer.alert=unauthorized 1") {
		time.Sleep(10 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Error("no alert was counted")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A worker with metrics of its alerts. With an alert function it logs only if it has a logger.
func ExampleCountAlerts() {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	engine, err := sqlitequeue.Open(filepath.Join(dir, "queue.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Close()
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken})
	if err != nil {
		fmt.Println(err)
		return
	}
	alerts, err := otelqueue.CountAlerts() // the global meter provider
	if err != nil {
		fmt.Println(err)
		return
	}
	worker, err := queue.NewWorker(q, client, alerts)
	fmt.Println(worker != nil, err)
	// Output: true <nil>
}
