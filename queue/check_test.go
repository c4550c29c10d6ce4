package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twilio/twilio-go"
	memory1 "github.com/twilio/twilio-go/rest/memory/v1"
	oauth "github.com/twilio/twilio-go/rest/oauth/v2"
	sync1 "github.com/twilio/twilio-go/rest/sync/v1"
)

// good returns a message that every door takes, changed by change.
func good(change func(*Request)) Request {
	r := Request{Method: "POST", URL: messages, Form: map[string][]string{"To": {"+15005550009"}, "From": {"+15005550006"}, "Body": {"hello"}}}
	if change != nil {
		change(&r)
	}
	return r
}

func form(field string, values ...string) func(*Request) {
	return func(r *Request) {
		r.Form = maps.Clone(r.Form)
		if r.Form[field] = values; len(values) == 0 {
			delete(r.Form, field)
		}
	}
}

func header(name, value string) func(*Request) {
	return func(r *Request) { r.Header = map[string]string{name: value} }
}

// doors are all ways by which a request comes into a queue.
func doors(q *Queue) map[string]func(Request) error {
	build := func(r Request) func(*twilio.RestClient) error {
		return func(tw *twilio.RestClient) error {
			headers := make(map[string]any)
			for name, value := range r.Header {
				headers[name] = value
			}
			_, err := tw.RequestHandler.Client.SendRequest(r.Method, r.URL, r.Form, headers, []byte(r.Body)...)
			return err
		}
	}
	n := 0
	return map[string]func(Request) error{
		"Enqueue":        func(r Request) error { _, err := q.Enqueue(context.Background(), build(r)); return err },
		"EnqueueRequest": func(r Request) error { _, err := q.EnqueueRequest(context.Background(), r); return err },
		"RestClient":     func(r Request) error { return build(r)(q.RestClient()) },
		"EnqueueMany": func(r Request) error {
			_, err := q.EnqueueMany(context.Background(), slices.Values([]Item{{Build: build(r)}}))
			return err
		},
		"Campaign": func(r Request) error {
			n++
			c, err := q.Campaign(context.Background(), fmt.Sprint("c", n), CampaignOptions{Rate: 1})
			if err != nil {
				return err
			}
			_, err = c.Enqueue(context.Background(), slices.Values([]Recipient{{ID: "one"}}), func(tw *twilio.RestClient, _ Recipient) error { return build(r)(tw) })
			return err
		},
		"JSON": func(r Request) error { // as the intake of redisqueue, and programs that read a file of requests
			b, err := json.Marshal(r)
			if err != nil {
				return err
			}
			var read Request
			if err := json.Unmarshal(b, &read); err != nil {
				return err
			}
			_, err = NewJob(read, account)
			return err
		},
	}
}

