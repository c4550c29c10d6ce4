package pacer

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	conversations "github.com/twilio/twilio-go/rest/conversations/v2"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// fakeClient returns a client of a fake Twilio, in memory.
func fakeClient(t *testing.T, fake *twiliotest.Fake, opts ...Option) *Client {
	c, err := New(ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}, append([]Option{WithHTTPClient(fake.Client())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// herd sends n messages from 50 goroutines and returns the errors.
func herd(rc *RestClient, n int) []error {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	next := make(chan int)
	for range 50 {
		wg.Go(func() {
			for i := range next {
				_, err := rc.Api.CreateMessage((&api.CreateMessageParams{}).SetFrom(sender).SetTo("+15005550001").SetBody(fmt.Sprint(i)))
				if err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return errs
}

// What pacer is for: where plain twilio-go loses 180 of 200 messages, none is lost,
// none is sent twice, none is throttled, and it takes the time that the limit allows.
func TestHerdLosesNothing(t *testing.T) {
	for _, strict := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			limits := twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 20, PerSender: true, Strict: strict}}}
			plain := twiliotest.New(limits)
			own := &client.Client{Credentials: client.NewCredentials(twiliotest.AccountSid, twiliotest.AuthToken), HTTPClient: plain.Client()}
			own.SetAccountSid(twiliotest.AccountSid)
			want := map[bool]int{false: 180, true: 199}[strict]
			if lost := len(herd(twilio.NewRestClientWithParams(twilio.ClientParams{Client: own}), 200)); lost != want {
				t.Errorf("strict %v: twilio-go lost %d, expected %d: the fake does not limit", strict, lost, want)
			}

			fake := twiliotest.New(limits)
			c := fakeClient(t, fake, WithLimits(Limits{{Resource: Messages, Rate: 20}}))
			start := time.Now()
			errs := herd(c.RestClient, 200)
			if len(errs) > 0 || len(fake.Messages()) != 200 || len(fake.Duplicates()) > 0 || fake.Stats().Throttled > 0 {
				t.Errorf("strict %v: %d errors (%v), %d delivered, %d doubled, %d throttled", strict, len(errs), errs, len(fake.Messages()), len(fake.Duplicates()), fake.Stats().Throttled)
			}
			if took := time.Since(start); took != 199*50*time.Millisecond {
				t.Errorf("strict %v: took %v, expected 9.95 s", strict, took)
			}
		})
	}
}

// Also when the limit is set three times too high, or not known at all, no message is
// lost.
func TestHerdWithWrongLimitLosesNothing(t *testing.T) {
	for name, limits := range map[string]Limits{"three times too high": {{Resource: Messages, Rate: 60}}, "not known": {{Resource: Messages, Rate: Unlimited}}} {
		synctest.Test(t, func(t *testing.T) {
			fake := twiliotest.New(twiliotest.Config{Latency: 30 * time.Millisecond, Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 20, PerSender: true}}})
			c := fakeClient(t, fake, quiet, WithLimits(limits))
			errs := herd(c.RestClient, 200)
			if len(errs) > 0 || len(fake.Messages()) != 200 || len(fake.Duplicates()) > 0 {
				t.Errorf("%s: %d errors, %d delivered, %d doubled", name, len(errs), len(fake.Messages()), len(fake.Duplicates()))
			}
			t.Logf("%s: %d throttled", name, fake.Stats().Throttled)
		})
	}
}

// A program that imports pacer in place of twilio-go finds all that it exports. This
// fails when an update of twilio-go exports something new.
func TestExportsAllOfTwilioGo(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/twilio/twilio-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	ours := exported(t, ".")
	theirs := exported(t, strings.TrimSpace(string(dir)))
	if len(theirs) < 8 {
		t.Fatalf("twilio-go exports only %v", theirs)
	}
	for name := range theirs {
		if !ours[name] {
			t.Errorf("twilio-go exports %s, pacer does not", name)
		}
	}
}

func exported(t *testing.T, dir string) map[string]bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					names[d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						names[s.Name.Name] = names[s.Name.Name] || s.Name.IsExported()
					case *ast.ValueSpec:
						for _, n := range s.Names {
							names[n.Name] = names[n.Name] || n.IsExported()
						}
					}
				}
			}
		}
	}
	for name, is := range names {
		if !is {
			delete(names, name)
		}
	}
	return names
}

func TestClientOf(t *testing.T) {
	c, err := New(ClientParams{Username: account, Password: "token"})
	if err != nil {
		t.Fatal(err)
	}
	for name, rc := range map[string]*RestClient{"itself": c.RestClient, "with context": c.WithContext(bg)} {
		if got, ok := ClientOf(rc); !ok || got != c {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
	if _, ok := ClientOf(NewRestClient()); !ok {
		t.Error("drop-in: not found")
	}
	for name, rc := range map[string]*RestClient{"twilio-go's": twilio.NewRestClient(), "nil": nil, "empty": {}} {
		if _, ok := ClientOf(rc); ok {
			t.Errorf("%s: found", name)
		}
	}
}

// The credentials, account and environment of twilio-go's constructors.
func TestConstructorsAreTwilioGos(t *testing.T) {
	t.Setenv("TWILIO_ACCOUNT_SID", account)
	t.Setenv("TWILIO_AUTH_TOKEN", "envtoken")
	t.Setenv("TWILIO_REGION", "ie1")
	t.Setenv("TWILIO_EDGE", "dublin")
	for _, params := range []ClientParams{
		{}, {Username: "SKkey", Password: "secret", AccountSid: account}, {AccountSid: subaccount}, {Username: subaccount, Password: "p"},
	} {
		type seen struct{ url, auth, agent string }
		var got []seen
		hc := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			got = append(got, seen{r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("User-Agent")})
			return respond(201, createdBody), nil
		})}
		plain := twilio.NewRestClientWithParams(params)
		plain.RequestHandler.Client.(*client.Client).HTTPClient = hc
		for _, rc := range []*RestClient{plain, NewRestClientWithParams(params, WithHTTPClient(hc))} {
			rc.SetRegion("au1")
			if err := createOn(rc, sender); err != nil {
				t.Error(err)
			}
		}
		if len(got) != 2 || got[0] != got[1] {
			t.Errorf("%+v:\ntwilio-go %+v\npacer     %+v", params, got[0], got[1:])
		}
	}
}

func TestInvalidOptions(t *testing.T) {
	withCredentials(t)
	for want, opt := range map[string]Option{
		"WithMaxRetries: -1":      WithMaxRetries(-1),
		"WithMaxRetryAfter: 0s":   WithMaxRetryAfter(0),
		"WithMaxWait: -1s":        WithMaxWait(-time.Second),
		"WithFallbackJitter: -1s": WithFallbackJitter(-time.Second),
		"WithLimiter: nil":        WithLimiter(nil),
		"WithHTTPClient: nil":     WithHTTPClient(nil),
		"WithLogger: nil":         WithLogger(nil),
		"WithObserver: nil":       WithObserver(nil),
		"WithAlert: nil":          WithAlert(nil),
		"limits[0].rate: -3":      WithLimits(Limits{{Resource: Messages, Rate: -3}}),
	} {
		_, err := New(ClientParams{}, opt)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "expected") {
			t.Errorf("New: %v, expected it to say %q and what was expected", err, want)
		}
		for range 2 {
			if got := createOn(NewRestClient(opt), sender); got == nil || err == nil || got.Error() != err.Error() {
				t.Errorf("a call of the drop-in: %v, expected %v", got, err)
			}
		}
	}
	l := newLimiter(t)
	for name, build := range map[string]func() (*Client, error){
		"limits beside limiter": func() (*Client, error) { return New(ClientParams{}, WithLimiter(l), WithLimits(Limits{})) },
		"HTTP client beside client": func() (*Client, error) {
			return New(ClientParams{Client: &client.Client{}}, WithHTTPClient(&http.Client{}))
		},
		"black box with OAuth": func() (*Client, error) {
			return New(ClientParams{Client: &blackBox{}, ClientCredentialProvider: &ClientCredentialProvider{}})
		},
	} {
		if c, err := build(); err == nil || createOn(c.RestClient, sender) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(ClientParams{}, nil, WithMaxRetries(0)); err != nil {
		t.Errorf("a nil option: %v", err)
	}
}

// WithContext: the deadline is refused up front, a wait ends when the context does,
// and the HTTP request carries it.
func TestWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if r.Context().Value(key{}) != "mine" {
				t.Error("the request does not carry the context")
			}
			if n == 2 {
				<-r.Context().Done()
				return nil
			}
			return ok201(n, r)
		}, WithLimits(Limits{{Resource: Messages, Rate: 1}}))
		ctx := context.WithValue(bg, key{}, "mine")
		if err := w.sendWith(ctx); err != nil {
			t.Error(err)
		}
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		err := w.sendWith(short)
		wantWaitError(t, err, context.DeadlineExceeded)
		var wait *WaitError
		if errors.As(err, &wait) && wait.Need != time.Second {
			t.Errorf("Need %v, expected 1 s", wait.Need)
		}
		if time.Since(w.start) != 0 {
			t.Errorf("refused after %v", time.Since(w.start))
		}
		cancelled, cancel2 := context.WithCancel(ctx)
		time.AfterFunc(250*time.Millisecond, cancel2)
		wantWaitError(t, w.sendWith(cancelled), context.Canceled)
		if time.Since(w.start) != 250*time.Millisecond {
			t.Errorf("cancelled after %v", time.Since(w.start))
		}
		// on the wire: the answer is unknown
		wire, cancel3 := context.WithTimeout(ctx, 2*time.Second)
		defer cancel3()
		err = w.sendWith(wire)
		if _, ok := FromError(err); ok || !InDoubt(err) {
			t.Errorf("ended on the wire: %v, InDoubt %v", err, InDoubt(err))
		}
		if len(w.times()) != 2 {
			t.Errorf("sent at %v", w.times())
		}
	})
}

func TestWithContextKeepsRegion(t *testing.T) {
	w := newWorld(t, ok201)
	w.c.SetRegion("au1")
	w.c.SetEdge("sydney")
	if err := w.sendWith(bg); err != nil || !strings.HasPrefix(w.urls[0], "https://api.sydney.au1.twilio.com/") {
		t.Errorf("%v, sent to %v", err, w.urls)
	}
}

// SetTimeout may be called while requests run, and is for one attempt. The time limit lasts
// until the body has been read. Source: https://github.com/twilio/twilio-go/blob/main/client/client.go.
func TestSetTimeoutIsForOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var latency atomic.Int64
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			select {
			case <-time.After(time.Duration(latency.Load())):
			case <-r.Context().Done():
				return nil
			}
			return ok201(n, r)
		})
		var wg sync.WaitGroup
		for range 20 { // -race looks on
			wg.Go(func() { w.c.RestClient.SetTimeout(time.Minute) })
			wg.Go(func() { _ = w.send() })
		}
		wg.Wait()
		if w.own.HTTPClient.Timeout != 0 {
			t.Error("the program's http.Client was changed")
		}
		latency.Store(int64(5 * time.Second))
		w.c.RestClient.SetTimeout(3 * time.Second)
		start := time.Now()
		err := w.send()
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Client.Timeout exceeded") {
			t.Errorf("error %v (%T)", err, err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("timed out after %v, expected 3 s", d)
		}
		w.c.RestClient.SetTimeout(0) // no limit
		latency.Store(int64(time.Hour))
		if err := w.send(); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ int, r *http.Request) *http.Response {
			resp := respond(200, "")
			resp.Body = &slowBody{ctx: r.Context(), after: 5 * time.Second}
			return resp
		})
		w.c.RestClient.SetTimeout(3 * time.Second)
		if err := readOne(w); !errors.Is(err, context.DeadlineExceeded) || !InDoubt(err) {
			t.Errorf("a body that stalls: %v, InDoubt %v", err, InDoubt(err))
		}
		w.c.RestClient.SetTimeout(6 * time.Second)
		if err := readOne(w); err != nil {
			t.Errorf("a body that is slow: %v", err)
		}
	})
}

