package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// A proxy is an HTTP proxy on loopback, as HTTPS_PROXY names one. It makes tunnels for
// CONNECT, whatever their host, to one address. In times of trouble it is in a bad way.
type proxy struct {
	addr string // host and port, the same for its whole life
	to   string // where the tunnels lead

	mu     sync.Mutex
	draw   *rand.Rand
	way    way
	listen net.Listener // nil: it is dead
	conns  map[net.Conn]struct{}
	counts map[string]int64
	closed bool
	all    sync.WaitGroup
}

// A way is how a proxy treats those who come.
type way string

const (
	works   way = ""
	dead    way = "times that the proxy was killed"
	refuses way = "CONNECT answered 503"
	demands way = "CONNECT answered 407"
	silent  way = "CONNECT not answered"
	hangsUp way = "tunnels closed at once"
	plain   way = "tunnels with something else than TLS"
	stuck   way = "tunnels in which nothing is said"
	noTLS   way = "tunnels without a certificate"
	cuts    way = "tunnels cut, something having been forwarded"
)

// badWays are those of times of trouble. The worst ones come twice as often.
var badWays = []way{dead, dead, refuses, demands, silent, hangsUp, plain, stuck, noTLS, cuts, cuts}

const countTunnels way = "tunnels made"

// startProxy starts a proxy. The caller must close it.
func startProxy(to string, seed uint64) (*proxy, error) {
	p := &proxy{to: to, draw: rand.New(rand.NewPCG(seed, 4)), conns: make(map[net.Conn]struct{}), counts: make(map[string]int64)}
	if err := p.start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	p.addr = p.listen.Addr().String()
	return p, nil
}

// start listens. The port is free again after a death, unless somebody else got it.
func (p *proxy) start(addr string) error {
	const tries, pause = 100, 20 * time.Millisecond
	var err error
	for range tries {
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			p.mu.Lock()
			p.listen = l
			p.mu.Unlock()
			p.all.Go(func() { p.accept(l) })
			return nil
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("start the proxy again: %w", err)
}

func (p *proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // it is dead
		}
		p.all.Go(func() { p.serve(c) })
	}
}

// trouble has the proxy be in a bad way. Its tunnels are cut each time, so that the next
// requests need new ones.
func (p *proxy) trouble(seed uint64) trouble {
	d := newDeck(seed, 5, len(badWays))
	return trouble{
		begin:        func() error { return p.set(badWays[d.next()]) },
		end:          func() error { return p.set(works) },
		longestRight: longestRight, longestWrong: longestWrong,
	}
}

// set changes the way in which the proxy is.
func (p *proxy) set(w way) error {
	p.mu.Lock()
	p.way = w
	p.cutAll()
	revive := p.listen == nil && w != dead && !p.closed
	if w == dead && p.listen != nil {
		_ = p.listen.Close()
		p.listen = nil
		p.counts[string(dead)]++
	}
	p.mu.Unlock()
	if revive {
		return p.start(p.addr)
	}
	return nil
}

// close ends the proxy and its tunnels.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.listen != nil {
		_ = p.listen.Close()
	}
	p.cutAll()
	p.mu.Unlock()
	p.all.Wait()
}

// cutAll resets all connections. The caller holds p.mu.
func (p *proxy) cutAll() {
	for c := range p.conns {
		reset(c)
	}
}

// reset ends a connection as the kernel does for a process that was killed with unread data.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// hold keeps c among the connections that are cut with the proxy, until release.
// It reports false, having closed c, if the proxy is dead already.
func (p *proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listen == nil || p.closed {
		reset(c)
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *proxy) release(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) count(what way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[string(what)]++
}

func (p *proxy) now() way {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.way
}

// serve answers one CONNECT, and keeps the tunnel until an end of it is closed.
func (p *proxy) serve(c net.Conn) {
	if !p.hold(c) {
		return
	}
	defer p.release(c)
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil || r.Method != http.MethodConnect {
		_, _ = io.WriteString(c, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
		return
	}
	w := p.now()
	if w != works && w != cuts {
		p.count(w)
	}
	switch w {
	case refuses:
		_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		return
	case demands:
		_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"test\"\r\nContent-Length: 0\r\n\r\n")
		return
	case silent:
		_, _ = io.Copy(io.Discard, in) // until the client gives up, or the phase ends
		return
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	switch w {
	case hangsUp:
	case plain:
		_, _ = in.Peek(1) // net/http throws away what comes together with the answer to CONNECT
		_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
		_, _ = io.Copy(io.Discard, in)
	case stuck:
		_, _ = io.Copy(io.Discard, in) // as above
	case noTLS:
		_ = tls.Server(c, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, errors.New("no certificate")
		}}).Handshake()
	default:
		p.tunnel(c, in)
	}
}

// tunnel copies both ways until one of the ends is closed.
func (p *proxy) tunnel(c net.Conn, in io.Reader) {
	far, err := net.Dial("tcp", p.to)
	if err != nil || !p.hold(far) {
		return
	}
	defer p.release(far)
	p.count(countTunnels)
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(c, far) // an error: an end is closed
		_ = c.Close()
	}()
	p.forward(far, in)
	reset(c)
	_ = far.Close()
	<-back
}

// forward copies what the client says. In times of cuts it stops after some of it, and
// waits for so long that the answer has come back, or has not.
func (p *proxy) forward(far io.Writer, in io.Reader) {
	const most = 32 << 10
	buf := make([]byte, most)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			part, wait, cut := p.fate(n)
			if _, err := far.Write(buf[:part]); err != nil {
				return
			}
			if cut {
				time.Sleep(wait)
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// fate draws what becomes of n bytes: how many are forwarded, and whether and when the
// tunnel is cut then.
func (p *proxy) fate(n int) (part int, wait time.Duration, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.way != cuts || p.draw.Float64() > cutShare {
		return n, 0, false
	}
	p.counts[string(cuts)]++
	if part = n; p.draw.IntN(3) == 0 {
		part = p.draw.IntN(n)
	}
	return part, time.Duration(p.draw.Int64N(int64(2 * latency))), true
}

// cutShare is the share of what a client says, piece by piece, after which its tunnel is
// cut in times of cuts. A handshake has two pieces, a request has one.
const cutShare = 0.4

// tally returns how often each thing has happened.
func (p *proxy) tally() map[string]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}