func TestEveryDoorRefusesWhatCanOnlyFailLater(t *testing.T) {
	const plus = "expected a plus and the country code before it"
	for name, c := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"Idempotency-Key":         {header("Idempotency-Key", "1"), "net/http would send the POST twice by itself"},
		"idempotency-key":         {header("idempotency-key", "1"), "net/http would send the POST twice by itself"},
		"X-Idempotency-Key":       {header("X-Idempotency-Key", "1"), "net/http would send the POST twice by itself"},
		"Accept-Encoding":         {header("Accept-Encoding", "gzip"), "could not be read"},
		"Content-Encoding":        {header("Content-Encoding", "gzip"), "is sent as it is"},
		"Authorization":           {header("Authorization", "Basic c2VjcmV0"), "has Authorization: expected no credentials"},
		"cookie":                  {header("cookie", "c2VjcmV0"), "expected no credentials"},
		"another header":          {header("Host", "evil.example"), "has Host: expected only Accept, Content-Type"},
		"Transfer-Encoding":       {header("Transfer-Encoding", "chunked"), "expected only"},
		"Expect":                  {header("Expect", "100-continue"), "expected only"},
		"header without a name":   {header("", "1"), `has the name "": expected one of letters`},
		"blank in a name":         {header("X-Twilio-A B", "1"), "expected one of letters"},
		"letters in a name":       {header("X-Twilio-Ü", "1"), "expected one of letters"},
		"prefix alone":            {header("X-Twilio-", "1"), "expected only"},
		"control in a value":      {header("X-Twilio-A", "a\x01b"), `"X-Twilio-A": expected no line break or other control`},
		"DEL in a value":          {header("Accept", "a\x7f"), "control character"},
		"line break in a value":   {header("If-Match", "1\r\nX: y"), "expected no line break"},
		"the same header twice":   {func(r *Request) { r.Header = map[string]string{"Accept": "a", "accept": "b"} }, `has "Accept" twice`},
		"NUL":                     {form("Body", "a\x00b"), `"form" field "Body" has a NUL character`},
		"NUL in a field's name":   {form("a\x00", "b"), "NUL"},
		"no To":                   {form("To"), `no "To": expected a phone number`},
		"empty To":                {form("To", " "), `no "To"`},
		"two of To":               {form("To", "+15005550001", "+15005550002"), `"To" has 2 values`},
		"country code, no plus":   {form("To", "15005550009"), plus},
		"national":                {form("To", "5005550009"), plus},
		"national, dashes":        {form("To", "1-500-555-0009"), plus},
		"national, brackets":      {form("To", "(500) 555-0009"), plus},
		"too short":               {form("To", "+1500"), "expected a phone number"},
		"too long":                {form("To", "+1500555000912345"), "expected a phone number"},
		"country code 0":          {form("To", "+05005550009"), "expected a phone number"},
		"two numbers":             {form("To", "+15005550009,+15005550008"), "expected a phone number"},
		"a name":                  {form("To", "Ada Lovelace"), `"To": 12 characters: expected a phone number`},
		"an address without one":  {form("To", "whatsapp:"), "expected a phone number"},
		"an address with a blank": {form("To", "whatsapp: "), "expected a phone number"},
		"WhatsApp without a plus": {form("To", "whatsapp:5005550009"), plus},
		"WhatsApp, short":         {form("To", "whatsapp:+1500"), "expected a phone number"},
		"WhatsApp, a name":        {form("To", "whatsapp:ada"), "expected a phone number"},
		"WhatsApp as sender":      {form("From", "whatsapp:5005550006"), `"From": `},
		"tel:":                    {form("To", "tel:+15005550009"), `"tel:" is no channel of Twilio's: expected the number alone`},
		"0 in brackets":           {form("To", "+44 (0)20 7946 0958"), "a 0 in brackets, which is not dialled from abroad"},
		"a text too long":         {form("Body", strings.Repeat("ä", maxBody+1)), `"Body" of 1601 characters: expected at most 1600, as Twilio refuses a longer one (21617)`},
		"number sign of a sheet":  {form("To", "1.50056E+10"), "expected a phone number"},
		"field in lower case":     {func(r *Request) { form("to", "+15005550009")(r); form("To")(r) }, `no "To"`},
		"no sender":               {form("From"), `neither "From" nor "MessagingServiceSid"`},
		"empty sender":            {form("From", ""), `neither "From"`},
		"sender without a plus":   {form("From", "(500) 555-0006"), `"From": `},
		"no content":              {form("Body"), `none of "Body", "MediaUrl" and "ContentSid"`},
		"blank content":           {form("Body", " \n"), `none of "Body"`},
		"call without To":         {func(r *Request) { r.URL = calls; form("To")(r) }, `call: no "To"`},
		"call without From":       {func(r *Request) { r.URL = calls; form("From", " ")(r) }, `call: no "From"`},
		"an API key's path":       {func(r *Request) { r.URL = strings.Replace(messages, account, "SK"+account[2:], 1) }, `"SK01"... is the SID of an API key`},
		"a blank in the path":     {func(r *Request) { r.URL = strings.Replace(messages, account, account+"%20", 1) }, "expected an account SID"},
		"no account in the path":  {func(r *Request) { r.URL = strings.Replace(messages, account, "", 1) }, "none: expected an account SID"},
		"a client's secret":       {func(r *Request) { r.URL = "https://oauth.twilio.com/v2/token"; form("client_secret", "c2VjcmV0")(r) }, "expected no request for an access token"},
		"a secret, elsewhere":     {func(r *Request) { r.URL = "https://x.twilio.com/v2/y"; form("ClientSecret", "c2VjcmV0")(r) }, `"form" has "ClientSecret"`},
		"a refresh token":         {func(r *Request) { r.URL = "https://x.twilio.com/v2/y"; form("refresh_token", "c2VjcmV0")(r) }, "access token"},
		"a code for a token":      {func(r *Request) { r.URL = "https://iam.twilio.com/v1/token"; form("code", "c2VjcmV0")(r) }, `operation "iam/token:create"`},
		"no JSON in the body": {func(r *Request) {
			r.URL = "https://x.twilio.com/v2/y"
			header("Content-Type", "application/json")(r)
			r.Body = "{"
		}, `"body" is not valid JSON`},
		"half an emoji in JSON": {func(r *Request) {
			r.URL = "https://x.twilio.com/v2/y"
			header("Content-Type", "application/json")(r)
			r.Body = `"\ud83d"`
		}, "half a character"},
		"too large, as is":   {form("Body", strings.Repeat("x", maxRequest)), "expected at most 1048576"},
		"too large, as JSON": {form("Body", strings.Repeat("<", 200<<10)), "bytes as JSON: expected at most 1048576"},
		"too many fields":    {form("MediaUrl", slices.Repeat([]string{"12345"}, 140_000)...), "expected at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			q, m := openMemory(t)
			r := good(c.change)
			for door, enqueue := range doors(q) {
				err := enqueue(r)
				if door == "JSON" && strings.HasPrefix(name, "too") && err != nil && strings.Contains(err.Error(), "expected at most") {
					continue // said by UnmarshalJSON, in other words
				}
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v, expected %q", door, err, c.want)
					continue
				}
				for _, secret := range []string{"5005550009", "(500) 555-0006", "555-0009", "c2VjcmV0", "Lovelace", "hello"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%s: the error tells %s: %v", door, secret, err)
					}
				}
			}
			if len(m.jobs) != 0 {
				t.Errorf("%d were stored", len(m.jobs))
			}
		})
	}
}