type slowBody struct {
	ctx   context.Context
	after time.Duration
	read  bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.read {
		return 0, io.EOF
	}
	b.read = true
	select {
	case <-time.After(b.after):
		return copy(p, createdBody), nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}
func (b *slowBody) Close() error { return nil }

// A success whose body breaks off, is empty or is garbled has been processed: to send
// it again would double it.
func TestBrokenAnswerIsInDoubt(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"cut":     io.MultiReader(strings.NewReader(`{"sid":"SM`), iotest.ErrReader(io.ErrUnexpectedEOF)),
		"reset":   io.MultiReader(strings.NewReader(`{"sid":"SM`), iotest.ErrReader(errors.New("connection reset by peer"))),
		"ended":   strings.NewReader(`{"sid":"SM`),
		"empty":   strings.NewReader(""),
		"garbled": strings.NewReader("<html>"),
	} {
		w := newWorld(t, func(int, *http.Request) *http.Response {
			resp := respond(201, "")
			resp.Body = io.NopCloser(body)
			return resp
		})
		w.c.SetTimeout(time.Minute)
		err := w.send()
		if _, ok := FromError(err); err == nil || ok || !InDoubt(err) {
			t.Errorf("%s: %v, FromError %v, InDoubt %v", name, err, ok, InDoubt(err))
		}
		if n := len(w.times()); n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
}

// Error answers are drained and closed: 20 pages of 8 KiB, and all attempts of a throttled
// call, take one connection. Source: https://github.com/twilio/twilio-go/blob/main/client/client.go.
func TestErrorBodiesAreClosed(t *testing.T) {
	page := "<html>" + strings.Repeat("x", 8<<10) + "</html>"
	var conns atomic.Int32
	status := atomic.Int32{}
	status.Store(500)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Retry-After", "0.001")
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, page)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	c, err := New(ClientParams{Client: &client.Client{Credentials: client.NewCredentials(account, "token"), HTTPClient: &http.Client{Transport: tr}}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	c.cfg.jitter = func(time.Duration) time.Duration { return 0 }
	post := func() error {
		_, err := c.RequestHandler.Client.SendRequest("POST", s.URL+"/v1/Things", url.Values{"a": {"b"}}, nil)
		return err
	}
	for range 20 {
		if post() == nil {
			t.Error("no error")
		}
	}
	status.Store(429)
	wantTwilioError(t, post(), 429, 20429)
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, expected 1", n)
	}
}

// OAuth from many goroutines: each request carries the token. It is fetched once, again when
// it expires, and through the HTTP client that was given.
// Source: https://github.com/twilio/twilio-go/blob/main/client/client.go.
func TestOAuthFromManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{TokenTTL: time.Hour, Latency: 20 * time.Millisecond})
		own := &client.Client{HTTPClient: fake.Client()}
		provider := &ClientCredentialProvider{GrantType: "client_credentials", ClientId: "OQ0", ClientSecret: "secret"}
		// One permit for the whole account: fetching the token must not need it.
		rc := NewRestClientWithParams(ClientParams{Client: own, AccountSid: twiliotest.AccountSid, ClientCredentialProvider: provider}, WithLimits(Limits{{Resource: "*", Rate: Unlimited, MaxInFlight: 1}}))
		for range 3 {
			if errs := herd(rc, 320); len(errs) > 0 {
				t.Fatalf("%d errors: %v", len(errs), errs[0])
			}
			time.Sleep(20 * time.Minute)
		}
		if s := fake.Stats(); s.TokenFetches != 1 || s.Unauthorized != 0 || len(fake.Messages()) != 960 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour) // expired
		if errs := herd(rc, 320); len(errs) > 0 {
			t.Errorf("%d errors: %v", len(errs), errs[0])
		}
		if s := fake.Stats(); s.TokenFetches != 2 || s.Unauthorized != 0 {
			t.Errorf("after it expired: %+v", s)
		}
		if own.OAuth() != nil {
			t.Error("the program's client was changed")
		}
	})
}

