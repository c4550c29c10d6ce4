// Package dashboard shows a queue in a browser, and lets people steer it. It is a handler that any program can mount,
// and the command pacer serves it:
//
//	d, err := dashboard.New(q, dashboard.WithToken(os.Getenv("DASHBOARD_TOKEN")))
//	if err != nil {
//		return err
//	}
//	defer d.Close()
//	http.Handle("/pacer/", http.StripPrefix("/pacer", d))
//
// People see what waits, why something does not go on, campaigns, requests in doubt, workers and holds. They can pause and cancel
// campaigns, decide about requests in doubt, end holds and change limits.
//
// However many look, the store is asked at most twice a second. What a person changes comes on top of that.
//
// # Security
//
// With [WithToken] only those see anything who know the token. Without one, the dashboard answers only requests whose
// Host is localhost or a loopback address, as a browser on the same machine makes them. Changes
// must come from the dashboard's own pages: https://pkg.go.dev/net/http#CrossOriginProtection.
// No page has a whole phone number, the text of a message or a credential.
package dashboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// A Dashboard is the handler. It is safe for concurrent use.
type Dashboard struct {
	q            *queue.Queue
	view         *view
	guard        guard
	limits       *limits // nil: they are not shown
	sharedLimits bool    // with all processes
	log          *slog.Logger
	handler      http.Handler
	streams      chan struct{} // one place for each

	stop  context.CancelFunc
	ended sync.WaitGroup
}

// An Option changes a [Dashboard].
type Option func(*Dashboard) error

// minToken is how long a token is at least, as nothing slows down those who guess.
const minToken = 16

// WithToken makes a token necessary. People type it once in twelve hours; programs send it as "Authorization:
// Bearer". One of less than 16 characters is an error.
func WithToken(token string) Option {
	return func(d *Dashboard) error {
		if len(token) < minToken {
			return fmt.Errorf("dashboard: WithToken: a token of %d characters: expected at least %d that nobody can guess", len(token), minToken)
		}
		d.guard.token = token
		return nil
	}
}

// WithInsecure lets everybody in who reaches the dashboard, under any host name. It is for a dashboard behind
// something else that asks who somebody is.
func WithInsecure() Option {
	return func(d *Dashboard) error {
		d.guard.insecure = true
		return nil
	}
}

// Limits are what the page of limits shows and changes. A [pacer.Client] is one.
type Limits interface {
	Limits() pacer.Limits
	SetLimits(pacer.Limits) error
}

// WithLimits shows limits, and lets people change them. kept ends the sentence "A change is in force ..." on
// the page, such as "until the worker restarts". Without WithLimits there is no such page.
func WithLimits(l Limits, kept string) Option {
	return func(d *Dashboard) error {
		if l == nil {
			return errors.New("dashboard: WithLimits: nil: expected such as a *pacer.Client")
		}
		d.limits = &limits{of: l, kept: kept}
		return nil
	}
}

// WithSharedLimits says that the limits of WithLimits are those of all processes. Without it the page says that a change
// is for this process only, and how many other workers have limits of their own.
func WithSharedLimits() Option {
	return func(d *Dashboard) error {
		d.sharedLimits = true
		return nil
	}
}

// WithLimitsFile names the file from which the limits of WithLimits come, and which is watched. The page of limits says
// what is different from the file, and why the file is not taken if it is wrong. It goes after WithLimits.
func WithLimitsFile(path string) Option {
	return func(d *Dashboard) error {
		if d.limits == nil || path == "" {
			return errors.New("dashboard: WithLimitsFile: expected the path of a file, and WithLimits before it")
		}
		d.limits.file = path
		return nil
	}
}

// WithStats shows the share of throttled requests of a client in this process. stats is its Stats.
func WithStats(stats func() pacer.Stats) Option {
	return func(d *Dashboard) error {
		d.view.stats = stats
		return nil
	}
}

// WithLog logs each change at Info: what was changed, and from which address. It has no phone number and no text. The
// default is slog.Default. nil is an error.
func WithLog(log *slog.Logger) Option {
	return func(d *Dashboard) error {
		if log == nil {
			return errors.New("dashboard: WithLog: nil: expected a logger")
		}
		d.log = log
		return nil
	}
}

// New returns a dashboard of a queue. It looks at the queue every five seconds, also while nobody watches, for
// an hour of history in memory. An invalid option is an error. Close it before the queue.
func New(q *queue.Queue, opts ...Option) (*Dashboard, error) {
	if q == nil {
		return nil, errors.New("dashboard: New: nil queue: expected one such as queue.Open returns")
	}
	v, err := newView(q.Engine())
	if err != nil {
		return nil, err
	}
	d := &Dashboard{q: q, view: v, log: slog.Default(), streams: make(chan struct{}, maxStreams)}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(d); err != nil {
			return nil, err
		}
	}
	v.hasLimits = d.limits != nil
	d.handler = d.guard.protect(d.routes())
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.ended.Go(func() { v.run(ctx) })
	return d, nil
}

// Close ends what the dashboard does, and the streams of those who look. It does not close the queue.
func (d *Dashboard) Close() error {
	d.stop()
	d.ended.Wait()
	d.view.end()
	return nil
}

// ServeHTTP answers a request whose path is "/" or below it: use http.StripPrefix, with a prefix that has no slash at its
// end. Slow readers are cut off: it needs no timeouts for writing of the server's own.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }
