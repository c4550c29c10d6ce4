package twiliotest_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	lookups "github.com/twilio/twilio-go/rest/lookups/v2"
	messaging "github.com/twilio/twilio-go/rest/messaging/v1"

	"github.com/twilio-pacer/pacer/twiliotest"
)

func newMessage(text string) *api.CreateMessageParams {
	return new(api.CreateMessageParams).SetFrom(from).SetTo(to).SetBody(text)
}

func texts(messages []api.ApiV2010Message) (bodies []string) {
	for _, m := range messages {
		bodies = append(bodies, *m.Body)
	}
	return bodies
}

func TestMessageLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rest := newRest(twiliotest.New(twiliotest.Config{}).Client())
		m, err := rest.Api.CreateMessage(newMessage("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if *m.Status != "queued" || *m.From != from || *m.To != to || *m.NumSegments != "1" || m.DateSent != nil ||
			*m.DateCreated != "Sat, 01 Jan 2000 00:00:00 +0000" || *m.AccountSid != twiliotest.AccountSid ||
			*m.Uri != "/2010-04-01/Accounts/"+twiliotest.AccountSid+"/Messages/"+*m.Sid+".json" {
			t.Errorf("created %+v", m)
		}
		time.Sleep(time.Hour)
		m, err = rest.Api.UpdateMessage(*m.Sid, new(api.UpdateMessageParams).SetBody("").SetStatus("canceled"))
		if err != nil || *m.Body != "" || *m.Status != "canceled" || *m.DateUpdated != "Sat, 01 Jan 2000 01:00:00 +0000" {
			t.Errorf("updated %+v, %v", m, err)
		}
		if m, err = rest.Api.FetchMessage(*m.Sid, nil); err != nil || *m.Body != "" {
			t.Errorf("fetched %+v, %v", m, err)
		}
		if err := rest.Api.DeleteMessage(*m.Sid, nil); err != nil {
			t.Error(err)
		}
		_, err = rest.Api.FetchMessage(*m.Sid, nil)
		var gone *client.TwilioRestError
		if !errors.As(err, &gone) || gone.Status != 404 || gone.Code != 20404 {
			t.Errorf("after deletion: %v", err)
		}
		other := "AC" + twiliotest.AuthToken[1:] + "f"
		if list, err := rest.Api.ListMessage(new(api.ListMessageParams).SetPathAccountSid(other)); err != nil || len(list) != 0 {
			t.Errorf("another account: %d, %v", len(list), err)
		}
	})
}

func TestMessageRefused(t *testing.T) {
	rest := newRest(twiliotest.New(twiliotest.Config{}).Client())
	for code, params := range map[int]*api.CreateMessageParams{
		21604: new(api.CreateMessageParams).SetFrom(from).SetBody("x"),
		21603: new(api.CreateMessageParams).SetTo(to).SetBody("x"),
		21602: new(api.CreateMessageParams).SetTo(to).SetFrom(from),
	} {
		_, err := rest.Api.CreateMessage(params)
		var refused *client.TwilioRestError
		if !errors.As(err, &refused) || refused.Status != 400 || refused.Code != code {
			t.Errorf("want %d: %v", code, err)
		}
	}
}

func TestMessageForms(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	long := strings.Repeat("a", 161)
	for _, tt := range []struct {
		params                   *api.CreateMessageParams
		prefix, status, segments string
	}{
		{newMessage(long), "SM", "queued", "2"},
		{newMessage(long[:160]), "SM", "queued", "1"},
		{newMessage(strings.Repeat("ß", 71)), "SM", "queued", "2"},
		{newMessage("x").SetMediaUrl([]string{"https://example.com/a", "https://example.com/b"}), "MM", "queued", "1"},
		{new(api.CreateMessageParams).SetTo(to).SetBody("x").SetMessagingServiceSid("MG1"), "SM", "accepted", "1"},
		{new(api.CreateMessageParams).SetTo(to).SetBody("x").SetMessagingServiceSid("MG1").SetSendAt(time.Now()), "SM", "scheduled", "1"},
	} {
		m, err := newRest(f.Client()).Api.CreateMessage(tt.params)
		if err != nil {
			t.Fatal(err)
		}
		if (*m.Sid)[:2] != tt.prefix || *m.Status != tt.status || *m.NumSegments != tt.segments {
			t.Errorf("%s %s %s, want %+v", (*m.Sid)[:2], *m.Status, *m.NumSegments, tt)
		}
	}
	// The same text with other media, or at another time through a service, is
	// another message only in the first case.
	if dup := f.Duplicates(); len(dup) != 1 || dup[0].Sender != "MG1" {
		t.Errorf("duplicates %v", dup)
	}
}

func TestListMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{})
		rest := newRest(f.Client())
		var want, sids []string
		for i := range 25 {
			m, err := rest.Api.CreateMessage(newMessage(fmt.Sprint(i)))
			if err != nil {
				t.Fatal(err)
			}
			sids = append(sids, *m.Sid)
			want = append(want, fmt.Sprint(i))
			time.Sleep(time.Hour)
		}
		slices.Reverse(want) // newest first
		got, err := rest.Api.ListMessage(new(api.ListMessageParams).SetPageSize(10))
		if err != nil || !slices.Equal(texts(got), want) {
			t.Errorf("list %v, %v", texts(got), err)
		}
		if n := f.Stats().Received; n != 28 {
			t.Errorf("%d requests, want 25 and 3 pages", n)
		}

		// A page is not shifted by what happens between it and the next.
		first, err := rest.Api.PageMessage(new(api.ListMessageParams).SetPageSize(10), "", "")
		if err != nil || first.NextPageUri == nil || first.PreviousPageUri != nil || first.End != 9 {
			t.Fatalf("%+v, %v", first, err)
		}
		if _, err := rest.Api.CreateMessage(newMessage("new")); err != nil {
			t.Fatal(err)
		}
		if err := rest.Api.DeleteMessage(sids[15], nil); err != nil { // the page's last
			t.Fatal(err)
		}
		second := do(t, f.Client(), request(t, "https://api.twilio.com"+*first.NextPageUri, nil)).decode(t)
		if m := second["messages"].([]any); len(m) != 10 || m[0].(map[string]any)["body"] != "14" {
			t.Errorf("second page %v", m)
		}
		back := do(t, f.Client(), request(t, "https://api.twilio.com"+second["previous_page_uri"].(string), nil)).decode(t)
		if m := back["messages"].([]any); len(m) != 10 || m[9].(map[string]any)["body"] != "16" || m[0].(map[string]any)["body"] != "new" {
			t.Errorf("first page again %v", m)
		}
	})
}

func TestListFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{})
		rest := newRest(f.Client())
		start := time.Now()
		for day := range 4 { // noon of 1 to 4 January 2000
			time.Sleep(time.Until(start.Add(time.Duration(day)*24*time.Hour + 12*time.Hour)))
			if _, err := rest.Api.CreateMessage(newMessage(fmt.Sprint(day + 1)).SetTo(fmt.Sprintf("+1500555000%d", day%2))); err != nil {
				t.Fatal(err)
			}
		}
		noon := start.Add(36 * time.Hour) // of the 2nd
		p := func() *api.ListMessageParams { return new(api.ListMessageParams) }
		for name, tt := range map[string]struct {
			params *api.ListMessageParams
			want   []string
		}{
			"day":    {p().SetDateSent(noon.Add(time.Hour)), []string{"2"}},
			"after":  {p().SetDateSentAfter(noon), []string{"4", "3", "2"}},
			"before": {p().SetDateSentBefore(noon), []string{"2", "1"}},
			"range":  {p().SetDateSentAfter(noon.Add(time.Second)).SetDateSentBefore(noon.Add(25 * time.Hour)), []string{"3"}},
			"to":     {p().SetTo("+15005550001"), []string{"4", "2"}},
			"both":   {p().SetTo("+15005550001").SetFrom(from).SetDateSentAfter(noon.Add(1 * time.Hour)), []string{"4"}},
			"none":   {p().SetFrom("+15005550009"), nil},
		} {
			got, err := rest.Api.ListMessage(tt.params.SetPageSize(1))
			if err != nil || !slices.Equal(texts(got), tt.want) {
				t.Errorf("%s: %v, %v, want %v", name, texts(got), err, tt.want)
			}
		}
		for _, query := range []string{"DateSent=soon", "Page=-1", "PageToken=PA1", "PageToken=XX" + twiliotest.AccountSid} {
			if got := do(t, f.Client(), request(t, messagesURL+"?"+query, nil)); got.status != http.StatusBadRequest {
				t.Errorf("%s: %d", query, got.status)
			}
		}
		plain := do(t, f.Client(), request(t, messagesURL+"?DateSent=2000-01-03&PageSize=5000", nil)).decode(t)
		if len(plain["messages"].([]any)) != 1 || plain["page_size"] != 1000.0 {
			t.Errorf("plain date: %v", plain)
		}
	})
}

func TestListLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rest := newRest(twiliotest.New(twiliotest.Config{ListLag: 2 * time.Second}).Client())
		m, err := rest.Api.CreateMessage(newMessage("new"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rest.Api.FetchMessage(*m.Sid, nil); err != nil {
			t.Errorf("fetched at once: %v", err)
		}
		for _, tt := range []struct {
			after time.Duration
			want  int
		}{{2*time.Second - 1, 0}, {1, 1}} {
			time.Sleep(tt.after)
			if got, err := rest.Api.ListMessage(new(api.ListMessageParams).SetTo(to)); err != nil || len(got) != tt.want {
				t.Errorf("listed %v, %v, want %d", texts(got), err, tt.want)
			}
		}
	})
}

