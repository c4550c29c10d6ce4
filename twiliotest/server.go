package twiliotest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
)

// A Server is a [Fake] that listens on loopback. Its Transport and Client go
// over a real connection; everything else is the Fake's. It must be closed.
type Server struct {
	*Fake

	// URL is where it listens, "http://127.0.0.1:port". A request that is sent
	// there directly should have the Host header of its Twilio product.
	URL string

	server    *httptest.Server
	transport *http.Transport
	stop      context.CancelFunc
}

// NewServer makes a Fake and starts to listen. It panics if cfg is impossible
// or loopback cannot be listened on.
func NewServer(cfg Config) *Server {
	fake := New(cfg)
	ctx, stop := context.WithCancel(context.Background())
	ts := httptest.NewUnstartedServer(fake)
	ts.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	ts.Start()
	return &Server{
		Fake:   fake,
		URL:    ts.URL,
		server: ts,
		stop:   stop,
		// All connections are to one host, and tests may have many.
		transport: &http.Transport{MaxIdleConnsPerHost: 1000, MaxIdleConns: 1000},
	}
}

// Transport returns an http.RoundTripper that sends every request to the
// server, whatever its scheme and host, and keeps its Host header; nothing
// leaves the machine. All such RoundTrippers of a Server share their
// connections. It may be used from many goroutines at once.
func (s *Server) Transport() http.RoundTripper {
	return toServer{s.transport, strings.TrimPrefix(s.URL, "http://")}
}

// Client returns a new http.Client over [Server.Transport]. Like twilio-go's
// own client it does not follow redirects; unlike that one it has no Timeout.
func (s *Server) Client() *http.Client { return newClient(s.Transport()) }

// Close stops listening, cuts the requests in progress and closes the
// connections of the server and of its Transport. All goroutines end with it,
// those of the connections it cut perhaps a moment after it has returned.
func (s *Server) Close() {
	s.stop()
	s.server.Close()
	s.transport.CloseIdleConnections()
}

type toServer struct {
	transport *http.Transport
	addr      string
}

func (t toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	if out.Host == "" {
		out.Host = r.URL.Host
	}
	out.URL.Scheme, out.URL.Host = "http", t.addr
	resp, err := t.transport.RoundTrip(out)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}
