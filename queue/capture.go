package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// A capture is a client.BaseClient that hands requests to take instead of sending them.
type capture struct {
	account string
	take    func(Request) (answer string, err error)
}

func (c *capture) AccountSid() string       { return c.account }
func (c *capture) SetTimeout(time.Duration) {}
func (c *capture) SetOauth(client.OAuth)    {}
func (c *capture) OAuth() client.OAuth      { return nil }
func (c *capture) SendRequest(method, rawURL string, form url.Values, headers map[string]any, body ...byte) (*http.Response, error) {
	answer, err := c.take(newRequest(method, rawURL, form, headers, body))
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusAccepted, Status: "202 Accepted", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(answer)),
	}, nil
}

func restClient(c *capture) *twilio.RestClient {
	return twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
}

// A recorder captures the requests that functions make, one function after the other and
// one request each. They share a client, as making one costs half of what a request does.
type recorder struct {
	client  *twilio.RestClient
	made    int // by the present function
	request Request
}

func newRecorder(account string) *recorder {
	rec := &recorder{}
	rec.client = restClient(&capture{account, func(r Request) (string, error) {
		if rec.made++; rec.made > 1 {
			return "", errTwo
		}
		rec.request = r
		return "{}", nil
	}})
	return rec
}

// one returns the one request that build makes.
func (rec *recorder) one(build func(*twilio.RestClient) error) (r Request, err error) {
	if build == nil {
		return r, errors.New("queue: no function: expected one that makes a request with the client that it gets")
	}
	rec.made, rec.request = 0, Request{}
	err = call(build, rec.client)
	n, r := rec.made, rec.request
	switch {
	case n > 1: // whatever the function made of the error
		return r, errTwo
	case err != nil && n == 1 && !errors.Is(err, errReadsResult):
		return r, fmt.Errorf("queue: the function made its request and then failed, so that nothing was enqueued: %w", err)
	case err != nil:
		return r, err
	case n == 0:
		return r, errors.New("queue: the function made no request: expected one, with the client that it gets as its argument")
	}
	return r, nil
}

var (
	errTwo         = errors.New("queue: the function made a second request: expected one for each Enqueue; nothing was enqueued")
	errReadsResult = errors.New("queue: the function used a result that is not there yet (a nil SID, perhaps): expected one that only makes its request; the result comes from Queue.Result; nothing was enqueued")
)

// call runs build. The answer to a captured request has no fields, so that a function which
// reads one dereferences nil. That is the caller's mistake, and must not end the program.
func call(build func(*twilio.RestClient) error, rc *twilio.RestClient) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("%w: %w", errReadsResult, p)
		default:
			panic(p)
		}
	}()
	return build(rc)
}

// queuedAnswer is what a drop-in client's creates answer: no SID, as there is none yet.
func queuedAnswer(r Request) string {
	if strings.HasSuffix(r.URL, "/Messages.json") || strings.HasSuffix(r.URL, "/Calls.json") {
		return `{"status":"queued"}`
	}
	return "{}"
}

// sid reads the SID of what a request has created from its answer.
func sid(body []byte) string {
	var created struct {
		SID any `json:"sid"`
	}
	if !bytes.Contains(body, []byte(`"sid"`)) || json.Unmarshal(body, &created) != nil {
		return ""
	}
	s, _ := created.SID.(string)
	return s
}
