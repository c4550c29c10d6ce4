// Fleet has eight processes share a limit of 20 messages a second through Redis. After a
// while one of them is killed (SIGKILL), and later another one is added. The rate of all
// together stays, and each has about the same part of it. It takes 15 s, and needs
// redis-server, but no account. The messages go to a fake Twilio on loopback, which
// throttles what is above the limit.
//
//	go -C redispacer run ./examples/fleet
//
// It starts a redis-server of its own; REDIS_ADDR=localhost:6379 uses yours.
//
// What changes for Twilio itself: leave out WithHTTPClient, and take the credentials from
// the environment (pacer.ClientParams{}).
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/redispacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

const (
	limit     = 20 // messages/s, of all processes together
	processes = 8
	callers   = 3       // in each process, of which each sends one message after another
	sender    = "12345" // whose limit it is
)

func main() {
	var err error
	if len(os.Args) == 5 && os.Args[1] == "member" {
		err = member(os.Args[2], os.Args[3], os.Args[4])
	} else {
		length := flag.Duration("for", 15*time.Second, "how `long` it takes, 5s at least")
		flag.Parse()
		if flag.NArg() > 0 || *length < 5*time.Second {
			fmt.Fprintln(os.Stderr, "usage: fleet [-for 15s], 5s at least")
			os.Exit(2)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err = demo(ctx, *length)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// member is one process of the fleet. It sends messages as fast as the limiter lets it,
// until its standard input ends. Every 100 ms it prints how many calls have succeeded, and
// how many have failed.
func member(name, redisAddr, fakeAddr string) (err error) {
	signal.Ignore(os.Interrupt) // Ctrl-C is the parent's, which then ends standard input

	// This is all that sharing a limit takes.
	limiter, err := redispacer.New(&redis.UniversalOptions{Addrs: []string{redisAddr}},
		pacer.Limits{{Resource: pacer.Messages, Sender: sender, Rate: limit}}, redispacer.WithName("pacer-example-fleet"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, limiter.Close()) }()
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithLimiter(limiter), pacer.WithHTTPClient(&http.Client{Transport: toFake(fakeAddr)}))
	if err != nil {
		return err
	}

	stdin := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stdin)
	}()
	var sent, failed atomic.Int64
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stdin:
					return
				default:
				}
				params := &api.CreateMessageParams{}
				params.SetFrom(sender).SetTo("+15555550100").SetBody(fmt.Sprintf("%s/%d/%d", name, caller, i))
				if _, err := client.Api.CreateMessage(params); err != nil {
					failed.Add(1)
					continue
				}
				sent.Add(1)
			}
		})
	}
	for tick := time.Tick(100 * time.Millisecond); ; {
		select {
		case <-tick:
			fmt.Println(sent.Load(), failed.Load())
		case <-stdin:
			wg.Wait() // for the calls that wait for their turn
			fmt.Println(sent.Load(), failed.Load())
			return nil
		}
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

// demo starts Redis, the fake and the fleet, and watches them.
func demo(ctx context.Context, length time.Duration) (err error) {
	redisAddr := os.Getenv("REDIS_ADDR")
	if redisAddr == "" {
		if err := redistest.Installed(); err != nil {
			return fmt.Errorf("%w; or name a server: REDIS_ADDR=localhost:6379", err)
		}
		dir, err := os.MkdirTemp("", "pacer-fleet-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		server, err := redistest.Start(dir)
		if err != nil {
			return err
		}
		defer func() { _ = server.Kill() }() // after the fleet, which ends first
		redisAddr = server.Addr
	}
	fake := twiliotest.NewServer(twiliotest.Config{
		Limits:  []twiliotest.Limit{{Resource: "Messages", Rate: limit}}, // in a window that slides
		Latency: 20 * time.Millisecond,
	})
	defer fake.Close()

	f := &fleet{fake: fake, redisAddr: redisAddr, screen: screen{live: terminal(os.Stdout)}}
	defer func() { err = errors.Join(err, f.end()) }()
	f.say("%d processes share %d messages/s through Redis at %s.", processes, limit, redisAddr)
	for range processes {
		if err := f.join(); err != nil {
			return err
		}
	}
	if err := f.watch(ctx, length/3); err != nil {
		return err
	}
	if err := f.members[2].kill(); err != nil {
		return err
	}
	f.say("%s is killed.", f.members[2].name)
	if err := f.watch(ctx, length/3); err != nil {
		return err
	}
	if err := f.join(); err != nil {
		return err
	}
	f.say("%s joins.", f.members[len(f.members)-1].name)
	if err := f.watch(ctx, length-2*(length/3)); err != nil {
		return err
	}
	if err := f.end(); err != nil {
		return err
	}
	return f.summary()
}

// A fleet is the processes as their parent sees them.
type fleet struct {
	fake      *twiliotest.Server
	redisAddr string
	members   []*process // also those that have ended
	began     time.Time
	samples   []sample
	screen    screen
}

// A sample is what the fake had accepted at a time.
type sample struct {
	at       time.Time
	accepted int
}

func (f *fleet) join() error {
	p, err := start(fmt.Sprintf("p%d", len(f.members)+1), f.redisAddr, strings.TrimPrefix(f.fake.URL, "http://"))
	if err == nil {
		f.members = append(f.members, p)
	}
	return err
}

func (f *fleet) watch(ctx context.Context, d time.Duration) error {
	if f.began.IsZero() {
		f.began = time.Now()
	}
	end := time.After(d)
	for tick := time.Tick(refresh); ; {
		select {
		case <-tick:
			f.samples = append(f.samples, sample{time.Now(), f.fake.Stats().Accepted})
			f.screen.show(f)
		case <-end:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// rate is what the fake has accepted per second within the last two.
func (f *fleet) rate() float64 {
	last := f.samples[len(f.samples)-1]
	first := last
	for _, s := range f.samples {
		if last.at.Sub(s.at) <= 2*time.Second {
			first = s
			break
		}
	}
	return float64(last.accepted-first.accepted) / max(last.at.Sub(first.at).Seconds(), 0.2)
}

// end lets all members finish what they are at.
func (f *fleet) end() (err error) {
	for _, p := range f.members {
		_ = p.stdin.Close()
	}
	for _, p := range f.members {
		err = errors.Join(err, p.wait())
	}
	return err
}

func (f *fleet) summary() error {
	var sent, failed int64
	for _, p := range f.members {
		sent += p.sent.Load()
		failed += p.failed.Load()
	}
	s, doubled := f.fake.Stats(), len(f.fake.Duplicates())
	first, last := f.samples[0], f.samples[len(f.samples)-1]
	throttled := float64(s.Throttled) / float64(max(1, s.Accepted+s.Throttled))
	// What the fake has not got and a process says that it has sent. The one that was killed
	// may have sent some that it did not tell of.
	lost := failed + max(0, sent-int64(s.Accepted))
	f.say("\n%.1f messages/s of %d; %d sent, %d lost, %d doubled; %d throttled (%.1f %%).",
		float64(last.accepted-first.accepted)/last.at.Sub(first.at).Seconds(), limit, s.Accepted, lost, doubled, s.Throttled, 100*throttled)
	if lost > 0 || doubled > 0 || throttled > 0.02 {
		return errors.New("expected none lost, none doubled, and 2 % throttled at most: please report this")
	}
	return nil
}

// A process is a member of the fleet.
type process struct {
	name         string
	cmd          *exec.Cmd
	stdin        io.Closer
	sent, failed atomic.Int64
	killed       bool
	ended        chan struct{}
	err          error // set when it has ended
}

func start(name, redisAddr, fakeAddr string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self, "member", name, redisAddr, fakeAddr), ended: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var sent, failed int64
			if _, err := fmt.Sscan(lines.Text(), &sent, &failed); err == nil {
				p.sent.Store(sent)
				p.failed.Store(failed)
			}
		}
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// kill gives the process no chance to do anything about it.
func (p *process) kill() error {
	p.killed = true
	err := p.cmd.Process.Kill()
	<-p.ended
	return err
}

func (p *process) wait() error {
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("%s does not end", p.name), p.kill())
	}
	if p.err != nil && !p.killed {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

const refresh = 200 * time.Millisecond

// A screen shows the fleet: on a terminal as a table that is drawn anew, elsewhere as a
// line a second.
type screen struct {
	live  bool
	drawn int // lines of the table
	last  time.Time
}

func (f *fleet) say(format string, args ...any) {
	f.screen.drawn = 0 // what has been drawn stays
	fmt.Printf(format+"\n", args...)
}

func (s *screen) show(f *fleet) {
	if !s.live && time.Since(s.last) < time.Second-refresh/2 {
		return
	}
	s.last = time.Now()
	total := fmt.Sprintf("%4.1f s: %4.1f/s of %d, %d throttled", time.Since(f.began).Seconds(), f.rate(), limit, f.fake.Stats().Throttled)
	most := int64(1)
	for _, p := range f.members {
		most = max(most, p.sent.Load())
	}
	var b strings.Builder
	if s.live {
		if s.drawn > 0 {
			fmt.Fprintf(&b, "\x1b[%dA\x1b[J", s.drawn)
		}
		fmt.Fprintf(&b, "  %s\n", total)
	} else {
		fmt.Fprintf(&b, "%s; sent:", total)
	}
	for _, p := range f.members {
		sent := p.sent.Load()
		state := ""
		if p.killed {
			state = "killed"
		}
		if s.live {
			const width = 40
			bar := int(sent * width / most)
			fmt.Fprintf(&b, "  %-4s%s%s %4d  %s\n", p.name, strings.Repeat("=", bar), strings.Repeat(" ", width-bar), sent, state)
		} else {
			fmt.Fprintf(&b, " %s %s", p.name, cmp.Or(state, fmt.Sprint(sent)))
		}
	}
	if s.live {
		s.drawn = strings.Count(b.String(), "\n")
	} else {
		b.WriteByte('\n')
	}
	fmt.Print(b.String())
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
