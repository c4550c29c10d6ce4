package pacer_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

var fakeCredentials = pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}

func createHello(c *pacer.Client) error {
	p := &api.CreateMessageParams{}
	p.SetFrom("+15005550006").SetTo("+15555550100").SetBody("hello")
	_, err := c.Api.CreateMessage(p)
	return err
}

func TestBaseURLGetsWhatIsMeantForTwilio(t *testing.T) {
	fake := twiliotest.NewServer(twiliotest.Config{})
	defer fake.Close()
	for _, more := range [][]pacer.Option{nil, {pacer.WithHTTPClient(&http.Client{})}} {
		c, err := pacer.New(fakeCredentials, append(more, pacer.WithBaseURL(fake.URL))...)
		if err != nil {
			t.Fatal(err)
		}
		if err := createHello(c); err != nil {
			t.Error(err)
		}
		if _, err := c.LookupsV2.FetchPhoneNumber("+15555550100", nil); err != nil {
			t.Error("another product: ", err)
		}
	}
	if n := len(fake.Accepted()); n != 4 {
		t.Errorf("the fake has accepted %d requests, expected 4", n)
	}
}

func TestBaseURLMayHaveAPath(t *testing.T) {
	got := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Host + r.URL.Path
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte(`{"sid":"SM0"}`))
	}))
	defer proxy.Close()
	c, err := pacer.New(fakeCredentials, pacer.WithBaseURL(proxy.URL+"/twilio/"))
	if err != nil {
		t.Fatal(err)
	}
	if err := createHello(c); err != nil {
		t.Error(err)
	}
	if want := "api.twilio.com/twilio/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages.json"; got != want {
		t.Errorf("the proxy got %s, expected %s", got, want)
	}
}

// A redirect is followed if the program says so. Credentials must not go with it to another host.
func TestBaseURLKeepsRequestsFromOtherHosts(t *testing.T) {
	strangers := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers++ }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	c, err := pacer.New(fakeCredentials, pacer.WithBaseURL(server.URL), pacer.WithHTTPClient(&http.Client{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := createHello(c); err == nil || !strings.Contains(err.Error(), "is not sent: with WithBaseURL") {
		t.Error(err)
	}
	if strangers != 0 {
		t.Errorf("another host got %d requests", strangers)
	}
}

func TestBaseURLsThatAreRejected(t *testing.T) {
	for base, want := range map[string]string{
		"":                        "http or https",
		"127.0.0.1:8080":          "not a URL",
		"ftp://h":                 "http or https",
		"http://:80":              "with a host",
		"http://u:geheim@h":       "user or a password",
		"http://h?geheim":         "query",
		"http://h#geheim":         "fragment",
		"http://u:geheim@h:port/": "not a URL",
	} {
		_, err := pacer.New(fakeCredentials, pacer.WithBaseURL(base))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v, expected an error with %q", base, err, want)
		}
	}
	own := pacer.NewRestClientWithParams(fakeCredentials).RequestHandler.Client
	_, err := pacer.New(pacer.ClientParams{Client: own}, pacer.WithBaseURL("http://127.0.0.1:1"))
	if err == nil || !strings.Contains(err.Error(), "not beside ClientParams.Client") {
		t.Error(err)
	}
}