func TestEveryDoorRefusesTextThatIsNotUTF8(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"form":   {form("Body", "Jos\xe9"), `"form" field "Body" is not UTF-8`},
		"name":   {form("Jos\xe9", "x"), `a name in "form" is not UTF-8`},
		"header": {header("X-Twilio-A", "Jos\xe9"), "UTF-8"},
		"body":   {func(r *Request) { header("Content-Type", "application/json")(r); r.Body = "\"Jos\xe9\"" }, `"body" is not UTF-8`},
	} {
		q, m := openMemory(t)
		for door, enqueue := range doors(q) {
			if door == "JSON" {
				continue // Marshal would change it: see below
			}
			if err := enqueue(good(c.change)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s by %s: %v, expected %q", name, door, err, c.want)
			}
		}
		if len(m.jobs) != 0 {
			t.Errorf("%s: %d were stored", name, len(m.jobs))
		}
	}
	for text, want := range map[string]string{"Jos\xe9": "not UTF-8 at byte", `cut \ud83d`: "half a character", `\ude00`: "half a character"} {
		var r Request
		in := `{"v":"1.0","method":"POST","url":"` + messages + `","form":{"To":["+15005550009"],"From":["+15005550006"],"Body":["` + text + `"]}}`
		if err := json.Unmarshal([]byte(in), &r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q in JSON: %v, expected %q", text, err, want)
		}
	}
	q, m := openMemory(t)
	for what, opt := range map[string]EnqueueOption{"Unique": Unique("\xe9"), "Label": Label("\xe9", "x"), "value": Label("x", "\xe9")} {
		if _, err := q.EnqueueRequest(t.Context(), good(nil), opt); err == nil || !strings.Contains(err.Error(), "not UTF-8") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(m.jobs) != 0 {
		t.Errorf("%d were stored", len(m.jobs))
	}
}

const calls = "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Calls.json"

