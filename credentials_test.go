package pacer

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/twilio/twilio-go/client"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// withCredentials sets the environment of a program that has an account.
func withCredentials(t *testing.T) {
	t.Setenv("TWILIO_ACCOUNT_SID", account)
	t.Setenv("TWILIO_AUTH_TOKEN", "token")
}

const (
	apiKey  = "SK0123456789abcdef0123456789abcdef"
	hexPart = "0123456789abcdef0123456789abcdef"
)

func TestMissingOrWrongCredentialsAreTheConstructorsError(t *testing.T) {
	for name, tt := range map[string]struct {
		sid, token string // of the environment
		params     ClientParams
		want       []string
	}{
		"nothing":                          {"", "", ClientParams{}, []string{"TWILIO_ACCOUNT_SID is not set", "ClientParams.Username", "TWILIO_AUTH_TOKEN is not set", "ClientParams.Password"}},
		"no token":                         {account, "", ClientParams{}, []string{"TWILIO_AUTH_TOKEN is not set", "ClientParams.Password"}},
		"no account":                       {"", "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID is not set", "AC and 32 hex digits"}},
		"user without a password":          {"", "", ClientParams{Username: account}, []string{"TWILIO_AUTH_TOKEN"}},
		"password without a user":          {"", "", ClientParams{Password: "t0k3n"}, []string{"TWILIO_ACCOUNT_SID"}},
		"account without a user":           {"", "t0k3n", ClientParams{AccountSid: account}, []string{"TWILIO_ACCOUNT_SID"}},
		"key in the variable":              {apiKey, "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID: \"SK\"... (34 characters)", "API key belongs in ClientParams.Username", "AccountSid"}},
		"key without an account":           {"", "", ClientParams{Username: apiKey, Password: "t0k3n"}, []string{"ClientParams.Username: \"SK\"...", "AccountSid"}},
		"key as the account":               {"", "", ClientParams{Username: account, Password: "t0k3n", AccountSid: apiKey}, []string{"ClientParams.AccountSid: \"SK\"..."}},
		"key with a blank":                 {"", "", ClientParams{Username: apiKey + " ", Password: "t0k3n", AccountSid: account}, []string{"ClientParams.Username", "U+0020 as character 35"}},
		"trailing blank":                   {account + " ", "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID: \"AC\"... (35 characters)", "U+0020 as character 35", "without white space"}},
		"trailing line end":                {account + "\n", "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID", "U+000A"}},
		"tab":                              {"", "", ClientParams{Username: "\t" + account, Password: "t0k3n"}, []string{"ClientParams.Username", "U+0009 as character 1:"}},
		"no-break space":                   {account + "\u00a0", "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID", "U+00A0"}},
		"zero-width space":                 {"\u200b" + account, "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID", "U+200B as character 1:"}},
		"byte order mark":                  {"\ufeff" + account, "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID", "U+FEFF"}},
		"lower case":                       {"ac" + hexPart, "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID: \"ac\"..."}},
		"too short":                        {"AC123", "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID: \"AC\"... (5 characters)"}},
		"neither letters nor digits":       {"AC" + strings.Repeat("-", 32), "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID: \"AC\"... (34 characters)"}},
		"service instead":                  {"", "", ClientParams{Username: account, Password: "t0k3n", AccountSid: serviceSID}, []string{"ClientParams.AccountSid: \"MG\"..."}},
		"token in the account's variable":  {hexPart, "t0k3n", ClientParams{}, []string{"TWILIO_ACCOUNT_SID: \"01\"... (32 characters)"}},
		"token with a line end":            {account, "t0k3n\n", ClientParams{}, []string{"TWILIO_AUTH_TOKEN: 6 characters, not shown", "U+000A as character 6"}},
		"password with a no-break space":   {"", "", ClientParams{Username: account, Password: "t0k3n\u00a0"}, []string{"ClientParams.Password: 6 characters, not shown", "U+00A0"}},
		"OAuth without an ID":              {account, "t0k3n", ClientParams{AccountSid: account, ClientCredentialProvider: &ClientCredentialProvider{GrantType: "client_credentials", ClientSecret: "t0k3n"}}, []string{"ClientCredentialProvider.ClientId: empty"}},
		"OAuth without a secret":           {account, "t0k3n", ClientParams{AccountSid: account, ClientCredentialProvider: &ClientCredentialProvider{GrantType: "client_credentials", ClientId: "OQ0"}}, []string{"ClientCredentialProvider.ClientSecret: empty"}},
		"OAuth without a grant":            {account, "t0k3n", ClientParams{AccountSid: account, ClientCredentialProvider: &ClientCredentialProvider{ClientId: "OQ0", ClientSecret: "t0k3n"}}, []string{"ClientCredentialProvider.GrantType: empty"}},
		"OAuth with a blank in the secret": {"", "", ClientParams{AccountSid: account, ClientCredentialProvider: &ClientCredentialProvider{GrantType: "client_credentials", ClientId: "OQ0", ClientSecret: "t0k3n "}}, []string{"ClientSecret: 6 characters, not shown"}},
		"OAuth with a key as the account":  {"", "", ClientParams{AccountSid: apiKey, ClientCredentialProvider: provider}, []string{"ClientParams.AccountSid: \"SK\"..."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TWILIO_ACCOUNT_SID", tt.sid)
			t.Setenv("TWILIO_AUTH_TOKEN", tt.token)
			_, err := New(tt.params)
			wantWords(t, err, append(tt.want, "pacer: ", "expected")...)
			if err == nil {
				return
			}
			for _, secret := range []string{"t0k3n", hexPart[:3]} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("a secret in %q", err)
				}
			}
			sent := false
			rc := NewRestClientWithParams(tt.params, WithHTTPClient(&http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				sent = true
				return respond(201, createdBody), nil
			})}))
			for range 2 {
				if got := createOn(rc, sender); got == nil || got.Error() != err.Error() || sent {
					t.Errorf("a call: %v, sent %v; expected %v", got, sent, err)
				}
			}
			if _, err := rc.LookupsV2.FetchPhoneNumber(sender, nil); err == nil || sent {
				t.Errorf("a call of another product: %v, sent %v", err, sent)
			}
		})
	}
}

