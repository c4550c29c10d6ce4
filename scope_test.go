package pacer

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twilio/twilio-go/client"
)

const (
	verifyURL       = "https://verify.twilio.com/v2/Services/VA0123456789abcdef0123456789abcdef/"
	syncURL         = "https://sync.twilio.com/v1/Services/IS0123456789abcdef0123456789abcdef/"
	conversationURL = "https://conversations.twilio.com/v1/Conversations/CH0123456789abcdef0123456789abcdef"
	inServiceURL    = "https://conversations.twilio.com/v1/Services/IS0123456789abcdef0123456789abcdef/Conversations/CH0123456789abcdef0123456789abcdef"
	messagesURL     = "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json"
)

func keyOfRequest(method, rawURL string, form url.Values) *key {
	return keyOf(ResourceOf(method, rawURL, form, account), rawURL, form)
}

func formOf(kv ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return v
}

func TestReceiverOrObjectOfARequest(t *testing.T) {
	const challenge = verifyURL + "Entities/user-1/Challenges"
	for name, tt := range map[string]struct {
		method, url string
		form        url.Values
		scope       Scope // "": none
		id          string
	}{
		"a verification":                     {"POST", verifyURL + "Verifications", formOf("To", "+1 500 555 0009"), ScopeReceiver, "+15005550009"},
		"a verification by email":            {"POST", verifyURL + "Verifications", formOf("To", "a@example.com"), ScopeReceiver, "a@example.com"},
		"a verification without a receiver":  {"POST", verifyURL + "Verifications", nil, "", ""},
		"its check":                          {"POST", verifyURL + "VerificationCheck", formOf("To", "+15005550009"), ScopeReceiver, "+15005550009"},
		"its check, by SID":                  {"POST", verifyURL + "VerificationCheck", formOf("VerificationSid", "VE0"), ScopeObject, "VE0"},
		"its status":                         {"GET", verifyURL + "Verifications/VE0?x=1", nil, ScopeObject, "VE0"},
		"its status, by number":              {"GET", verifyURL + "Verifications/%2B15005550009", nil, ScopeObject, "+15005550009"},
		"a challenge":                        {"POST", challenge, formOf("FactorSid", "YF0"), ScopeObject, "user-1"},
		"services of Verify":                 {"GET", verifyURL, nil, "", ""},
		"rate limits of Verify":              {"POST", verifyURL + "RateLimits", nil, "", ""},
		"a lookup":                           {"GET", "https://lookups.twilio.com/v2/PhoneNumbers/+15005550009?Fields=x", nil, ScopeReceiver, "+15005550009"},
		"a lookup, escaped":                  {"GET", "https://lookups.twilio.com/v2/PhoneNumbers/%2B15005550009", nil, ScopeReceiver, "+15005550009"},
		"many lookups":                       {"POST", "https://lookups.twilio.com/v2/batch/query", nil, "", ""},
		"a document":                         {"POST", syncURL + "Documents/hot", nil, ScopeObject, "Documents/hot"},
		"a new document":                     {"POST", syncURL + "Documents", formOf("UniqueName", "hot"), "", ""},
		"an item of a map":                   {"POST", syncURL + "Maps/hot/Items/key", nil, ScopeObject, "Maps/hot"},
		"a new item of a list":               {"POST", syncURL + "Lists/hot/Items", nil, ScopeObject, "Lists/hot"},
		"a message of a stream":              {"POST", syncURL + "Streams/hot/Messages", nil, ScopeObject, "Streams/hot"},
		"a document named as a collection":   {"GET", syncURL + "Documents/Lists", nil, ScopeObject, "Documents/Lists"},
		"a message of a conversation":        {"POST", conversationURL + "/Messages", nil, ScopeObject, conversationURL[len(conversationURL)-34:]},
		"a participant":                      {"POST", inServiceURL + "/Participants", nil, ScopeObject, conversationURL[len(conversationURL)-34:]},
		"a conversation of a user":           {"POST", "https://conversations.twilio.com/v1/Users/US0/Conversations/CH0", nil, ScopeObject, "CH0"},
		"a conversation in the form":         {"POST", "https://conversations.twilio.com/v1/Things", formOf("ConversationSid", "CH0"), ScopeObject, "CH0"},
		"a new conversation":                 {"POST", "https://conversations.twilio.com/v1/Conversations", nil, "", ""},
		"a channel":                          {"POST", "https://chat.twilio.com/v2/Services/IS0/Channels/general/Messages", nil, ScopeObject, "general"},
		"a WhatsApp message":                 {"POST", messagesURL, formOf("From", "whatsapp:+15005550006", "To", "whatsapp:+15005550009"), ScopeReceiver, "whatsapp:+15005550009"},
		"a WhatsApp message through a pool":  {"POST", messagesURL, formOf("MessagingServiceSid", serviceSID, "To", "whatsapp:15005550009"), ScopeReceiver, "whatsapp:+15005550009"},
		"an SMS":                             {"POST", messagesURL, formOf("From", sender, "To", "+15005550009"), "", ""},
		"a list of messages":                 {"GET", messagesURL, formOf("To", "whatsapp:+15005550009"), "", ""},
		"a call":                             {"POST", strings.Replace(messagesURL, "Messages", "Calls", 1), formOf("To", "+15005550009"), "", ""},
		"a task":                             {"POST", "https://taskrouter.twilio.com/v1/Workspaces/WS0/Tasks", nil, "", ""},
		"no URL":                             {"POST", "", nil, "", ""},
		"a URL with nothing behind the host": {"POST", "https://sync.twilio.com", nil, "", ""},
	} {
		k := keyOfRequest(tt.method, tt.url, tt.form)
		switch {
		case k == nil && tt.scope == "":
		case k == nil || tt.scope == "":
			t.Errorf("%s: %+v, expected %q %q", name, k, tt.scope, tt.id)
		case k.scope != tt.scope || k.id != tt.id:
			t.Errorf("%s: %q %q, expected %q %q", name, k.scope, k.id, tt.scope, tt.id)
		}
	}
}

