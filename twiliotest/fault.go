package twiliotest

import (
	"bytes"
	"fmt"
	"net/http"
	"time"
)

// A FaultKind says what goes wrong. There is no default.
type FaultKind int

const (
	// RefuseConnection refuses the connection. Nothing of the request is
	// written, so that it is always safe to send again. In memory the error is
	// a *net.OpError for "dial" with ECONNREFUSED. Over a [Server] there is a
	// connection already, and this kind is DropBeforeAccept.
	RefuseConnection FaultKind = iota + 1

	// DropBeforeAccept cuts the connection without accepting the request.
	// The client sees an error that wraps io.ErrUnexpectedEOF and cannot tell
	// it from DropAfterAccept.
	DropBeforeAccept

	// DropAfterAccept does and records the work, then cuts the connection.
	DropAfterAccept

	// RespondStatus answers with Status instead of accepting the request. With
	// Foreign it is somebody else who answers, in Twilio's place.
	RespondStatus

	// AcceptThenStatus does and records the work, then answers with Status
	// all the same. Twilio's 20500 can mean this
	// (https://www.twilio.com/docs/errors/20500).
	AcceptThenStatus

	// Slow does the work and answers properly, Delay later than otherwise. The
	// proper answer's body may break off: see BodyErr.
	Slow

	// AcceptLate accepts the request only after Delay, whether the client still waits then or has
	// given up, as Twilio may. A client that looks for its message too early does not find it, and it
	// is sent all the same. The limits are those of that later instant. [Server.Close] does not wait
	// for it.
	AcceptLate

	// RefuseProxy is a proxy that refuses the connection. Nothing of the
	// request is written. In memory the error is a *net.OpError for
	// "proxyconnect" around the one of RefuseConnection, as net/http gives it.
	// Over a [Server] this kind is DropBeforeAccept, too.
	RefuseProxy

	// RefuseTunnel is a proxy that answers CONNECT with Status, such as 407 or
	// 503, and opens no tunnel. Nothing of the request is written. In memory
	// the error has no type; its text is the status in words, as net/http
	// gives it. Over a [Server] this kind is DropBeforeAccept, too.
	RefuseTunnel

	// TimeoutTLS is a TLS handshake that takes too long, which is Delay here.
	// Nothing of the request is written. In memory the error says "TLS
	// handshake timeout" and its Timeout method returns true, as net/http's
	// does. Over a [Server] this kind is DropBeforeAccept, too.
	TimeoutTLS
)

// before tells whether the fault strikes instead of the work.
func (k FaultKind) before() bool {
	return k.unwritten() || k == DropBeforeAccept || k == RespondStatus || k == AcceptLate
}

// A Fault is something that goes wrong with some requests: see [Fake.Inject].
type Fault struct {
	// Kind is what goes wrong.
	Kind FaultKind

	// Match chooses the requests it strikes. It is called from many goroutines at once and must not
	// change the Request. The Request has a SID and a Status only for kinds that strike after the
	// work is done. nil: every request, the fetching of OAuth tokens included.
	Match func(*Request) bool

	// Times is how many requests it strikes. 0: until [Fake.ClearFaults].
	Times int

	// Delay passes, with the request in progress, before the fault shows.
	Delay time.Duration

	// Err is the error that the client gets in memory, for kinds that refuse or cut the connection.
	// Such are a certificate that is not trusted, a connection that was reset, a name that is not
	// known. nil: the error named at the kind. Over a [Server] it has no effect.
	Err error

	// Status is the answer's HTTP status, from 100 to 599, for RespondStatus and
	// AcceptThenStatus, and a proxy's for RefuseTunnel. 0: 503. Below 400 the
	// answer has no body but Body. A [Server] cuts the connection behind a
	// status below 200 other than 101, because net/http awaits another answer.
	Status int

	// Code and Message are those of Twilio's error body, which statuses from 400 on have. 0 and ""
	// are the code Twilio uses with the status, and the status in words. The code is 20429 with 429,
	// 20500 with 500, and 20503 with 503. For others it is 20000 plus the status, which is this
	// package's choice.
	Code    int
	Message string

	// Foreign says that the answer is not Twilio's, but that of a gateway, a
	// proxy or a captive portal. It has no error body and none of Twilio's
	// headers, no Date and no Content-Type: only Body, Header and RetryAfter.
	Foreign bool

	// Header is added to the answer's headers, and replaces those of the same
	// names: Location, Content-Type. nil: none.
	Header http.Header

	// Body is the answer's body as it is sent, compressed if Header says so.
	// nil: Twilio's error body, or none if Foreign or below 400. A 204, a 304
	// and an answer to HEAD have no body in any case.
	Body []byte

	// BodyDelay is how long the body comes after the headers, for RespondStatus,
	// AcceptThenStatus and Slow. 0: at once.
	BodyDelay time.Duration

	// BodyErr makes the body break off, for RespondStatus, AcceptThenStatus and
	// Slow: after all of Body, or after half of a body that is Twilio's. In
	// memory it is what reading then returns, such as io.ErrUnexpectedEOF. Over
	// a [Server] the connection is cut, and net/http makes the error. nil: the
	// body is whole.
	BodyErr error

	// Format is the form of the answer's body. FormatAuto: as
	// [Config].Errors says.
	Format ErrorFormat

	// RetryAfter is the answer's Retry-After header. "": none.
	RetryAfter string
}

