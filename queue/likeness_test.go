package queue

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio/twilio-go/client"
)

const testAccount = "AC0123456789abcdef0123456789abcdef"

// Twilio may list a receiver in another form than was written: then that nothing is listed
// for it proves nothing.
func TestAbsenceIsNotProvedForAReceiverThatMayBeListedOtherwise(t *testing.T) {
	for to, proved := range map[string]bool{
		"+15005550009":                        true,
		"+1 (500) 555-0009":                   true,
		"whatsapp:+15005550009":               true,
		"client:alice":                        true,
		"sip:alice@example.com":               true,
		"+390612345678":                       true, // Italy keeps its zero
		"+2250712345678":                      true, // as does Ivory Coast
		"+44 (0) 7911 123456":                 false,
		"+4407911123456":                      false,
		"+3530861234567":                      false,
		"+1/500/555-0009":                     false,
		"+1\u2011500\u2011555\u20110009":      false,
		"client:alice?order=17":               false,
		"sip:alice@example.com?X-Order=7":     false,
		"sip:alice@example.com;transport=tls": false,
		"15005550009":                         false,
		"(500) 555-0009":                      false,
	} {
		t.Run(to, func(t *testing.T) {
			calls := pacer.ResourceOf("POST", "https://api.twilio.com/2010-04-01/Accounts/"+testAccount+"/Calls.json", nil, testAccount)
			j := &Job{Lane: Lane{Resource: calls}, Began: time.Now(), Request: Request{Form: url.Values{"To": {to}, "From": {"+15005550006"}}}}
			if found := emptyDoubt(j).verdict(); (found == verdict{}) != proved {
				t.Errorf("%+v: expected absence to be proved: %v", found, proved)
			}
		})
	}
}

func emptyDoubt(j *Job) *doubt {
	return &doubt{
		job: j, span: span{j.Began, j.Began.Add(time.Minute)}, hides: hidesNone,
	}
}

// Of a field with two values nobody knows which one Twilio takes.
func TestTwoValuesOfAFieldAreRefusedAndNeverJudged(t *testing.T) {
	for _, kind := range []string{"Messages", "Calls"} {
		for _, field := range []string{"To", "From", "MessagingServiceSid", "Body"} {
			if kind == "Calls" && field != "To" && field != "From" {
				continue
			}
			t.Run(kind+" "+field, func(t *testing.T) {
				r := Request{Method: "POST", URL: "https://api.twilio.com/2010-04-01/Accounts/" + testAccount + "/" + kind + ".json",
					Form: url.Values{"To": {"+15005550009"}, "From": {"+15005550006"}, "Body": {"hello"}}}
				resource := pacer.ResourceOf(r.Method, r.URL, url.Values(r.Form), testAccount)
				if err := r.check(resource); err != nil {
					t.Fatal(err)
				}
				r.Form[field] = []string{"+15005550009", "+15005550001"}
				if err := r.check(resource); err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "2 values") {
					t.Errorf("enqueued with %v", err)
				}
				found := emptyDoubt(&Job{Lane: Lane{Resource: resource}, Began: time.Now(), Request: r}).verdict()
				if found.unsure == "" {
					t.Errorf("%+v: expected a person to decide", found)
				}
			})
		}
	}
}

// What is proved to be another's does not keep a request from being judged.
func TestUnreadableTimeOfAnotherThingInTheListIsIgnored(t *testing.T) {
	r := pacer.ResourceOf("POST", "https://api.twilio.com/2010-04-01/Accounts/"+testAccount+"/Messages.json", nil, testAccount)
	d := emptyDoubt(&Job{Lane: Lane{Resource: r}, Began: time.Now(), Request: Request{Form: url.Values{"To": {"+15005550009"}, "From": {"+15005550006"}, "Body": {"hello"}}}})
	d.listed = []created{
		{SID: "SM1", To: "+15005550009", From: "+15005550001", Body: "hello"},
		{SID: "SM2", To: "+15005550009", From: "+15005550006", Body: "hello", Direction: "inbound"},
		{SID: "SM3", To: "+15005550009", From: "+15005550006", Body: "hello"},
	}
	d.taken = map[string]bool{"SM3": true}
	if found := d.verdict(); found != (verdict{}) {
		t.Errorf("%+v: expected absence to be proved", found)
	}
}

// An empty answer is Twilio's to a DELETE only with status 204.
func TestEmptyAnswerProvesADeletionOnlyWithItsStatus(t *testing.T) {
	r := &Request{Method: "DELETE", URL: "https://api.twilio.com/2010-04-01/Accounts/" + testAccount + "/Messages/SM0123456789abcdef0123456789abcdef.json"}
	resource := pacer.ResourceOf(r.Method, r.URL, nil, testAccount)
	for status, want := range map[int]meaning{204: wasAccepted, 200: wasUntaken, 302: wasUntaken} {
		if v, _ := judge(attempt{request: r, resource: resource, status: status, whole: true}); v != want {
			t.Errorf("status %d: %q, expected %q", status, v, want)
		}
	}
}

// Failures of Twilio's own leave open what became of a request, whatever code they have.
func TestServerErrorIsInDoubtWhateverItsCode(t *testing.T) {
	for _, code := range []int{0, 10001, 20003, 20403, 21211} {
		a := attempt{request: &Request{Method: "POST"}, err: &client.TwilioRestError{Status: 500, Code: code}}
		if v, _ := judge(a); v != wasUnproved {
			t.Errorf("code %d: %q", code, v)
		}
	}
	if v, _ := judge(attempt{request: &Request{Method: "POST"}, err: errors.New("unknown")}); v != wasUnproved {
		t.Errorf("unknown error: %q", v)
	}
}
