package twiliotest

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// callDoc is a call in JSON, with the fields of twilio-go's ApiV2010Call.
type callDoc struct {
	Sid             string            `json:"sid"`
	AccountSid      string            `json:"account_sid"`
	ParentCallSid   *string           `json:"parent_call_sid"`
	PhoneNumberSid  *string           `json:"phone_number_sid"`
	From            string            `json:"from"`
	FromFormatted   string            `json:"from_formatted"`
	To              string            `json:"to"`
	ToFormatted     string            `json:"to_formatted"`
	Status          string            `json:"status"`
	Direction       string            `json:"direction"`
	DateCreated     string            `json:"date_created"`
	DateUpdated     string            `json:"date_updated"`
	StartTime       *string           `json:"start_time"`
	EndTime         *string           `json:"end_time"`
	Duration        *string           `json:"duration"`
	Price           *string           `json:"price"`
	PriceUnit       string            `json:"price_unit"`
	AnsweredBy      *string           `json:"answered_by"`
	ForwardedFrom   *string           `json:"forwarded_from"`
	GroupSid        *string           `json:"group_sid"`
	CallerName      *string           `json:"caller_name"`
	QueueTime       string            `json:"queue_time"`
	TrunkSid        *string           `json:"trunk_sid"`
	APIVersion      string            `json:"api_version"`
	URI             string            `json:"uri"`
	SubresourceURIs map[string]string `json:"subresource_uris"`
}

var callKind = kind{
	key:    "calls",
	times:  []string{"StartTime", "EndTime"},
	create: createCall,
	update: updateCall,
	doc: func(it *item, fresh bool) any {
		base := "/" + apiVersion + "/Accounts/" + it.account + "/Calls/" + it.sid
		d := callDoc{
			Sid: it.sid, AccountSid: it.account,
			From: it.from, FromFormatted: it.from, To: it.to, ToFormatted: it.to,
			Status: it.status, Direction: "outbound-api",
			DateCreated: rfc2822(it.created), DateUpdated: rfc2822(it.updated),
			PriceUnit: "USD", QueueTime: "0", APIVersion: apiVersion, URI: base + ".json",
			SubresourceURIs: map[string]string{
				"notifications": base + "/Notifications.json",
				"recordings":    base + "/Recordings.json",
			},
		}
		if !fresh {
			// As for a message's date_sent: filters take it as started when
			// it was created.
			d.StartTime = &d.DateCreated
		}
		if !it.ended.IsZero() {
			end, duration := rfc2822(it.ended), strconv.Itoa(int(max(it.ended.Sub(it.created), 0)/time.Second))
			d.EndTime, d.Duration = &end, &duration
		}
		return d
	},
	filters: map[string]func(*item) string{
		"To":            func(it *item) string { return it.to },
		"From":          func(it *item) string { return it.from },
		"Status":        func(it *item) string { return it.status },
		"ParentCallSid": func(it *item) string { return "" },
	},
}

// createCall answers POST Calls.json, with Twilio's codes for what is missing
// (https://www.twilio.com/docs/errors/21201, 21213 and 21205).
func createCall(f *Fake, in *inbound) (*item, *answer) {
	form := in.req.Form
	switch {
	case form.Get("To") == "":
		return nil, f.failure(in, http.StatusBadRequest, 21201, "No 'To' number is specified")
	case form.Get("From") == "":
		return nil, f.failure(in, http.StatusBadRequest, 21213, "No 'From' number is specified")
	case form.Get("Url") == "" && form.Get("Twiml") == "" && form.Get("ApplicationSid") == "":
		return nil, f.failure(in, http.StatusBadRequest, 21205, "Url parameter is required.")
	}
	return f.newItem(in, "CA", "queued"), nil
}

// callEnds are the statuses a call does not leave.
var callEnds = []string{"completed", "canceled", "failed", "busy", "no-answer"}

// updateCall takes a Status, which Twilio allows to be "canceled" or
// "completed". A new Url or Twiml is accepted and has no effect.
func updateCall(it *item, in *inbound) {
	status := in.req.Form.Get("Status")
	if status == "" {
		return
	}
	it.status = status
	if slices.Contains(callEnds, status) && it.ended.IsZero() {
		it.ended = in.now
	}
}