// injected is a Fault with what is left of it, guarded by the Fake's mutex.
type injected struct {
	Fault
	left int
}

// Inject makes a fault strike from now on. Of several that match a request
// and strike at the same point (before or after the work), the one injected
// first strikes alone. A request that is refused before a fault could strike
// it does not use the fault up. Inject panics if the Fault is impossible.
func (f *Fake) Inject(fault Fault) {
	if fault.Kind < RefuseConnection || fault.Kind > TimeoutTLS {
		panic(fmt.Sprintf("twiliotest: Fault.Kind is %d, which is no FaultKind", fault.Kind))
	}
	if fault.Format < FormatAuto || fault.Format > FormatEmpty {
		panic(fmt.Sprintf("twiliotest: Fault.Format is %d, which is no ErrorFormat", fault.Format))
	}
	if fault.Err != nil && !fault.Kind.cuts() {
		panic("twiliotest: Fault.Err is set, but Fault.Kind neither refuses nor cuts the connection")
	}
	notNegative("Fault.Times", fault.Times)
	notNegative("Fault.Delay", fault.Delay)
	notNegative("Fault.Code", fault.Code)
	notNegative("Fault.BodyDelay", fault.BodyDelay)
	answers := fault.Kind == RespondStatus || fault.Kind == AcceptThenStatus
	if !answers && (fault.Foreign || fault.Header != nil || fault.Body != nil) {
		panic("twiliotest: Fault.Foreign, Header or Body is set, but Fault.Kind is neither RespondStatus nor AcceptThenStatus")
	}
	if !answers && fault.Kind != Slow && (fault.BodyDelay != 0 || fault.BodyErr != nil) {
		panic("twiliotest: Fault.BodyDelay or BodyErr is set, but Fault.Kind is not RespondStatus, AcceptThenStatus or Slow")
	}
	if fault.Status == 0 {
		fault.Status = http.StatusServiceUnavailable
	}
	anyStatus("Fault.Status", fault.Status)
	if fault.Kind == RefuseTunnel && fault.Status == http.StatusOK {
		panic("twiliotest: Fault.Status is 200, with which a proxy opens a tunnel; RefuseTunnel needs another status")
	}
	fault.Header, fault.Body = fault.Header.Clone(), bytes.Clone(fault.Body)
	if fault.Code == 0 {
		fault.Code = 20000 + fault.Status
		if fault.Status == http.StatusUnauthorized {
			fault.Code = 20003
		}
	}
	if fault.Message == "" {
		fault.Message = http.StatusText(fault.Status)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// A new slice each time: takeFault reads the old one without the mutex.
	f.faults = append(f.faults[:len(f.faults):len(f.faults)], &injected{fault, fault.Times})
}

// ClearFaults ends all injected faults.
func (f *Fake) ClearFaults() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// takeFault uses up the first fault for the request, if there is one. It calls
// Match without the mutex, so that Match may call the Fake.
func (f *Fake) takeFault(in *inbound, before bool) *Fault {
	f.mu.Lock()
	faults := f.faults
	f.mu.Unlock()
	for _, ft := range faults {
		if ft.Kind.before() != before || ft.Match != nil && !ft.Match(&in.req) {
			continue
		}
		if f.useUp(ft) {
			return &ft.Fault
		}
	}
	return nil
}

func (f *Fake) useUp(ft *injected) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ft.Times > 0 {
		if ft.left == 0 {
			return false
		}
		ft.left--
	}
	f.stats.Faulted++
	return true
}

// answerTo is the answer of a fault that has one.
func (f *Fake) answerTo(in *inbound, ft *Fault) *answer {
	var a *answer
	switch {
	case ft.Foreign:
		a = &answer{status: ft.Status, header: http.Header{}, foreign: true}
	case ft.Status < 400:
		a = success(ft.Status, nil)
	default:
		format := ft.Format
		if format == FormatAuto {
			format = f.cfg.Errors
		}
		a = failureIn(format, in, ft.Status, ft.Code, ft.Message)
	}
	if ft.Body != nil {
		a.body = ft.Body
	}
	if ft.RetryAfter != "" {
		a.header.Set("Retry-After", ft.RetryAfter)
	}
	a.replaced = ft.Header
	return a
}
