package twiliotest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer/twiliotest"
)

const service = "MG0123456789abcdef0123456789abcdef"

// listed returns the messages that a list with this query shows.
func listed(t *testing.T, f *twiliotest.Fake, query url.Values) []map[string]any {
	t.Helper()
	got := do(t, f.Client(), request(t, messagesURL+"?"+query.Encode(), nil))
	if got.status != 200 {
		t.Fatalf("list: %+v", got)
	}
	var items []map[string]any
	for _, it := range got.decode(t)["messages"].([]any) {
		items = append(items, it.(map[string]any))
	}
	return items
}

func TestSmartEncodingShowsAnotherText(t *testing.T) {
	const typed, plain = "It’s “here” – ½ off…\u00a0＃１Ａ`", `It's "here" - 1/2 off...  #1A'`
	for name, tt := range map[string]struct {
		services []string
		form     url.Values
		want     string
	}{
		"a service with the setting":    {[]string{"MG1", service}, url.Values{"MessagingServiceSid": {service}}, plain},
		"every service":                 {[]string{""}, url.Values{"MessagingServiceSid": {service}}, plain},
		"another service":               {[]string{"MG1"}, url.Values{"MessagingServiceSid": {service}}, typed},
		"no service":                    {[]string{"", service}, url.Values{"From": {from}}, typed},
		"the request says so":           {nil, url.Values{"From": {from}, "SmartEncoded": {"true"}}, plain},
		"the request says no":           {[]string{""}, url.Values{"MessagingServiceSid": {service}, "SmartEncoded": {"false"}}, typed},
		"characters without substitute": {[]string{""}, url.Values{"MessagingServiceSid": {service}, "Body": {"ß 你 😀"}}, "ß 你 😀"},
	} {
		t.Run(name, func(t *testing.T) {
			f := twiliotest.New(twiliotest.Config{Alterations: twiliotest.Alterations{SmartEncoding: tt.services}})
			tt.form.Set("To", to)
			if tt.form.Get("Body") == "" {
				tt.form.Set("Body", typed)
			}
			for range 2 {
				if doc := send(t, f, tt.form).decode(t); doc["body"] != tt.want {
					t.Errorf("created %q, want %q", doc["body"], tt.want)
				}
			}
			for _, it := range listed(t, f, nil) {
				if it["body"] != tt.want {
					t.Errorf("listed %q, want %q", it["body"], tt.want)
				}
			}
			// Records have what was sent, and so doubles are found.
			if m, dup := f.Messages(), f.Duplicates(); len(dup) != 1 || m[0].Form.Get("Body") != tt.form.Get("Body") {
				t.Errorf("recorded %q, %d duplicates", m[0].Form.Get("Body"), len(dup))
			}
		})
	}
}

func TestRedactionHidesBodiesAndNumbers(t *testing.T) {
	const hidden = "+1500555XXXX"
	all := twiliotest.Redaction{Bodies: true, Numbers: true}
	for name, tt := range map[string]struct {
		accounts map[string]twiliotest.Redaction
		form     url.Values
		body, to string
	}{
		"none":                     {nil, nil, "x", to},
		"the account":              {map[string]twiliotest.Redaction{twiliotest.AccountSid: all}, nil, "", hidden},
		"every account":            {map[string]twiliotest.Redaction{"": all}, nil, "", hidden},
		"all accounts but this":    {map[string]twiliotest.Redaction{"": all, twiliotest.AccountSid: {}}, nil, "x", to},
		"numbers alone":            {map[string]twiliotest.Redaction{"": {Numbers: true}}, nil, "x", hidden},
		"the request's body":       {nil, url.Values{"ContentRetention": {"discard"}}, "", to},
		"the request's number":     {nil, url.Values{"AddressRetention": {"obfuscate"}}, "x", hidden},
		"the request retains both": {map[string]twiliotest.Redaction{"": all}, url.Values{"ContentRetention": {"retain"}, "AddressRetention": {"retain"}}, "x", to},
	} {
		for _, exact := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, exact filters %v", name, exact), func(t *testing.T) {
				f := twiliotest.New(twiliotest.Config{Alterations: twiliotest.Alterations{Redaction: tt.accounts, ExactFilters: exact}})
				form := message("x")
				for field, values := range tt.form {
					form[field] = values
				}
				created := send(t, f, form).decode(t)
				if created["body"] != "x" || created["to"] != to {
					t.Errorf("created %v", created)
				}
				items := listed(t, f, nil)
				items = append(items, do(t, f.Client(), request(t, strings.Replace(messagesURL, ".json", "/"+created["sid"].(string)+".json", 1), nil)).decode(t))
				for _, it := range items {
					if it["body"] != tt.body || it["to"] != tt.to || it["from"] != from {
						t.Errorf("shown %v", it)
					}
				}
				want := 1
				if exact && tt.to == hidden {
					want = 0
				}
				if n := len(listed(t, f, url.Values{"To": {to}})); n != want {
					t.Errorf("filter To finds %d, want %d", n, want)
				}
				if m := f.Messages()[0]; m.Form.Get("Body") != "x" || m.Form.Get("To") != to {
					t.Errorf("recorded %v", m.Form)
				}
			})
		}
	}
}

