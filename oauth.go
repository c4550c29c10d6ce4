package pacer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twilio/twilio-go/client"
	oauth "github.com/twilio/twilio-go/rest/oauth/v2"
)

// Twilio-go's client, used by several goroutines, loses its credentials while it
// fetches an OAuth token, ignores a failure to fetch it, and goes on using it for 30 s
// after it has expired. Here each attempt gets a token of its own before it is sent.

// bearer is an access token that an attempt is sent with.
type bearer string

func (b bearer) GetAccessToken(context.Context) (string, error) { return string(b), nil }

// auth is where access tokens come from.
type auth struct {
	source client.OAuth
	own    *tokenSource // the source, if it is pacer's; nil: it is not
	shared *fetcher     // asks a source that is not safe for concurrent use; nil: not needed
}

// SetOauth sets where access tokens come from; nil: requests carry the client's own
// credentials. The source must be safe for concurrent use, unless it is twilio-go's
// *APIOAuth, which pacer asks one request at a time. A source that fails or panics fails
// the call. The call's wait for a token ends with its context, also if the source ignores it.
//
// A source is asked before each attempt, and again if the attempt has waited in its line for
// 10 s or longer. It is expected to keep its token, and to answer at once while that is valid.
func (c *Client) SetOauth(source client.OAuth) {
	if c.own == nil {
		c.base.SetOauth(source)
		return
	}
	if source == nil {
		c.auth.Store(nil)
		return
	}
	a := &auth{source: source}
	switch source := source.(type) {
	case *tokenSource:
		a.own = source
	case *APIOAuth:
		a.shared = &fetcher{cfg: c.cfg, get: source.GetAccessToken}
	}
	c.auth.Store(a)
}

// SetOauth is [Client.SetOauth], but keeps the source that is fetching a token just now. While
// twilio-go's APIOAuth fetches, it sets its client's source to nil, and that may be this client.
func (p *paced) SetOauth(source client.OAuth) {
	if a := p.auth.Load(); source == nil && a != nil && a.shared.busy() {
		return
	}
	p.Client.SetOauth(source)
}

// OAuth returns where access tokens come from, nil if requests carry the client's own
// credentials. What pacer makes of a ClientCredentialProvider prints, in any format, without
// its secret and without the token.
func (c *Client) OAuth() client.OAuth {
	if c.own == nil {
		return c.base.OAuth()
	}
	if a := c.auth.Load(); a != nil {
		return a.source
	}
	return nil
}

// noToken is the error of a call that was not sent for want of an access token.
type noToken struct {
	resource Resource
	err      error
}

func (e *noToken) Error() string {
	return fmt.Sprintf("pacer: %v was not sent: no access token: %v", e.resource, e.err)
}
func (e *noToken) Unwrap() error { return e.err }

// authFor returns where the token for a request of r comes from; nil: it needs none. The
// request for a token itself needs none, whoever sends it.
func (c *Client) authFor(r Resource) *auth {
	if c.own == nil || (r.Product == "oauth" && r.Name == "token") {
		return nil
	}
	return c.auth.Load()
}

const (
	foreignTokenAge = 10 * time.Second      // that a token of another's source is used for without asking again
	foreignPatience = 10 * time.Millisecond // for a source that has its token in hand, while a turn is held
	maxRounds       = 3                     // the last one keeps its turn while it waits for a token
)

// depart waits until the attempt may be sent: for an access token, then for its turn. While
// a token is fetched no turn is held, as slots and tokens of the limiter are for what can
// be sent. If the access token is no longer valid when the turn comes, the turn is given
// back, and the attempt waits for both again.
//
// The last round is the exception: where the line is longer than a token lives, a call would
// wait for ever otherwise. The program's own Turn is given back in the same way.
func (c *call) depart() (token string, err error) {
	a := c.authFor(c.resource)
	if a == nil {
		start := c.start
		if c.attempts > 0 {
			start = time.Now()
		}
		return "", c.takeTurn(start)
	}
	ask := a.ask(c.ctx, c.cfg)
	for round := 1; ; round++ {
		if c.slot == nil {
			if token, err = tokenOf(ask(c.ctx)); err != nil {
				return "", c.noToken(err)
			}
		}
		got := time.Now()
		if err := c.takeTurn(got); err != nil {
			return "", err
		}
		switch {
		case a.own == nil && token != "" && time.Since(got) < foreignTokenAge:
			return token, nil
		case round >= maxRounds:
			token, err = tokenOf(ask(c.ctx))
		default:
			var inTime bool
			if token, inTime, err = a.atOnce(c.ctx, ask); !inTime {
				c.giveBack(Outcome{Unused: true})
				continue
			}
		}
		if err != nil {
			return "", c.noToken(err)
		}
		return token, nil
	}
}

func (c *call) noToken(err error) error {
	c.giveBack(Outcome{Unused: true})
	c.unauthorized = true
	return &noToken{c.resource, err}
}