func TestEveryDoorTakesWhatTwilioTakes(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"plain":             nil,
		"written with care": form("To", "+1 (500) 555-0009"),
		"dots":              form("To", "+1.500.555.0009"),
		"WhatsApp":          form("To", "whatsapp:+15005550009"),
		"RCS":               form("To", "rcs:+15005550009"),
		"Messenger":         form("To", "messenger:1234567890"),
		"another channel":   form("To", "new-channel:user@example.com"),
		"short code":        form("From", "12345"),
		"long short code":   form("From", "12345678"),
		"a name":            form("From", "Ada 1815"),
		"channel as sender": form("From", "whatsapp:+15005550006"),
		"service":           func(r *Request) { form("From")(r); form("MessagingServiceSid", "MG1")(r) },
		"picture":           func(r *Request) { form("Body")(r); form("MediaUrl", "", "https://example.com/1.png")(r) },
		"template":          func(r *Request) { form("Body")(r); form("ContentSid", "HX1")(r) },
		"emoji":             form("Body", "👋 José \ufffd"),
		"Content-Type":      header("content-type", "application/x-www-form-urlencoded"),
		"Accept":            header("Accept", "application/json"),
		"webhooks":          header("X-Twilio-Webhook-Enabled", "true"),
		"If-Match":          header("If-Match", `"1"`),
		"Flex-Metadata":     header("Flex-Metadata", "x"),
		"Ui-Version":        header("Ui-Version", "x"),
		"client call":       func(r *Request) { r.URL = calls; form("To", "client:ada")(r) },
		"SIP call":          func(r *Request) { r.URL = calls; form("To", "sip:ada@example.com")(r) },
		"WhatsApp user":     form("To", "whatsapp:US.13491208655302741918"),
		"longest text":      form("Body", strings.Repeat("ä", maxBody)),
		"text of a template": func(r *Request) {
			form("ContentSid", "HX1")(r)
			form("Body", strings.Repeat("x", maxBody+1))(r)
		},
		"large":         form("ContentVariables", strings.Repeat("x", maxRequest-1000)),
		"large as JSON": form("ContentVariables", strings.Repeat("<", 170<<10)),
	} {
		q, _ := openMemory(t)
		for door, enqueue := range doors(q) {
			if err := enqueue(good(change)); err != nil {
				t.Errorf("%s by %s: %v", name, door, err)
			}
		}
	}
}

// What people write between the digits is not stored: Twilio lists a number without it.
func TestEveryDoorStoresTheReceiverAsTwilioWritesIt(t *testing.T) {
	for to, want := range map[string]string{
		"+1 (500) 555-0009": "+15005550009", "+1.500.555.0009": "+15005550009", " +1\u00a0500\u2011555\u20110009 ": "+15005550009",
		"whatsapp:+1 500 555 0009": "whatsapp:+15005550009", "rcs:+1-500-555-0009": "rcs:+15005550009",
		"+15005550009": "+15005550009", "messenger:1 (2) 3": "messenger:1 (2) 3",
	} {
		for _, path := range []string{messages, calls} {
			q, m := openMemory(t)
			n := 0
			for door, enqueue := range doors(q) {
				r := good(func(r *Request) { r.URL = path; form("To", to)(r) })
				if err := enqueue(r); err != nil {
					t.Errorf("%q by %s: %v", to, door, err)
				}
				if r.Form["To"][0] != to {
					t.Errorf("%q by %s: the caller's form was changed", to, door)
				}
				n++
			}
			if len(m.jobs) != n-1 { // JSON makes a job, and stores none
				t.Errorf("%q: %d were stored, expected %d", to, len(m.jobs), n-1)
			}
			for _, j := range m.jobs {
				if got := j.Request.Form["To"]; len(got) != 1 || got[0] != want {
					t.Errorf("%q is stored as %q, expected %q", to, got, want)
				}
			}
		}
	}
}

