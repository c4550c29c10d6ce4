package twiliotest

import (
	"net"
	"net/http"
	"net/http/httptrace"
)

// A tracer tells an httptrace.ClientTrace what the in-memory transport does.
// Hooks that are nil, and a nil ClientTrace, are left out.
type tracer struct{ *httptrace.ClientTrace }

// getConn tells that the request asks for a connection.
func (t tracer) getConn(r *http.Request) {
	if t.ClientTrace == nil || t.GetConn == nil {
		return
	}
	port := r.URL.Port()
	if port == "" {
		port = "443"
		if r.URL.Scheme == "http" {
			port = "80"
		}
	}
	t.GetConn(net.JoinHostPort(r.URL.Hostname(), port))
}

// wrote tells that there is a connection, and that the headers and the body
// were written to it. err is why the body could not be read; nil: it could.
func (t tracer) wrote(err error) {
	if t.ClientTrace == nil {
		return
	}
	if t.GotConn != nil {
		t.GotConn(httptrace.GotConnInfo{Conn: closedConn})
	}
	if t.WroteHeaders != nil {
		t.WroteHeaders()
	}
	if t.WroteRequest != nil {
		t.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// answered tells that the answer's first byte has come.
func (t tracer) answered() {
	if t.ClientTrace != nil && t.GotFirstResponseByte != nil {
		t.GotFirstResponseByte()
	}
}

// closedConn is the connection of GotConnInfo: tracers ask it for addresses.
var closedConn = func() net.Conn {
	conn, other := net.Pipe()
	conn.Close()
	other.Close()
	return conn
}()
