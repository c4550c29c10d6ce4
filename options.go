package pacer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// An Option changes how a client paces and retries. [New] reports an invalid one as
// its error; the drop-in constructors, which cannot, return it from every call. Of an
// option that sets something and is given twice the last one counts.
type Option func(*options) error

// options is what the options set, for the constructor.
type options struct {
	*config
	limits     Limits
	limitsFile string // that limits come from, as the environment says; and its text
	limitsText string
	httpClient *http.Client
	baseURL    *url.URL // nil: Twilio itself
	noLearning bool
	discovery  bool
	start      []func(*Client) error
	errs       []error
}

// apply lets options set what they are for, and collects their errors.
func (o *options) apply(opts []Option) {
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(o); err != nil {
			o.errs = append(o.errs, fmt.Errorf("pacer: %w", err))
		}
	}
}

func optionsOf(opts []Option) (*options, error) {
	o := &options{config: &config{maxRetries: 5, maxRetryAfter: 5 * time.Minute, jitter: uniform, recorder: newRecorder()}}
	o.apply(opts)
	errs := o.errs
	if o.limits == nil && o.limiter == nil {
		if err := o.fromEnvironment(); err != nil {
			errs = append(errs, err)
		}
	}
	if o.limiter == nil {
		l, err := NewLimiter(o.limits)
		if err != nil {
			errs = append(errs, fmt.Errorf("pacer: WithLimits: %w", err))
		}
		if l != nil {
			l.SetLearning(!o.noLearning)
			o.limiter = l
		}
	} else {
		if o.limits != nil {
			errs = append(errs, errors.New("pacer: WithLimits: expected not beside WithLimiter, whose limiter has limits of its own"))
		}
		if o.noLearning {
			errs = append(errs, errors.New("pacer: WithLearning: expected not beside WithLimiter: use the limiter's SetLearning"))
		}
	}
	if o.local = bucketLimiter(o.limiter); o.local == nil && o.discovery && o.limiter != nil {
		errs = append(errs, errNeedsBucketLimiter)
	}
	return o, errors.Join(errs...)
}

// fromEnvironment sets the limits for a program that sets none itself.
func (o *options) fromEnvironment() (err error) {
	o.limits, o.limitsFile, o.limitsText, err = environmentLimits()
	return err
}

// Options returns one option that does what all of opts do, in their order. It is for packages that
// offer several options as one. A nil option among them does nothing. The constructor's error
// has that of each one that is invalid.
func Options(opts ...Option) Option {
	opts = slices.Clone(opts)
	return func(o *options) error {
		o.apply(opts)
		return nil
	}
}

// WithMaxRetries sets how often a throttled request is sent again. The default is 5:
// six attempts, with waits of 1, 2, 4, 8 and 16 s where Twilio does not say
// otherwise. 0 means never.
func WithMaxRetries(n int) Option {
	return func(c *options) error {
		if n < 0 {
			return fmt.Errorf("WithMaxRetries: %d: expected 0 or more retries", n)
		}
		c.maxRetries = n
		return nil
	}
}

// WithMaxRetryAfter sets the longest Retry-After that a call waits out. If Twilio asks
// for more the call fails at once, with the delay in its error ([FromError]), so that
// the request can be put off. If its resource pauses for it, other calls for that
// resource fail likewise, until the delay, or five minutes of it, is over. The default is
// 5 minutes.
func WithMaxRetryAfter(d time.Duration) Option {
	return func(c *options) error {
		if d <= 0 {
			return fmt.Errorf("WithMaxRetryAfter: %v: expected a duration above 0", d)
		}
		c.maxRetryAfter = d
		return nil
	}
}

// WithMaxWait sets the longest that one call may wait in all, for its bucket and
// between attempts; time on the wire does not count. A call that would have to wait
// longer fails as soon as that can be known, mostly at once, with an error that wraps
// [ErrWaitTooLong]. The default is no limit but the context's.
func WithMaxWait(d time.Duration) Option {
	return func(c *options) error {
		if d <= 0 {
			return fmt.Errorf("WithMaxWait: %v: expected a duration above 0", d)
		}
		c.maxWait = d
		return nil
	}
}

// WithFallbackJitter adds a random time in [0, d) to each step of the fixed schedule,
// which applies when Twilio sends no Retry-After. The default is 0: the steps are
// exact. (A Retry-After always gets a jitter of 0-1 s.)
func WithFallbackJitter(d time.Duration) Option {
	return func(c *options) error {
		if d < 0 {
			return fmt.Errorf("WithFallbackJitter: %v: expected a duration of 0 or more", d)
		}
		c.fallbackJitter = d
		return nil
	}
}

