package twiliotest_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// newOAuth is a client that fetches tokens as twilio-go does.
func newOAuth(hc *http.Client) *twilio.RestClient {
	c := &client.Client{Credentials: client.NewCredentials("", ""), HTTPClient: hc}
	creds := &twilio.OAuthCredentials{GrantType: "client_credentials", ClientId: "OQ1", ClientSecret: "secret"}
	c.SetOauth(twilio.NewAPIOAuth(client.NewRequestHandler(c), creds))
	c.SetAccountSid(twiliotest.AccountSid)
	return twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
}

func TestOAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{TokenTTL: time.Minute, Credentials: map[string]string{"OQ1": "secret"}})
		rest := newOAuth(f.Client())
		status := func() int {
			_, err := rest.Api.CreateMessage(newMessage("x"))
			var refused *client.TwilioRestError
			if errors.As(err, &refused) {
				return refused.Status
			}
			if err != nil {
				t.Fatal(err)
			}
			return 201
		}
		equal(t, []int{status(), status()}, 201, 201)
		if n := f.Stats().TokenFetches; n != 1 {
			t.Errorf("%d token fetches", n)
		}
		time.Sleep(time.Minute - 1)
		equal(t, []int{status()}, 201)
		time.Sleep(time.Nanosecond)
		// twilio-go takes a token for valid until 30 seconds after its end.
		equal(t, []int{status()}, 401)
		time.Sleep(31 * time.Second)
		f.FailTokens(1)
		equal(t, []int{status(), status()}, 401, 201)
		if s := f.Stats(); s.TokenFetches != 3 || s.Unauthorized != 2 || s.Accepted != 4 {
			t.Errorf("stats %+v", s)
		}
		f.Reset()
		equal(t, []int{status()}, 401)
	})
}

func TestOAuthRefusesOthers(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{Credentials: map[string]string{"OQ1": "other"}})
	_, err := newOAuth(f.Client()).Api.CreateMessage(newMessage("x"))
	var refused *client.TwilioRestError
	if !errors.As(err, &refused) || refused.Status != 401 {
		t.Error(err)
	}
	r := request(t, messagesURL, message("x"))
	r.Header.Set("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.e30")
	if got := do(t, f.Client(), r); got.status != 401 {
		t.Errorf("a foreign token: %d", got.status)
	}
}
