// Sqs has a producer without a store, as a Lambda or a web server is. It enqueues 50
// messages into SQS, and a worker sends them to a fake Twilio. What SQS cannot keep, the
// worker has in a SQLite file. It counts in the end: each message arrived once.
//
//	npm ci --ignore-scripts --prefix queue/internal/sqstest/emulator
//	go -C queue run ./examples/sqs
//
// It uses an emulator of SQS on this machine. To use a queue of yours (docs/sqs.md has
// the command that creates one) set SQS_QUEUE_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and, if there is one, AWS_SESSION_TOKEN. Messages go to the fake
// Twilio in any case. The ledger is gone afterwards: untag the queue before the next run,
// as the last line says.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/sqstest"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

const (
	messages = 50
	rate     = 10 // a second
	patience = time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sqs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, url, end, err := connect(ctx)
	if err != nil || client == nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()

	if err := produce(ctx, client, url); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pacer-sqs-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return work(ctx, client, url, filepath.Join(dir, "ledger.db"))
}

// connect returns a client and a queue: yours, or an emulator's.
func connect(ctx context.Context) (client *sqs.Client, url string, end func() error, err error) {
	if url := os.Getenv("SQS_QUEUE_URL"); url != "" {
		// Programs that have more than the environment use the SDK's config package.
		client := sqs.NewFromConfig(aws.Config{
			Region: os.Getenv("AWS_REGION"),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{
					AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
				}, nil
			}),
		})
		return client, url, func() error {
			fmt.Printf("aws sqs untag-queue --queue-url %s --tag-keys pacer-ledger\n", url)
			return nil
		}, nil
	}
	if err := sqstest.Installed(); err != nil {
		if os.Getenv("CI") == "true" {
			return nil, "", nil, err
		}
		fmt.Println("SKIP:", err)
		return nil, "", nil, nil
	}
	emulator, err := sqstest.Start()
	if err != nil {
		return nil, "", nil, err
	}
	url, _, err = emulator.Queue(ctx, "example", 10)
	if err != nil {
		return nil, "", nil, errors.Join(err, emulator.Kill())
	}
	fmt.Println("an emulator of SQS is at", emulator.URL)
	return sqstest.Client(emulator.URL), url, emulator.Kill, nil
}

// produce enqueues messages, and all of them once more, as a program does that is started
// anew and does not know how far it came.
func produce(ctx context.Context, client *sqs.Client, url string) (err error) {
	engine, err := sqsqueue.Open(ctx, client, url, nil) // no ledger
	if err != nil {
		return err
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	start := time.Now()
	for range 2 {
		if _, err := q.EnqueueMany(ctx, func(yield func(queue.Item) bool) {
			for order := range messages {
				if !yield(queue.Item{
					Build:   func(tw *twilio.RestClient) error { return shipped(tw, order) },
					Options: []queue.EnqueueOption{queue.Unique(fmt.Sprintf("order-%d-shipped", order))},
				}) {
					return
				}
			}
		}); err != nil {
			return err
		}
	}
	fmt.Printf("the producer has enqueued %d messages, twice, in %.0f ms, and ends\n", messages, time.Since(start).Seconds()*1000)
	return nil
}

func shipped(tw *twilio.RestClient, order int) error {
	params := &api.CreateMessageParams{}
	params.SetFrom("+15005550006").SetTo("+15555550100").SetBody(fmt.Sprintf("Your order %d is on its way.", order))
	_, err := tw.Api.CreateMessage(params)
	return err
}

// work sends what waits, and shows how far it is.
func work(ctx context.Context, client *sqs.Client, url, ledgerFile string) (err error) {
	ledger, err := sqlitequeue.Open(ledgerFile)
	if err != nil {
		return err
	}
	engine, err := sqsqueue.Open(ctx, client, url, ledger, sqsqueue.WithWindow(20)) // small, to show that the rest stays in SQS
	if err != nil {
		return errors.Join(err, ledger.Close())
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	defer func() { err = errors.Join(err, q.Close()) }()

	fake := twiliotest.NewServer(twiliotest.Config{Latency: 100 * time.Millisecond})
	defer fake.Close()
	twilioClient, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(&http.Client{Transport: toFake(strings.TrimPrefix(fake.URL, "http://"))}),
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: rate}}))
	if err != nil {
		return err
	}
	worker, err := queue.NewWorker(q, twilioClient)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(working) }()
	for sent := int64(0); sent < messages && ctx.Err() == nil; {
		s, err := q.Stats(ctx)
		if err != nil {
			break // Run says the same
		}
		inSQS := int64(0) // counted every 2 s
		for _, l := range s.Lanes {
			if l.Lane == sqsqueue.InSQS {
				inSQS = l.Ready + l.Delayed
			}
		}
		sent = s.Total.Sent
		fmt.Printf("\r%3d in SQS, %3d ready in the ledger, %d on the wire, %3d sent ", inSQS, s.Total.Ready+s.Total.Delayed-inSQS, s.Total.Sending, sent)
		time.Sleep(200 * time.Millisecond)
	}
	fmt.Println()
	stop()
	if err := <-ended; err != nil {
		return err
	}

	times := map[string]int{}
	for _, m := range fake.Messages() {
		times[m.Form.Get("Body")]++
	}
	doubled := len(fake.Messages()) - len(times)
	fmt.Printf("%d enqueued, %d at Twilio: %d lost, %d doubled.\n", messages, len(fake.Messages()), messages-len(times), doubled)
	if len(times) != messages || doubled != 0 {
		return errors.New("that is not as it should be: please report this")
	}
	return nil
}

// toFake sends every request to the fake Twilio that listens there.
type toFake string

func (addr toFake) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Host = r.URL.Host
	out.URL.Scheme, out.URL.Host = "http", string(addr)
	return http.DefaultTransport.RoundTrip(out)
}