// WithLimits sets how much may be sent of what; see [Limits]. Where no rule matches,
// [DefaultLimits] apply.
//
// Without it, and without [WithLimiter], the constructors read limits from the environment.
// PACER_LIMITS is the JSON itself (see [ParseLimits]). PACER_LIMITS_FILE is the path of a file with
// it, which is then watched as by [Client.WatchLimits] while the client lives. To have both, or what
// is invalid, is the constructor's error. An empty variable counts as unset. WithLimits(nil) keeps
// the environment out.
func WithLimits(limits Limits) Option {
	return func(c *options) error {
		c.limits = append(Limits{}, limits...)
		return nil
	}
}

// WithLimiter makes the client use a limiter that is made elsewhere: a
// [BucketLimiter] that several clients share, or one that is shared by processes.
func WithLimiter(l Limiter) Option {
	return func(c *options) error {
		if l == nil {
			return errors.New("WithLimiter: nil: expected a Limiter")
		}
		c.limiter = l
		return nil
	}
}

// WithHTTPClient sets the http.Client that requests are sent with: a proxy, another
// transport, a test's fake. It is used as twilio-go uses the HTTPClient of its own
// client.Client: Timeout bounds each attempt, and redirects are followed unless
// CheckRedirect says otherwise. It cannot be combined with ClientParams.Client.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *options) error {
		if hc == nil {
			return errors.New("WithHTTPClient: nil: expected an *http.Client")
		}
		c.httpClient = hc
		return nil
	}
}

// WithBaseURL sends what is meant for Twilio to another server: a fake, such as "pacer fake", or a
// proxy of your own. base is such as "http://127.0.0.1:8080", and may have a path, which
// goes before that of each request. The Host header stays that of Twilio's product,
// as its paths alone do not say which product is meant.
//
// It is about the hosts twilio.com and *.twilio.com, in every edge and region, and about requests for
// access tokens as well. A request for any other host is not sent, unless that host is base's own. A
// redirect or the address of a next page may name one. So the account's credentials go to base and
// nowhere else. With http they are readable on the way: use it on loopback, or with credentials that
// only a fake takes.
//
// A base that is not an http or https URL, or that has a user, a query or a fragment, is the
// constructor's error. It cannot be combined with ClientParams.Client. With
// [WithHTTPClient] the requests go through the transport of that client.
func WithBaseURL(base string) Option {
	return func(c *options) error {
		u, err := url.Parse(base)
		switch {
		case err != nil: // which would show the whole text
			return fmt.Errorf("WithBaseURL: not a URL: expected one such as http://127.0.0.1:8080")
		case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
			return fmt.Errorf("WithBaseURL: expected an http or https URL with a host, such as http://127.0.0.1:8080")
		case u.User != nil:
			return fmt.Errorf("WithBaseURL: the URL has a user or a password: expected none, as the client's credentials are sent")
		case u.RawQuery != "" || u.Fragment != "":
			return fmt.Errorf("WithBaseURL: the URL has a query or a fragment: expected neither")
		}
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""
		c.baseURL = u
		return nil
	}
}

// WithLogger sets where pacer logs: each retry at Debug, alerts at Error, those that are
// only notices at Warn. By default retries are not logged, and alerts go to slog.Default
// unless [WithAlert] takes them. Phone numbers are masked, bodies and credentials never logged.
func WithLogger(l *slog.Logger) Option {
	return func(c *options) error {
		if l == nil {
			return errors.New("WithLogger: nil: expected a *slog.Logger")
		}
		c.logger = l
		return nil
	}
}

// WithLearning says whether pacer learns from throttled answers. The default is true: it
// learns rates and in-flight limits, and tells limits from noise, see [BucketLimiter].
// With false they are as configured. Each throttled answer then stops its bucket for as
// long as Twilio says, else for 1, 2, 4, 8, 16 s, and does nothing else. The document
// docs/learning.md says where that delivers more.
func WithLearning(on bool) Option {
	return func(c *options) error {
		c.noLearning = !on
		return nil
	}
}

