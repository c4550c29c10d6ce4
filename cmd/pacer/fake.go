package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// faults are how the fake misbehaves. The zero value is a fake that does not.
type faults struct {
	perSender  int // messages per second of each sender; 0: any number
	rate       int // requests per second of the account; 0: any number
	maxFlight  int // requests in flight; 0: any number
	latency    time.Duration
	unanswered float64 // share of the POSTs that are accepted and not answered
	errors     float64 // share of the requests answered with 503 and not accepted
}

func (f *faults) flags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.perSender, "per-sender", 0, "messages a second that each sender may send; 0: any number")
	cmd.Flags().IntVar(&f.rate, "rate", 0, "requests a second that the account may make; 0: any number")
	cmd.Flags().IntVar(&f.maxFlight, "max-in-flight", 0, "requests that may be in flight; 0: any number")
	cmd.Flags().DurationVar(&f.latency, "latency", 40*time.Millisecond, "how long an answer takes")
	cmd.Flags().Float64Var(&f.unanswered, "unanswered", 0, "share of the POSTs, 0 to 1, that are accepted and never answered")
	cmd.Flags().Float64Var(&f.errors, "errors", 0, "share of the requests, 0 to 1, that are answered with 503")
}

func (f *faults) fake() (*twiliotest.Fake, error) {
	if f.perSender < 0 || f.rate < 0 || f.maxFlight < 0 || f.latency < 0 {
		return nil, usage("a rate, a number or a duration below 0: expected 0 or more")
	}
	if !(f.unanswered >= 0 && f.unanswered <= 1 && f.errors >= 0 && f.errors <= 1) {
		return nil, usage("--unanswered %v, --errors %v: expected shares from 0 to 1", f.unanswered, f.errors)
	}
	cfg := twiliotest.Config{Latency: f.latency, MaxInFlight: f.maxFlight}
	if f.perSender > 0 {
		cfg.Limits = append(cfg.Limits, twiliotest.Limit{Resource: "Messages", Rate: f.perSender, PerSender: true})
	}
	if f.rate > 0 {
		cfg.Limits = append(cfg.Limits, twiliotest.Limit{Resource: "*", Rate: f.rate})
	}
	fake := twiliotest.New(cfg)
	if f.unanswered > 0 {
		fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Match: func(r *twiliotest.Request) bool {
			return r.Method == http.MethodPost && rand.Float64() < f.unanswered
		}})
	}
	if f.errors > 0 {
		fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Match: func(*twiliotest.Request) bool { return rand.Float64() < f.errors }})
	}
	return fake, nil
}

// answersWithin is how long somebody may take to read what the worker answers. The dashboard has times of its own.
const answersWithin = 30 * time.Second

// serve serves h until ctx ends. Whoever reads an answer more slowly than within is cut off, unless h gives it longer. 0: nobody is.
func serve(ctx context.Context, l net.Listener, h http.Handler, within time.Duration) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: within, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// fakeStats is what "pacer fake --json" prints at its end.
type fakeStats struct {
	Accepted  int `json:"accepted"`
	Throttled int `json:"throttled"`
	Twice     int `json:"twice"` // requests that say the same as an earlier one
}

func (a *app) fake() *cobra.Command {
	var f faults
	var listen string
	cmd := &cobra.Command{
		Use: "fake", Short: "Run a fake Twilio that other processes can send to", Args: exactly(),
		Long: `Runs a fake Twilio until it is interrupted. Nothing is ever really sent. It throttles, delays
and fails as the flags say. It takes any credentials. What it knows is in memory, and ends
with it. At its end it says how much it has accepted, and how much of that twice.

A program of yours is pointed at it by pacer.WithBaseURL, this command by --base-url or PACER_BASE_URL.`,
		Example: "  pacer fake --listen 127.0.0.1:8080 --per-sender 10 --latency 100ms --unanswered 0.01\n" +
			"  TWILIO_ACCOUNT_SID=" + twiliotest.AccountSid + " TWILIO_AUTH_TOKEN=any pacer send --now \\\n    --base-url http://127.0.0.1:8080 --from +15005550006 --to +15555550100 --body hello",
		RunE: func(cmd *cobra.Command, _ []string) error {
			fake, err := f.fake()
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			a.say("A fake Twilio listens. Point programs at it:\n\n  export PACER_BASE_URL=http://%s\n  export TWILIO_ACCOUNT_SID=%s\n  export TWILIO_AUTH_TOKEN=any\n",
				strings.Replace(l.Addr().String(), "[::]", "127.0.0.1", 1), twiliotest.AccountSid)
			if err := serve(cmd.Context(), l, fake, 0); err != nil {
				return err
			}
			stats := fakeStats{fake.Stats().Accepted, fake.Stats().Throttled, len(fake.Duplicates())}
			if a.json {
				return a.printJSON(stats)
			}
			a.say("%d accepted, %d throttled, %d of the accepted said the same as an earlier one", stats.Accepted, stats.Throttled, stats.Twice)
			return nil
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "the `address` to listen at; port 0 is a free one")
	return cmd
}
