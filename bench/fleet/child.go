package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/redispacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// asMember is the first argument of a process of the fleet; its task follows, as JSON.
const asMember = "fleet-member"

// A task is what a member of the fleet is to do until its standard input ends.
type task struct {
	Name    string  `json:"name"`
	Fake    string  `json:"fake"`  // address
	Redis   string  `json:"redis"` // address
	Workers int     `json:"workers"`
	Limit   float64 `json:"limit"`            // requests/s of all together
	Demand  float64 `json:"demand,omitempty"` // requests/s of this one; 0: as many as pass

	conditions
}

// conditions are what a member meets. The zero conditions are one sender, and answers that take no time.
type conditions struct {
	Senders     int           `json:"senders,omitempty"`     // each with a limit of its own; 0: one
	MaxInFlight int           `json:"maxInFlight,omitempty"` // of a process; 0: no limit
	Shortest    time.Duration `json:"shortest,omitempty"`    // that answers take, beyond what the fake takes
	Longest     time.Duration `json:"longest,omitempty"`
	Noise       float64       `json:"noise,omitempty"` // share of the requests that is throttled and never reaches the fake
}

// A count is what a member has done, told every 100 ms.
type count struct {
	Sent      int64 `json:"sent"` // calls that succeeded
	Throttled int64 `json:"throttled"`
	Lost      int64 `json:"lost"`  // calls that failed
	Asked     int64 `json:"asked"` // round trips to Redis
	Alerts    int64 `json:"alerts"`
}

// senderOf returns the short code from which a worker sends.
func (t task) senderOf(worker int) string { return strconv.Itoa(12345 + worker%max(t.Senders, 1)) }

// member is that process: workers send messages as fast as the limiter lets them.
func member(ctx context.Context, arg string, stdin io.Reader, stdout io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(arg), &t); err != nil {
		return fmt.Errorf("%s: %w", asMember, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	redis.SetLogger(silent{}) // that Redis is gone is part of the test
	var alerts atomic.Int64
	limiter, asked, end, err := t.limiter(func(pacer.Alert) { alerts.Add(1) })
	if err != nil {
		return err
	}
	defer end() //nolint:errcheck // the process ends
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithLimiter(limiter), pacer.WithHTTPClient(&http.Client{Transport: t.network(toFake(t.Fake, t.Workers))}), pacer.WithAlert(func(pacer.Alert) { alerts.Add(1) }))
	if err != nil {
		return err
	}
	var sent, lost atomic.Int64
	var wg sync.WaitGroup
	rc := client.WithContext(ctx)
	for w := range t.Workers {
		wg.Go(func() {
			var tick <-chan time.Time
			if t.Demand > 0 {
				ticker := time.NewTicker(time.Duration(float64(time.Second) * float64(t.Workers) / t.Demand))
				defer ticker.Stop()
				tick = ticker.C
			}
			for i := 0; ctx.Err() == nil; i++ {
				if tick != nil {
					select {
					case <-tick:
					case <-ctx.Done():
						return
					}
				}
				params := &api.CreateMessageParams{}
				params.SetFrom(t.senderOf(w))
				params.SetTo("+15005550006")
				params.SetBody(fmt.Sprintf("%s/%d/%d", t.Name, w, i))
				switch _, err := rc.Api.CreateMessage(params); {
				case err == nil:
					sent.Add(1)
				case ctx.Err() == nil:
					lost.Add(1)
				}
			}
		})
	}
	out := json.NewEncoder(stdout)
	tell := func() error {
		return out.Encode(count{Sent: sent.Load(), Throttled: int64(client.Stats().Throttled), Lost: lost.Load(), Asked: asked(), Alerts: alerts.Load()})
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			if err := tell(); err != nil {
				return err
			}
		case <-ctx.Done():
		}
	}
	wg.Wait()
	return tell()
}

// limiter returns the member's limiter: by itself if there is no Redis. asked returns its round
// trips to Redis.
func (t task) limiter(alert func(pacer.Alert)) (l pacer.Limiter, asked func() int64, end func() error, err error) {
	limits := pacer.Limits{{Resource: pacer.Messages, Rate: t.Limit / float64(max(t.Senders, 1))}}
	if t.MaxInFlight > 0 {
		limits = append(limits, pacer.Limit{Resource: "*", MaxInFlight: t.MaxInFlight})
	}
	if t.Redis == "" {
		l, err = pacer.NewLimiter(limits)
		return l, func() int64 { return 0 }, func() error { return nil }, err
	}
	shared, err := redispacer.New(&redis.UniversalOptions{Addrs: []string{t.Redis}}, limits, redispacer.WithAlert(alert),
		redispacer.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, nil, nil, err
	}
	return shared, func() int64 { return shared.Store().Asked }, shared.Close, nil
}

// network has answers take their time, and throttles what is noise.
func (c conditions) network(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if rand.Float64() < c.Noise {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return &http.Response{
				StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(`{"code":20429,"status":429,"message":"Too Many Requests"}`)),
			}, nil
		}
		resp, err := next.RoundTrip(r)
		if c.Longest > 0 {
			time.Sleep(c.Shortest + rand.N(c.Longest-c.Shortest+1))
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// toFake sends what is meant for Twilio to the fake: TLS ends before it begins.
func toFake(addr string, conns int) http.RoundTripper {
	var d net.Dialer
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
		MaxIdleConnsPerHost: conns,
	}
}

// A process is a member as its parent sees it.
type process struct {
	task
	cmd   *exec.Cmd
	stdin io.WriteCloser
	last  atomic.Pointer[count]
	ended chan error
}

func start(t task) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	p := &process{task: t, cmd: exec.Command(self, asMember, string(arg)), ended: make(chan error, 1)}
	p.last.Store(&count{})
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		for in := json.NewDecoder(stdout); ; {
			c := new(count)
			if in.Decode(c) != nil {
				break
			}
			p.last.Store(c)
		}
		p.ended <- p.cmd.Wait()
	}()
	return p, nil
}

// stop lets the member finish what it is at; kill does not.
func (p *process) stop() error {
	_ = p.stdin.Close()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(10 * time.Second):
		return errors.Join(fmt.Errorf("%s does not end", p.Name), p.kill())
	}
}

func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	var killed *exec.ExitError
	if ended := <-p.ended; !errors.As(ended, &killed) {
		err = errors.Join(err, ended)
	}
	return err
}
