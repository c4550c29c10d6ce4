package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAutoRetryDelay(t *testing.T) {
	for retry, below := range map[int]time.Duration{1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 3: 800 * time.Millisecond, 9: 3 * time.Second} {
		if got := autoRetryDelay(retry, 0); got != 0 {
			t.Errorf("retry %d: at least %v, expected 0", retry, got)
		}
		if got := autoRetryDelay(retry, 0.99999); got != below-time.Millisecond {
			t.Errorf("retry %d: at most %v, expected just below %v", retry, got, below)
		}
	}
}

func TestAutoRetrySendsTheBodyAgainAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		rt := autoRetry{roundTrip(func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			bodies = append(bodies, string(b))
			return &http.Response{StatusCode: http.StatusTooManyRequests, Body: http.NoBody}, err
		})}
		req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader("Body=hello"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%v, %v; expected the last answer", resp, err)
		}
		if got := strings.Join(bodies, " "); got != "Body=hello Body=hello Body=hello Body=hello" {
			t.Errorf("bodies are %q, expected four of the same", got)
		}
	})
}