// WithObserver adds a function that gets every [Event] of every call, with the context
// of the call. It is called in the goroutine of the call, in the order of the events, and by
// many calls at a time. It may use the client, also for the same resource.
//
// Only its own call waits for it. It has no permit and no token meanwhile, and no mutex is locked.
// The limiter is told what became of an attempt before the observer is. A wait is therefore reported
// when the attempt that followed it is over; see [Event].Time. A panic is logged, with its stack, to
// the logger of [WithLogger] or to slog.Default, and the call goes on.
func WithObserver(f func(context.Context, Event)) Option {
	return func(c *options) error {
		if f == nil {
			return errors.New("WithObserver: nil: expected a function")
		}
		c.observers = append(c.observers, func(ctx context.Context, e Event) {
			defer c.recovered("WithObserver")
			f(ctx, e)
		})
		return nil
	}
}

// WithCallContext adds a function that each call begins with. The context that it
// returns, which is to be derived from ctx, is the call's: requests carry it, and
// observers get it. It is how a tracer puts its span in. The call waits for the function, and
// has nothing of the limiter meanwhile. A [Turn] keeps its permit, for 10 ms at most. If
// the function returns nil, or panics, the call goes on with ctx; a panic is logged as with
// [WithObserver].
func WithCallContext(f func(ctx context.Context, r Resource) context.Context) Option {
	return func(c *options) error {
		if f == nil {
			return errors.New("WithCallContext: nil: expected a function")
		}
		c.callContext = append(c.callContext, func(ctx context.Context, r Resource) context.Context {
			return c.begin(ctx, f, r)
		})
		return nil
	}
}

// WithAlert adds a function that gets every [Alert], one after the other, in the order in
// which they were raised. It is called in a goroutine of its own, which ends when no alert
// waits. It may use the client, for instance to send a message to the people on duty: no
// permit is taken by what raised the alert.
//
// What raises an alert does not wait for the function, or 10 ms at most, and not again before
// the function has caught up. So the alert of a call that has returned has been delivered, if
// the function is quick. 1,000 alerts wait for a slow one; those beyond go to the log, and
// [Stats].UndeliveredAlerts counts them. A panic is logged with its stack and with the alert,
// to the logger of [WithLogger] or to slog.Default.
func WithAlert(f func(Alert)) Option {
	return func(c *options) error {
		if f == nil {
			return errors.New("WithAlert: nil: expected a function")
		}
		c.alerts = append(c.alerts, &listener{logs: &c.logs, f: f})
		return nil
	}
}

// WithStart adds a function that the constructor calls with the client that it has made,
// before anyone else has it. Its error is the constructor's. It is how metrics get at
// [Client.Stats], whichever constructor is used. The function is not called if another
// option is invalid.
func WithStart(f func(*Client) error) Option {
	return func(c *options) error {
		if f == nil {
			return errors.New("WithStart: nil: expected a function")
		}
		c.start = append(c.start, f)
		return nil
	}
}

// WithThrottledAlert sets above which share of the last minute's requests throttled,
// and from how many requests on, [AlertThrottled] is raised. The default is 0.05, the
// article's line, of at least 100 requests. A share of 0 means never.
func WithThrottledAlert(share float64, minRequests int) Option {
	return func(c *options) error {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("WithThrottledAlert: share %v: expected 0 to 1", share)
		}
		if minRequests < 1 {
			return fmt.Errorf("WithThrottledAlert: %d requests: expected at least 1", minRequests)
		}
		c.recorder.alarmAbove, c.recorder.alarmFrom = share, minRequests
		return nil
	}
}

// WithPoolDiscovery has the client ask Twilio which senders are in the pool of a Messaging Service,
// once, when the service is first used. The service's rate is then the sum of theirs, as with
// [Client.LearnMessagingService], unless a rule of yours gives it one. The default is false. Then the
// client sends no request that the program did not make, and a service is not paced until Twilio
// throttles it ([AlertPoolUnknown] says so). The worker of package queue asks by default.
//
// It asks in the background, with [Low] priority, and as any other call: paced, retried, and
// seen by observers. No call waits for it. A failure is told once for each service, with
// AlertPoolUnknown; an hour later the next use of the service tries again. Changes of the
// pool are not noticed.
//
// It needs a [BucketLimiter], or a limiter that embeds one; another one of [WithLimiter] is
// the constructor's error.
func WithPoolDiscovery(on bool) Option {
	return func(c *options) error {
		c.discovery = on
		return nil
	}
}

var errNeedsBucketLimiter = errors.New("pacer: WithPoolDiscovery: expected a BucketLimiter, or one that embeds it, in WithLimiter; use Client.LearnMessagingService")
