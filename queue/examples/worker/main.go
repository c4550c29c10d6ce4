// Worker has a producer and a worker as two processes that share one file. Without an
// argument it plays out what the queue is for. It runs both as child processes against a
// fake Twilio on loopback. It kills the worker (SIGKILL) while messages are on the wire, and
// starts another one. Then it counts: nothing is lost, nothing is doubled. It takes some
// 15 s, and needs no account.
//
//	go -C queue run ./examples/worker
//
// By hand, in two terminals, as often as you like:
//
//	go -C queue run ./examples/worker work
//	go -C queue run ./examples/worker produce -n 20
//
// For Twilio itself, leave out WithHTTPClient. Take the credentials from the environment
// (pacer.ClientParams{}) in the worker, and TWILIO_ACCOUNT_SID in the producer. Keep the
// default times: the short ones here are for impatient readers.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

const usage = `usage: worker                       the demonstration
       worker produce [-n 20]       enqueues messages, and ends
       worker work [-drain]         sends what waits, until Ctrl-C
both take -db FILE; work takes -twilio URL, a fake that other processes use as well`

func main() {
	command, args := demo, []string(nil)
	if len(os.Args) > 1 {
		args = os.Args[2:]
		switch os.Args[1] {
		case "produce":
			command = produce
		case "work":
			command = work
		default:
			fmt.Fprintln(os.Stderr, usage)
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// open opens the queue's file: the one thing that producer and worker share.
func open(path string) (*queue.Queue, error) {
	if path == "" { // not in the source tree, and nobody else's
		path = filepath.Join(os.TempDir(), fmt.Sprintf("pacer-example-%d", os.Getuid()), "queue.db")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		fmt.Println("the queue is in", path)
	}
	engine, err := sqlitequeue.Open(path)
	if err != nil {
		return nil, err
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return q, nil
}

// produce enqueues messages. Each has a key, so that running it again enqueues nothing
// twice: that is how a producer that was killed goes on.
func produce(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("produce", flag.ExitOnError)
	n := flags.Int("n", 20, "how many `messages`")
	db := flags.String("db", "", "the queue's `file`")
	_ = flags.Parse(args) // ExitOnError
	q, err := open(*db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	done, err := q.EnqueueMany(ctx, func(yield func(queue.Item) bool) {
		for order := range *n {
			item := queue.Item{
				Build:   func(tw *twilio.RestClient) error { return shipped(tw, order) },
				Options: []queue.EnqueueOption{queue.Unique(fmt.Sprintf("order-%d-shipped", order))},
			}
			if !yield(item) {
				return
			}
		}
	})
	fmt.Printf("%d enqueued, %d were there already\n", done.New, done.Known)
	return err
}

func shipped(tw *twilio.RestClient, order int) error {
	params := &api.CreateMessageParams{}
	params.SetFrom("+15005550006").SetTo("+15555550100").SetBody(fmt.Sprintf("Your order %d is on its way.", order))
	_, err := tw.Api.CreateMessage(params)
	return err
}

// work sends what waits.
func work(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("work", flag.ExitOnError)
	db := flags.String("db", "", "the queue's `file`")
	url := flags.String("twilio", "", "the fake Twilio's `URL`; empty: one of its own, which forgets all when the worker ends")
	drain := flags.Bool("drain", false, "end when nothing waits any more")
	_ = flags.Parse(args) // ExitOnError
	if *url == "" {
		fake := twiliotest.NewServer(twiliotest.Config{Latency: latency})
		defer fake.Close()
		url = &fake.URL
	}
	q, err := open(*db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(&http.Client{Transport: toFake(strings.TrimPrefix(*url, "http://"))}),
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 10}}))
	if err != nil {
		return err
	}
	worker, err := queue.NewWorker(q, client,
		queue.WithAttemptTimeout(3*time.Second), queue.WithLeaseMargin(2*time.Second), queue.WithSettle(time.Second),
		queue.WithOnResult(func(_ context.Context, r queue.Result) error {
			fmt.Printf("%s %s %s\n", r.State, r.SID, cmp.Or(errorText(r.Err), fmt.Sprintf("after %.1f s", r.Finished.Sub(r.Enqueued).Seconds())))
			return nil
		}))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if *drain {
		go untilEmpty(ctx, q, cancel)
	} else {
		fmt.Println("sending what waits; Ctrl-C ends it")
	}
	return worker.Run(ctx) // lets what is on the wire end first
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// untilEmpty calls done when nothing waits, is being sent or is in doubt. It is for the
// demonstration: a worker of yours runs on.
func untilEmpty(ctx context.Context, q *queue.Queue, done func()) {
	for ctx.Err() == nil {
		if s, err := q.Stats(ctx); err == nil && s.Total.Ready+s.Total.Delayed+s.Total.Sending+s.Total.InDoubt == 0 {
			done()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// toFake sends every request to the fake Twilio that listens there.
type toFake string

func (addr toFake) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Host = r.URL.Host
	out.URL.Scheme, out.URL.Host = "http", string(addr)
	return http.DefaultTransport.RoundTrip(out)
}

// The demonstration: so many messages, of which some are on the wire at a time, as Twilio
// takes a while to answer.
const (
	messages = 40
	latency  = 300 * time.Millisecond
	patience = 90 * time.Second
)

func demo(ctx context.Context, _ []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "pacer-worker-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db := filepath.Join(dir, "queue.db")
	fake := twiliotest.NewServer(twiliotest.Config{Latency: latency})
	defer fake.Close()

	fmt.Printf("A producer, another process, enqueues %d messages, and then the same once more.\n", messages)
	for range 2 {
		if err := start(ctx, "producer", "produce", "-db", db, "-n", fmt.Sprint(messages)).Wait(); err != nil {
			return fmt.Errorf("producer: %w", err)
		}
	}

	fmt.Println("\nA worker sends 10 a second. When Twilio has half of them it is killed, with messages on the wire.")
	first := start(ctx, "worker 1", "work", "-drain", "-db", db, "-twilio", fake.URL)
	if first.Err != nil {
		return first.Err
	}
	for len(fake.Messages()) < messages/2 && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if err := first.Process.Kill(); err != nil { // SIGKILL: it can do nothing about it
		return err
	}
	_ = first.Wait() // "signal: killed"

	q, err := open(db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	s, err := q.Stats(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\nKilled. The file says: %d sent, %d waiting, and %d that were being sent: perhaps Twilio has them.\n",
		s.Total.Sent, s.Total.Ready, s.Total.Sending)
	fmt.Println("The next worker leaves those alone until the first one must be dead, and then looks for them at Twilio.")
	if err := start(ctx, "worker 2", "work", "-drain", "-db", db, "-twilio", fake.URL).Wait(); err != nil {
		return fmt.Errorf("worker 2: %w", err)
	}

	if s, err = q.Stats(ctx); err != nil {
		return err
	}
	lost := max(0, messages-len(fake.Messages()))
	doubled := len(fake.Duplicates())
	fmt.Printf("\n%d enqueued, %d sent according to the queue, %d at Twilio: %d lost, %d doubled.\n",
		messages, s.Total.Sent, len(fake.Messages()), lost, doubled)
	if lost > 0 || doubled > 0 || s.Total.Sent != messages {
		return errors.New("that is not as it should be: please report this")
	}
	return nil
}

// A child is this program as another process.
type child struct {
	*exec.Cmd
	printed sync.WaitGroup
}

// start starts a child, and prints its lines with its name before them.
func start(ctx context.Context, name string, args ...string) *child {
	c := &child{Cmd: exec.CommandContext(ctx, os.Args[0], args...)}
	if self, err := os.Executable(); err == nil {
		c.Path = self
	}
	out, err := c.StdoutPipe()
	if err == nil {
		c.Stderr = c.Stdout // the same pipe
		err = c.Start()
	}
	if err != nil {
		c.Err = err
		return c
	}
	c.printed.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Printf("  %s | %s\n", name, lines.Text())
		}
	})
	return c
}

// Wait waits for the child's end, and for its last line.
func (c *child) Wait() error {
	if c.Err != nil {
		return c.Err
	}
	c.printed.Wait()
	return c.Cmd.Wait()
}