// A token that cannot be fetched is an error of the call, which is not sent without.
func TestOAuthFailureIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{})
		c, err := New(ClientParams{AccountSid: twiliotest.AccountSid, ClientCredentialProvider: &ClientCredentialProvider{GrantType: "client_credentials", ClientId: "OQ0", ClientSecret: "secret"}}, WithHTTPClient(fake.Client()))
		if err != nil {
			t.Fatal(err)
		}
		fake.FailTokens(1)
		err = createOn(c.RestClient, sender)
		if err == nil || !strings.Contains(err.Error(), "no access token") || InDoubt(err) {
			t.Errorf("error %v", err)
		}
		if len(fake.Accepted()) != 0 {
			t.Errorf("sent all the same: %v", fake.Accepted())
		}
		if err := createOn(c.RestClient, sender); err != nil {
			t.Error(err)
		}
		if c.RequestHandler.Client.OAuth() == nil {
			t.Error("OAuth() is nil")
		}
		// A token that Twilio no longer takes is not used again.
		fake.Reset()
		if err := createOn(c.RestClient, sender); err == nil {
			t.Error("a revoked token was taken")
		}
		if err := createOn(c.RestClient, sender); err != nil {
			t.Errorf("after a 401 the token is fetched anew: %v", err)
		}
	})
}

// An OAuth source of the program's own, also twilio-go's, which is not safe for
// concurrent use.
func TestSetOauth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{Latency: time.Millisecond})
		own := &client.Client{Credentials: client.NewCredentials("", ""), HTTPClient: fake.Client()}
		own.SetAccountSid(twiliotest.AccountSid)
		own.SetOauth(NewAPIOAuth(client.NewRequestHandler(own), &OAuthCredentials{GrantType: "client_credentials", ClientId: "OQ0", ClientSecret: "secret"}))
		c, err := New(ClientParams{Client: own}, WithLimits(Limits{{Resource: "*", Rate: Unlimited}}))
		if err != nil {
			t.Fatal(err)
		}
		if errs := herd(c.RestClient, 200); len(errs) > 0 {
			t.Errorf("%d errors: %v", len(errs), errs[0])
		}
		if s := fake.Stats(); s.TokenFetches != 1 || s.Unauthorized != 0 {
			t.Errorf("%+v", s)
		}
		c.SetOauth(nil)
		if err := createOn(c.RestClient, sender); err == nil {
			t.Error("without OAuth and credentials the request passed")
		}
		c.SetOauth(bearer(""))
		if err := createOn(c.RestClient, sender); err == nil || !strings.Contains(err.Error(), "empty token") {
			t.Errorf("an empty token: %v", err)
		}
	})
}

func TestUsableUntil(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		token string
		life  time.Duration
		want  time.Duration
	}{
		{"opaque", time.Hour, time.Hour - 30*time.Second},
		{"opaque", 10 * time.Second, 9 * time.Second},
		{"opaque", 0, 54 * time.Second},
		{"h.eyJleHAiOjE4MDAwMDA2MDB9.s", 0, 570 * time.Second}, // exp 600 s ahead
		{"h.eyJleHAiOjE3OTk5OTk5MDB9.s", 0, -90 * time.Second}, // expired
		{"h.!!.s", 0, 54 * time.Second}, {"h.e30.s", 0, 54 * time.Second},
		{"opaque", -5, 54 * time.Second},
	} {
		got := usableUntil(tt.token, tt.life, now).Sub(now)
		if tt.want < 0 && got >= 0 || tt.want >= 0 && got != tt.want {
			t.Errorf("%q, %v: %v, expected %v", tt.token, tt.life, got, tt.want)
		}
	}
}

