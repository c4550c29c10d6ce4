package queue

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/twilio-pacer/pacer"
)

// noon is when the span of the doubts below begins, by Twilio's clock; it ends 45 s later.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const spanned = 45 * time.Second

// listed is what Twilio lists: the message of doubtAbout, changed by change.
func listed(after time.Duration, change func(*created)) created {
	c := created{SID: "SM1", To: "+15005550009", From: "+15005550006", Body: "hello", Direction: "outbound-api", DateCreated: noon.Add(after).Format(time.RFC1123Z)}
	if change != nil {
		change(&c)
	}
	return c
}

// doubtAbout returns a doubt about a message, with nothing but what is listed.
func doubtAbout(r Request, all ...created) *doubt {
	j := &Job{Request: r, Attempts: 1}
	j.Lane.Resource = pacer.ResourceOf(r.Method, r.URL, url.Values(r.Form), account)
	return &doubt{
		job: j, span: span{noon, noon.Add(spanned)}, listed: all, hides: hidesNone,
		twins: map[string]twins{looks(j): {doubtful: 1}},
	}
}

func otherText(c *created) { c.Body = "bye" }

func TestFind(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	is := func(c created) []created { return []created{c} }
	call := func(r *Request) { r.URL = calls; delete(r.Form, "Body") }
	aCall := func(c *created) { c.SID, c.Body = "CA1", "" }
	service := func(r *Request) { delete(r.Form, "From"); r.Form["MessagingServiceSid"] = []string{"MG1"} }
	byService := func(c *created) { c.MessagingServiceSID = "MG1"; c.From = "+15005550001" }
	to := func(number string) func(*Request) { return func(r *Request) { r.Form["To"] = []string{number} } }
	sender := func(from string) func(*Request) { return func(r *Request) { r.Form["From"] = []string{from} } }
	text := func(body string) func(*Request) { return func(r *Request) { r.Form["Body"] = []string{body} } }
	field := func(name, value string) func(*Request) { return func(r *Request) { r.Form[name] = []string{value} } }
	const itself, absent = "SM1", "absent"
	const earlier, later, unclear = "unsure: Twilio has one that looks the same from before", "unsure: Twilio has one that looks the same from after", "unsure: Twilio has something for this receiver from that time"

	for name, c := range map[string]struct {
		request func(*Request)
		listed  []created
		doubt   func(*doubt)
		want    string // a SID, "absent", "wait: ..." or "unsure: ...", or how it begins
	}{
		"nothing":                           {want: absent},
		"at the beginning of the span":      {listed: is(listed(0, nil)), want: itself},
		"at the end of the span":            {listed: is(listed(spanned, nil)), want: itself},
		"a second before the span":          {listed: is(listed(-s, nil)), want: earlier},
		"an hour before the span":           {listed: is(listed(-h, nil)), want: earlier},
		"more than an hour before":          {listed: is(listed(-h-s, nil)), want: absent},
		"a second after the span":           {listed: is(listed(spanned+s, nil)), want: "wait: one that looks the same was sent later"},
		"after the span, for the last time": {listed: is(listed(spanned+s, nil)), doubt: func(d *doubt) { d.job.Looks = maxLooks }, want: later},
		"a day after the span":              {listed: is(listed(24*h, nil)), doubt: func(d *doubt) { d.job.Looks = maxLooks }, want: later},
		"an open span":                      {listed: is(listed(24*h, nil)), doubt: func(d *doubt) { d.span.to = time.Time{} }, want: itself},
		"both early and in the span":        {listed: []created{listed(-m, nil), listed(s, func(c *created) { c.SID = "SM2" })}, want: "SM2"},
		"both in the span and late":         {listed: []created{listed(s, nil), listed(h, func(c *created) { c.SID = "SM2" })}, doubt: func(d *doubt) { d.job.Looks = maxLooks }, want: "unsure"},

		"another text at the time":                   {listed: is(listed(0, otherText)), want: unclear},
		"another text, 10 min before":                {listed: is(listed(-10*m, otherText)), want: unclear},
		"another text, more than 10 min before":      {listed: is(listed(-10*m-s, otherText)), want: absent},
		"another text, 10 min after":                 {listed: is(listed(spanned+10*m, otherText)), want: unclear},
		"another text, more than 10 min after":       {listed: is(listed(spanned+10*m+s, otherText)), want: absent},
		"the same, while a clock was set by minutes": {listed: is(listed(0, nil)), doubt: func(d *doubt) { d.wide = true }, want: "unsure: a clock was set"},
		"another text that is in doubt itself":       {listed: is(listed(0, otherText)), doubt: pendingAll(twins{doubtful: 1}), want: "wait: something else"},
		"another text that is being sent":            {listed: is(listed(0, otherText)), doubt: pendingAll(twins{sending: 1}), want: "wait: something else"},
		"another text in doubt, for the last time":   {listed: is(listed(0, otherText)), doubt: func(d *doubt) { pendingAll(twins{doubtful: 1})(d); d.job.Looks = maxLooks }, want: unclear},
		"another text, and the same":                 {listed: []created{listed(0, otherText), listed(s, func(c *created) { c.SID = "SM2" })}, want: "SM2"},
		"the text of a trial account":                {listed: is(listed(0, func(c *created) { c.Body = "Sent from your Twilio trial account - hello" })), want: itself},
		"a text that ends so":                        {listed: is(listed(0, func(c *created) { c.Body = "well, hello" })), want: unclear},
		"Smart Encoding":                             {request: text("“It’s”…"), listed: is(listed(0, func(c *created) { c.Body = `"It's"...` })), want: itself},
		"white space":                                {request: text(" a\n b\u00a0c "), listed: is(listed(0, func(c *created) { c.Body = "a b c" })), want: itself},
		"a redacted text":                            {listed: is(listed(0, func(c *created) { c.Body = "" })), want: unclear},
		"a template":                                 {request: field("ContentSid", "HX1"), listed: is(listed(0, nil)), doubt: func(d *doubt) { d.job.Looks = maxLooks }, want: unclear},
		"shortened links":                            {request: field("ShortenUrls", "true"), listed: is(listed(0, nil)), doubt: func(d *doubt) { d.job.Looks = maxLooks }, want: unclear},
		"a text that Twilio is to forget":            {request: field("ContentRetention", "discard"), listed: is(listed(0, func(c *created) { c.Body = "" })), want: unclear},
		"a template, nothing there":                  {request: field("ContentSid", "HX1"), want: absent},
		"a number that Twilio is to hide":            {request: field("AddressRetention", "obfuscate"), want: "unsure: it asks Twilio to hide"},
		"an account that hides numbers":              {doubt: func(d *doubt) { d.hides = hidesSome }, want: "unsure: the account's lists hide"},
		"the fifth round":                            {doubt: func(d *doubt) { d.job.Attempts = maxRounds }, want: "unsure: it was sent 5 times"},
		"the fourth round":                           {doubt: func(d *doubt) { d.job.Attempts = maxRounds - 1 }, want: absent},
		"the fifth round, and it is there":           {listed: is(listed(0, nil)), doubt: func(d *doubt) { d.job.Attempts = maxRounds }, want: itself},
		"another job's":                              {listed: is(listed(0, nil)), doubt: taken, want: absent},
		"another job's, another text":                {listed: is(listed(0, otherText)), doubt: taken, want: absent},
		"what has come in":                           {listed: is(listed(0, func(c *created) { c.Direction = "inbound" })), want: absent},
		"a reply":                                    {listed: is(listed(0, func(c *created) { c.Direction = "outbound-reply" })), want: itself},
		"a time that cannot be read":                 {listed: is(listed(0, func(c *created) { c.DateCreated = "yesterday" })), want: "unsure: Twilio's list has a time"},
		"two for two":                                {listed: []created{listed(0, nil), listed(0, func(c *created) { c.SID = "SM2" })}, doubt: pendingAll(twins{doubtful: 2}), want: itself},
		"one for two":                                {listed: is(listed(0, nil)), doubt: pendingAll(twins{doubtful: 2}), want: "unsure: Twilio has 1 that look the same, for 2"},
		"two for one":                                {listed: []created{listed(0, nil), listed(0, func(c *created) { c.SID = "SM2" })}, want: "unsure: Twilio has 2 that look the same, for 1"},
		"none for two":                               {doubt: pendingAll(twins{doubtful: 2}), want: absent},
		"one, while a twin is being sent":            {listed: is(listed(0, nil)), doubt: pendingAll(twins{doubtful: 1, sending: 1}), want: "wait: one that looks the same is being sent"},
		"nothing, while a twin is being sent":        {doubt: pendingAll(twins{doubtful: 1, sending: 1}), want: absent},
		"nobody else's number":                       {listed: is(listed(0, func(c *created) { c.To = "+15005550001" })), want: absent},
		"nobody else's sender":                       {listed: is(listed(0, func(c *created) { c.From = "+15005550001" })), want: absent},
		"a hidden number that may be it":             {listed: is(listed(0, func(c *created) { c.To = "+1500555XXXX" })), want: itself},
		"a hidden number that is not":                {listed: is(listed(0, func(c *created) { c.To = "+1500556XXXX" })), want: absent},
		"a hidden number, more of it hidden":         {listed: is(listed(0, func(c *created) { c.To = "+150055XXXX" })), want: itself},
		"another channel":                            {listed: is(listed(0, func(c *created) { c.To = "whatsapp:+15005550009" })), want: absent},
		"the same channel":                           {request: to("WhatsApp:+15005550009"), listed: is(listed(0, func(c *created) { c.To = "whatsapp:+15005550009" })), want: itself},
		"no receiver":                                {request: to(""), want: "unsure: it has no number"},
		"written with blanks":                        {request: to("+1 (500) 555-0009"), listed: is(listed(0, nil)), want: itself},
		"national, found":                            {request: to("(500) 555-0009"), listed: is(listed(0, nil)), want: itself},
		"without a plus, found":                      {request: to("15005550009"), listed: is(listed(0, nil)), want: itself},
		"without a plus, not found":                  {request: to("15005550009"), want: "unsure: its receiver is not written as Twilio's list"},
		"national, not found":                        {request: to("500-555-0009"), want: "unsure: its receiver"},
		"a service":                                  {request: service, listed: is(listed(0, byService)), want: itself},
		"another service":                            {request: service, listed: is(listed(0, func(c *created) { byService(c); c.MessagingServiceSID = "MG2" })), want: absent},
		"no service":                                 {request: service, listed: is(listed(0, nil)), want: absent},
		"a name that Twilio rewrites":                {request: sender("Ada"), listed: is(listed(0, nil)), want: unclear},
		"a name":                                     {request: sender("Ada"), listed: is(listed(0, func(c *created) { c.From = "ada" })), want: itself},
		"a short code":                               {request: sender("12345"), listed: is(listed(0, func(c *created) { c.From = "12345" })), want: itself},
		"a call":                                     {request: call, listed: is(listed(0, aCall)), want: "CA1"},
		"no call":                                    {request: call, want: absent},
		"a call before the span":                     {request: call, listed: is(listed(-s, aCall)), want: earlier},
		"a call, 10 min before":                      {request: call, listed: is(listed(-10*m, aCall)), want: earlier},
		"a call, more than 10 min before":            {request: call, listed: is(listed(-10*m-s, aCall)), want: absent},
		"two calls":                                  {request: call, listed: []created{listed(0, aCall), listed(s, aCall)}, want: "unsure: Twilio has 2"},
		"an account that was not asked":              {doubt: func(d *doubt) { d.hides = notAsked }, want: "ask"},
		"found, an account that was not asked":       {listed: is(listed(0, nil)), doubt: func(d *doubt) { d.hides = notAsked }, want: itself},
		"a call, an account that was not asked":      {request: call, doubt: func(d *doubt) { d.hides = notAsked }, want: absent},
		"a call from an account that hides messages": {request: call, doubt: func(d *doubt) { d.hides = hidesSome }, want: absent},
	} {
		t.Run(name, func(t *testing.T) {
			r := Request{Method: http.MethodPost, URL: messages, Form: map[string][]string{"To": {"+15005550009"}, "From": {"+15005550006"}, "Body": {"hello"}}}
			if c.request != nil {
				c.request(&r)
			}
			d := doubtAbout(r, c.listed...)
			if c.doubt != nil {
				c.doubt(d)
			}
			f := d.verdict()
			got := f.sid
			switch {
			case f.ask:
				got = "ask"
			case f.wait != "":
				got = "wait: " + f.wait
			case f.unsure != "":
				got = "unsure: " + f.unsure
			case f.sid == "":
				got = absent
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("%q, expected %q", got, c.want)
			}
		})
	}
}

