package twiliotest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

func TestSuspendedAccountIsRefusedUntilLifted(t *testing.T) {
	for _, s := range []twiliotest.Suspension{{}, {403, 20005}, {403, 10001}, {403, 90010}, {400, 10001}, {401, 20003}, {401, 20005}} {
		for _, account := range []string{twiliotest.AccountSid, ""} {
			t.Run(fmt.Sprintf("%d %d account %q", s.Status, s.Code, account), func(t *testing.T) {
				inMemoryAndServer(t, twiliotest.Config{
					Limits:    []twiliotest.Limit{{Resource: "*", Rate: 2, Window: time.Hour}},
					Suspended: map[string]twiliotest.Suspension{account: s},
				}, func(t *testing.T, f fakeAndClient) {
					want := s
					if want.Status == 0 {
						want = twiliotest.Suspension{Status: 403, Code: 20403}
					}
					requests := map[string]*http.Request{
						"send":   request(t, messagesURL, message("x")),
						"list":   request(t, messagesURL, nil),
						"lookup": request(t, "https://lookups.twilio.com/v2/PhoneNumbers/"+to, nil),
						"token":  request(t, "https://oauth.twilio.com/v2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"OQ1"}, "client_secret": {"x"}}),
					}
					for name, r := range requests {
						got := do(t, f.client, r)
						if got.status != want.Status || got.decode(t)["code"] != float64(want.Code) {
							t.Errorf("%s: %+v", name, got)
						}
					}
					refused := f.Refused()
					if len(refused) != 4 || refused[0].Status != want.Status || refused[0].Code != want.Code {
						t.Errorf("refused %v", refused)
					}
					if st := f.Stats(); st.Suspended != 4 || st.Accepted != 0 || st.Unauthorized != 0 || st.Throttled != 0 || st.MaxInFlight != 0 {
						t.Errorf("stats %+v", st)
					}
					f.Lift(account)
					// The refusals took no room in the limit of two.
					for range 2 {
						if got := do(t, f.client, request(t, messagesURL, message("x"))); got.status != 201 {
							t.Errorf("lifted: %+v", got)
						}
					}
				})
			})
		}
	}
}

func TestSuspensionIsOfOneAccount(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	other := strings.Replace(messagesURL, twiliotest.AccountSid, "AC"+twiliotest.AuthToken[1:]+"f", 1)
	f.Suspend(twiliotest.AccountSid, twiliotest.Suspension{})
	if got := do(t, f.Client(), request(t, other, message("x"))); got.status != 201 {
		t.Errorf("other account: %+v", got)
	}
	f.Suspend("", twiliotest.Suspension{Status: 401, Code: 20003})
	if got := do(t, f.Client(), request(t, other, message("x"))); got.status != 401 {
		t.Errorf("all accounts: %+v", got)
	}
	if got := send(t, f, message("x")); got.status != 403 {
		t.Errorf("its own suspension: %+v", got)
	}
	f.Reset() // forgets records, and no settings
	f.Lift(twiliotest.AccountSid)
	if got := send(t, f, message("x")); got.status != 401 {
		t.Errorf("the one of all is left: %+v", got)
	}
}

func TestSuspensionLetsRequestsInProgressGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{Latency: time.Minute})
		time.AfterFunc(time.Second, func() { f.Suspend("", twiliotest.Suspension{}) })
		if got := send(t, f, message("x")); got.status != 201 {
			t.Errorf("%+v", got)
		}
		start := time.Now()
		if got := send(t, f, message("x")); got.status != 403 || time.Since(start) != 0 {
			t.Errorf("%+v after %v", got, time.Since(start))
		}
	})
}
