package queue

import (
	"net/url"
	"regexp"
	"strings"
	"time"
)

// This file compares a request with what Twilio's lists have.

// A created is a message or call as Twilio's lists have it.
type created struct {
	SID                 string `json:"sid"`
	To                  string `json:"to"`
	From                string `json:"from"`
	Body                string `json:"body"`
	MessagingServiceSID string `json:"messaging_service_sid"`
	DateCreated         string `json:"date_created"`
	Direction           string `json:"direction"`
}

// at returns when it was created, to the second, and false if that cannot be read.
func (c *created) at() (time.Time, bool) {
	t, err := time.Parse(time.RFC1123Z, c.DateCreated)
	return t, err == nil
}

// inbound reports that nobody has made it through the API.
func (c *created) inbound() bool { return strings.HasPrefix(c.Direction, "inbound") }

// A party is a receiver or a sender, in the form in which two can be compared.
type party struct {
	channel string // "whatsapp", ...; "": none
	text    string // "+15005550009"; what is no number keeps its text, in lower case
	exact   bool   // it is in Twilio's own form: E.164, or no number at all
}

var number = regexp.MustCompile(`^\+?[0-9 ().\-]+$`)

// partyOf reads a number or an address. Blanks and punctuation in a number say nothing.
func partyOf(s string) party {
	a := party{text: strings.TrimSpace(s)}
	if channel, rest, ok := strings.Cut(a.text, ":"); ok {
		a.channel, a.text = strings.ToLower(channel), strings.TrimSpace(rest)
	}
	if !number.MatchString(a.text) {
		name, _, more := strings.Cut(a.text, "?") // what follows is for the receiver, and no part of its name
		name, _, more2 := strings.Cut(name, ";")
		phone := (a.channel == "" || a.channel == "whatsapp") && digits(name) >= 7
		a.text, a.exact = strings.ToLower(name), name != "" && !more && !more2 && !phone
		return a
	}
	a.text = notation.Replace(a.text)
	a.exact = e164.MatchString(a.text) && (!zeroAfterCountry.MatchString(a.text) || keepsZero.MatchString(a.text))
	return a
}

// digits counts the digits in s.
func digits(s string) (n int) {
	for _, r := range s {
		if r >= '0' && r <= '9' {
			n++
		}
	}
	return n
}

// People write "+44 (0) 7911 123456" for "+447911123456", as Twilio lists it. Some countries
// have numbers that keep the zero. Country codes: https://www.itu.int/pub/T-SP-E.164D
var (
	zeroAfterCountry = regexp.MustCompile(`^\+(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-689]|3[578]|42|5[09]|6[789]|8[035789]|9[679])[0-9])0`)
	keepsZero        = regexp.MustCompile(`^\+(?:39|378|225|229|241|242)0`) // Italy, San Marino, Ivory Coast, Benin, Gabon, Congo
)

// String returns the address as Twilio's list is asked for it.
func (a party) String() string {
	text := a.text
	if withoutPlus(text) {
		text = "+" + text
	}
	if a.channel != "" {
		return a.channel + ":" + text
	}
	return text
}

// may reports whether two addresses may be one. Of numbers in different notations the last
// digits decide: "5005550009" may be "+15005550009".
func (a party) may(b party) bool {
	if a.channel != b.channel {
		return false
	}
	if a.exact && b.exact {
		return a.text == b.text
	}
	x, y := strings.TrimLeft(a.text, "+0"), strings.TrimLeft(b.text, "+0")
	return x != "" && y != "" && (strings.HasSuffix(x, y) || strings.HasSuffix(y, x))
}

// maskedNumber is a number of which Twilio has hidden digits, such as "+1500555XXXX". The first
// group is what stands before the hidden digits, the second what stands behind them.
// https://www.twilio.com/docs/messaging/guides/privacy-message-redaction
var maskedNumber = regexp.MustCompile(`^\+?([0-9]*)[xX*•][0-9xX*•]*?([0-9]*)$`)

// hidden reports a number of which Twilio has hidden digits.
func (a party) hidden() bool { return maskedNumber.MatchString(notation.Replace(a.text)) }