// pendingAll has the same twins of the request and of all that is listed.
func pendingAll(t twins) func(*doubt) {
	return func(d *doubt) {
		d.twins[looks(d.job)] = t
		for _, c := range d.listed {
			d.twins[c.looks(&d.job.Lane)] = t
		}
	}
}

func taken(d *doubt) {
	d.taken = make(map[string]bool)
	for _, c := range d.listed {
		d.taken[c.SID] = true
	}
}

// The store and Twilio are asked only for what the verdict depends on. If they cannot be asked, there is no verdict.
func TestDoubtIsResolvedByWhatItsQuestionsAnswer(t *testing.T) {
	r := Request{Method: http.MethodPost, URL: messages, Form: map[string][]string{"To": {"+15005550009"}, "From": {"+15005550006"}, "Body": {"hello"}}}
	no := errors.New("no")
	inbound := listed(0, func(c *created) { c.SID, c.Direction = "SM2", "inbound" })
	for name, c := range map[string]struct {
		listed           []created
		belongs, redacts bool
		cannotStore      bool
		cannotList       bool
		want             verdict
		asked            string // in this order
	}{
		"found":                          {listed: []created{inbound, listed(0, nil)}, want: verdict{sid: "SM1"}, asked: "SM1 "},
		"that of another job":            {listed: []created{listed(0, nil)}, belongs: true, asked: "SM1 lists "},
		"absent":                         {asked: "lists "},
		"absent, but numbers are hidden": {redacts: true, want: verdict{unsure: "the account's lists hide receivers (message redaction), so that they may miss it"}, asked: "lists "},
		"the store cannot be asked":      {listed: []created{listed(0, nil)}, cannotStore: true, asked: "SM1 "},
		"Twilio cannot be asked":         {cannotList: true, asked: "lists "},
	} {
		t.Run(name, func(t *testing.T) {
			d := doubtAbout(r, c.listed...)
			d.hides = notAsked
			asked := ""
			got, err := d.resolve(func(sid string) (bool, error) {
				asked += sid + " "
				if c.cannotStore {
					return false, no
				}
				return c.belongs, nil
			}, func() (bool, error) {
				asked += "lists "
				if c.cannotList {
					return false, no
				}
				return c.redacts, nil
			})
			if got != c.want || asked != c.asked || (err != nil) != (c.cannotStore || c.cannotList) {
				t.Errorf("%+v, %v, asked for %q: expected %+v, %q", got, err, asked, c.want, c.asked)
			}
		})
	}
}