func tokenOf(token string, err error) (string, error) {
	if err == nil && token == "" {
		err = errors.New("the OAuth source returned an empty token: expected a token or an error")
	}
	return token, err
}

// ask returns a function that returns a token. Its wait ends with its argument. ctx is the
// context of the call, for a source that makes a difference between calls.
func (a *auth) ask(ctx context.Context, cfg *config) func(context.Context) (string, error) {
	switch {
	case a.own != nil:
		return a.own.GetAccessToken
	case a.shared != nil:
		return a.shared.do
	}
	f := &fetcher{cfg: cfg, get: func(context.Context) (string, error) { return a.source.GetAccessToken(ctx) }}
	return f.do
}

// atOnce returns a token that is in hand. inTime is false if there is none.
func (a *auth) atOnce(ctx context.Context, ask func(context.Context) (string, error)) (token string, inTime bool, err error) {
	if a.own != nil {
		token, inTime = a.own.usable(ctx)
		return token, inTime, nil
	}
	short, cancel := context.WithTimeout(ctx, foreignPatience)
	defer cancel()
	token, err = tokenOf(ask(short))
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return "", false, nil
	}
	return token, true, err
}

// rejected is told of a token that Twilio has answered with 401, so that the next
// request fetches another.
func (c *call) rejected(token string) {
	if a := c.auth.Load(); a != nil && a.own != nil && token != "" {
		a.own.forget(token)
	}
}

// A fetcher asks a source of access tokens, in a goroutine that ends with the answer. All who
// need a token while it runs wait for the same answer, a failure included. The callers'
// contexts end their waits only.
type fetcher struct {
	cfg *config
	get func(context.Context) (string, error)

	// cancels says that a fetch is cancelled when nobody waits for it any more, so that no
	// goroutine stays behind calls that have ended. It is false for a source that may not be
	// asked twice at a time, and that may not look at its context.
	cancels bool

	mu      sync.Mutex
	running *fetch // nil: none
}

type fetch struct {
	done   chan struct{} // closed when token and err are final
	token  string
	err    error
	cancel context.CancelFunc

	waiting int         // callers; guarded by the fetcher's lock
	alone   *time.Timer // ends a fetch in the background; nil: it is none
}

// aloneFor is how long a fetch in the background may take.
const aloneFor = 30 * time.Second

// do returns what the fetch that runs returns, or one that it begins.
func (f *fetcher) do(ctx context.Context) (string, error) {
	f.mu.Lock()
	r := f.begin(ctx)
	r.waiting++ // from now on the callers decide how long it may take
	f.mu.Unlock()
	defer f.leave(r)
	select {
	case <-r.done:
		return r.token, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// background begins a fetch, unless one runs, and does not wait for it.
func (f *fetcher) background(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.begin(ctx)
	if r.alone == nil && r.waiting == 0 {
		r.alone = time.AfterFunc(aloneFor, func() { f.drop(r) })
	}
}

// begin returns the fetch that runs. f.mu is held.
func (f *fetcher) begin(ctx context.Context) *fetch {
	if f.running == nil {
		r := &fetch{done: make(chan struct{})}
		ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx)) // its values stay: a tracer's span, a priority
		f.running = r
		go f.run(ctx, r)
	}
	return f.running
}

func (f *fetcher) run(ctx context.Context, r *fetch) {
	r.err = errors.New("the OAuth source has ended its goroutine: expected a token or an error")
	defer func() {
		if p := recover(); p != nil {
			f.cfg.logPanic("OAuth source", p)
			r.token, r.err = "", fmt.Errorf("the OAuth source panicked: %s", panicText(p))
		}
		f.mu.Lock()
		if f.running == r {
			f.running = nil
		}
		if r.alone != nil {
			r.alone.Stop()
		}
		f.mu.Unlock()
		r.cancel()
		close(r.done)
	}()
	r.token, r.err = f.get(ctx)
}

// leave ends a caller's wait.
func (f *fetcher) leave(r *fetch) {
	f.mu.Lock()
	r.waiting--
	f.mu.Unlock()
	f.drop(r)
}

// drop cancels a fetch that runs and that nobody waits for. Who comes later begins another,
// and does not get this one's end.
func (f *fetcher) drop(r *fetch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancels && r.waiting == 0 && f.running == r {
		f.running = nil
		r.cancel()
	}
}

// busy reports that a fetch runs. A nil fetcher is not busy.
func (f *fetcher) busy() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running != nil
}

// A tokenSource fetches access tokens for a ClientCredentialProvider, and keeps the last one
// until shortly before it expires. Before that, while requests are sent, it fetches the next
// one in the background. It is safe for concurrent use.
type tokenSource struct {
	client      *Client
	credentials ClientCredentialProvider
	fetches     fetcher

	mu    sync.Mutex
	token string    // "": none
	until time.Time // the token is used until then
	renew time.Time // from then on the next one is fetched in the background: the last fifth, at most 5 minutes
	tried time.Time // when that was begun last; zero: not yet
}

// renewPause is the least time between two fetches in the background.
const renewPause = 10 * time.Second