// Follow-up pages come with nil headers. Lists and streams page through pacer, and a throttled
// page is read again. Source: https://github.com/twilio/twilio-go/blob/main/client/page_util.go.
func TestPaging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{})
		c := fakeClient(t, fake, WithLimits(Limits{{Resource: "*", Rate: Unlimited}}))
		if errs := herd(c.RestClient, 130); len(errs) > 0 {
			t.Fatal(errs)
		}
		fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 20429, Times: 1, Match: func(r *twiliotest.Request) bool { return r.Form.Get("Page") == "1" }})
		list, err := c.Api.ListMessage((&api.ListMessageParams{}).SetPageSize(50))
		if err != nil || len(list) != 130 {
			t.Errorf("list: %d messages, %v", len(list), err)
		}
		messages, errs := c.Api.StreamMessage((&api.ListMessageParams{}).SetPageSize(50))
		n := 0
		for range messages {
			n++
		}
		if err := <-errs; err != nil || n != 130 {
			t.Errorf("stream: %d messages, %v", n, err)
		}
		if fake.Stats().Faulted != 1 {
			t.Errorf("no page was throttled: %+v", fake.Stats())
		}
	})
	w := newWorld(t, ok201)
	if _, err := w.c.RequestHandler.Client.SendRequest("GET", "https://api.twilio.com/x", nil, nil); err != nil {
		t.Errorf("nil headers and data: %v", err)
	}
}

// Each attempt sends the whole body again, form or JSON, whatever the method. Nothing of the
// program's is changed. Source: https://pkg.go.dev/net/http#RoundTripper.
func TestBodyIsSentAgain(t *testing.T) {
	for _, tt := range []struct{ method, contentType, body string }{
		{"POST", "application/x-www-form-urlencoded", "To=%2B1"}, {"POST", "application/json", `{"a":1}`},
		{"PUT", "application/json", `{"a":1}`}, {"GET", "application/json", `{"a":1}`}, {"PATCH", "application/x-www-form-urlencoded", "To=%2B1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var bodies []string
			w := newWorld(t, func(n int, r *http.Request) *http.Response {
				b, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(b))
				return first(2, throttle())(n, r)
			})
			form := url.Values{"To": {"+1"}}
			headers := map[string]any{"Content-Type": tt.contentType}
			resp, err := w.c.RequestHandler.Client.SendRequest(tt.method, "https://api.twilio.com/v1/Things", form, headers, []byte(`{"a":1}`)...)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if !slices.Equal(bodies, []string{tt.body, tt.body, tt.body}) {
				t.Errorf("%s %s: bodies %q", tt.method, tt.contentType, bodies)
			}
			if len(form) != 1 || len(headers) != 1 {
				t.Errorf("changed: %v %v", form, headers)
			}
		})
	}
}

// A blackBox is a BaseClient of a program's own.
type blackBox struct {
	client.Client
	sends atomic.Int32
	send  func(n int32) (*http.Response, error)
}

func (b *blackBox) SendRequest(string, string, url.Values, map[string]interface{}, ...byte) (*http.Response, error) {
	return b.send(b.sends.Add(1))
}

// A BaseClient that is not twilio-go's is used, paced and retried on the fixed schedule. What
// pacer does not override is delegated to it.
// Source: https://pkg.go.dev/github.com/twilio/twilio-go/client#BaseClient.
func TestCustomBaseClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &blackBox{send: func(n int32) (*http.Response, error) {
			if n <= 2 {
				return nil, &client.TwilioRestError{Status: 429, Code: 20429}
			}
			return respond(201, createdBody), nil
		}}
		box.SetAccountSid(account)
		c, err := New(ClientParams{Client: box})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := createOn(c.RestClient, sender); err != nil || time.Since(start) != 3*time.Second || box.sends.Load() != 3 {
			t.Errorf("%v after %v and %d attempts, expected 3 s and 3", err, time.Since(start), box.sends.Load())
		}
		base := c.RequestHandler.Client
		base.SetOauth(bearer("x"))
		base.SetTimeout(time.Minute)
		if base.AccountSid() != account || base.OAuth() != bearer("x") || box.OAuth() != bearer("x") || box.HTTPClient.Timeout != time.Minute {
			t.Error("not delegated")
		}
	})
	// no http.Client at all is http.DefaultTransport, as with twilio-go
	old := http.DefaultTransport
	defer func() { http.DefaultTransport = old }()
	http.DefaultTransport = transport(func(*http.Request) (*http.Response, error) { return respond(201, createdBody), nil })
	if err := createOn(NewRestClientWithParams(ClientParams{Username: account, Password: "token"}), sender); err != nil {
		t.Error(err)
	}
}