func TestParties(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		may  bool
	}{
		"the same":                  {"+15005550009", "+15005550009", true},
		"punctuation":               {"+1 (500) 555.00-09", "+15005550009", true},
		"without a plus":            {"15005550009", "+15005550009", true},
		"national":                  {"5005550009", "+15005550009", true},
		"with a zero of the trunk":  {"05005550009", "+15005550009", true},
		"with international zeros":  {"0015005550009", "+15005550009", true},
		"another number":            {"+15005550009", "+15005550008", false},
		"exact ones of one ending":  {"+5005550009", "+15005550009", false},
		"another channel":           {"whatsapp:+15005550009", "+15005550009", false},
		"the channel in capitals":   {"WhatsApp:+15005550009", "whatsapp:+15005550009", true},
		"a name":                    {"Ada", "ada", true},
		"another name":              {"Ada", "Adam", false},
		"a name and a number":       {"Ada", "+15005550009", false},
		"nothing":                   {"", "+15005550009", false},
		"zeros alone":               {"000", "+15005550009", false},
		"a client of voice":         {"client:ada", "client:ada", true},
		"another client":            {"client:ada", "client:bob", false},
		"a SIP address is no phone": {"sip:ada@example.com", "+15005550009", false},
	} {
		if got := partyOf(c.a).may(partyOf(c.b)); got != c.may {
			t.Errorf("%s: %v, expected %v", name, got, c.may)
		}
		if got := partyOf(c.b).may(partyOf(c.a)); got != c.may {
			t.Errorf("%s, the other way round: %v, expected %v", name, got, c.may)
		}
	}
	for hidden, covers := range map[string]bool{
		"+1500555XXXX": true, "+1500555xxxx": true, "+1500555****": true, "+1500556XXXX": false, "+150055XXXX": true, "+150056XXXX": false, "+15005550009": false, "whatsapp:+1500555XXXX": false, "": false,
	} {
		if got := partyOf(hidden).covers(partyOf("+15005550009")); got != covers {
			t.Errorf("%q covers +15005550009: %v, expected %v", hidden, got, covers)
		}
	}
}

