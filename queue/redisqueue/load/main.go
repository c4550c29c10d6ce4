//go:build unix

// Load measures the queue on Redis: how fast requests are enqueued and worked off with
// many waiting, and what memory they take in the server. It starts a redis-server of its
// own on loopback, with an append-only file.
//
//	go -C queue run ./redisqueue/load -check
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

var (
	lanes   = flag.Int("lanes", 10_000, "how many `lanes`, each a sender's")
	waiting = flag.Int("waiting", 1_000_000, "how many `requests` wait")
	fsync   = flag.String("fsync", "everysec", "appendfsync of the server: always, everysec or no")
	works   = flag.Duration("work", 10*time.Second, "for how long they are worked off")
	at      = flag.Int("workers", 16, "how many `goroutines` work them off")
	short   = flag.Bool("short", false, "1,000 lanes and 50,000 waiting, for 2 s")
	check   = flag.Bool("check", false, "exit 1 if a figure is missed: 20,000 enqueued and 3,000 worked off a second, 1,600 bytes a request, 6,000 a lane")
)

const (
	batch        = 1000
	producers    = 4
	leastEnqueue = 20_000
	leastWork    = 3000
	mostRequest  = 1600
	mostLane     = 6000
	characters   = 300 // of a message
)

func main() {
	flag.Parse()
	if *short {
		*lanes, *waiting, *works = 1000, 50_000, 2*time.Second
	}
	if *lanes < 1 || *waiting < *lanes || *at < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "load: expected -lanes of at least 1, -waiting of at least as many, -workers of at least 1")
		os.Exit(2)
	}
	missed, err := run(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if *check && len(missed) > 0 {
		fmt.Fprintln(os.Stderr, "load: missed:", strings.Join(missed, ", "))
		os.Exit(1)
	}
}

func run(ctx context.Context) (missed []string, err error) {
	if err := redistest.Installed(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pacer-redis-load-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := redistest.Start(dir, "--appendonly", "yes", "--appendfsync", *fsync, "--auto-aof-rewrite-percentage", "0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Kill()) }()
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: time.Minute})
	defer func() { _ = rdb.Close() }()
	e, err := redisqueue.Open(ctx, rdb)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()

	figure := func(name string, value, limit float64, least bool) {
		verdict, sign := "", "at most"
		if least {
			sign = "at least"
		}
		if least && value < limit || !least && value > limit {
			verdict = "  MISSED"
			missed = append(missed, name)
		}
		fmt.Printf("%-34s %10.0f  expected %s %.0f%s\n", name, value, sign, limit, verdict)
	}
	// info adds up what the server says of itself.
	info := func(section string, names ...string) (sum float64) {
		text, err := s.CLI("INFO", section)
		if err != nil {
			return 0 // which shows
		}
		for line := range strings.Lines(text) {
			for _, name := range names {
				if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
					n, _ := strconv.ParseFloat(v, 64)
					sum += n
				}
			}
		}
		return sum
	}
	used := func() float64 { return info("memory", "used_memory") }
	busy := func() float64 { return info("cpu", "used_cpu_user", "used_cpu_sys") }
	fmt.Printf("%d lanes, %d waiting, bodies of %d characters, appendfsync %s\n\n", *lanes, *waiting, characters, *fsync)

	// One in each lane, and then the others: what a lane takes beyond its requests.
	before := used()
	if _, err := enqueue(ctx, e, 0, *lanes); err != nil {
		return nil, err
	}
	first := used() - before
	idle := busy()
	took, err := enqueue(ctx, e, *lanes, *waiting)
	if err != nil {
		return nil, err
	}
	more := float64(*waiting - *lanes)
	each := (used() - before - first) / max(more, 1)
	figure("enqueued a second", more/took.Seconds(), leastEnqueue, true)
	fmt.Printf("%-34s %10.1f us\n", "Redis's CPU for each", (busy()-idle)*1e6/max(more, 1))
	figure("bytes a waiting request", each, mostRequest, false)
	figure("bytes a lane", first/float64(*lanes)-each, mostLane, false)

	start := time.Now()
	if _, _, err := e.Work(ctx); err != nil {
		return nil, err
	}
	fmt.Printf("%-34s %10.1f ms\n", "Work", float64(time.Since(start).Microseconds())/1000)
	start = time.Now()
	if _, err := e.Stats(ctx); err != nil {
		return nil, err
	}
	fmt.Printf("%-34s %10.1f ms\n", "Stats", float64(time.Since(start).Microseconds())/1000)

	idle = busy()
	done, err := work(ctx, e)
	if err != nil {
		return nil, err
	}
	figure("claimed one by one and sent a second", float64(done)/works.Seconds(), leastWork, true)
	fmt.Printf("%-34s %10.1f us\n", "Redis's CPU for each", (busy()-idle)*1e6/float64(max(done, 1)))
	return missed, nil
}

func lane(n int) queue.Lane {
	return queue.Lane{Resource: pacer.Resource{Account: twiliotest.AccountSid, Region: "us1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: fmt.Sprintf("+1500%07d", n)}}
}

func job(n int) queue.Job {
	return queue.Job{
		ID: queue.ID(fmt.Sprintf("01900000-0000-7000-8000-%012d", n)), Lane: lane(n % *lanes),
		Request: queue.Request{
			Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages.json",
			Form:   map[string][]string{"To": {fmt.Sprintf("+1555%07d", n)}, "From": {fmt.Sprintf("+1500%07d", n%*lanes)}, "Body": {strings.Repeat("x", characters)}},
			Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
		},
	}
}

// enqueue adds jobs from one number to before another, in batches.
func enqueue(ctx context.Context, e *redisqueue.Engine, from, to int) (time.Duration, error) {
	start := time.Now()
	var next atomic.Int64
	next.Store(int64(from))
	errs := make(chan error, producers)
	for range producers {
		go func() {
			for {
				n := int(next.Add(batch)) - batch
				if n >= to {
					errs <- nil
					return
				}
				var jobs []queue.Job
				for i := n; i < min(n+batch, to); i++ {
					jobs = append(jobs, job(i))
				}
				if _, err := e.Add(ctx, jobs); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	var all error
	for range producers {
		all = errors.Join(all, <-errs)
	}
	return time.Since(start), all
}

// work claims and moves to Sent, one by one, lane after lane, and returns how many.
func work(ctx context.Context, e *redisqueue.Engine) (int64, error) {
	var done atomic.Int64
	var turn atomic.Int64
	end := time.Now().Add(*works)
	var group sync.WaitGroup
	errs := make(chan error, *at)
	for range *at {
		group.Go(func() {
			for time.Now().Before(end) {
				jobs, err := e.Claim(ctx, queue.Claim{Lane: lane(int(turn.Add(1)) % *lanes), Max: 1, Lease: time.Minute})
				if err != nil {
					errs <- err
					return
				}
				for _, j := range jobs {
					m := queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.Sent, Attempt: true, Reported: true,
						Outcome: &queue.Outcome{SID: "SM" + strings.ReplaceAll(string(j.ID)[4:], "-", ""), Status: 201}}
					if err := e.Move(ctx, m); err != nil {
						errs <- err
						return
					}
					done.Add(1)
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return done.Load(), nil
	}
}
