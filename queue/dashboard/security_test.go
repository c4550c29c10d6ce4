package dashboard

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

var everything = []struct{ method, target, body string }{
	{"GET", "/", ""}, {"GET", "/events", ""}, {"GET", "/api/overview", ""}, {"GET", "/api/history", ""}, {"POST", "/api/lanes", "{}"}, {"GET", "/api/campaigns", ""},
	{"GET", "/api/campaign?name=spring", ""}, {"GET", "/api/failures.csv?name=spring", ""}, {"GET", "/api/doubt", ""}, {"GET", "/api/job?id=x", ""}, {"GET", "/api/workers", ""},
	{"GET", "/api/holds", ""}, {"GET", "/api/limits", ""}, {"POST", "/api/limits", `{"text": "[]", "apply": true}`}, {"POST", "/api/campaign", `{"name": "spring", "do": "cancel"}`},
	{"POST", "/api/job", `{"id": "x", "do": "cancel"}`}, {"POST", "/api/hold", `{"hold": "x"}`},
}

// untouched fails if somebody has changed what fill has made.
func (s *stage) untouched() {
	s.t.Helper()
	all, err := s.q.Campaigns(s.t.Context())
	if err != nil || len(all) != 1 || all[0].State != queue.CampaignRunning || all[0].Waiting != 3 || all[0].Options.Rate != 20 {
		s.t.Errorf("%+v, %v", all, err)
	}
	if holds, err := s.q.Holds(s.t.Context()); err != nil || len(holds) != 1 {
		s.t.Errorf("%+v, %v", holds, err)
	}
	if len(s.limits.Limits()) != 3 {
		s.t.Errorf("%+v", s.limits.Limits())
	}
	if strings.Contains(s.log.String(), "dashboard:") {
		s.t.Error(s.log.String())
	}
}

func TestOnlyWhoKnowsTheTokenSeesAnything(t *testing.T) {
	t.Parallel()
	s := open(t, WithToken(token))
	s.fill()
	s.seen("the campaign", func(now *snapshot) bool { return len(now.campaigns) == 1 })
	outside := func(r *http.Request) { r.Host = "pacer.example.com" }
	yesterday := time.Now().Add(-time.Hour).Unix()
	for name, with := range map[string]func(*http.Request){
		"nothing": func(*http.Request) {}, "a wrong token": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token+"r") },
		"an empty token":   func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") },
		"a made-up cookie": func(r *http.Request) { r.AddCookie(&http.Cookie{Name: s.d.guard.cookie(), Value: "9999999999.00"}) },
		"an expired cookie": func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: s.d.guard.cookie(), Value: s.d.guard.session(yesterday)})
		},
		"another token's cookie": func(r *http.Request) {
			other := guard{token: "another token of sixteen"}
			r.AddCookie(&http.Cookie{Name: s.d.guard.cookie(), Value: other.session(time.Now().Add(time.Hour).Unix())})
		},
	} {
		for _, e := range everything {
			if w := s.do(e.method, e.target, e.body, outside, with); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "spring") {
				t.Errorf("%s %s with %s: %d: %s", e.method, e.target, name, w.Code, w.Body)
			}
		}
	}
	form := func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
	const said = `<p class="bad" role="alert"`
	if w := s.do("GET", "/", "", outside); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), said+" hidden>") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	if w := s.do("POST", "/login", "token=wrong", outside, form); w.Code != http.StatusUnauthorized || len(w.Result().Cookies()) != 0 || !strings.Contains(w.Body.String(), said+">") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	s.untouched()

	w := s.do("POST", "/login", url.Values{"token": {token}}.Encode(), outside, form)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./" || len(cookies) != 1 {
		t.Fatalf("%d: %v", w.Code, cookies)
	}
	if c := cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.MaxAge <= 0 || strings.Contains(c.Value, token) {
		t.Errorf("%+v", c)
	}
	for name, with := range map[string]func(*http.Request){
		"the cookie": func(r *http.Request) { r.AddCookie(cookies[0]) }, "the token": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
	} {
		if w := s.do("GET", "/api/campaigns", "", outside, with); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "spring") {
			t.Errorf("with %s: %d: %s", name, w.Code, w.Body)
		}
	}
	if c := s.do("POST", "/logout", "", outside).Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Error(c)
	}
}

// A page of another host whose name points to this machine gets nothing.
func TestWithoutATokenItAnswersOnlyAsLocalhost(t *testing.T) {
	t.Parallel()
	s, open := open(t), open(t, WithInsecure())
	for host, want := range map[string]int{"localhost": 200, "localhost:9465": 200, "127.0.0.1": 200, "127.8.8.8:1": 200, "[::1]:9465": 200, "pacer.example.com": 403, "10.0.0.1:9465": 403, "localhost.example.com": 403, "": 403} {
		as := func(r *http.Request) { r.Host = host }
		if w := s.do("GET", "/api/overview", "", as); w.Code != want {
			t.Errorf("%q: %d, expected %d", host, w.Code, want)
		}
		if w := open.do("GET", "/api/overview", "", as); w.Code != 200 {
			t.Errorf("insecure, %q: %d", host, w.Code)
		}
	}
}