// What shares a limit shares a key, and nothing else does.
func TestRequestsOfOneLimitShareAKey(t *testing.T) {
	type request struct {
		method, url string
		form        url.Values
	}
	verification := func(to string) request { return request{"POST", verifyURL + "Verifications", formOf("To", to)} }
	for name, tt := range map[string]struct {
		a, b request
		same bool
	}{
		"two notations of a number":          {verification("+15005550009"), verification("(500) 555-0009"), true},
		"two numbers":                        {verification("+15005550009"), verification("+15005550008"), false},
		"a verification and its check":       {verification("+15005550009"), request{"POST", verifyURL + "VerificationCheck", formOf("To", "+15005550009")}, false},
		"two services of Verify":             {verification("+15005550009"), request{"POST", strings.Replace(verifyURL, "VA0", "VA1", 1) + "Verifications", formOf("To", "+15005550009")}, false},
		"a map and its items":                {request{"POST", syncURL + "Maps/m", nil}, request{"DELETE", syncURL + "Maps/m/Items/i", nil}, true},
		"a map and a list of that name":      {request{"POST", syncURL + "Maps/m", nil}, request{"POST", syncURL + "Lists/m", nil}, false},
		"reads and writes":                   {request{"POST", syncURL + "Maps/m", nil}, request{"GET", syncURL + "Maps/m", nil}, false},
		"one name in two services":           {request{"POST", syncURL + "Maps/m", nil}, request{"POST", strings.Replace(syncURL, "IS0", "IS1", 1) + "Maps/m", nil}, false},
		"messages and participants":          {request{"POST", conversationURL + "/Messages", nil}, request{"POST", conversationURL + "/Participants", nil}, true},
		"a conversation with and without IS": {request{"POST", conversationURL + "/Messages", nil}, request{"POST", inServiceURL + "/Messages", nil}, true},
		"one receiver of two senders": {request{"POST", messagesURL, formOf("From", "whatsapp:+15005550006", "To", "whatsapp:+15005550009")},
			request{"POST", messagesURL, formOf("From", "whatsapp:+15005550001", "To", "whatsapp:+15005550009")}, false},
	} {
		a, b := keyOfRequest(tt.a.method, tt.a.url, tt.a.form), keyOfRequest(tt.b.method, tt.b.url, tt.b.form)
		if a == nil || b == nil || (*a == *b) != tt.same {
			t.Errorf("%s: %+v and %+v, expected the same: %v", name, a, b, tt.same)
		}
	}
}

func TestScopeOfErrors(t *testing.T) {
	for code, want := range map[int]Scope{20429: "", 60212: ScopeReceiver, 60626: ScopeReceiver, 54009: ScopeObject, 50063: ScopeObject, 60312: ScopeObject, 63018: ScopeSender, 21611: ScopeSender, 63017: ScopeAccount, 45780: ScopeResource} {
		rl, ok := FromError(&client.TwilioRestError{Status: 429, Code: code})
		if !ok || rl.Scope != want {
			t.Errorf("code %d: scope %q, expected %q", code, rl.Scope, want)
		}
		if narrow := want == ScopeReceiver || want == ScopeObject; rl.Scope.Narrow() != narrow {
			t.Errorf("code %d: narrow %v", code, !narrow)
		}
	}
	if rl, ok := FromError(errors.New("no limit")); ok || rl.Scope != "" {
		t.Errorf("%+v", rl)
	}
	if s := (RateLimit{Resource: "verify/Services/Verifications:create", Kind: Throttled, Scope: ScopeReceiver, Attempts: 6}).String(); s != "verify/Services/Verifications:create: throttled (one receiver) after 6 attempts" {
		t.Error(s)
	}
	// Each code of a rate, and each that waiting does not help, has a scope.
	for code := range rateCodes {
		if scopes[code] == "" {
			t.Errorf("code %d has no scope", code)
		}
	}
	for code := range finalCodes {
		if scopes[code] == "" {
			t.Errorf("code %d has no scope", code)
		}
	}
}

// docs/scope.md lists each code under its scope.
func TestDocumentListsTheScopeOfEachCode(t *testing.T) {
	text, err := os.ReadFile("docs/scope.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[Scope][]string{}
	for _, code := range slices.Sorted(maps.Keys(scopes)) {
		want[scopes[code]] = append(want[scopes[code]], fmt.Sprint(code))
	}
	for scope, codes := range want {
		row := regexp.MustCompile("(?m)^\\| `" + string(scope) + "` \\|[^|]*\\| (.*) \\|$").FindSubmatch(text)
		if row == nil || string(row[1]) != strings.Join(codes, ", ") {
			t.Errorf("%s: expected the codes %v", scope, codes)
		}
	}
}

func FuzzKeyOf(f *testing.F) {
	for _, op := range operations(f)[:300] {
		f.Add(op.method, op.with("XX0123456789abcdef0123456789abcdef"), "+15005550006")
	}
	f.Add("POST", syncURL+"Maps/%zz", "whatsapp:")
	f.Fuzz(func(t *testing.T, method, rawURL, to string) {
		form := url.Values{"To": {to}, "From": {to}}
		r := ResourceOf(method, rawURL, form, account)
		k := keyOf(r, rawURL, form)
		if k == nil {
			return
		}
		if !k.scope.Narrow() || k.id == "" || k.resource.Account != r.Account || k.resource.Product != r.Product {
			t.Errorf("%s %q: %+v", method, rawURL, k)
		}
	})
}
