package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
)

// A frontend is where the children reach the fake: a listener on loopback.
type frontend struct {
	addr   string // host and port
	cert   []byte // DER, that the children trust; nil: the listener speaks plain HTTP
	server *httptest.Server
	stop   context.CancelFunc
}

// serve starts to listen for h. The caller must close the frontend.
func serve(h http.Handler, withTLS bool) *frontend {
	ctx, stop := context.WithCancel(context.Background())
	s := httptest.NewUnstartedServer(h)
	s.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that break off are what is tested
	f := &frontend{server: s, stop: stop}
	if withTLS {
		s.StartTLS()
		f.cert = s.Certificate().Raw
	} else {
		s.Start()
	}
	f.addr = s.Listener.Addr().String()
	return f
}

// close stops listening and cuts the requests in progress.
func (f *frontend) close() {
	f.stop()
	f.server.Close()
}

// openFront makes a way from the children to the fake, as the options say.
func (r *run) openFront() (closeAll func(), err error) {
	var h http.Handler = r.fake
	if r.gateway {
		r.portal = newGateway(h)
		h = r.portal
	}
	r.front = serve(h, r.proxy)
	if !r.proxy {
		return r.front.close, nil
	}
	if r.way, err = startProxy(r.front.addr, r.seed); err != nil {
		r.front.close()
		return nil, err
	}
	return func() { r.way.close(); r.front.close() }, nil
}

// certifiedName is a host that the certificate of package httptest is made for.
const certifiedName = "example.com"

// transport leads a worker's requests to the fake, whatever their host. Without a proxy the
// connection is plain TCP, as if TLS had ended already. With a proxy everything is as
// net/http does it for HTTPS_PROXY: CONNECT, and TLS inside the tunnel. Nobody listens for
// a share of the connections, refused.
func (t task) transport(draw *rand.Rand, refused float64) (http.RoundTripper, error) {
	var mu sync.Mutex // guards draw
	var d net.Dialer
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		nobody := draw.Float64() < refused
		mu.Unlock()
		if nobody {
			addr = "127.0.0.1:1" // where nobody listens
		}
		return d.DialContext(ctx, network, addr)
	}
	const idle = 4 // connections that are kept
	if t.Proxy == "" {
		return &http.Transport{
			DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dial(ctx, network, t.Fake)
			},
			MaxIdleConnsPerHost: idle,
		}, nil
	}
	cert, err := x509.ParseCertificate(t.Cert)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(cert)
	return &http.Transport{
		Proxy:               http.ProxyURL(&url.URL{Scheme: "http", Host: t.Proxy}),
		DialContext:         dial,
		TLSClientConfig:     &tls.Config{RootCAs: trusted, ServerName: certifiedName},
		MaxIdleConnsPerHost: idle,
	}, nil
}

// client returns the HTTP client of a worker. Half of the workers follow redirects, as an
// http.Client does unless told otherwise; the others do not, as twilio-go's own client.
func (t task) client(draw *rand.Rand, refused float64) (*http.Client, error) {
	rt, err := t.transport(draw, refused)
	c := &http.Client{Transport: rt}
	if draw.IntN(2) == 0 {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return c, err
}

// isTwilio reports whether a request is meant for Twilio.
func isTwilio(r *http.Request) bool {
	host, _, _ := strings.Cut(r.Host, ":")
	return host == "twilio.com" || strings.HasSuffix(host, ".twilio.com")
}
