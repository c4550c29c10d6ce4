package pacer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go/client"
)

var provider = &ClientCredentialProvider{GrantType: "client_credentials", ClientId: "OQ0", ClientSecret: "s3cr3t"}

// isTokenRequest tells the request for an access token from all others.
func isTokenRequest(r *http.Request) bool { return strings.HasPrefix(r.URL.Host, "oauth.") }

const tokenBody = `{"access_token":"acc3ss","token_type":"Bearer","expires_in":3600}`

// oauthClient is a client whose access tokens come from a ClientCredentialProvider.
func oauthClient(t *testing.T, tr http.RoundTripper, opts ...Option) *Client {
	t.Helper()
	c, err := New(ClientParams{AccountSid: account, ClientCredentialProvider: provider},
		append([]Option{WithHTTPClient(&http.Client{Transport: tr, Timeout: 10 * time.Second}), quiet}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// silent answers nothing until the request's context ends.
func silent(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// apiOAuth is twilio-go's own source, whose requests go through tr.
func apiOAuth(tr http.RoundTripper) *APIOAuth {
	hc := &client.Client{Credentials: client.NewCredentials("", ""), HTTPClient: &http.Client{Transport: tr, Timeout: 10 * time.Second}}
	return NewAPIOAuth(client.NewRequestHandler(hc), &OAuthCredentials{GrantType: "client_credentials", ClientId: "OQ0", ClientSecret: "s3cr3t"})
}

func sourceClient(t *testing.T, tr http.RoundTripper, source client.OAuth, opts ...Option) *Client {
	t.Helper()
	own := &client.Client{Credentials: client.NewCredentials("", ""), HTTPClient: &http.Client{Transport: tr, Timeout: 10 * time.Second}}
	own.SetAccountSid(account)
	c, err := New(ClientParams{Client: own}, append([]Option{quiet, WithLimits(Limits{{Resource: "*", Rate: Unlimited}})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	c.SetOauth(source)
	return c
}

type sourceFunc func(context.Context) (string, error)

func (f sourceFunc) GetAccessToken(ctx context.Context) (string, error) { return f(ctx) }

func TestSilentTokenEndpointFailsAllCallsAfterOneTimeout(t *testing.T) {
	for _, name := range []string{"pacer's source", "twilio-go's source"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fetches, sent atomic.Int64
				tr := transport(func(r *http.Request) (*http.Response, error) {
					if isTokenRequest(r) {
						fetches.Add(1)
						return silent(r)
					}
					sent.Add(1)
					return respond(201, createdBody), nil
				})
				var c *Client
				if name == "pacer's source" {
					c = oauthClient(t, tr, WithLimits(Limits{{Resource: "*", Rate: Unlimited}}))
				} else {
					c = sourceClient(t, tr, apiOAuth(tr))
				}
				start := time.Now()
				var wg sync.WaitGroup
				errs := make([]error, 200)
				for i := range errs {
					wg.Go(func() { errs[i] = createOn(c.RestClient, sender) })
				}
				wg.Wait()
				if took := time.Since(start); took != 10*time.Second || fetches.Load() != 1 || sent.Load() != 0 {
					t.Errorf("200 calls, the last returned after %v, with %d fetches, %d sent: expected all after 10 s and one fetch", took, fetches.Load(), sent.Load())
				}
				for _, err := range errs {
					if err == nil || InDoubt(err) || !Unauthorized(err) || !strings.Contains(err.Error(), "no access token") {
						t.Fatalf("error %v", err)
					}
				}
			})
		})
	}
}

func TestWaitForATokenEndsWithTheCallsContext(t *testing.T) {
	held := func(context.Context) (string, error) { time.Sleep(2 * time.Second); return "late", nil } // ignores its context
	fetch := transport(func(r *http.Request) (*http.Response, error) {
		if isTokenRequest(r) {
			time.Sleep(3 * time.Second)
			return respond(200, tokenBody), nil
		}
		return respond(201, createdBody), nil
	})
	for name, build := range map[string]func(*testing.T) *Client{
		"pacer's source":                    func(t *testing.T) *Client { return oauthClient(t, fetch) },
		"twilio-go's source":                func(t *testing.T) *Client { return sourceClient(t, fetch, apiOAuth(fetch)) },
		"a source that ignores its context": func(t *testing.T) *Client { return sourceClient(t, fetch, sourceFunc(held)) },
		"pacer's source, account with a permit": func(t *testing.T) *Client {
			return oauthClient(t, fetch, WithLimits(Limits{{Resource: "*", Rate: Unlimited, MaxInFlight: 1}}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := build(t)
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := createOn(c.RestClient, sender); err != nil { // it has no deadline
						t.Errorf("a call that waits as long as need be: %v", err)
					}
				})
				start := time.Now()
				ctx, cancel := context.WithTimeout(bg, time.Second)
				defer cancel()
				err := createOn(c.WithContext(ctx), sender)
				if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v after %v, expected the deadline after 1 s", err, took)
				}
				wg.Wait()
			})
		})
	}
}