func TestNumbersAreShownInE164(t *testing.T) {
	for written, shown := range map[string]string{
		"+15005550009":               "+15005550009",
		"15005550009":                "+15005550009",
		"1-500-555-0009":             "+15005550009",
		"(500) 555-0009":             "+15005550009",
		"5005550009":                 "+15005550009",
		"500.555.0009":               "+15005550009",
		"+1 (500) 555-0009":          "+15005550009",
		"+44 7700 900123":            "+447700900123",
		"whatsapp:+1 500 555 0009":   "whatsapp:+15005550009",
		"447700900123":               "447700900123",
		"12345":                      "12345",
		"ACME":                       "ACME",
		"messenger:someone":          "messenger:someone",
		"sip:15005550009@example.me": "sip:15005550009@example.me",
	} {
		for _, a := range []twiliotest.Alterations{{}, {NormalizeNumbers: true}, {NormalizeNumbers: true, ExactFilters: true}} {
			t.Run(fmt.Sprintf("%s %v %v", written, a.NormalizeNumbers, a.ExactFilters), func(t *testing.T) {
				f := twiliotest.New(twiliotest.Config{})
				f.SetAlterations(a)
				want := written
				if a.NormalizeNumbers {
					want = shown
				}
				for _, field := range []string{"To", "From"} {
					form := message("x")
					form.Set(field, written)
					if doc := send(t, f, form).decode(t); doc[strings.ToLower(field)] != want {
						t.Errorf("created with %s %v, want %s", field, doc[strings.ToLower(field)], want)
					}
					found := map[string]int{
						written: len(listed(t, f, url.Values{field: {written}})),
						shown:   len(listed(t, f, url.Values{field: {shown}})),
					}
					wantFound := map[string]int{want: 1}
					if a.NormalizeNumbers && !a.ExactFilters {
						wantFound = map[string]int{written: 1, shown: 1}
					}
					for number, n := range found {
						if n != wantFound[number] {
							t.Errorf("filter %s=%s finds %d, want %d", field, number, n, wantFound[number])
						}
					}
				}
				if m := f.Messages(); m[0].Form.Get("To") != written || m[1].Sender != written {
					t.Errorf("recorded %v", m)
				}
			})
		}
	}
}

// Alterations are of what is created later; a hook is of all lists.
func TestAlterationsCanChange(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{Alterations: twiliotest.Alterations{NormalizeNumbers: true}})
	form := message("’")
	form.Set("To", "5005550001")
	send(t, f, form)
	f.SetAlterations(twiliotest.Alterations{Redaction: map[string]twiliotest.Redaction{"": {Bodies: true}}})
	send(t, f, form)
	items := listed(t, f, nil)
	if items[0]["to"] != "5005550001" || items[0]["body"] != "" || items[1]["to"] != to || items[1]["body"] != "’" {
		t.Errorf("listed %v", items)
	}
}