// There is one level of retries, and a token is fresh for each attempt, however long the wait
// was. Source: https://github.com/twilio/twilio-go/blob/main/client/client.go.
func TestTokenIsFreshForEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{TokenTTL: 10 * time.Second})
		c, err := New(ClientParams{AccountSid: twiliotest.AccountSid, ClientCredentialProvider: &ClientCredentialProvider{GrantType: "client_credentials", ClientId: "OQ0", ClientSecret: "secret"}}, WithHTTPClient(fake.Client()))
		if err != nil {
			t.Fatal(err)
		}
		fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, Code: 20429, Times: 2, RetryAfter: "60", Match: func(r *twiliotest.Request) bool { return r.Resource == "Messages" }})
		if err := createOn(c.RestClient, sender); err != nil {
			t.Error(err)
		}
		if s := fake.Stats(); s.TokenFetches != 3 || s.Unauthorized != 0 || s.Accepted != 1 || s.Faulted != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// A transport may leave Body nil, on success and on failure.
// Source: https://pkg.go.dev/net/http#RoundTripper.
func TestNilBody(t *testing.T) {
	for _, status := range []int{204, 500} {
		w := newWorld(t, func(int, *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Header: http.Header{}}
		})
		err := w.c.Api.DeleteMessage("SM0", nil)
		if (err == nil) != (status == 204) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// When twilio-go itself sends a v1.0 request again, it gets the same answer again, and its
// body is closed. TestUndecodableErrorsAreSentOnce has more.
// Source: https://github.com/twilio/twilio-go/blob/main/client/client.go.
func TestReplayedRequestIsNotSent(t *testing.T) {
	w := newWorld(t, func(int, *http.Request) *http.Response { return respond(503, "<html>edge</html>") })
	_, err := conversations.NewApiServiceWithClient(w.c.RequestHandler.Client).CreateConfiguration(nil)
	if err == nil || len(w.times()) != 1 {
		t.Errorf("%v after %d requests, expected 1", err, len(w.times()))
	}
}

// Observer and alert may use the client: no lock is held while they run.
// Source: https://github.com/helixml/helix/pull/2967.
func TestHooksMayUseClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *Client
		var kinds []EventKind
		w := newWorld(t, func(n int, r *http.Request) *http.Response {
			if r.Method == http.MethodGet {
				return respond(200, createdBody)
			}
			return throttle("Twilio-Request-Id", "RQ1")(n, r)
		}, WithMaxRetries(1), WithObserver(func(_ context.Context, e Event) {
			if e.Resource.Op == Create {
				kinds = append(kinds, e.Kind)
				_ = c.SetLimits(nil)
				_, _ = c.Api.FetchMessage("SM0", nil)
			}
		}), WithAlert(func(a Alert) {
			_ = c.SetLimits(nil)
			_, _ = c.Api.FetchMessage("SM0", nil)
			if a.RateLimit.RequestID != "RQ1" || strings.Contains(a.String(), "5005550006") {
				t.Errorf("alert %v", a)
			}
		}))
		c = w.c
		if w.send() == nil {
			t.Error("no error")
		}
		want := []EventKind{EventSent, EventThrottled, EventRetrying, EventSent, EventThrottled, EventGaveUp, EventDone}
		if !slices.Equal(kinds, want) {
			t.Errorf("events %v, expected %v", kinds, want)
		}
	})
}

// Nothing runs on behind a client: synctest fails a test that leaves a goroutine.
func TestNoGoroutineIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 5}}})
		c := fakeClient(t, fake, quiet, WithLimits(Limits{{Resource: Messages, Rate: 50, MaxInFlight: 3}}))
		ctx, cancel := context.WithTimeout(bg, 20*time.Second)
		defer cancel()
		herd(c.WithContext(ctx), 100)
	})
}
