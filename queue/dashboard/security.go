package dashboard

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"
)

// This file decides who gets an answer.

const (
	maxBody    = 1 << 20          // of limits; all else is far smaller
	slowest    = 10 * time.Second // so long may one write to a reader take
	signedIn   = 12 * time.Hour
	loginForm  = 4 << 10
	bearer     = "Bearer "
	cookieName = "pacer_dashboard"
)

// policy lets a page load what the dashboard itself serves, and nothing else: no script or style inside a page, no other
// host, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// A guard lets through what may be answered.
type guard struct {
	token    string // "": none is needed
	insecure bool
}

// CheckListen reports why a dashboard must not be served at an address, as net.Listen takes it. An address that other
// machines reach needs a token, or insecure to be true.
func CheckListen(address, token string, insecure bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("dashboard: address %q: %w", address, err)
	}
	if token != "" || insecure || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("dashboard: address %s: other machines reach it: expected a token, or an address such as 127.0.0.1:9465", address)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}

// protect puts the guard before h. What comes first costs least.
func (g *guard) protect(h http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		for name, value := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			head.Set(name, value)
		}
		within(w, slowest)
		switch {
		case r.URL.RawPath != "" || r.URL.Path != "/" && r.URL.Path != path.Clean(r.URL.Path):
			http.NotFound(w, r)
		case g.token == "" && !g.insecure && !isLoopback(hostOf(r)):
			// A page of another host could have its name point here: https://en.wikipedia.org/wiki/DNS_rebinding
			http.Error(w, "dashboard: without a token it answers only as localhost", http.StatusForbidden)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			sameOrigin.ServeHTTP(w, r)
		}
	})
}

// hostOf returns the host that a request names, without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// within gives the next write of an answer so much time. A server that cannot do it has timeouts of its own.
func within(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// knows reports whether a request may see anything: no token is needed, or it has it or a cookie that was given for it.
func (g *guard) knows(r *http.Request) bool {
	if g.token == "" {
		return true
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), bearer); ok {
		return g.isToken(given)
	}
	c, err := r.Cookie(g.cookie())
	if err != nil {
		return false
	}
	until, _, _ := strings.Cut(c.Value, ".")
	end, err := strconv.ParseInt(until, 10, 64)
	return err == nil && time.Now().Before(time.Unix(end, 0)) && hmac.Equal([]byte(c.Value), []byte(g.session(end)))
}

func (g *guard) isToken(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(g.token))
	return hmac.Equal(a[:], b[:])
}

// signed returns text that only those can make who know the token.
func (g *guard) signed(text string) string {
	mac := hmac.New(sha256.New, []byte(g.token))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// session is the value of a cookie. Any process with the same token takes it, until its end.
func (g *guard) session(end int64) string {
	until := strconv.FormatInt(end, 10)
	return until + "." + g.signed("session until "+until)
}

// cookie is the name of the cookie. It differs by token, as all ports of a host share their cookies.
func (g *guard) cookie() string { return cookieName + "_" + g.signed("cookie")[:8] }

// login answers the form of the page for signing in.
func (g *guard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, loginForm)
	if !g.isToken(r.PostFormValue("token")) || g.token == "" {
		serveLogin(w, true)
		return
	}
	end := time.Now().Add(signedIn)
	g.setCookie(w, r, g.session(end.Unix()), int(signedIn.Seconds()))
}

func (g *guard) logout(w http.ResponseWriter, r *http.Request) { g.setCookie(w, r, "", -1) }

// setCookie sends the browser back to the page. The cookie is for the path at which the dashboard is mounted.
func (g *guard) setCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: g.cookie(), Value: value, MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
}

// serveLogin answers with the page for signing in. wrong says there that the token was not the right one.
func serveLogin(w http.ResponseWriter, wrong bool) {
	text, _ := web.ReadFile("web/login.html") // it is embedded
	if wrong {
		text = bytes.Replace(text, []byte(" hidden"), nil, 1)
	}
	w.Header().Set("Content-Type", kinds[".html"])
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write(text) // the reader may have gone
}

// signedInOnly answers with the page for signing in, or an error, to those who do not know the token.
func (g *guard) signedInOnly(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case g.knows(r):
			h(w, r)
		case r.URL.Path == "/":
			serveLogin(w, false)
		default:
			http.Error(w, "dashboard: expected the token", http.StatusUnauthorized)
		}
	}
}