// A call gets 401 while a fetch of another call's is throttled for minutes. It used to wait
// for that fetch, without looking at its context.
func TestRefusedTokenIsForgottenWithoutAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		c := oauthClient(t, transport(func(r *http.Request) (*http.Response, error) {
			switch {
			case isTokenRequest(r) && fetches.Add(1) == 1:
				return respond(200, tokenBody), nil
			case isTokenRequest(r):
				return respond(429, throttleBody, "Retry-After", "240"), nil
			case r.Method == http.MethodPost:
				time.Sleep(2 * time.Second)
			}
			return respond(401, `{"code":20003,"message":"Authenticate","status":401}`), nil
		}), WithLimits(Limits{{Resource: "*", Rate: Unlimited}}))
		var wg sync.WaitGroup
		wg.Go(func() {
			start := time.Now()
			wantTwilioError(t, createOn(c.RestClient, sender), 401, 20003)
			if took := time.Since(start); took != 2*time.Second {
				t.Errorf("its answer came after 2 s, the call returned after %v", took)
			}
		})
		time.Sleep(time.Second)
		_, err := c.Api.FetchMessage("SM0123456789abcdef0123456789abcdef", nil)
		wantTwilioError(t, err, 401, 20003)
		ctx, cancel := context.WithTimeout(bg, 3*time.Second)
		defer cancel()
		start := time.Now()
		if _, err = c.WithContext(ctx).Api.FetchMessage("SM0123456789abcdef0123456789abcdef", nil); err == nil || time.Since(start) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		wg.Wait()
	})
}

func TestTokenIsRefreshedInTheBackgroundAheadOfItsExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{TokenTTL: 10 * time.Minute})
		c := oauthClient(t, transport(func(r *http.Request) (*http.Response, error) {
			if isTokenRequest(r) {
				time.Sleep(3 * time.Second)
			}
			return fake.Transport().RoundTrip(r)
		}), WithLimits(Limits{{Resource: "*", Rate: Unlimited}}))
		try(t, createOn(c.RestClient, sender))
		for range 1200 {
			start := time.Now()
			if err := createOn(c.RestClient, sender); err != nil || time.Since(start) != 0 {
				t.Fatalf("%v after %v", err, time.Since(start))
			}
			time.Sleep(3 * time.Second)
		}
		// Each token is used for 9 min 30 s, the next one is fetched after 7 min 36 s.
		if s := fake.Stats(); s.TokenFetches != 8 || s.Unauthorized != 0 {
			t.Errorf("%d fetches in an hour, expected 8; %d unauthorized", s.TokenFetches, s.Unauthorized)
		}
	})
}

// The present token is valid: a call does not notice that the next one is not to be had.
func TestFailedRefreshIsLoggedAndTriedAgainAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		var log safeLog
		c := oauthClient(t, transport(func(r *http.Request) (*http.Response, error) {
			if isTokenRequest(r) {
				if n := fetches.Add(1); n > 1 && n <= 4 {
					return respond(500, `{"code":20500,"status":500}`), nil
				}
				return respond(200, tokenBody), nil
			}
			return respond(201, createdBody), nil
		}), log.option(), WithLimits(Limits{{Resource: "*", Rate: Unlimited}}))
		try(t, createOn(c.RestClient, sender))
		time.Sleep(54*time.Minute + 30*time.Second) // the next one is fetched from now on
		for range 60 {
			try(t, createOn(c.RestClient, sender))
			time.Sleep(time.Second)
		}
		if n := fetches.Load(); n != 5 {
			t.Errorf("%d fetches, expected one, 3 that failed 10 s apart, and one", n)
		}
		if got := strings.Count(log.String(), "could not be fetched"); got != 3 {
			t.Errorf("%d of 3 failures logged: %s", got, log.String())
		}
	})
}