// A request under a known key is the same, however its receiver was written or kept.
func TestSameRequestInAnotherNotation(t *testing.T) {
	q, m := openMemory(t)
	for _, to := range []string{"+1 (500) 555-0009", "+15005550009", "+1.500.555.0009"} {
		if _, err := q.EnqueueRequest(t.Context(), good(form("To", to)), Unique("one")); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	m.jobs[0].Request.Form["To"] = []string{"+1.500.555.0009"} // as a version before has kept it
	if _, err := q.EnqueueRequest(t.Context(), good(nil), Unique("one")); err != nil {
		t.Errorf("kept by a version before: %v", err)
	}
	if _, err := q.EnqueueRequest(t.Context(), good(form("To", "+15005550008")), Unique("one")); !errors.Is(err, ErrKeyTaken) {
		t.Errorf("another receiver: %v", err)
	}
}

// Operations of twilio-go that set headers can be enqueued: only idempotency and encoding
// are refused, which are optional everywhere.
func TestHeadersOfTwilioGoOperationsAreTaken(t *testing.T) {
	q, _ := openMemory(t)
	if _, err := q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
		_, err := tw.SyncV1.UpdateDocument("IS1", "doc", new(sync1.UpdateDocumentParams).SetIfMatch("1"))
		return err
	}); err != nil {
		t.Errorf("a document of Sync with If-Match: %v", err)
	}
	if _, err := q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
		_, err := tw.MemoryV1.CreateProfileObservation("MS1", "P1", new(memory1.CreateProfileObservationParams))
		return err
	}); err != nil {
		t.Errorf("an operation with a body of JSON: %v", err)
	}
	if _, err := q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
		_, err := tw.OauthV2.CreateOauth2Token(new(oauth.CreateOauth2TokenParams).SetGrantType("client_credentials").SetClientId("OQ1").SetClientSecret("c2VjcmV0"))
		return err
	}); err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("a client's secret: %v", err)
	}
}

func TestTimesAreTakenUpToTheYear9999(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	for name, c := range map[string]struct {
		at   time.Time
		due  time.Time // zero: now
		want string
	}{
		"never, as people write it":     {time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), ""},
		"the last":                      {last, last, ""},
		"the last, in the east":         {last.In(time.FixedZone("", 14*3600)), last, ""},
		"after the last":                {last.Add(1), time.Time{}, "the year 10000: expected one up to 9999"},
		"after it, in the west":         {time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -12*3600)), time.Time{}, "expected one up to 9999"},
		"microseconds taken as seconds": {time.Unix(1_764_000_000_000_000, 0), time.Time{}, "were milliseconds or microseconds taken for seconds"},
		"nanoseconds taken as seconds":  {time.Unix(1_764_000_000_000_000_000, 0), time.Time{}, "expected one up to 9999"},
		"zero":                          {time.Time{}, time.Time{}, ""},
		"before 1970":                   {time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), time.Time{}, ""},
		"long ago":                      {time.Date(-292277, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}, ""},
		"the first of all":              {time.Unix(math.MinInt64, 0), time.Time{}, ""},
	} {
		j, err := NewJob(good(nil), account, At(c.at))
		if c.want == "" && (err != nil || !j.Due.Equal(c.due) || j.Due.IsZero() != c.due.IsZero() || j.Due.Location() != time.UTC) ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), "queue: At: ") || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: due %v, %v, expected %v, %q", name, j.Due, err, c.due, c.want)
		}
		if c.want == "" {
			continue
		}
		if _, err := NewJob(good(nil), account, Deadline(c.at)); err == nil || !strings.Contains(err.Error(), "queue: Deadline: ") {
			t.Errorf("%s as a deadline: %v", name, err)
		}
		q, _ := openMemory(t)
		for field, opts := range map[string]CampaignOptions{"Start": {Rate: 1, Start: c.at}, "Expires": {Rate: 1, Expires: c.at}} {
			if _, err := q.Campaign(t.Context(), "x", opts); err == nil || !strings.Contains(err.Error(), `campaign "x": `+field+": ") {
				t.Errorf("%s as a campaign's %s: %v", name, field, err)
			}
			c := create(t, q, "y", CampaignOptions{Rate: 1})
			if err := c.Update(t.Context(), opts); err == nil || !strings.Contains(err.Error(), field+": ") {
				t.Errorf("%s as a campaign's new %s: %v", name, field, err)
			}
		}
	}
	for _, d := range []time.Duration{math.MinInt64, -1, 0} {
		if j, err := NewJob(good(nil), account, In(d)); err != nil || j.Due.After(time.Now()) {
			t.Errorf("In(%d): %v, %v", d, j.Due, err)
		}
	}
	if j, err := NewJob(good(nil), account, In(math.MaxInt64), Deadline(last)); err != nil || j.Due.Year() < 2300 || !j.Deadline.Equal(last) {
		t.Errorf("In 292 years: %v, %v", j.Due, err)
	}
}