// covers reports whether a hidden number may be b.
func (a party) covers(b party) bool {
	seen := maskedNumber.FindStringSubmatch(notation.Replace(a.text))
	if seen == nil || a.channel != b.channel {
		return false
	}
	digits := strings.TrimPrefix(b.text, "+")
	return strings.HasPrefix(digits, seen[1]) && strings.HasSuffix(digits, seen[2])
}

// mayBe reports whether c is to the request's receiver, and by a sender that may be the
// request's. Twilio chooses the number of a service. It also rewrites senders that are no phone
// numbers, such as names and short codes.
func mayBe(f url.Values, c created) bool {
	to, from := partyOf(f.Get("To")), partyOf(f.Get("From"))
	listed := partyOf(c.To)
	if !to.may(listed) && !listed.covers(to) {
		return false
	}
	if service := f.Get("MessagingServiceSid"); service != "" {
		return c.MessagingServiceSID == service
	}
	by := partyOf(c.From)
	return from.text == "" || !e164.MatchString(from.text) || from.may(by) || by.covers(from)
}

// surely reports whether c, which may be the request, is by the sender that the request names.
func surely(f url.Values, c created) bool {
	from := partyOf(f.Get("From"))
	return f.Get("MessagingServiceSid") != "" || from.text == "" || from.may(partyOf(c.From))
}

// canCompare reports whether the text of a message can be told from Twilio's list.
func canCompare(f url.Values) bool {
	return f.Get("Body") != "" && f.Get("ContentSid") == "" && f.Get("ShortenUrls") != "true" && f.Get("ContentRetention") != "discard"
}

// looks is what of a request can be seen in Twilio's lists. Twins are requests with the same looks.
func looks(j *Job) string {
	f := url.Values(j.Request.Form)
	return lookOf(&j.Lane, f.Get("To"), f.Get("From"), f.Get("MessagingServiceSid"), f.Get("Body"))
}

// looks is what of a message or call in Twilio's list can be seen, if it was sent in lane l.
func (c *created) looks(l *Lane) string {
	return lookOf(l, c.To, c.From, c.MessagingServiceSID, c.Body)
}

// lookOf puts together what can be seen.
func lookOf(l *Lane, to, from, service, body string) string {
	if service != "" {
		from = "" // the service chooses it
	}
	return strings.Join([]string{
		l.Resource.Account, l.Resource.String(), partyOf(to).String(), partyOf(from).String(), service, text(body),
	}, "\x00")
}

// text is what of a text can be compared. White space says nothing, and Smart Encoding replaces
// characters by others that fit into an SMS. It is on for new Messaging Services:
// https://www.twilio.com/docs/messaging/services#smart-encoding
func text(s string) string { return strings.Join(strings.Fields(plainer.Replace(s)), " ") }

// plainer has the characters of Smart Encoding that people's texts have most:
// https://www.twilio.com/docs/messaging/services/smart-encoding-char-list
var plainer = strings.NewReplacer(
	"«", `"`, "»", `"`, "“", `"`, "”", `"`, "„", `"`, "‟", `"`, "ʺ", `"`, "˝", `"`, "″", `"`,
	"‘", "'", "’", "'", "‚", "'", "‛", "'", "ʻ", "'", "ʼ", "'", "´", "'", "`", "'", "′", "'", "ˈ", "'",
	"‐", "-", "‑", "-", "‒", "-", "–", "-", "—", "-", "―", "-", "−", "-", "⁃", "-",
	"…", "...", "‹", "<", "›", ">", "÷", "/", "¼", "1/4", "½", "1/2", "¾", "3/4",
	"\u00a0", " ", "\u2000", " ", "\u2001", " ", "\u2002", " ", "\u2003", " ", "\u2004", " ", "\u2005", " ",
	"\u2006", " ", "\u2007", " ", "\u2008", " ", "\u2009", " ", "\u200a", " ", "\u202f", " ", "\u205f", " ", "\u3000", " ",
	"\u200b", "", "\u2060", "", "\ufeff", "",
)

// sameText allows also for what Twilio puts before the text of a trial account: "Sent from
// your Twilio trial account - ".
func sameText(f url.Values, c created) bool {
	want, have := text(f.Get("Body")), text(c.Body)
	return want == have || strings.HasPrefix(have, "Sent from your Twilio trial account") && strings.HasSuffix(have, want)
}
