package pacer

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// The second call waits for its turn when the credentials are replaced, and has the new ones.
func TestReplacedCredentialsAreThoseOfCallsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{Credentials: map[string]string{twiliotest.AccountSid: "first", apiKey: "second"}})
		c, err := New(ClientParams{Username: twiliotest.AccountSid, Password: "first"}, WithHTTPClient(fake.Client()),
			WithLimits(Limits{{Resource: Messages, Rate: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		send := func() error {
			_, err := c.Api.CreateMessage((&api.CreateMessageParams{}).SetFrom("+15005550006").SetTo("+15555550100").SetBody("Hello."))
			return err
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		waited := make(chan error, 1)
		go func() { waited <- send() }()
		time.Sleep(500 * time.Millisecond)
		if err := c.SetCredentials(apiKey, "wrong"); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; !Unauthorized(err) {
			t.Errorf("with wrong credentials: %v", err)
		}
		if err := c.SetCredentials(apiKey, "second"); err != nil {
			t.Fatal(err)
		}
		if err := send(); err != nil {
			t.Error(err)
		}
		if s := c.Stats(); c.AccountSid() != twiliotest.AccountSid || len(s.Buckets) != 1 || s.Buckets[0].Resource.Account != twiliotest.AccountSid {
			t.Errorf("the account has changed: %+v", s.Buckets)
		}
	})
}

func TestReplacedCredentialsAreChecked(t *testing.T) {
	c, err := New(ClientParams{Username: twiliotest.AccountSid, Password: "first"})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "s3cret"
	for _, tt := range []struct{ user, password, want string }{
		{"", secret, "username: empty"}, {apiKey, "", "password: empty"}, {apiKey, secret + "\n", "U+000A"},
		{"AC" + strings.Repeat("9", 32), secret, "another account"}, {apiKey + " ", secret, "U+0020"},
	} {
		err := c.SetCredentials(tt.user, tt.password)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%q: %v; expected an error with %q, without the secret", tt.user, err, tt.want)
		}
	}
	withOauth, err := New(ClientParams{ClientCredentialProvider: &ClientCredentialProvider{GrantType: "client_credentials", ClientId: "id", ClientSecret: secret}})
	if err != nil {
		t.Fatal(err)
	}
	if err := withOauth.SetCredentials(apiKey, secret); err == nil || !strings.Contains(err.Error(), "OAuth") {
		t.Error(err)
	}
}