// The next token is fetched without a timeout, and the endpoint is silent: the fetch ends by
// itself, since nobody waits. synctest fails a test that leaves a goroutine.
func TestFetchThatNobodyWaitsForEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		c, err := New(ClientParams{AccountSid: account, ClientCredentialProvider: provider}, quiet, WithHTTPClient(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			switch {
			case isTokenRequest(r) && fetches.Add(1) > 1:
				return silent(r)
			case isTokenRequest(r):
				return respond(200, tokenBody), nil
			}
			return respond(201, createdBody), nil
		})}))
		try(t, err)
		try(t, createOn(c.RestClient, sender))
		time.Sleep(55 * time.Minute)
		try(t, createOn(c.RestClient, sender)) // begins the fetch in the background
		synctest.Wait()
		if !c.auth.Load().pacers.fetches.busy() || fetches.Load() != 2 {
			t.Fatalf("no fetch runs in the background, %d fetches", fetches.Load())
		}
		time.Sleep(aloneFor)
		synctest.Wait()
		if c.auth.Load().pacers.fetches.busy() {
			t.Error("a fetch that nobody waits for goes on")
		}
		// One that somebody waits for goes on for as long as that.
		time.Sleep(5 * time.Minute) // the token has expired
		before := fetches.Load()
		ctx, cancel := context.WithTimeout(bg, 5*time.Minute)
		defer cancel()
		if err := createOn(c.WithContext(ctx), sender); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if n := fetches.Load() - before; n != 1 {
			t.Errorf("%d fetches for a call, expected one", n)
		}
	})
}

// A spyLimiter sees what asks it.
type spyLimiter struct {
	Limiter
	asked atomic.Int64 // for messages
	held  atomic.Int64 // by messages
}

func (s *spyLimiter) Acquire(ctx context.Context, r Resource) (func(Outcome), error) {
	if r.Name != Messages {
		return s.Limiter.Acquire(ctx, r)
	}
	s.asked.Add(1)
	done, err := s.Limiter.Acquire(ctx, r)
	if err != nil {
		return nil, err
	}
	s.held.Add(1)
	return func(o Outcome) { s.held.Add(-1); done(o) }, nil
}

func TestNoTurnIsHeldWhileATokenIsFetched(t *testing.T) {
	for _, name := range []string{"pacer's source", "twilio-go's source", "another source", "a turn of the program's"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limiter, err := NewLimiter(Limits{{Resource: Messages, Rate: 1, MaxInFlight: 1}})
				try(t, err)
				spy := &spyLimiter{Limiter: limiter}
				fetching := func() {
					time.Sleep(200 * time.Millisecond) // the time that a source has to show what it has in hand
					for range 20 {
						time.Sleep(100 * time.Millisecond)
						if spy.held.Load() != 0 {
							t.Error("a turn is held while the token is fetched")
							return
						}
					}
				}
				tr := transport(func(r *http.Request) (*http.Response, error) {
					if isTokenRequest(r) {
						fetching()
						return respond(200, tokenBody), nil
					}
					return respond(201, createdBody), nil
				})
				var c *Client
				switch name {
				case "twilio-go's source":
					c = sourceClient(t, tr, apiOAuth(tr), withoutLimits(spy))
				case "another source":
					c = sourceClient(t, tr, sourceFunc(func(context.Context) (string, error) { fetching(); return "acc3ss", nil }), withoutLimits(spy))
				default:
					c = oauthClient(t, tr, WithLimiter(spy))
				}
				if name == "a turn of the program's" {
					turn, err := c.Turn(bg, from(sender))
					try(t, err)
					_, err = turn.Send(bg, SentRequest{Method: http.MethodPost, URL: "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json"})
					turn.Drop()
					try(t, err)
				} else {
					try(t, createOn(c.RestClient, sender))
				}
				if spy.held.Load() != 0 || spy.asked.Load() == 0 {
					t.Errorf("%d turns held, %d asked for", spy.held.Load(), spy.asked.Load())
				}
			})
		})
	}
}

// withoutLimits sets a limiter in place of limits that were given before.
func withoutLimits(l Limiter) Option {
	return func(c *options) error { c.limits = nil; return WithLimiter(l)(c) }
}

// The line is longer than a token lives: every message is sent, with a token that is valid.
func TestLineThatIsLongerThanATokenLives(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Second, 30 * time.Second} {
		t.Run(every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := twiliotest.New(twiliotest.Config{TokenTTL: 20 * time.Second})
				c := oauthClient(t, fake.Transport(), WithLimits(Limits{{Resource: Messages, Rate: 1 / every.Seconds()}}))
				if errs := herd(c.RestClient, 10); len(errs) > 0 {
					t.Errorf("%d errors: %v", len(errs), errs[0])
				}
				if s := fake.Stats(); s.Accepted != 10 || s.Unauthorized != 0 {
					t.Errorf("accepted %d of 10, unauthorized %d", s.Accepted, s.Unauthorized)
				}
			})
		})
	}
}

