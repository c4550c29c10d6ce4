//go:build unix

package engineurl_test

import (
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue/engineurl"
	"github.com/twilio-pacer/pacer/queue/internal/sqstest"
)

func TestOpenOnRedis(t *testing.T) {
	s := redistest.For(t)
	e, err := engineurl.Open(t.Context(), "redis://"+s.Addr+"/1?name=sms")
	if err != nil {
		t.Fatal(err)
	}
	works(t, e)
}

func TestOpenOnSQS(t *testing.T) {
	s := sqstest.For(t)
	url, _, err := s.Queue(t.Context(), "pacer", 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "emulator")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "emulator")
	address := "sqs+http://" + strings.TrimPrefix(url, "http://") + "?region=us-east-1&ledger=sqlite:" + t.TempDir() + "/ledger.db"
	e, err := engineurl.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	works(t, e)
}
