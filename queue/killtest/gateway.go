package main

import (
	"io"
	"maps"
	"net/http"
	"sync"
)

// A gateway stands between the children and the fake, as a captive portal, a company's
// gateway or a load balancer may. In times of trouble it answers in Twilio's place and
// passes nothing on; at other times it passes everything on.
type gateway struct {
	twilio http.Handler

	mu     sync.Mutex
	answer *foreignAnswer // what everybody gets now; nil: requests are passed on
	given  map[string]int64
}

func newGateway(twilio http.Handler) *gateway {
	return &gateway{twilio: twilio, given: make(map[string]int64)}
}

// A foreignAnswer is one that did not come from Twilio.
type foreignAnswer struct {
	name     string
	status   int
	location string // "": none; self: where the request was sent to
	kind     string // Content-Type; "": none
	body     string
}

const (
	self   = "self"
	login  = "https://login.example.com/?next=twilio"
	html   = "text/html; charset=utf-8"
	asJSON = "application/json"
	page   = "<!DOCTYPE html><html><body><h1>Please sign in</h1></body></html>"
)

var foreignAnswers = []foreignAnswer{
	{name: "302 to a login page", status: http.StatusFound, location: login, kind: html, body: page},
	{name: "303 to a login page", status: http.StatusSeeOther, location: login},
	{name: "307 to a login page", status: http.StatusTemporaryRedirect, location: login},
	{name: "308 to a login page", status: http.StatusPermanentRedirect, location: login},
	{name: "302 to the same address", status: http.StatusFound, location: self},
	{name: "307 to the same address", status: http.StatusTemporaryRedirect, location: self},
	{name: "200 with HTML", status: http.StatusOK, kind: html, body: page},
	{name: "200 with HTML called JSON", status: http.StatusOK, kind: asJSON, body: page},
	{name: "200 empty", status: http.StatusOK},
	{name: "200 with JSON without a SID", status: http.StatusOK, kind: asJSON, body: `{"status":"ok"}`},
	{name: "200 with a SID of another kind", status: http.StatusOK, kind: asJSON, body: `{"sid":"7"}`},
	{name: "201 with null", status: http.StatusCreated, kind: asJSON, body: `null`},
	{name: "204", status: http.StatusNoContent},
	{name: "403 with HTML", status: http.StatusForbidden, kind: html, body: page},
	{name: "404 with HTML", status: http.StatusNotFound, kind: html, body: page},
	{name: "503 with HTML", status: http.StatusServiceUnavailable, kind: html, body: page},
	{name: "511 with HTML", status: http.StatusNetworkAuthenticationRequired, kind: html, body: page},
}

// ServeHTTP answers a request, or passes it on. What is not meant for Twilio is the login
// page that somebody was redirected to.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isTwilio(r) {
		foreignAnswer{status: http.StatusOK, kind: html, body: page}.write(w, r)
		return
	}
	g.mu.Lock()
	a := g.answer
	if a != nil {
		g.given[a.name]++
	}
	g.mu.Unlock()
	if a != nil {
		a.write(w, r)
		return
	}
	g.twilio.ServeHTTP(w, r)
}

func (a foreignAnswer) write(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // an error: nobody waits for the answer any more
	if a.location == self {
		a.location = r.URL.RequestURI()
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.Header()["Content-Type"] = nil // so that net/http does not guess one
	if a.kind != "" {
		w.Header().Set("Content-Type", a.kind)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body) // an error: as above
}

// trouble has the gateway answer by itself, in one way each time.
func (g *gateway) trouble(seed uint64) trouble {
	d := newDeck(seed, 6, len(foreignAnswers))
	set := func(a *foreignAnswer) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.answer = a
		return nil
	}
	return trouble{
		begin:        func() error { return set(&foreignAnswers[d.next()]) },
		end:          func() error { return set(nil) },
		longestRight: longestRight, longestWrong: longestWrong,
	}
}

// tally returns how many foreign answers were given, by their names.
func (g *gateway) tally() map[string]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.given)
}
