package queue

import (
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer"
)

const accountPath = "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001"

func TestProducersMayOrderMessagesCallsAndVerificationsByDefault(t *testing.T) {
	verify := "https://verify.twilio.com/v2/Services/VA00000000000000000000000000000001"
	for _, c := range []struct {
		method, url string
		allowed     bool
	}{
		{"POST", accountPath + "/Messages.json", true},
		{"POST", accountPath + "/Calls.json", true},
		{"POST", verify + "/Verifications", true},
		{"POST", verify + "/VerificationCheck", false},
		{"POST", verify + "/Verifications/VE00000000000000000000000000000001", false}, // approves it
		{"POST", accountPath + "/IncomingPhoneNumbers.json", false},
		{"DELETE", accountPath + "/Messages/SM00000000000000000000000000000001.json", false},
		{"GET", accountPath + "/Messages.json", false},
		{"PUT", accountPath + "/Messages.json", false},
		{"POST", accountPath + ".json", false},
		// What a server might read as another operation than ResourceOf does.
		{"POST", accountPath + "/IncomingPhoneNumbers.json/../Messages.json", false},
		{"POST", accountPath + "/IncomingPhoneNumbers.json/Messages.json", false},
		{"POST", accountPath + "/IncomingPhoneNumbers%2FLocal.json%3F/Messages.json", false},
		{"POST", accountPath + "/IncomingPhoneNumbers.json;/Messages.json", false},
		{"POST", accountPath + "//Messages.json", false},
		{"POST", accountPath + "/%2e%2e/Messages.json", false},
		{"POST", accountPath + "/x%252F/Messages.json", false},
		{"POST", "https://api.twilio.com/%zz", false},
	} {
		err := Operations{}.Check(Request{Method: c.method, URL: c.url})
		if (err == nil) != c.allowed {
			t.Errorf("%s %s: %v, expected allowed: %v", c.method, c.url, err, c.allowed)
		}
	}
}

func TestOperationsAreExactlyThoseNamed(t *testing.T) {
	lookup := Request{Method: "GET", URL: "https://lookups.twilio.com/v2/PhoneNumbers/%2B15005550006"}
	message := Request{Method: "POST", URL: accountPath + "/Messages.json"}
	o, err := NewOperations("lookups/PhoneNumbers:read")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Check(lookup); err != nil {
		t.Error(err)
	}
	if err := o.Check(message); err == nil || !strings.Contains(err.Error(), "lookups/PhoneNumbers:read") || !strings.Contains(err.Error(), "WithOperations") {
		t.Errorf("%v: expected what is allowed, and the option that allows more", err)
	}
	if o, err = NewOperations("*"); err != nil || o.Check(lookup) != nil || o.Check(message) != nil {
		t.Errorf("%v: expected everything to be allowed", err)
	}
}

func TestOperationsWithoutAProperNameAreRefused(t *testing.T) {
	for _, names := range [][]string{nil, {""}, {"Messages"}, {"api/Messages"}, {"api/Messages:post"}, {"messages:create"}, {createMessage, "api/Messages:create "}} {
		if _, err := NewOperations(names...); err == nil {
			t.Errorf("%q: expected an error", names)
		}
	}
	for _, name := range DefaultOperations() {
		if _, err := NewOperations(name); err != nil {
			t.Error(err)
		}
	}
}

// A name that no operation has would be without effect, in silence.
func TestNameOfNoOperationIsRefusedWithTheNearest(t *testing.T) {
	const blank = " "
	for name, want := range map[string]string{
		"Messages":                     `"Messages": it is no name of an operation: expected "api/Messages:create", which is the nearest name, or another product/Name:op`,
		"messages":                     `expected "api/Messages:create"`,
		"api/Messages":                 `expected "api/Messages:create"`,
		"Messages:read":                `expected "api/Messages:read"`,
		"api/Messages:post":            `expected "api/Messages:create"`,
		"api/Mesages:create":           `"api/Mesages:create": no operation of Twilio's has this name: expected "api/Messages:create"`,
		"api/Call:write":               `expected "api/Calls:write"`,
		"verify/Verification:create":   `expected "verify/Verifications:create"`,
		"lookup/PhoneNumbers:read":     `expected "lookups/PhoneNumbers:read"`,
		"nonsense/Of/Mine:create":      `no operation of Twilio's has this name`,
		"":                             `expected product/Name:op such as "api/Messages:create", where op is read, create or write`,
		blank + "api/Messages:create":  `it is no name of an operation`,
		"api/Messages:create,api/Call": `it is no name of an operation`,
	} {
		for option, err := range map[string]error{
			"WithInDoubt": WithInDoubt(ParkInDoubt, createCall, name)(&Worker{base: &base{settings: settings{policies: make(map[string]Policy)}}}),
			"operations":  func() error { _, err := NewOperations(createCall, name); return err }(),
		} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "queue: "+option+": ") {
				t.Errorf("%s: %q: %v, expected %q", option, name, err, want)
			}
		}
	}
}

func TestPolicyIsOfTheOperationsThatItsNamesAreOf(t *testing.T) {
	w := &Worker{base: &base{settings: settings{policies: make(map[string]Policy)}}}
	for name, p := range map[string]Policy{"api/Messages:create": ParkInDoubt, "verify/Verifications:create": Resend, "verify/Services/VerificationCheck:create": Resend} {
		if err := WithInDoubt(p, name)(w); err != nil {
			t.Fatal(err)
		}
	}
	const verify = "https://verify.twilio.com/v2/Services/VA00000000000000000000000000000001"
	for url, want := range map[string]Policy{
		accountPath + "/Messages.json": ParkInDoubt, accountPath + "/Calls.json": Reconcile, verify + "/Verifications": Resend,
		verify + "/VerificationCheck": Resend, verify + "/Entities": ParkInDoubt,
	} {
		r := Request{Method: "POST", URL: url}
		if got := w.policyFor(pacer.ResourceOf(r.Method, r.URL, nil, ""), &r); got != want {
			t.Errorf("%s: %q, expected %q", url, got, want)
		}
	}
}