func TestCredentialsThatAreTaken(t *testing.T) {
	for name, tt := range map[string]struct {
		sid, token string
		params     ClientParams
	}{
		"environment":              {account, "token", ClientParams{}},
		"fields":                   {"", "", ClientParams{Username: account, Password: "token"}},
		"fields win":               {"SK", "", ClientParams{Username: account, Password: "token"}},
		"API key":                  {"", "", ClientParams{Username: apiKey, Password: "secret", AccountSid: account}},
		"API key in the variables": {apiKey, "secret", ClientParams{AccountSid: account}},
		"a subaccount":             {account, "token", ClientParams{AccountSid: subaccount}},
		"capital hex digits":       {"", "", ClientParams{Username: "AC" + strings.ToUpper(hexPart), Password: "token"}},
		"made-up SID":              {"AC" + strings.Repeat("X", 32), "token", ClientParams{}},
		"OAuth":                    {"", "", ClientParams{AccountSid: account, ClientCredentialProvider: provider}},
		"OAuth without an account": {"", "", ClientParams{ClientCredentialProvider: provider}},
		"twilio-go's client":       {"", "", ClientParams{Client: &client.Client{Credentials: client.NewCredentials("", "")}}},
		"a client of its own":      {"", "", ClientParams{Client: &refusing{}, AccountSid: "not looked at"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TWILIO_ACCOUNT_SID", tt.sid)
			t.Setenv("TWILIO_AUTH_TOKEN", tt.token)
			if _, err := New(tt.params); err != nil {
				t.Error(err)
			}
		})
	}
}