func TestACampaignOfTheFirstAndTheLastTimes(t *testing.T) {
	q, _ := openMemory(t)
	p := progress(t, create(t, q, "old", CampaignOptions{Rate: 1, Start: time.Date(-292277, 1, 1, 0, 0, 0, 0, time.UTC)}))
	if p.State != CampaignRunning || !p.Options.Start.IsZero() {
		t.Errorf("begun long ago: %+v", p)
	}
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	w := window(t, "9:00-24:00 Pacific/Kiritimati")
	p = progress(t, create(t, q, "never", CampaignOptions{Rate: 1, Start: last.Add(-time.Hour).In(time.FixedZone("", 14*3600)), Expires: last, Window: &w}))
	if p.State != CampaignScheduled || !p.Options.Expires.Equal(last) {
		t.Errorf("at the end of time: %+v", p)
	}
	if _, err := q.Campaign(t.Context(), "x", CampaignOptions{Rate: 1, Expires: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)}); err == nil || !strings.Contains(err.Error(), "Expires: the year -5") {
		t.Errorf("expired long ago: %v", err)
	}
}

func TestADeadlineMustLieAfterTheDueTime(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		opts []EnqueueOption
		want string
	}{
		"before":            {[]EnqueueOption{At(now.Add(2 * time.Hour)), Deadline(now.Add(time.Hour))}, "expected a time after"},
		"the other order":   {[]EnqueueOption{Deadline(now.Add(time.Hour)), In(2 * time.Hour)}, "expected a time after"},
		"at":                {[]EnqueueOption{At(now.Add(time.Hour)), Deadline(now.Add(time.Hour))}, "expected a time after"},
		"passed":            {[]EnqueueOption{Deadline(now)}, "has passed"},
		"after":             {[]EnqueueOption{In(time.Hour), Deadline(now.Add(2 * time.Hour))}, ""},
		"due long ago":      {[]EnqueueOption{At(time.Unix(-1, 0)), Deadline(now.Add(time.Hour))}, ""},
		"read by an engine": {[]EnqueueOption{func(j *Job) error { j.Due, j.Deadline = now.Add(time.Hour), now; return nil }}, "expected a time after"},
		"passed meanwhile":  {[]EnqueueOption{func(j *Job) error { j.Deadline = now.Add(-time.Hour); return nil }}, ""},
	} {
		if _, err := NewJob(good(nil), account, c.opts...); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}

func TestAnAccountIsCheckedWhereverItComesFrom(t *testing.T) {
	const hex = "0123456789abcdef0123456789abcdef"
	for sid, want := range map[string]string{
		"SK" + hex:            `"SK01"... is the SID of an API key`,
		"ac" + hex:            `"ac01"... of 34 characters`,
		"AC123":               `"AC123": expected an account SID`,
		"AC" + hex + " ":      "with a blank before or after it",
		"AC" + hex + "\u00a0": "with a blank before or after it",
		"\tAC" + hex:          "with a blank before or after it",
		"AC" + hex + "0":      "of 35 characters",
		"AC" + hex[1:] + "g":  "expected an account SID",
		hex:                   `"0123"... of 32 characters`, // an auth token, perhaps
	} {
		t.Setenv("TWILIO_ACCOUNT_SID", sid)
		_, fromEnv := Open(newMemory())
		_, fromOption := Open(newMemory(), WithAccount(sid))
		_, fromEngine := NewJob(good(nil), sid)
		for source, err := range map[string]error{"TWILIO_ACCOUNT_SID": fromEnv, "WithAccount": fromOption, "account": fromEngine} {
			if err == nil || !strings.Contains(err.Error(), "queue: "+source+": ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), hex[4:]) {
				t.Errorf("%q from %s: %v, expected %q", sid, source, err, want)
			}
		}
		if q, err := Open(newMemory(), WithAccount(account)); err != nil || q.account != account {
			t.Errorf("%q in the environment, where WithAccount counts: %v", sid, err)
		}
	}
	t.Setenv("TWILIO_ACCOUNT_SID", account)
	if q, err := Open(newMemory()); err != nil || q.account != account {
		t.Errorf("an account of the environment: %v", err)
	}
	t.Setenv("TWILIO_ACCOUNT_SID", "")
	_, err := Open(newMemory())
	if err == nil || !strings.Contains(err.Error(), "WithAccount") || !strings.Contains(err.Error(), "TWILIO_ACCOUNT_SID") {
		t.Errorf("no account: %v", err)
	}
	if _, err := Open(newMemory(), WithAccount("")); err == nil || !strings.Contains(err.Error(), "WithAccount") {
		t.Errorf("an empty account: %v", err)
	}
}

