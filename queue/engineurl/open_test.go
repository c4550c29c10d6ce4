//go:build unix

package engineurl_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
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

// The emulator's name for itself is one that not every machine resolves. So the client is told where it is.
func TestOpenOnSQS(t *testing.T) {
	s := sqstest.For(t)
	url, _, err := s.Queue(t.Context(), "pacer", 10)
	if err != nil {
		t.Fatal(err)
	}
	address := "sqs+http://" + strings.TrimPrefix(url, "http://") + "?region=us-east-1&ledger=sqlite:" + t.TempDir() + "/ledger.db"
	e, err := engineurl.Open(t.Context(), address, engineurl.WithSQS(func(_ context.Context, region, endpoint string) (*sqs.Client, error) {
		if region != "us-east-1" || !strings.HasPrefix(url, endpoint+"/") {
			t.Errorf("a client for region %q at %s, expected us-east-1 and the host of %s", region, endpoint, url)
		}
		return sqstest.Client(s.URL), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	works(t, e)
}