// An organization's OAuth app has no account: calls that are about one say what is missing.
func TestOAuthWithoutAnAccount(t *testing.T) {
	var paths []string
	c, err := New(ClientParams{ClientCredentialProvider: provider}, WithHTTPClient(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		paths = append(paths, r.URL.Path)
		if isTokenRequest(r) {
			return respond(200, tokenBody), nil
		}
		return respond(200, `{}`), nil
	})}))
	try(t, err)
	wantWords(t, createOn(c.RestClient, sender), "ClientParams.AccountSid", "expected an account SID")
	if len(paths) != 0 {
		t.Errorf("sent %v", paths)
	}
	if _, err := c.LookupsV2.FetchPhoneNumber(sender, nil); err != nil || len(paths) != 2 {
		t.Errorf("a lookup: %v, sent %v", err, paths)
	}
}

// A parent and a client for its subaccount, with the parent's credentials, share what Twilio
// charges to the parent: all that has no account in its path.
func TestCredentialsDecideWhichAccountIsCharged(t *testing.T) {
	const parent = account
	box := &blackBox{}
	box.SetAccountSid(subaccount)
	foreign := func(user string) *client.Client {
		c := &client.Client{Credentials: client.NewCredentials(user, "t0k3n")}
		c.SetAccountSid(subaccount)
		return c
	}
	for name, tt := range map[string]struct {
		params ClientParams
		want   string
	}{
		"an account's own":                          {ClientParams{Username: subaccount, Password: "t0k3n"}, subaccount},
		"the parent's":                              {ClientParams{Username: parent, Password: "t0k3n", AccountSid: subaccount}, parent},
		"the parent's, in a client.Client":          {ClientParams{Client: foreign(parent)}, parent},
		"an API key":                                {ClientParams{Username: apiKey, Password: "t0k3n", AccountSid: subaccount}, subaccount},
		"an API key, in a client.Client":            {ClientParams{Client: foreign(apiKey)}, subaccount},
		"a client.Client without credentials":       {ClientParams{Client: func() *client.Client { c := foreign(""); c.Credentials = nil; return c }()}, subaccount},
		"OAuth":                                     {ClientParams{ClientCredentialProvider: provider, AccountSid: subaccount}, subaccount},
		"a BaseClient of the program's own":         {ClientParams{Client: box}, subaccount},
		"a BaseClient, and the parent's user name":  {ClientParams{Client: box, Username: parent}, parent},
		"a BaseClient, and an API key as user name": {ClientParams{Client: box, Username: apiKey}, subaccount},
	} {
		c, err := New(tt.params, WithLimits(nil))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.charged(); got != tt.want {
			t.Errorf("%s: charged to %s, expected %s", name, got, tt.want)
		}
		turn, err := c.Turn(t.Context(), Resource{Account: "ACeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", Region: "us1", Product: "lookups", Name: "PhoneNumbers", Op: Read})
		if err != nil {
			t.Fatal(err)
		}
		turn.Drop()
		turn, err = c.Turn(t.Context(), Resource{Account: "ACeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", Region: "us1", Product: "api", Name: Calls, Op: Create})
		if err != nil {
			t.Fatal(err)
		}
		turn.Drop()
		for _, b := range c.Stats().Buckets {
			want := tt.want
			if b.Resource.Product == "api" {
				want = "ACeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee" // its path says so
			}
			if b.Resource.Account != want {
				t.Errorf("%s: a turn for %v is charged to %s, expected %s", name, b.Resource, b.Resource.Account, want)
			}
		}
	}
}

func TestParentAndSubaccountShareTheParentsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: Lookups, Rate: 10}}})
		limiter, err := NewLimiter(Limits{{Resource: Lookups, Rate: 10}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, accountSid := range []string{"", subaccount} {
			c, err := New(ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken, AccountSid: accountSid},
				WithHTTPClient(fake.Client()), WithLimiter(limiter), quiet)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				wg.Go(func() { _, _ = c.LookupsV2.FetchPhoneNumber(fmt.Sprintf("+1500555%04d", i), nil) })
			}
		}
		wg.Wait()
		if s := fake.Stats(); s.Throttled != 0 || s.Accepted != 200 {
			t.Errorf("%d of 200 lookups accepted, %d throttled: expected none", s.Accepted, s.Throttled)
		}
	})
}
