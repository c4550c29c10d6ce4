//go:build unix

// Nodeproducer has a program in Node enqueue requests, and a worker in Go send them at the
// account's pace. It starts a redis-server of its own and a fake Twilio. It runs produce.mjs
// twice, as one that was killed would be. Then it counts: everybody gets one message. It
// takes some 5 s, and needs redis-server and node, but no account and no npm.
//
//	go -C queue run ./examples/nodeproducer
//
// For Twilio itself, leave out WithHTTPClient in the worker, and take the credentials from
// the environment (pacer.ClientParams{}). Put your account's SID into the URL in
// produce.mjs.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

//go:embed produce.mjs
var script []byte

const (
	requests = 20
	rate     = 10 // of the sender, messages a second
	patience = 2 * time.Minute
)

func main() {
	err := redistest.Installed()
	if _, e := exec.LookPath("node"); err == nil && e != nil {
		err = errors.New("node is not installed: apt-get install nodejs")
	}
	if err != nil && os.Getenv("CI") != "true" {
		fmt.Println("SKIP:", err)
		return
	}
	if err == nil {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nodeproducer:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "pacer-nodeproducer-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := redistest.Start(dir, "--appendonly", "yes", "--appendfsync", "always")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Kill()) }()
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer func() { _ = rdb.Close() }()
	engine, err := redisqueue.Open(ctx, rdb)
	if err != nil {
		return err
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	defer func() { err = errors.Join(err, q.Close()) }()

	fake := twiliotest.New(twiliotest.Config{
		Latency: 50 * time.Millisecond,
		Limits:  []twiliotest.Limit{{Resource: "Messages", Rate: rate, PerSender: true}},
	})
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()), pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: rate}}))
	if err != nil {
		return err
	}
	worker, err := queue.NewWorker(q, client)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(working) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }() // before q.Close

	file := filepath.Join(dir, "produce.mjs")
	const mine = 0o600
	if err := os.WriteFile(file, script, mine); err != nil {
		return err
	}
	for range 2 {
		out, err := exec.CommandContext(ctx, "node", file, "127.0.0.1", strconv.Itoa(s.Port), strconv.Itoa(requests)).CombinedOutput()
		fmt.Print(string(out))
		if err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
	if err := drained(ctx, q, rdb); err != nil {
		return err
	}
	return verify(ctx, q, fake)
}

// drained waits until nothing waits any more.
func drained(ctx context.Context, q *queue.Queue, rdb *redis.Client) error {
	for {
		n, err := rdb.XLen(ctx, "pacer:{queue}:in").Result()
		if err != nil {
			return err
		}
		s, err := q.Stats(ctx)
		if err != nil {
			return err
		}
		if t := s.Total; n == 0 && t.Ready+t.Delayed+t.Sending+t.InDoubt == 0 && t.Sent+t.Failed > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not everything was sent within %v", patience)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// verify prints who got what, and returns an error unless everybody got one message.
func verify(ctx context.Context, q *queue.Queue, fake *twiliotest.Fake) error {
	got := map[string]int{}
	for _, m := range fake.Messages() {
		got[m.Form.Get("Body")]++
	}
	wrong := 0
	for j, err := range q.List(ctx, queue.Filter{}) {
		if err != nil {
			return err
		}
		text := strings.Join(j.Request.Form["Body"], "")
		fmt.Printf("%s  %-32s %s, %d time(s)\n", j.Request.Form["To"][0], text, j.State, got[text])
		if got[text] != 1 || j.State != queue.Sent {
			wrong++
		}
	}
	if wrong > 0 || len(got) != requests {
		return fmt.Errorf("%d different messages have arrived, %d not exactly once: expected %d and 0", len(got), wrong, requests)
	}
	fmt.Printf("\n%d requests, enqueued twice by Node: everybody got one message.\n", requests)
	return nil
}