func TestAddressesThatOthersReachNeedAToken(t *testing.T) {
	for _, a := range []string{"127.0.0.1:0", "localhost:80", "[::1]:80"} {
		if err := CheckListen(a, "", false); err != nil {
			t.Error(err)
		}
	}
	for _, a := range []string{":80", "0.0.0.0:80", "[::]:80", "10.0.0.1:80", "example.com:80"} {
		if err := CheckListen(a, "", false); err == nil || !strings.Contains(err.Error(), "expected a token") {
			t.Errorf("%s: %v", a, err)
		}
		if err := CheckListen(a, token, false); err != nil {
			t.Error(err)
		}
		if err := CheckListen(a, "", true); err != nil {
			t.Error(err)
		}
	}
	if err := CheckListen("80", token, true); err == nil {
		t.Error("80 is an address")
	}
}

func TestChangesNeedTheSameOrigin(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.fill()
	for name, from := range map[string]func(*http.Request){
		"another site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another port":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"another origin": func(r *http.Request) { r.Header.Set("Origin", "https://example.com") },
		"no origin":      func(r *http.Request) { r.Header.Set("Origin", "null") },
	} {
		for _, e := range everything {
			if e.method != "POST" {
				continue
			}
			if w := s.do("POST", e.target, e.body, from); w.Code != http.StatusForbidden {
				t.Errorf("%s from %s: %d", e.target, name, w.Code)
			}
		}
	}
	// A form of another site can send text, and no JSON, without asking first.
	if w := s.do("POST", "/api/campaign", `{"name": "spring", "do": "pause"}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }); w.Code != http.StatusBadRequest {
		t.Error(w.Code)
	}
	// What only reads is not for changes.
	for _, e := range everything {
		if e.method == "POST" && e.target != "/api/limits" {
			if w := s.do("GET", e.target+"?name=spring&do=pause", ""); w.Code == http.StatusOK && e.target != "/api/campaign" {
				t.Errorf("GET %s: %d", e.target, w.Code)
			}
		}
	}
	s.untouched()
}

func TestOversizedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.fill()
	for _, target := range []string{"/api/campaign", "/api/lanes"} {
		for _, body := range []string{`{"name": "` + strings.Repeat("x", maxBody) + `"}`, strings.Repeat(" ", maxBody+1)} {
			if w := s.do("POST", target, body); w.Code != http.StatusRequestEntityTooLarge && w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d", target, w.Code)
			}
		}
	}
	if w := s.do("POST", "/api/limits", `{"text": "`+strings.Repeat("x", maxBody)+`"}`); w.Code != http.StatusRequestEntityTooLarge {
		t.Error(w.Code)
	}
	s.untouched()
}

func TestPathTricksFindNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, target := range []string{
		"/assets/../handler.go", "/assets/..%2fhandler.go", "/assets/%2e%2e/handler.go", "/assets//style.css", "/assets/", "/assets/.", "/assets/none.js", "/assets/index", "//assets/style.css",
		"/assets/style.css/", "/web/style.css", "/handler.go", "/%2e%2e/%2e%2e/etc/passwd", "/assets/..%5c..%5chandler.go", "/assets/style.css%00.js", "/api/../api/overview", "/api/overview/", "/assets",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = "localhost"
		u, err := url.ParseRequestURI(target)
		if err != nil {
			continue // the server refuses it
		}
		r.URL = u
		w := httptest.NewRecorder()
		s.d.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	for _, method := range []string{"PUT", "DELETE", "TRACE", "PATCH"} {
		if w := s.do(method, "/api/limits", ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

// Every answer has the policy, and no file needs more than it allows.
func TestPagesLoadNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	s := open(t, WithToken(token))
	for _, target := range []string{"/", "/assets/app.js", "/assets/none", "/api/overview"} {
		h := s.do("GET", target, "").Header()
		if p := h.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") || strings.Contains(p, "http") || strings.Contains(p, "data:") {
			t.Errorf("%s: %s", target, p)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", target, h)
		}
	}
	inline := regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:|innerHTML|eval\(|https?://`)
	files, err := fs.Glob(web, "web/*")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(web, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range inline.FindAllString(string(text), -1) {
			if !strings.HasPrefix(found, "http") || !strings.Contains(string(text), found+"www.w3.org/2000/svg") {
				t.Errorf("%s has %q", name, found)
			}
		}
		if w := s.do("GET", "/assets/"+strings.TrimPrefix(name, "web/"), ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// A deadlined remembers what the handler asks of the connection.
type deadlined struct {
	*httptest.ResponseRecorder
	write []time.Time
}

func (d *deadlined) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

func (d *deadlined) SetReadDeadline(time.Time) error { return nil }

// Each answer has a deadline, so that a reader who does not read is cut off.
func TestAnswersHaveADeadline(t *testing.T) {
	t.Parallel()
	s := open(t)
	w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", "/api/overview", nil)
	r.Host = "localhost"
	s.d.ServeHTTP(w, r)
	if len(w.write) == 0 || time.Until(w.write[0]) > slowest {
		t.Error(w.write)
	}
}

// A thousand that send half a request, or read nothing, do not keep others out.
func TestSlowClientsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.fill()
	server := httptest.NewServer(s.d)
	defer server.Close()
	slow := 1000
	if testing.Short() {
		slow = 300
	}
	address := server.Listener.Addr().String()
	conns := make([]net.Conn, 0, slow)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range slow {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if i%2 == 0 {
			fmt.Fprintf(c, "GET /events HTTP/1.1\r\nHost: %s\r\n\r\n", address)
		} else {
			fmt.Fprintf(c, "POST /api/campaign HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", address)
		}
	}
	r, err := http.Get(server.URL + "/api/overview")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if r.StatusCode != http.StatusOK || len(s.d.streams) > maxStreams {
		t.Errorf("%d: %s; %d streams", r.StatusCode, text, len(s.d.streams))
	}
	s.untouched()
}
