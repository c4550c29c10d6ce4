package storm

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
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
	calls  map[int]*Call
	record *Record
	ended  bool // nothing is recorded any more
	nextID int
}

func newServer(scene *Scene, seed uint64) *server {
	return &server{
		scene: scene, start: time.Now(), rnd: rand.New(rand.NewPCG(seed, 20429)),
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
	refusedBy, latency, done, concurrent := s.decide(c)
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
	return answer(r, refusedBy, concurrent), nil
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
		s.record.arrived(c, refusedBy, now)
	}
	return refusedBy, latency, done, concurrent
}

func answer(r *http.Request, refusedBy *Rule, concurrent int) *http.Response {
	resp := &http.Response{
		StatusCode: http.StatusCreated, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
	}
	if concurrent > 0 {
		resp.Header.Set("Twilio-Concurrent-Requests", strconv.Itoa(concurrent))
	}
	body := []byte("{}")
	if refusedBy != nil {
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
func (s *server) begin(st *Stream, object string, due time.Duration) *Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	c := &Call{ID: s.nextID, Stream: st, Object: object, began: due}
	s.calls[c.ID] = c
	s.record.begun(c, s.now())
	return c
}

// end takes in that a call has ended.
func (s *server) end(c *Call, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, c.ID)
	if !s.ended {
		s.record.ended(c, lost, s.now())
	}
}
