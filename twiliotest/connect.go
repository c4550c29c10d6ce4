package twiliotest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// errCut is what net/http reports when a connection ends within a response.
var errCut = fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", io.ErrUnexpectedEOF)

// errRefused is what net/http reports when nothing listens.
var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

// tlsTimeout is what net/http reports when a TLS handshake takes too long. Its
// own type is not exported.
type tlsTimeout struct{}

func (tlsTimeout) Error() string   { return "net/http: TLS handshake timeout" }
func (tlsTimeout) Timeout() bool   { return true }
func (tlsTimeout) Temporary() bool { return true }

// unwritten tells whether no byte of the request is written to a connection.
func (k FaultKind) unwritten() bool {
	return k == RefuseConnection || k == RefuseProxy || k == RefuseTunnel || k == TimeoutTLS
}

// cuts tells whether the client gets an error instead of an answer.
func (k FaultKind) cuts() bool {
	return k.unwritten() || k == DropBeforeAccept || k == DropAfterAccept
}

// failure is the client's error of a fault that cuts; nil for any other.
// net/http's errors, as of Go 1.26, come from dialConn in net/http/transport.go.
func (ft *Fault) failure() error {
	switch {
	case !ft.Kind.cuts():
		return nil
	case ft.Err != nil:
		return ft.Err
	case ft.Kind == RefuseConnection:
		return errRefused
	case ft.Kind == RefuseProxy:
		return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errRefused}
	case ft.Kind == RefuseTunnel:
		if text := http.StatusText(ft.Status); text != "" {
			return errors.New(text)
		}
		return errors.New("unknown status code")
	case ft.Kind == TimeoutTLS:
		return tlsTimeout{}
	default:
		return errCut
	}
}
