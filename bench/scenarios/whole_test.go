package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestAnswersHoldNoConnection(t *testing.T) {
	body := &closing{Reader: strings.NewReader("answer")}
	next := roundTrip(func(*http.Request) (*http.Response, error) { return &http.Response{Body: body}, nil })
	resp, err := whole{next}.RoundTrip(httptest.NewRequest(http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(resp.Body)
	if string(got) != "answer" || !body.closed {
		t.Errorf("body is %q, closed %v; expected the answer of a closed one", got, body.closed)
	}
}
