package twiliotest

import (
	"net/http"
	"strconv"
	"time"
	"unicode/utf16"
)

// messageDoc is a message in JSON, with the fields of twilio-go's
// ApiV2010Message.
type messageDoc struct {
	Sid                 string            `json:"sid"`
	AccountSid          string            `json:"account_sid"`
	MessagingServiceSid *string           `json:"messaging_service_sid"`
	From                *string           `json:"from"`
	To                  string            `json:"to"`
	Body                string            `json:"body"`
	Status              string            `json:"status"`
	Direction           string            `json:"direction"`
	NumSegments         string            `json:"num_segments"`
	NumMedia            string            `json:"num_media"`
	DateCreated         string            `json:"date_created"`
	DateUpdated         string            `json:"date_updated"`
	DateSent            *string           `json:"date_sent"`
	ErrorCode           *int              `json:"error_code"`
	ErrorMessage        *string           `json:"error_message"`
	Price               *string           `json:"price"`
	PriceUnit           string            `json:"price_unit"`
	APIVersion          string            `json:"api_version"`
	URI                 string            `json:"uri"`
	SubresourceURIs     map[string]string `json:"subresource_uris"`
}

var messageKind = kind{
	key:    "messages",
	times:  []string{"DateSent"},
	create: createMessage,
	update: updateMessage,
	doc: func(it *item, fresh bool) any {
		base := "/" + apiVersion + "/Accounts/" + it.account + "/Messages/" + it.sid
		d := messageDoc{
			Sid: it.sid, AccountSid: it.account, MessagingServiceSid: optional(it.service),
			From: optional(it.from), To: it.shownTo(fresh), Body: it.body, Status: it.status, Direction: "outbound-api",
			NumSegments: strconv.Itoa(it.segments), NumMedia: strconv.Itoa(it.media),
			DateCreated: rfc2822(it.created), DateUpdated: rfc2822(it.updated),
			PriceUnit: "USD", APIVersion: apiVersion, URI: base + ".json",
			SubresourceURIs: map[string]string{"media": base + "/Media.json"},
		}
		if !fresh {
			// Filters take a message as sent when it was created, and what
			// they find should show the date they went by.
			d.DateSent = &d.DateCreated
			if it.redaction.Bodies {
				d.Body = ""
			}
		}
		return d
	},
	filters: map[string]func(*item) string{
		"To":   func(it *item) string { return it.to },
		"From": func(it *item) string { return it.from },
	},
}

// createMessage answers POST Messages.json. Codes and messages of what it
// refuses are Twilio's (https://www.twilio.com/docs/errors/21604 and so on).
func createMessage(f *Fake, in *inbound) (*item, *answer) {
	form := in.req.Form
	switch {
	case form.Get("To") == "":
		return nil, f.failure(in, http.StatusBadRequest, 21604, "A 'To' phone number is required.")
	case in.req.Sender == "":
		return nil, f.failure(in, http.StatusBadRequest, 21603, "A 'From' phone number is required.")
	case form.Get("Body") == "" && form.Get("MediaUrl") == "" && form.Get("ContentSid") == "":
		return nil, f.failure(in, http.StatusBadRequest, 21602, "Message body is required.")
	}
	// A messaging service picks the sender later: until then Twilio says
	// "accepted", and "scheduled" if there is a time to send at.
	prefix, status := "SM", "queued"
	if form.Get("MessagingServiceSid") != "" {
		status = "accepted"
	}
	if form.Get("SendAt") != "" {
		status = "scheduled"
	}
	if form.Get("MediaUrl") != "" {
		prefix = "MM"
	}
	it := f.newItem(in, prefix, status)
	it.service = form.Get("MessagingServiceSid")
	it.body = f.alter.text(in)
	it.redaction = f.alter.redaction(in)
	it.media = len(form["MediaUrl"])
	it.segments = segments(it.body)
	return it, nil
}

// updateMessage takes an empty Body, which redacts the text, and a Status,
// which Twilio allows to be "canceled".
func updateMessage(it *item, in *inbound) {
	if body, given := in.req.Form["Body"]; given {
		it.body = body[0]
	}
	if status := in.req.Form.Get("Status"); status != "" {
		it.status = status
	}
}

// segments counts a text's segments: 160 characters of GSM-7, 153 each if
// there are several, or 70 and 67 UTF-16 units. Every ASCII character is taken
// for one of GSM-7, and no other.
func segments(text string) int {
	single, each, n := 160, 153, len(text)
	for _, c := range []byte(text) {
		if c >= 0x80 {
			single, each, n = 70, 67, len(utf16.Encode([]rune(text)))
			break
		}
	}
	if n <= single {
		return 1
	}
	return (n + each - 1) / each
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// rfc2822 is the form of dates at api.twilio.com.
func rfc2822(t time.Time) string { return t.UTC().Format(time.RFC1123Z) }