func TestListsPageWhileAHookAltersThem(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{})
	f.SetAlterations(twiliotest.Alterations{Item: func(r *twiliotest.Request, item map[string]any) bool {
		f.Stats() // must not deadlock
		if r.Resource != "Messages" || r.Form.Get("To") != to {
			t.Errorf("asked by %v", r)
		}
		item["body"] = item["body"].(string) + "!"
		return !strings.HasSuffix(item["body"].(string), "3!")
	}})
	rest := newRest(f.Client())
	var want []string
	for i := range 25 {
		if _, err := rest.Api.CreateMessage(newMessage(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if i%10 != 3 {
			want = append(want, fmt.Sprint(i, "!"))
		}
	}
	slices.Reverse(want)
	for _, size := range []int{1, 2, 10, 50} {
		got, err := rest.Api.ListMessage(new(api.ListMessageParams).SetTo(to).SetPageSize(size))
		if err != nil || !slices.Equal(texts(got), want) {
			t.Errorf("pages of %d: %v, %v, want %v", size, texts(got), err, want)
		}
	}
	if len(f.Accepted()) <= 25+13 {
		t.Errorf("%d requests: the list was not paged", len(f.Accepted()))
	}
}

// Faults and limits strike lists like any other request.
func TestListsAreLateSlowThrottledOrRefused(t *testing.T) {
	list := func(r *twiliotest.Request) bool { return r.Method == http.MethodGet && r.Resource == "Messages" }
	for name, tt := range map[string]struct {
		fault  twiliotest.Fault
		cfg    twiliotest.Config
		status int
		code   float64
		after  time.Duration
	}{
		"slow":      {fault: twiliotest.Fault{Kind: twiliotest.Slow, Delay: 8 * time.Second}, status: 200, after: 8 * time.Second},
		"throttled": {fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: "20"}, status: 429, code: 20429},
		"refused":   {fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 403, Code: 20403}, status: 403, code: 20403},
		"foreign":   {fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 200, Foreign: true, Body: []byte("{}")}, status: 200},
		"limited":   {cfg: twiliotest.Config{Limits: []twiliotest.Limit{{Resource: "Messages", Method: "GET", Rate: 1, Window: time.Hour}}}, status: 429, code: 20429},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := twiliotest.New(tt.cfg)
				listed(t, f, nil)
				if tt.fault.Kind != 0 {
					tt.fault.Match = list
					f.Inject(tt.fault)
				}
				if got := send(t, f, message("x")); got.status != 201 {
					t.Errorf("a message is struck: %+v", got)
				}
				start := time.Now()
				got := do(t, f.Client(), request(t, messagesURL, nil))
				if got.status != tt.status || time.Since(start) != tt.after {
					t.Errorf("%+v after %v", got, time.Since(start))
				}
				if code, _ := got.decode(t)["code"].(float64); code != tt.code {
					t.Errorf("code %v", code)
				}
			})
		})
	}
	t.Run("late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := twiliotest.New(twiliotest.Config{})
			f.SetListLag(time.Minute)
			send(t, f, message("x"))
			for _, want := range []int{0, 1} {
				if n := len(listed(t, f, nil)); n != want {
					t.Errorf("lists %d, want %d", n, want)
				}
				time.Sleep(time.Minute)
			}
		})
	})
}

// Calls are listed like messages: with normalized numbers, and by the hook.
func TestCallsAreAltered(t *testing.T) {
	f := twiliotest.New(twiliotest.Config{Alterations: twiliotest.Alterations{
		NormalizeNumbers: true,
		Redaction:        map[string]twiliotest.Redaction{"": {Bodies: true, Numbers: true}}, // of messages alone
		Item:             func(_ *twiliotest.Request, item map[string]any) bool { item["status"] = "busy"; return true },
	}})
	c := newRest(f.Client())
	call, err := c.Api.CreateCall(new(api.CreateCallParams).SetTo("5005550001").SetFrom(from).SetTwiml("<Response/>"))
	if err != nil || *call.To != to {
		t.Fatalf("%+v, %v", call, err)
	}
	calls, err := c.Api.ListCall(new(api.ListCallParams).SetTo("(500) 555-0001"))
	if err != nil || len(calls) != 1 || *calls[0].To != to || *calls[0].Status != "busy" {
		t.Errorf("%+v, %v", calls, err)
	}
}
