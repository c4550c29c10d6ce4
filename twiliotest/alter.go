package twiliotest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Alterations say how what Twilio shows of messages and calls differs from
// what was sent. A program that looks for a message by its text or its number
// must cope with all of them. The zero value alters nothing.
//
// SmartEncoding, Redaction and NormalizeNumbers hold for what is created from
// then on; ExactFilters and Item for lists that are asked for from then on.
// Records, and so [Fake.Duplicates], always have what was sent.
type Alterations struct {
	// SmartEncoding are the SIDs of the Messaging Services whose setting Smart
	// Encoding is on, as it is by default for new services
	// (https://www.twilio.com/docs/messaging/services#smart-encoding). "" among
	// them is all services. Their messages are shown with typographic
	// characters replaced: "It’s – today" becomes "It's - today". The request's
	// own SmartEncoded=true or false decides if it is given. nil: no service.
	SmartEncoding []string

	// Redaction is Message Redaction by account SID. "" is all accounts that
	// are not named. nil: none.
	Redaction map[string]Redaction

	// NormalizeNumbers shows To and From in E.164 however they were written:
	// "15005550009", "1-500-555-0009", "(500) 555-0009" and "5005550009" become
	// "+15005550009". Twilio says that such numbers may work
	// (https://help.twilio.com/articles/223183008); users report that they do.
	// What is no number of North America, and has no plus sign, stays as it is.
	NormalizeNumbers bool

	// ExactFilters makes the lists' filters To and From find only what is shown exactly like that.
	// They find no number that was redacted, and after normalization none in another notation. Which
	// of both Twilio does is not documented. false: filters go by the number itself, however it is
	// written or shown.
	ExactFilters bool

	// Item may change each message or call before a list shows it, or leave it
	// out by returning false. r is the request for the list, and must not be
	// changed; item has the fields of the JSON, as in item["body"]. A page that
	// lacks items still leads to the next one. Item is called from many
	// goroutines at once. nil: nothing.
	Item func(r *Request, item map[string]any) bool
}

// A Redaction is a setting of Twilio's Message Redaction
// (https://www.twilio.com/docs/messaging/guides/privacy-message-redaction).
// The answer to the creation of a message still shows all of it. A request's
// own ContentRetention (retain, discard) and AddressRetention (retain,
// obfuscate) decide if they are given. The zero value redacts nothing.
type Redaction struct {
	// Bodies shows messages with an empty Body.
	Bodies bool

	// Numbers shows To with XXXX for its last four digits. From is Twilio's own
	// number and stays.
	Numbers bool
}

// SetAlterations replaces [Config].Alterations.
func (f *Fake) SetAlterations(a Alterations) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alter = a.clone()
}

func (a Alterations) clone() Alterations {
	a.SmartEncoding, a.Redaction = slices.Clone(a.SmartEncoding), maps.Clone(a.Redaction)
	return a
}

// number is how Twilio keeps a number that was written so.
func (a Alterations) number(written string) string {
	if a.NormalizeNumbers {
		return e164(written)
	}
	return written
}

// text is how Twilio keeps a message's text.
func (a Alterations) text(in *inbound) string {
	form := in.req.Form
	service := form.Get("MessagingServiceSid")
	encode := service != "" && (slices.Contains(a.SmartEncoding, service) || slices.Contains(a.SmartEncoding, ""))
	switch strings.ToLower(form.Get("SmartEncoded")) {
	case "true":
		encode = true
	case "false":
		encode = false
	}
	if encode {
		return smartEncoding.Replace(form.Get("Body"))
	}
	return form.Get("Body")
}

// redaction is what will be hidden of a message.
func (a Alterations) redaction(in *inbound) Redaction {
	r, named := a.Redaction[in.req.Account]
	if !named {
		r = a.Redaction[""]
	}
	if value := in.req.Form.Get("ContentRetention"); value != "" {
		r.Bodies = value == "discard"
	}
	if value := in.req.Form.Get("AddressRetention"); value != "" {
		r.Numbers = value == "obfuscate"
	}
	return r
}

// finds tells whether a list's filter finds an item with that value. number
// says that it is one of To and From; shown is how the item shows the value.
func (a Alterations) finds(number bool, asked, value, shown string) bool {
	switch {
	case !number:
		return asked == value
	case a.ExactFilters:
		return asked == shown
	default:
		return asked == value || a.NormalizeNumbers && e164(asked) == e164(value)
	}
}

// e164 is a number in E.164, if it is one of North America or has a plus sign;
// else it is unchanged. A channel in front, as in "whatsapp:", stays.
func e164(number string) string {
	channel, written, hasChannel := strings.Cut(number, ":")
	if !hasChannel {
		channel, written = "", number
	} else {
		channel += ":"
	}
	digits, plus := strings.CutPrefix(punctuation.Replace(written), "+")
	switch {
	case digits == "" || strings.Trim(digits, "0123456789") != "":
		return number
	case plus:
		return channel + "+" + digits
	case len(digits) == 11 && digits[0] == '1':
		return channel + "+" + digits
	case len(digits) == 10:
		return channel + "+1" + digits
	}
	return number
}

var punctuation = strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "")

// obfuscate hides the last four digits of a number.
func obfuscate(number string) string {
	b := []byte(number)
	for i, left := len(b)-1, 4; i >= 0 && left > 0; i-- {
		if b[i] >= '0' && b[i] <= '9' {
			b[i] = 'X'
			left--
		}
	}
	return string(b)
}

// A listing is a list on its way out, of which Alterations.Item has not yet
// seen the items.
type listing struct {
	doc   map[string]any
	key   string // of the items in doc
	items []any
	alter func(*Request, map[string]any) bool
}

// show lets Item see the items of a list. It is called without the mutex, so
// that Item may call the Fake.
func (a *answer) show(in *inbound) {
	if a.listing == nil {
		return
	}
	shown := []any{}
	for _, it := range a.listing.items {
		var item map[string]any
		if err := json.Unmarshal(mustJSON(it), &item); err != nil {
			panic("twiliotest: " + err.Error())
		}
		if a.listing.alter(&in.req, item) {
			shown = append(shown, item)
		}
	}
	a.listing.doc[a.listing.key] = shown
	a.body = mustJSON(a.listing.doc)
}