// A source is asked again when a call has waited for long. If it fetches then, the call gives
// its turn back meanwhile.
func TestSourceIsAskedAgainAfterALongWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{TokenTTL: time.Minute})
		// As a program may write one: it fetches a token by itself, and keeps it for 50 s.
		var token string
		var last time.Time
		lock := make(chan struct{}, 1) // a mutex would keep synctest's clock from going on
		source := sourceFunc(func(ctx context.Context) (string, error) {
			lock <- struct{}{}
			defer func() { <-lock }()
			if token == "" || time.Since(last) > 50*time.Second {
				time.Sleep(2 * time.Second)
				fresh, err := apiOAuth(fake.Transport()).GetAccessToken(ctx)
				if err != nil {
					return "", err
				}
				token, last = fresh, time.Now()
			}
			return token, nil
		})
		c := sourceClient(t, fake.Transport(), source, WithLimits(Limits{{Resource: Messages, Rate: 0.1}}))
		if errs := herd(c.RestClient, 20); len(errs) > 0 {
			t.Errorf("%d errors: %v", len(errs), errs[0])
		}
		if s := fake.Stats(); s.Accepted != 20 || s.Unauthorized != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// twilio-go's source sets its client's source to nil while it fetches, and that client may be
// pacer's: it must neither wait for itself nor be lost.
func TestTwilioGosSourceMayFetchThroughTheClientItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{Latency: 50 * time.Millisecond})
		c := sourceClient(t, fake.Transport(), nil)
		c.RequestHandler.Client.SetOauth(NewAPIOAuth(c.RequestHandler, &OAuthCredentials{GrantType: "client_credentials", ClientId: "OQ0", ClientSecret: "s3cr3t"}))
		for range 2 {
			if errs := herd(c.RestClient, 50); len(errs) > 0 {
				t.Fatalf("%d errors: %v", len(errs), errs[0])
			}
		}
		if s := fake.Stats(); s.TokenFetches != 1 || s.Unauthorized != 0 || s.Accepted != 100 {
			t.Errorf("%+v", s)
		}
		c.RequestHandler.Client.SetOauth(nil)
		if c.OAuth() != nil {
			t.Error("SetOauth(nil) of the program's is not taken")
		}
	})
}

func TestSourceThatPanicsOrExitsFailsTheCall(t *testing.T) {
	for name, source := range map[string]client.OAuth{
		"panics":      sourceFunc(func(context.Context) (string, error) { panic("no vault, ask " + sender) }),
		"exits":       sourceFunc(func(context.Context) (string, error) { runtime.Goexit(); return "", nil }),
		"twilio-go's": (*APIOAuth)(nil),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log safeLog
				c := sourceClient(t, transport(func(*http.Request) (*http.Response, error) {
					t.Error("sent without a token")
					return respond(201, createdBody), nil
				}), source, log.option())
				err := createOn(c.RestClient, sender)
				if err == nil || !Unauthorized(err) || strings.Contains(err.Error(), sender) || !strings.Contains(err.Error(), "the OAuth source") {
					t.Errorf("error %v", err)
				}
				if name != "exits" && !strings.Contains(log.String(), "stack=") {
					t.Errorf("the panic is not logged: %s", log.String())
				}
			})
		})
	}
}

// A token that this machine's clock calls expired, since that clock is wrong, is used all the
// same, and not fetched for each call.
func TestTokenOfAWrongClockIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		c := oauthClient(t, transport(func(r *http.Request) (*http.Response, error) {
			if isTokenRequest(r) {
				fetches.Add(1)
				return respond(200, `{"access_token":"h.eyJleHAiOjk0NjAwMDAwMH0.s"}`), nil // exp a week ago
			}
			return respond(201, createdBody), nil
		}), WithLimits(Limits{{Resource: "*", Rate: Unlimited}}))
		for range 10 {
			try(t, createOn(c.RestClient, sender))
		}
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestReachedLooksAtBothClocks(t *testing.T) {
	now := time.Now()
	at := now.Add(time.Hour)
	suspended := now.Round(0).Add(2 * time.Hour) // the monotonic clock stood still: only the wall clock tells
	if reached(at, now) || !reached(at, at) || !reached(at, suspended) || !reached(at.Round(0), suspended) {
		t.Error("expected false, true, true, true")
	}
}