// dated is an answer with such a Date.
func dated(t time.Time) http.Header {
	return http.Header{"Date": {t.UTC().Format(http.TimeFormat)}}
}

func TestClocks(t *testing.T) {
	began := time.Now()
	at := began.Add
	wall := func(d time.Duration) time.Time { return began.Truncate(time.Second).Round(0).Add(d) }
	const s = time.Second

	var c clocks
	if _, ok := c.ahead(); ok {
		t.Error("clocks that were never looked at are known")
	}
	c.twilioSaid(dated(wall(10*s)), at(0), at(s))
	if _, ok := c.ahead(); ok {
		t.Error("the engine's clock is known, which was never looked at")
	}
	c.engineSaid(wall(0), at(0), at(0))
	has := func(what string, truth time.Duration, width time.Duration) {
		t.Helper()
		i, ok := c.ahead()
		if !ok || truth < i.lo || truth > i.hi || i.hi-i.lo > width {
			t.Errorf("%s: Twilio's clock is ahead by %v to %v (%v), expected %v within, and at most %v between", what, i.lo, i.hi, ok, truth, width)
		}
	}
	has("one look at each", 10*s, 2*s)
	c.twilioSaid(http.Header{}, at(2*s), at(2*s))
	c.twilioSaid(http.Header{"Date": {"soon"}}, at(2*s), at(2*s))
	has("an answer without a Date", 10*s, 2*s)

	c.twilioSaid(dated(wall(70*s)), at(60*s), at(60*s))
	has("the same later", 10*s, 3*s)

	c.engineSaid(wall(160*s), at(100*s), at(100*s)) // set forward by a minute
	has("the engine's clock before it was set", 10*s, 64*s)
	has("the engine's clock afterwards", -50*s, 64*s)

	c.twilioSaid(dated(wall(230*s)), at(200*s), at(200*s)) // 20 s further ahead
	has("Twilio's clock afterwards, the engine's before", 30*s, 84*s)
	has("Twilio's clock before, the engine's afterwards", -50*s, 84*s)

	for hour := range 3 { // nothing changes for three hours: what was before is forgotten
		d := time.Duration(hour+1) * 61 * time.Minute
		c.engineSaid(wall(60*s+d), at(d), at(d))
		c.twilioSaid(dated(wall(30*s+d)), at(d), at(d))
	}
	has("three hours later", -30*s, 3*s)
}