func (c *Client) useCredentialProvider(params ClientParams) error {
	base := &client.Client{Credentials: client.NewCredentials("", "")}
	switch given := params.Client.(type) {
	case nil:
	case *client.Client:
		base.HTTPClient, base.UserAgentExtensions = given.HTTPClient, given.UserAgentExtensions
		base.SetAccountSid(given.AccountSid())
	default:
		return fmt.Errorf("pacer: ClientParams.Client: %T beside ClientCredentialProvider: expected a *client.Client, or WithHTTPClient, as the access token has to be set for each request", given)
	}
	if params.AccountSid != "" {
		base.SetAccountSid(params.AccountSid)
	}
	c.base, c.own, c.provided = base, base, true
	s := &tokenSource{client: c, credentials: *params.ClientCredentialProvider}
	s.fetches = fetcher{cfg: c.cfg, get: s.fetch, cancels: true}
	c.SetOauth(s)
	return nil
}

const tokenSourceText = "pacer: OAuth (not shown)"

// String says what it is, without what is secret. So do Format, MarshalText and LogValue.
func (s *tokenSource) String() string { return tokenSourceText }

// Format implements fmt.Formatter, for every verb.
func (s *tokenSource) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokenSourceText) }

// MarshalText implements encoding.TextMarshaler, which JSON uses, too.
func (s *tokenSource) MarshalText() ([]byte, error) { return []byte(tokenSourceText), nil }

// LogValue implements slog.LogValuer.
func (s *tokenSource) LogValue() slog.Value { return slog.StringValue(tokenSourceText) }

// GetAccessToken implements client.OAuth.
func (s *tokenSource) GetAccessToken(ctx context.Context) (string, error) {
	if token, ok := s.usable(ctx); ok {
		return token, nil
	}
	return s.fetches.do(ctx)
}

// usable returns the token in hand, if it is valid. It begins to fetch the next one in the
// background when this one is soon to expire.
func (s *tokenSource) usable(ctx context.Context) (string, bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" || reached(s.until, now) {
		return "", false
	}
	if reached(s.renew, now) && now.Sub(s.tried) >= renewPause {
		s.tried = now
		s.fetches.background(ctx)
	}
	return s.token, true
}

// reached reports that t has come, by the monotonic clock or by the wall clock. The former
// stands still while a machine is suspended, the latter may be set back.
func reached(t, now time.Time) bool {
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// fetch asks Twilio for a token. The request is paced and retried as any other, but
// carries no token.
func (s *tokenSource) fetch(ctx context.Context) (string, error) {
	now := time.Now()
	s.mu.Lock()
	token, fresh := s.token, s.token != "" && !reached(s.renew, now)
	s.mu.Unlock()
	if fresh {
		return token, nil // another fetch has ended just now
	}
	handler := client.NewRequestHandler(&paced{Client: s.client, ctx: ctx, anonymous: true})
	params := (&oauth.CreateOauth2TokenParams{}).
		SetGrantType(s.credentials.GrantType).
		SetClientId(s.credentials.ClientId).
		SetClientSecret(s.credentials.ClientSecret)
	answer, err := oauth.NewApiService(handler).CreateOauth2Token(params)
	if err == nil && (answer.AccessToken == nil || *answer.AccessToken == "") {
		err = errors.New("the answer of Twilio's token endpoint has no access_token")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.token != "" && ctx.Err() == nil { // nobody may be waiting for it
			s.client.cfg.log().Warn("pacer: the next access token could not be fetched, the present one is used until it expires", "until", s.until, "error", shownError(err))
		}
		return "", err
	}
	s.token = *answer.AccessToken
	var life time.Duration
	if answer.ExpiresIn != nil {
		life = time.Duration(min(*answer.ExpiresIn, 1<<30)) * time.Second
	}
	s.until = usableUntil(s.token, life, now)
	if !s.until.After(now) { // by this machine's clock, which is wrong: Twilio has issued it just now
		s.until = usableUntil("", 0, now)
	}
	s.renew, s.tried = s.until.Add(-min(s.until.Sub(now)/5, 5*time.Minute)), time.Time{}
	return s.token, nil
}

// forget drops a token that Twilio no longer takes.
func (s *tokenSource) forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}

// usableUntil returns until when a token that was fetched at now is used: its life less
// a tenth, at most 30 s, for the request's way. Its life is what the token endpoint
// says, else the token's exp claim; a token that says nothing is used for a minute.
func usableUntil(token string, life time.Duration, now time.Time) time.Time {
	if life <= 0 {
		life = time.Minute
		if parts := strings.Split(token, "."); len(parts) == 3 {
			var claims struct {
				Exp float64 `json:"exp"`
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
			if err == nil && json.Unmarshal(payload, &claims) == nil && claims.Exp > 0 && claims.Exp < 1<<40 {
				life = time.Unix(int64(claims.Exp), 0).Sub(now)
			}
		}
	}
	return now.Add(life - min(life/10, 30*time.Second))
}