func TestSecretsOfOAuthAreNotPrinted(t *testing.T) {
	c := oauthClient(t, transport(func(r *http.Request) (*http.Response, error) {
		if isTokenRequest(r) {
			return respond(200, tokenBody), nil
		}
		return respond(201, createdBody), nil
	}))
	try(t, createOn(c.RestClient, sender))
	source := c.OAuth()
	for name, v := range map[string]any{
		"OAuth": source, "client": c, "of the handler": c.RequestHandler.Client, "rest client": c.RestClient,
		"in a struct": struct{ Source client.OAuth }{source}, "in a list": []any{source, c},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3v"} {
			noSecret(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		if text, err := json.Marshal(v); err == nil {
			noSecret(t, name+" as JSON", string(text))
		}
		var log safeLog
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).Info("it is", "value", v)
		}
		noSecret(t, name+" in slog", log.String())
	}
	noSecret(t, "String", source.(fmt.Stringer).String())
}

func noSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{"s3cr3t", "acc3ss", fmt.Sprintf("%x", "s3cr3t"), fmt.Sprintf("%x", "acc3ss"), fmt.Sprintf("%X", "acc3ss")} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows %q: %s", what, secret, text)
		}
	}
}

// A limit of 20/s is known, and this client is alone. Access tokens live for a minute, and
// fetching one takes 3 s. Those who wait for one must not leave together afterwards, whether
// it is fetched ahead of time, is revoked, or expires while they wait in line.
func TestFetchOfATokenCausesNoHerd(t *testing.T) {
	const rate, fetch, life = 20, 3 * time.Second, time.Minute
	for _, callers := range []int{60, 600} { // they wait 3 or 30 s in line
		for name, build := range map[string]func(t *testing.T, tr transport) *Client{
			"pacer's source":     func(t *testing.T, tr transport) *Client { return oauthClient(t, tr) },
			"twilio-go's source": func(t *testing.T, tr transport) *Client { return sourceClient(t, tr, apiOAuth(tr)) },
			"the program's source": func(t *testing.T, tr transport) *Client {
				lock := make(chan bool, 1) // not a mutex: who waits for one keeps virtual time from going on
				var token string
				var until time.Time
				return sourceClient(t, tr, sourceFunc(func(ctx context.Context) (string, error) {
					lock <- true
					defer func() { <-lock }()
					if time.Now().After(until) {
						fresh, err := apiOAuth(tr).GetAccessToken(ctx)
						if err != nil {
							return "", err
						}
						token, until = fresh, time.Now().Add(life-10*time.Second)
					}
					return token, nil
				}))
			},
			"pacer's source, tokens revoked": func(t *testing.T, tr transport) *Client {
				var revoked atomic.Int64 // by second
				start := time.Now()
				return oauthClient(t, transport(func(r *http.Request) (*http.Response, error) {
					if n := int64(time.Since(start) / (40 * time.Second)); !isTokenRequest(r) && n > revoked.Load() {
						revoked.Store(n)
						return respond(401, `{"code":20003,"status":401}`), nil
					}
					return tr(r)
				}))
			},
		} {
			if testing.Short() && (callers > 60 || !strings.HasPrefix(name, "pacer's")) {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d callers", name, callers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fake := twiliotest.New(twiliotest.Config{TokenTTL: life, Limits: []twiliotest.Limit{{Resource: "Messages", Rate: rate}}})
					server := fake.Transport()
					c := build(t, func(r *http.Request) (*http.Response, error) {
						if isTokenRequest(r) {
							time.Sleep(fetch)
						}
						return server.RoundTrip(r)
					})
					try(t, c.SetLimits(Limits{{Resource: Messages, Rate: rate}}))
					var stop atomic.Bool
					var wg sync.WaitGroup
					for range callers {
						wg.Go(func() {
							for !stop.Load() {
								if err := createOn(c.RestClient, sender); err != nil && !strings.Contains(err.Error(), "20003") {
									t.Error(err)
								}
							}
						})
					}
					minutes := unlessShort(5.0, 1)
					time.Sleep(time.Duration(minutes) * time.Minute)
					s := fake.Stats()
					stop.Store(true)
					wg.Wait()
					time.Sleep(fetch) // one may be under way in the background
					if s.Throttled != 0 {
						t.Errorf("%d throttled", s.Throttled)
					}
					// Of each minute the fetch takes 3 s at most, and where tokens are revoked
					// another one does every 40 s. Twilio-go's source uses a token for 30 s
					// after its end, so that a third of the time is lost.
					least := 0.85
					if name == "twilio-go's source" {
						least = 0.6
					}
					if share := float64(s.Accepted) / (rate * 60 * minutes); share < least {
						t.Errorf("%.1f %% of the possible", 100*share)
					}
				})
			})
		}
	}
}
