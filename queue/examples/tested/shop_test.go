package shop_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// A message whose answer is lost is found at Twilio, and not sent twice.
func TestMessageIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
		if err != nil {
			t.Fatal(err)
		}
		q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		fake := twiliotest.New(twiliotest.Config{})
		fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1}) // taken, and the connection is cut
		client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
			pacer.WithHTTPClient(fake.Client()))
		if err != nil {
			t.Fatal(err)
		}
		worker, err := queue.NewWorker(q, client)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour) // of virtual time
		ended := make(chan error, 1)
		go func() { ended <- worker.Run(ctx) }()

		id, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error {
			params := new(api.CreateMessageParams).SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready.")
			_, err := tw.Api.CreateMessage(params)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := q.Wait(ctx, id) // a minute, which takes no time
		if err != nil {
			t.Fatal(err)
		}
		if sent := fake.Messages(); len(sent) != 1 || r.State != queue.Sent || r.SID != sent[0].SID {
			t.Errorf("%s with %q, and %d messages at Twilio: expected it to be sent once", r.State, r.SID, len(sent))
		}
		stop()
		if err := <-ended; err != nil { // before the bubble ends, all in it must have
			t.Error(err)
		}
	})
}
