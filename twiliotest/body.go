package twiliotest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// A broken answer's body stops before its end. The zero value is none.
type breakage struct {
	delay  time.Duration // before the first byte of the body
	err    error         // instead of the end of the body; nil: it ends properly
	length int           // what Content-Length promises, if err is not nil
}

// breakBody makes a fault's BodyErr and BodyDelay hold for an answer.
func (a *answer) breakBody(ft *Fault) {
	a.breakage = breakage{delay: ft.BodyDelay, err: ft.BodyErr, length: len(a.body)}
	switch {
	case ft.BodyErr == nil:
	case ft.Body != nil:
		a.breakage.length++ // all of Body comes, and more was promised
	default:
		a.body = a.body[:len(a.body)/2]
	}
}

// bodyAllowed tells whether an answer may have a body (RFC 9110, section 6.4.1).
func bodyAllowed(method string, status int) bool {
	return method != http.MethodHead && status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// An inMemory is a response's body in memory that is late or breaks off. Read
// waits for at, or the end of ctx, which Close ends as well.
type inMemory struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	at     time.Time
	rest   *bytes.Reader
	err    error // behind rest
}

var errClosed = errors.New("http: read on closed response body")

func newInMemory(ctx context.Context, a *answer) *inMemory {
	b := &inMemory{at: time.Now().Add(a.breakage.delay), rest: bytes.NewReader(a.body), err: a.breakage.err}
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	if b.err == nil {
		b.err = io.EOF
	}
	return b
}

func (b *inMemory) Read(p []byte) (int, error) {
	if d := time.Until(b.at); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-b.ctx.Done():
		}
	}
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	if b.rest.Len() > 0 {
		return b.rest.Read(p)
	}
	return 0, b.err
}

func (b *inMemory) Close() error {
	b.cancel(errClosed)
	return nil
}