// Get makes memory an engine that Enqueue can ask about a key.
func (m *memory) Get(_ context.Context, id ID) (Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		if j.ID == id {
			return j, nil
		}
	}
	return Job{}, ErrNotFound
}

func TestEnqueueTellsWhetherTheKeyWasKnown(t *testing.T) {
	q, m := openMemory(t)
	known := true
	first, err := q.EnqueueRequest(t.Context(), good(nil), Unique("k"), Known(&known))
	if err != nil || known {
		t.Fatalf("the first: known %t, %v", known, err)
	}
	again, err := q.Enqueue(t.Context(), func(tw *twilio.RestClient) error {
		_, err := tw.Api.CreateMessage(message("hello").SetPathAccountSid(account))
		return err
	}, Unique("k"), Known(&known), High)
	if again != first || err != nil || !known { // twilio-go's has headers, which do not count
		t.Errorf("the same again: %s, known %t, %v", again, known, err)
	}
	for name, change := range map[string]func(*Request){
		"text":   form("Body", "goodbye"),
		"To":     form("To", "+15005550001"),
		"field":  form("StatusCallback", "https://example.com"),
		"method": func(r *Request) { r.Method = "PUT" },
		"URL":    func(r *Request) { r.URL += "?x=y" },
	} {
		known = false
		again, err := q.EnqueueRequest(t.Context(), good(change), Unique("k"), Known(&known))
		if again != first || !errors.Is(err, ErrKeyTaken) || !known || strings.Contains(err.Error(), "goodbye") {
			t.Errorf("another %s: %s, known %t, %v", name, again, known, err)
		}
	}
	if len(m.jobs) != 1 {
		t.Errorf("%d are stored", len(m.jobs))
	}
	known = true
	if id, err := q.EnqueueRequest(t.Context(), good(nil), Known(&known)); id == first || err != nil || known {
		t.Errorf("without a key: %s, known %t, %v", id, known, err)
	}
	if _, err := q.EnqueueRequest(t.Context(), good(nil), Known(nil)); err == nil {
		t.Error("Known(nil) was taken")
	}
	// The request that has the key cannot be compared: it is deleted meanwhile, or on another machine.
	m.jobs = nil
	if again, err := q.EnqueueRequest(t.Context(), good(form("Body", "another")), Unique("k"), Known(&known)); again != first || err != nil || !known {
		t.Errorf("not comparable: %s, known %t, %v", again, known, err)
	}
}

func TestEnqueueManyTellsOfEachItemWhetherItsKeyWasKnown(t *testing.T) {
	q, _ := openMemory(t)
	known := make([]bool, 2500)
	items := func(yield func(Item) bool) {
		for i := range known {
			if !yield(Item{creation(fmt.Sprint(i)), []EnqueueOption{Unique(fmt.Sprint(i % 2000)), Known(&known[i])}}) {
				return
			}
		}
	}
	done, err := q.EnqueueMany(t.Context(), items)
	if err != nil || done != (Enqueued{New: 2000, Known: 500}) || slices.Contains(known[:2000], true) || slices.Contains(known[2000:], false) {
		t.Errorf("%+v, %v", done, err)
	}
}

