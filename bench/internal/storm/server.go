package storm

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// HeaderCall is the header by which the server knows a request's call.
const HeaderCall = "X-Storm-Call"

// A server is the model of Twilio in one run.
type server struct {
	scene *Scene
	start time.Time

	mu     sync.Mutex // guards all below, the rules' states included
	rnd    *rand.Rand
	luck   *rand.Rand // of failures: apart, so that the same scene without them draws the same
	calls  map[int]*Call
	record *Record
	ended  bool // nothing is recorded any more
	nextID int
}

func newServer(scene *Scene, seed uint64) *server {
	return &server{
		scene: scene, start: time.Now(), rnd: rand.New(rand.NewPCG(seed, 20429)), luck: rand.New(rand.NewPCG(seed, 500)),
		calls: map[int]*Call{}, record: newRecord(scene),
	}
}

func (s *server) now() time.Duration { return time.Since(s.start) }

var errUnknownCall = errors.New("the request is of no call of this run: expected the header " + HeaderCall)

// RoundTrip implements [http.RoundTripper].
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	id, _ := strconv.Atoi(r.Header.Get(HeaderCall))
	s.mu.Lock()
	c := s.calls[id]
	if c == nil {
		s.mu.Unlock()
		return nil, errUnknownCall
	}
	failure := s.fails()
	if failure != nil && failure.Unsent {
		latency := s.scene.Latency.draw(s.now(), true, s.rnd)
		c.failed = true
		if !s.ended {
			s.record.arrived(c, nil, true, s.now())
		}
		s.mu.Unlock()
		time.Sleep(latency)
		return nil, errNoConnection
	}
	refusedBy, latency, done, concurrent := s.decide(c)
	c.failed = failure != nil && refusedBy == nil
	failed := c.failed
	s.mu.Unlock()

	time.Sleep(latency)

	s.mu.Lock()
	for _, f := range done {
		f()
	}
	if !s.ended && refusedBy != nil {
		s.record.throttled(c, refusedBy, s.now())
	}
	s.mu.Unlock()
	return answer(r, refusedBy, failed, concurrent), nil
}

var errNoConnection = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// fails returns why a request that is sent now fails; nil: it does not.
func (s *server) fails() (failure *Failure) {
	for i := range s.scene.Failures {
		f := &s.scene.Failures[i]
		if draw := s.luck.Float64(); failure == nil && f.Span.Has(s.now()) && draw < f.Share {
			failure = f
		}
	}
	return failure
}

// decide takes in a request that has arrived now. It is put to one rule after the other until one refuses it: those before
// have counted it then, and those behind never see it.
func (s *server) decide(c *Call) (refusedBy *Rule, latency time.Duration, done []func(), concurrent int) {
	now := s.now()
	for _, r := range s.scene.Rules {
		draw := s.rnd.Float64() // drawn also where it is not used, so that rules do not change each other's draws
		if refusedBy != nil || !r.applies(c.Stream, now) {
			continue
		}
		key := r.key(c)
		if r.Full(key, now, draw) {
			refusedBy = r
		}
		if s.scene.Measured.Has(now) {
			r.asked++
			if refusedBy == r {
				r.refused++
			}
		}
		if f := r.Took(key, now, refusedBy == nil); f != nil {
			done = append(done, f)
		}
		if m, ok := r.Model.(*Concurrency); ok && m.Header {
			concurrent = m.InProgress(key, now)
			if refusedBy != nil {
				concurrent++ // itself
			}
		}
	}
	latency = s.scene.Latency.draw(now, refusedBy == nil, s.rnd)
	if !s.ended {
		s.record.arrived(c, refusedBy, false, now)
	}
	return refusedBy, latency, done, concurrent
}

func answer(r *http.Request, refusedBy *Rule, failed bool, concurrent int) *http.Response {
	resp := &http.Response{
		StatusCode: http.StatusCreated, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
	}
	if concurrent > 0 {
		resp.Header.Set("Twilio-Concurrent-Requests", strconv.Itoa(concurrent))
	}
	body := []byte("{}")
	switch {
	case failed:
		resp.StatusCode = http.StatusInternalServerError
		body = []byte(`{"code":20500,"message":"Internal Server Error","status":500}`)
	case refusedBy != nil:
		resp.StatusCode = http.StatusTooManyRequests
		if refusedBy.RetryAfter != "" {
			resp.Header.Set("Retry-After", refusedBy.RetryAfter)
		}
		body = refusedBy.body()
	}
	resp.Status = strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	resp.ContentLength = int64(len(body))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

// begin registers a call.
func (s *server) begin(st *Stream, k *taker, object string, caller int, due time.Duration) *Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	c := &Call{ID: s.nextID, Stream: st, Object: object, Caller: caller, began: due, taker: k}
	s.calls[c.ID] = c
	s.record.begun(c, s.now())
	return c
}

// end takes in that a call has ended. It reports whether it was lost: an error that the model has made is no loss.
func (s *server) end(c *Call, err error) (lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, c.ID)
	lost = err != nil && !c.failed
	if !s.ended {
		s.record.ended(c, lost, s.now())
	}
	return lost
}

// taker returns who makes calls of st by turns with others; nil if there is not always work.
func (s *server) taker(st *Stream) *taker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record.taker(st)
}