// suspended returns the instant at which the monotonic clock has moved by mono since from,
// and the one on the wall by wall. Package time makes no such instant.
func suspended(from time.Time, mono, wall time.Duration) time.Time {
	t := from.Add(wall)
	(*struct {
		wall uint64
		mono int64
		loc  *time.Location
	})(unsafe.Pointer(&t)).mono += int64(mono - wall)
	return t
}

// A request is late by the clock that has moved further: the monotonic one stands still
// while a machine is suspended, and the one on the wall can be set.
func TestRequestIsLateByEitherClock(t *testing.T) {
	w := &settings{leaseMargin: 25 * time.Second}
	claimed := time.Now()
	if now := suspended(claimed, time.Second, time.Hour); now.Sub(claimed) != time.Second || now.Round(0).Sub(claimed.Round(0)) != time.Hour {
		t.Fatalf("package time keeps its clocks otherwise by now: %v, %v", now.Sub(claimed), now.Round(0).Sub(claimed.Round(0)))
	}
	wall := func(d time.Duration) time.Time { return claimed.Round(0).Add(d) }
	for name, c := range map[string]struct {
		claimed, now time.Time
		want         bool
	}{
		"at once":                       {claimed, claimed, false},
		"half of the margin":            {claimed, claimed.Add(12500 * time.Millisecond), false},
		"more than half of the margin":  {claimed, claimed.Add(12500*time.Millisecond + 1), true},
		"a wall clock alone":            {wall(0), wall(13 * time.Second), true},
		"a wall clock that was set":     {wall(0), wall(-time.Hour), false},
		"it has slept and wakes at two": {claimed, suspended(claimed, time.Second, 2*time.Minute), true},
		"slept for less than the half":  {claimed, suspended(claimed, time.Second, 11*time.Second), false},
		"the wall was set back":         {claimed, suspended(claimed, 13*time.Second, -time.Hour), true},
		"set back, and not late":        {claimed, suspended(claimed, 12*time.Second, -time.Hour), false},
	} {
		if got := w.late(c.claimed, c.now); got != c.want {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
}