// A campaign whose list was refused does not exist for ever with the options of the first try.
func TestACampaignIsADraftUntilSomebodyIsEnqueued(t *testing.T) {
	q, m := openMemory(t)
	first, second, third := CampaignOptions{Rate: 1, Expires: time.Now().Add(time.Hour)}, CampaignOptions{Rate: 20}, CampaignOptions{Rate: 300}
	failing := iter.Seq[Recipient](func(yield func(Recipient) bool) { yield(Recipient{ID: ""}) })
	for name, refused := range map[string]func(*Campaign) error{
		"a bad row": func(c *Campaign) error {
			_, err := c.EnqueueCSV(t.Context(), strings.NewReader("to\nAnn\n"), csvMessage("x"))
			return err
		},
		"no row": func(c *Campaign) error {
			_, err := c.EnqueueCSV(t.Context(), strings.NewReader("to\n"), csvMessage("x"))
			return err
		},
		"a bad template": func(c *Campaign) error {
			_, err := c.EnqueueCSV(t.Context(), strings.NewReader("to\n"), csvMessage("{{"))
			return err
		},
		"a bad recipient": func(c *Campaign) error { _, err := c.Enqueue(t.Context(), failing, hello); return err },
	} {
		c := create(t, q, name, first)
		if err := refused(c); err == nil {
			t.Fatalf("%s: expected an error", name)
		}
		c = create(t, q, name, second)
		if o := progress(t, c).Options; o != second {
			t.Errorf("%s: %+v, expected the options of the second try", name, o)
		}
		enqueue(t, c, people(1, 3), Enqueued{New: 3})
		if o := progress(t, create(t, q, name, third)).Options; o != second {
			t.Errorf("%s: %+v after the first recipient, expected the stored options", name, o)
		}
	}
	before := m.documents["campaign/a bad row"].Version
	if create(t, q, "a bad row", third); m.documents["campaign/a bad row"].Version != before {
		t.Error("a campaign that is no draft was stored again")
	}
	create(t, q, "same", second)
	if create(t, q, "same", second); m.documents["campaign/same"].Version != 1 {
		t.Error("the same options were stored again")
	}
}

func TestAnOperatorEndsADraft(t *testing.T) {
	for name, change := range map[string]func(*Campaign) error{
		"Pause":   func(c *Campaign) error { return c.Pause(t.Context()) },
		"Resume":  func(c *Campaign) error { return c.Resume(t.Context()) },
		"SetRate": func(c *Campaign) error { return c.SetRate(t.Context(), 5) },
		"Update":  func(c *Campaign) error { return c.Update(t.Context(), CampaignOptions{Rate: 5}) },
		"Cancel":  func(c *Campaign) error { return c.Cancel(t.Context()) },
	} {
		q, _ := openMemory(t)
		c := create(t, q, "x", CampaignOptions{Rate: 1})
		if err := change(c); err != nil {
			t.Fatal(err)
		}
		before := progress(t, c)
		if after := progress(t, create(t, q, "x", CampaignOptions{Rate: 300})); after.Options != before.Options || after.State != before.State {
			t.Errorf("%s: %+v became %+v", name, before, after)
		}
	}
	q, _ := openMemory(t)
	c := create(t, q, "x", CampaignOptions{Rate: 1})
	if err := c.SetRate(t.Context(), -1); err == nil {
		t.Fatal("a rate of -1 was taken")
	}
	if o := progress(t, create(t, q, "x", CampaignOptions{Rate: 300})).Options; o.Rate != 300 {
		t.Errorf("%+v: expected a change that failed not to count", o)
	}
}

// Options do not change under recipients: they are those that were stored when the first was.
func TestADraftIsNotReplacedWhileRecipientsAreStored(t *testing.T) {
	q, m := openMemory(t)
	c := create(t, q, "x", CampaignOptions{Rate: 1, Expires: time.Now().Add(time.Hour)})
	other, err := Open(m, WithAccount(account))
	if err != nil {
		t.Fatal(err)
	}
	later := CampaignOptions{Rate: 2, Expires: time.Now().Add(5 * time.Hour)}
	m.beforePut = func() { // another process replaces the draft just before it ends
		m.beforePut = nil
		create(t, other, "x", later)
	}
	m.beforeAdd = func() {
		m.beforeAdd = nil
		create(t, other, "x", CampaignOptions{Rate: 3})
	}
	enqueue(t, c, people(1, 1), Enqueued{New: 1})
	if o := progress(t, c).Options; o.Rate != 2 || !m.jobs[0].Deadline.Equal(o.Expires) {
		t.Errorf("%+v, and a recipient until %v", o, m.jobs[0].Deadline)
	}
}

func TestACampaignThatWasStoredBeforeDraftsIsNone(t *testing.T) {
	q, m := openMemory(t)
	m.documents["campaign/x"] = Document{"campaign/x", []byte(`{"v":"1.0","state":"running","created":"2026-11-24T00:00:00Z","rate":5}`), 1}
	if o := progress(t, create(t, q, "x", CampaignOptions{Rate: 300})).Options; o.Rate != 5 {
		t.Errorf("%+v: expected what is stored", o)
	}
}