func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twiliotest.New(twiliotest.Config{})
		rest := newRest(f.Client())
		params := new(api.CreateCallParams).SetFrom(from).SetTo(to).SetUrl("https://example.com/")
		call, err := rest.Api.CreateCall(params)
		if err != nil || *call.Status != "queued" || call.StartTime != nil {
			t.Fatalf("%+v, %v", call, err)
		}
		if _, err := rest.Api.CreateCall(params); err != nil || len(f.Calls()) != 2 || len(f.Duplicates()) != 1 {
			t.Errorf("%v, %v", err, f.Duplicates())
		}
		time.Sleep(90 * time.Second)
		call, err = rest.Api.UpdateCall(*call.Sid, new(api.UpdateCallParams).SetStatus("completed"))
		if err != nil || *call.Status != "completed" || *call.Duration != "90" {
			t.Errorf("%+v, %v", call, err)
		}
		for query, want := range map[string]int{"EndTime=2000-01-01": 1, "EndTime%3E=2000-01-02": 0, "StartTime%3C=2000-01-01": 2} {
			url := strings.Replace(messagesURL, "Messages", "Calls", 1) + "?" + query
			if got := do(t, f.Client(), request(t, url, nil)).decode(t)["calls"].([]any); len(got) != want {
				t.Errorf("%s: %d, want %d", query, len(got), want)
			}
		}
		for status, want := range map[string]int{"completed": 1, "queued": 1, "busy": 0} {
			got, err := rest.Api.ListCall(new(api.ListCallParams).SetStatus(status))
			if err != nil || len(got) != want {
				t.Errorf("%s: %d, %v", status, len(got), err)
			}
		}
		_, err = rest.Api.CreateCall(new(api.CreateCallParams).SetFrom(from).SetTo(to))
		var refused *client.TwilioRestError
		if !errors.As(err, &refused) || refused.Code != 21205 {
			t.Errorf("no Url: %v", err)
		}
	})
}

func TestLookup(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	rest := newRest(f.Client())
	got, err := rest.LookupsV2.FetchPhoneNumber(to, new(lookups.FetchPhoneNumberParams))
	if err != nil || !got.Valid || *got.PhoneNumber != to || *got.NationalFormat != "(500) 555-0001" || *got.CountryCode != "US" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = rest.LookupsV2.FetchPhoneNumber("+442079460000", nil); err != nil || *got.NationalFormat != "02079460000" || *got.CountryCode != "GB" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = rest.LookupsV2.FetchPhoneNumber("12", nil); err != nil || got.Valid || len(got.ValidationErrors) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if v1, err := rest.LookupsV1.FetchPhoneNumber(to, nil); err != nil || *v1.CountryCode != "US" {
		t.Errorf("%+v, %v", v1, err)
	}
	var refused *client.TwilioRestError
	if _, err := rest.LookupsV1.FetchPhoneNumber("12", nil); !errors.As(err, &refused) || refused.Status != 404 {
		t.Error(err)
	}
	if r := f.Accepted()[0]; r.Resource != "lookups/PhoneNumbers" || r.Account != twiliotest.AccountSid {
		t.Errorf("%+v", r)
	}
}

func TestServiceNumbers(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	rest := newRest(f.Client())
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("+1500555%04d", i))
	}
	f.AddServiceNumbers("MG1", want...)
	list, err := rest.MessagingV1.ListPhoneNumber("MG1", new(messaging.ListPhoneNumberParams).SetPageSize(2))
	var got []string
	for _, n := range list {
		got = append(got, *n.PhoneNumber)
	}
	if err != nil || !slices.Equal(got, want) || len(f.Accepted()) != 3 {
		t.Errorf("%v, %v in %d requests", got, err, len(f.Accepted()))
	}
	if none, err := rest.MessagingV1.ListPhoneNumber("MG2", nil); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	codes := []string{"12345", "54321", "77777"}
	f.AddServiceShortCodes("MG1", codes[:2]...)
	f.AddServiceShortCodes("MG1", codes[2])
	list2, err := rest.MessagingV1.ListShortCode("MG1", new(messaging.ListShortCodeParams).SetPageSize(2))
	got = nil
	for _, c := range list2 {
		if !strings.HasPrefix(*c.Sid, "SC") || *c.ServiceSid != "MG1" {
			t.Errorf("short code %+v", c)
		}
		got = append(got, *c.ShortCode)
	}
	if err != nil || !slices.Equal(got, codes) {
		t.Errorf("short codes %v, %v", got, err)
	}
	if none, err := rest.MessagingV1.ListShortCode("MG2", nil); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	if s, err := rest.MessagingV1.FetchService("MG1"); err != nil || *s.Sid != "MG1" {
		t.Errorf("%+v, %v", s, err)
	}
	n, err := rest.Api.CreateIncomingPhoneNumber(new(api.CreateIncomingPhoneNumberParams).SetPhoneNumber(to))
	if err != nil || *n.PhoneNumber != to || (*n.Sid)[:2] != "PN" {
		t.Errorf("%+v, %v", n, err)
	}
}
