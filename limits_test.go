package pacer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	subaccount = "ACffffffffffffffffffffffffffffffff"
	serviceSID = "MG0123456789abcdef0123456789abcdef"
)

// Each sentence of the documentation of Limits and Limit, as rules and what they say.
func TestLimitRuleThatWins(t *testing.T) {
	message := from(sender)
	readMessage := Resource{account, "us1", "api", Messages, Read, ""}
	writeMessage := Resource{account, "us1", "api", Messages, Write, ""}
	lookup := Resource{account, "us1", "lookups", "PhoneNumbers", Read, ""}
	verification := Resource{account, "us1", "verify", "Services/Verifications", Create, ""}
	recording := Resource{account, "us1", "api", "Recordings", Create, ""}
	const unpaced = Unlimited

	tests := []struct {
		name  string
		rules Limits
		r     Resource
		rate  float64
	}{
		// most specific first, whatever the order
		{"sender beats a longer resource", Limits{{Resource: "*", Sender: sender, Rate: 2}, {Resource: Messages, Account: account, Op: Create, Rate: 3}}, message, 2},
		{"longer resource beats account and op", Limits{{Resource: "verify/Verifications", Rate: 2}, {Resource: "verify/*", Account: account, Op: Create, Rate: 3}}, verification, 2},
		{"the longest of two names", Limits{{Resource: "verify/Services/Verifications", Rate: 2}, {Resource: "verify/Verifications", Account: account, Op: Create, Rate: 3}}, verification, 2},
		{"product beats everything", Limits{{Resource: "verify/*", Rate: 2}, {Resource: "*", Account: account, Op: Create, Rate: 3}}, verification, 2},
		{"account beats op", Limits{{Resource: Messages, Account: account, Rate: 2}, {Resource: Messages, Op: Create, Rate: 3}}, message, 2},
		{"op beats none", Limits{{Resource: Messages, Op: Create, Rate: 2}, {Resource: Messages, Rate: 3}}, message, 2},
		{"sender with account beats sender", Limits{{Resource: Messages, Sender: sender, Account: account, Rate: 2}, {Resource: Messages, Sender: sender, Rate: 3}}, message, 2},

		// names
		{"the last word of a longer name", Limits{{Resource: "verify/Verifications", Rate: 2}}, verification, 2},
		{"the whole name", Limits{{Resource: "verify/Services/Verifications", Rate: 2}}, verification, 2},
		{"not a part of a word", Limits{{Resource: "Records", Rate: 2}}, Resource{account, "us1", "api", "Usage/XRecords", Create, ""}, unpaced},
		{"not the first words", Limits{{Resource: "verify/Services", Rate: 2}}, verification, unpaced},
		{"another product's resource of that name", Limits{{Resource: "messaging/Verifications", Rate: 2}}, verification, unpaced},
		{"all of a product", Limits{{Resource: "verify/*", Rate: 2}}, verification, 2},
		{"all of another product", Limits{{Resource: "studio/*", Rate: 2}}, verification, unpaced},
		{"all of the core API", Limits{{Resource: "api/*", Rate: 2}}, recording, 2},
		{"everything", Limits{{Resource: "*", Rate: 2}}, verification, 2},

		// sender and account
		{"another sender", Limits{{Resource: Messages, Sender: sender2, Rate: 2}, {Resource: Messages, Rate: 3}}, message, 3},
		{"another account", Limits{{Resource: Messages, Account: subaccount, Rate: 2}, {Resource: Messages, Rate: 3}}, message, 3},

		// ops
		{"none creates", Limits{{Resource: Messages, Rate: 2}}, message, 2},
		{"none does not read", Limits{{Resource: Messages, Rate: 2}}, readMessage, unpaced},
		{"none does not write", Limits{{Resource: Messages, Rate: 2}}, writeMessage, unpaced},
		{"none reads lookups", Limits{{Resource: Lookups, Rate: 2}}, lookup, 2},
		{"none does not create lookups", Limits{{Resource: Lookups, Rate: 2}}, Resource{account, "us1", "lookups", "PhoneNumbers", Create, ""}, unpaced},
		{"none with * reads", Limits{{Resource: "*", Rate: 2}}, readMessage, 2},
		{"none with * writes", Limits{{Resource: "*", Rate: 2}}, writeMessage, 2},
		{"none with * creates", Limits{{Resource: "*", Rate: 2}}, recording, 2},
		{"read", Limits{{Resource: Messages, Op: Read, Rate: 2}}, readMessage, 2},
		{"write does not read", Limits{{Resource: Messages, Op: Write, Rate: 2}}, readMessage, unpaced},
		{"* with an op", Limits{{Resource: "*", Op: Read, Rate: 2}}, writeMessage, unpaced},

		// rates
		{"rate 0 leaves it to the next rule", Limits{{Resource: Messages, Sender: sender, MaxInFlight: 1}, {Resource: Messages, Rate: 3}}, message, 3},
		{"rate 0 leaves it to the default", Limits{{Resource: Messages, MaxInFlight: 1}}, message, 1},
		{"unlimited where there is a default", Limits{{Resource: Messages, Rate: Unlimited}}, message, unpaced},
		{"a fraction", Limits{{Resource: Messages, Rate: 1.0 / 3}}, message, 1.0 / 3},

		// defaults
		{"a default where no rule matches", Limits{{Resource: Calls, Rate: 7}}, message, 1},
		{"no default", nil, recording, unpaced},
		{"no default for reads", nil, readMessage, unpaced},
		{"* replaces a sender's default", Limits{{Resource: "*", Rate: 7}}, message, 7},
		{"* replaces a lookup's default", Limits{{Resource: "*", Rate: 7}}, lookup, 7},
		{"* replaces what is unlisted", Limits{{Resource: "*", Rate: 7}}, recording, 7},
	}
	for _, tt := range tests {
		if err := tt.rules.Validate(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		for range 2 {
			a := tt.rules.allow(tt.r)
			if a.rate != tt.rate {
				t.Errorf("%s: rate %v, expected %v (rules %+v)", tt.name, a.rate, tt.rate, tt.rules)
			}
			if a.burst != 1 {
				t.Errorf("%s: burst %d, expected 1", tt.name, a.burst)
			}
			slices.Reverse(tt.rules) // the order of rules says nothing
		}
	}
}

// A burst goes with the rate of its rule, and not with another's.
func TestLimitBurstGoesWithItsRate(t *testing.T) {
	rules := Limits{{Resource: Messages, Sender: sender, Rate: 2}, {Resource: Messages, Rate: 3, Burst: 9}}
	if a := rules.allow(from(sender)); a.rate != 2 || a.burst != 1 {
		t.Errorf("the sender: %+v", a)
	}
	if a := rules.allow(from(sender2)); a.rate != 3 || a.burst != 9 {
		t.Errorf("another sender: %+v", a)
	}
}

// In-flight limits of the account, the resource and the sender all hold, each from the
// most specific rule of its scope.
func TestLimitMaxInFlightOfEachScope(t *testing.T) {
	rules := Limits{
		{Resource: "*", MaxInFlight: 50},
		{Resource: "*", Account: subaccount, MaxInFlight: 40},
		{Resource: "api/*", MaxInFlight: 30},
		{Resource: Messages, MaxInFlight: 20},
		{Resource: Messages, Sender: sender, MaxInFlight: 3},
		{Resource: "*", Sender: sender2, MaxInFlight: 4},
	}
	if err := rules.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		r                               Resource
		ofAccount, ofResource, ofSender int
	}{
		{from(sender), 50, 20, 3},
		{from(sender2), 50, 20, 4},
		{from(""), 50, 20, 0},
		{Resource{subaccount, "us1", "api", Messages, Create, ""}, 40, 20, 0},
		{Resource{account, "us1", "api", "Recordings", Create, ""}, 50, 30, 0},
		{Resource{account, "us1", "lookups", "PhoneNumbers", Read, ""}, 50, 0, 0},
	}
	for _, tt := range tests {
		for range 2 {
			a := rules.allow(tt.r)
			if a.accountInFlight != tt.ofAccount || a.resourceInFlight != tt.ofResource || a.senderInFlight != tt.ofSender {
				t.Errorf("%v from %q: %+v, expected %d, %d, %d", tt.r, tt.r.Sender, a, tt.ofAccount, tt.ofResource, tt.ofSender)
			}
			slices.Reverse(rules) // the order of rules says nothing
		}
	}
}

func TestDefaultLimitOfEachSender(t *testing.T) {
	tests := []struct {
		sender string
		kind   senderKind
		rate   float64
	}{
		{"+15005550006", longCode, 1}, {"+447700900123", longCode, 1}, {"+18015550006", longCode, 1}, {"+448005550006", longCode, 1},
		{"+18005550006", tollFree, 3}, {"+18335550006", tollFree, 3}, {"+18445550006", tollFree, 3}, {"+18555550006", tollFree, 3},
		{"+18665550006", tollFree, 3}, {"+18775550006", tollFree, 3}, {"+18885550006", tollFree, 3},
		{"12345", shortCode, 100}, {"123456", shortCode, 100}, {"123", shortCode, 100},
		{"whatsapp:+15005550006", whatsApp, 80}, {"whatsapp:+14155238886", whatsAppSandbox, 1.0 / 3},
		{"rcs:brand_agent", rcs, 100},
		{serviceSID, messagingService, Unlimited},
		{"ACME", otherSender, Unlimited}, {"15005550006", otherSender, Unlimited}, {"messenger:1234", otherSender, Unlimited},
		{"MG123", otherSender, Unlimited}, {"+", otherSender, Unlimited}, {"XX" + serviceSID[2:], otherSender, Unlimited},
		{"", anySender, Unlimited},
	}
	for _, tt := range tests {
		if got := kindOf(tt.sender); got != tt.kind {
			t.Errorf("kindOf(%q) = %q, expected %q", tt.sender, got, tt.kind)
		}
		a := Limits(nil).allow(from(tt.sender))
		if a.rate != tt.rate || a.listed != (tt.rate != Unlimited) {
			t.Errorf("from %q: %+v, expected a rate of %v", tt.sender, a, tt.rate)
		}
	}
}

func TestDefaultLimitsAreComplete(t *testing.T) {
	table := DefaultLimits()
	kinds := map[string]bool{}
	for i, d := range table {
		if d.Source == "" || d.Rate <= 0 || d.Rate == Unlimited || d.MaxInFlight != 0 || d.Burst != 0 {
			t.Errorf("default %d is incomplete, or has what is not applied: %+v", i, d)
		}
		if err := (Limits{d.Limit}).Validate(); err != nil {
			t.Errorf("default %d: %v", i, err)
		}
		if d.Resource == Messages {
			kinds[d.Senders] = true
		} else if d.Senders != "" {
			t.Errorf("default %d (%s) is for a kind of sender", i, d.Resource)
		}
		for _, other := range table[:i] {
			if other.Resource == d.Resource && other.Op == d.Op && other.Senders == d.Senders {
				t.Errorf("default %d repeats another: %+v", i, d)
			}
		}
		product, name := splitRule(d.Resource)
		r := Resource{account, "us1", product, name, d.Op, ""}
		if d.Op == "" {
			r.Op = d.mainOp()
		}
		if d.Resource != Messages {
			if a := Limits(nil).allow(r); a.rate != d.Rate || !a.listed {
				t.Errorf("%v is allowed %+v, its default says %v", r, a, d.Rate)
			}
		}
	}
	for _, kind := range []senderKind{longCode, tollFree, shortCode, whatsApp, whatsAppSandbox, rcs} {
		if !kinds[string(kind)] {
			t.Errorf("no default for messages from: %s", kind)
		}
	}
	if len(kinds) != 6 { // none for a Messaging Service: it may have any number of senders
		t.Errorf("defaults for %d kinds of senders, expected 6: %v", len(kinds), kinds)
	}

	table[0].Rate = 12345
	if DefaultLimits()[0].Rate == 12345 {
		t.Error("what DefaultLimits returns is not a copy")
	}
}

func TestArticleLimitsAreOnePerSecond(t *testing.T) {
	limits := ArticleLimits()
	if err := limits.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, op := range operations(t) {
		r := ResourceOf(op.method, op.with(ids[0]), nil, account)
		if a := limits.allow(r); a.rate != 1 || a.burst != 1 || !a.listed {
			t.Fatalf("%v: %+v", r, a)
		}
	}
	for _, s := range []string{sender, "12345", "whatsapp:+15005550006", "ACME", serviceSID} {
		if a := limits.allow(from(s)); a.rate != 1 {
			t.Errorf("from %q: %+v", s, a)
		}
	}
}

func TestLimitsValidate(t *testing.T) {
	good := Limit{Resource: Messages, Rate: 1}
	tests := []struct {
		bad  Limit
		want []string // after limits[2]
	}{
		{Limit{Rate: 1}, []string{".resource: \"\"", "lookups/PhoneNumbers"}},
		{Limit{Resource: "messages", Rate: 1}, []string{".resource: \"messages\"", "\"Messages\""}},
		{Limit{Resource: "lookups/", Rate: 1}, []string{".resource: \"lookups/\"", "expected"}},
		{Limit{Resource: "lookups", Rate: 1}, []string{".resource: \"lookups\"", "expected"}},
		{Limit{Resource: "/Messages", Rate: 1}, []string{".resource: \"/Messages\"", "expected"}},
		{Limit{Resource: "verify/Services/*", Rate: 1}, []string{".resource: \"verify/Services/*\"", "expected"}},
		{Limit{Resource: "Messages/" + serviceSID, Rate: 1}, []string{".resource: \"Messages/" + serviceSID, "expected"}},
		{Limit{Resource: "**", Rate: 1}, []string{".resource: \"**\"", "expected"}},
		{Limit{Resource: Calls, Sender: sender, Rate: 1}, []string{".sender:", "\"Calls\"", "\"Messages\" or \"*\""}},
		{Limit{Resource: "Mesages", Sender: sender, Rate: 1}, []string{".resource: \"Mesages\"", "\"Messages\""}},
		{Limit{Resource: "lookups/Messages", Sender: sender, Rate: 1}, []string{".resource:", "\"lookups/Messages\"", "expected"}},
		{Limit{Resource: "api/*", Sender: sender, Rate: 1}, []string{".sender:", "\"api/*\"", "expected"}},
		{Limit{Resource: Messages, Sender: "+1 212 555 0199", Rate: 1}, []string{".sender:", "•••0199", "expected a phone number"}},
		{Limit{Resource: Messages, Sender: "A name that is too long", Rate: 1}, []string{".sender:", "A name that is too long", "expected"}},
		{Limit{Resource: Messages, Op: "send", Rate: 1}, []string{".op: \"send\"", "\"create\""}},
		{Limit{Resource: Messages, Op: "*", Rate: 1}, []string{".op: \"*\"", "\"write\""}},
		{Limit{Resource: Messages, Sender: sender, Op: Read, Rate: 1}, []string{".op: \"read\"", "expected \"create\" or none"}},
		{Limit{Resource: "*", Sender: sender, Op: Write, Rate: 1}, []string{".op: \"write\"", "expected \"create\" or none"}},
		{Limit{Resource: Messages, Account: "AC123", Rate: 1}, []string{".account: \"AC123\"", "expected an account SID"}},
		{Limit{Resource: Messages, Account: serviceSID, Rate: 1}, []string{".account: \"" + serviceSID, "expected an account SID"}},
		{Limit{Resource: Messages, Rate: -1}, []string{".rate: -1", "expected"}},
		{Limit{Resource: Messages, Rate: math.NaN()}, []string{".rate: NaN", "expected"}},
		{Limit{Resource: Messages, Rate: math.Inf(-1)}, []string{".rate: -Inf", "expected"}},
		{Limit{Resource: Messages, Rate: 1e-7}, []string{".rate: 1e-07", "expected at least 0.000001"}},
		{Limit{Resource: Messages, Rate: 1, Burst: -1}, []string{".burst: -1", "expected 0"}},
		{Limit{Resource: Messages, Rate: 1, Burst: 1000001}, []string{".burst: 1000001", "1000000"}},
		{Limit{Resource: Messages, Burst: 2, MaxInFlight: 1}, []string{".burst: 2", "expected a rate"}},
		{Limit{Resource: Messages, Rate: 1, MaxInFlight: -1}, []string{".maxInFlight: -1", "expected 0"}},
		{Limit{Resource: Messages}, []string{".rate: 0", "expected a rate or a maxInFlight"}},
	}
	for _, tt := range tests {
		err := Limits{{Resource: Calls, Rate: 1}, good, tt.bad, {Resource: "also wrong"}}.Validate()
		if err == nil {
			t.Errorf("no error for %+v", tt.bad)
			continue
		}
		wantWords(t, err, append([]string{"limits[2]"}, tt.want...)...)
		if strings.Contains(err.Error(), "555 0199") {
			t.Errorf("phone number in %q", err)
		}
	}
}

func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, expected one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %.300q does not say %q", err, w)
		}
	}
}

func TestLimitsValidateTakes(t *testing.T) {
	limits := Limits{
		{Resource: Messages, Rate: 1e-6}, {Resource: Messages, Op: Read, Rate: Unlimited}, {Resource: Messages, Account: account, Rate: 1e6, Burst: 1e6},
		{Resource: "*", MaxInFlight: 1}, {Resource: "*", Sender: sender, Rate: 1}, {Resource: "api/Messages", Sender: sender2, Op: Create, Rate: 1},
		{Resource: "verify/*", Rate: 1}, {Resource: "flex-api/Interactions", Rate: 1}, {Resource: "messaging/a2p/BrandRegistrations", Rate: 1},
	}
	for _, s := range []string{"12345", "whatsapp:+15005550006", "ACME", "A-1 & Co", serviceSID, "rcs:brand", "messenger:12", "+447700900123"} {
		limits = append(limits, Limit{Resource: Messages, Sender: s, Rate: 1})
	}
	if err := limits.Validate(); err != nil {
		t.Error(err)
	}
	if err := Limits(nil).Validate(); err != nil {
		t.Error(err)
	}
}

func TestLimitsValidateDuplicates(t *testing.T) {
	for _, l := range []Limit{
		{Resource: Messages, Rate: 1}, {Resource: "*", Rate: 1}, {Resource: Messages, Sender: sender, Rate: 1},
		{Resource: Messages, Account: account, Rate: 1}, {Resource: Messages, Op: Create, Rate: 1},
	} {
		again := l
		again.Rate, again.Burst, again.MaxInFlight = 2, 3, 4
		err := Limits{{Resource: Calls, Rate: 1}, l, again}.Validate()
		wantWords(t, err, "limits[2] repeats limits[1]", l.Resource, "expected one rule")
	}
	apart := Limits{
		{Resource: Messages, Rate: 1}, {Resource: Messages, Op: Read, Rate: 1}, {Resource: Messages, Account: account, Rate: 1},
		{Resource: Messages, Account: subaccount, Rate: 1}, {Resource: Messages, Sender: sender, Rate: 1}, {Resource: Messages, Sender: sender2, Rate: 1},
	}
	if err := apart.Validate(); err != nil {
		t.Error(err)
	}
}

const goodLimits = `
[
  {"resource": "Messages", "rate": 20, "burst": 5},
  {"resource": "Messages", "sender": "+15005550006", "rate": 0.5},
  {"resource": "Messages", "op": "read", "rate": "unlimited"},
  {"resource": "lookups/PhoneNumbers", "account": "AC0123456789abcdef0123456789abcdef", "rate": 10, "maxInFlight": 5},
  {"resource": "*", "maxInFlight": 50}
]
`

func TestParseLimits(t *testing.T) {
	got, err := ParseLimits([]byte(goodLimits))
	want := Limits{
		{Resource: Messages, Rate: 20, Burst: 5},
		{Resource: Messages, Sender: sender, Rate: 0.5},
		{Resource: Messages, Op: Read, Rate: Unlimited},
		{Resource: Lookups, Account: account, Rate: 10, MaxInFlight: 5},
		{Resource: "*", MaxInFlight: 50},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseLimits([]byte(" [ ] ")); err != nil || len(got) != 0 {
		t.Errorf("empty array: %v, %v", got, err)
	}
}

// The form in which an editor finds the schema, and the mark with which some editors
// begin a file.
func TestParseLimitsAsObject(t *testing.T) {
	want, _ := ParseLimits([]byte(goodLimits))
	for _, in := range []string{
		`{"$schema": "https://example.com/limits.schema.json", "limits": ` + goodLimits + `}`,
		`{"limits": ` + goodLimits + `, "$schema": ""}`,
		"\xef\xbb\xbf" + goodLimits,
	} {
		if got, err := ParseLimits([]byte(in)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	if got, err := ParseLimits([]byte(`{"limits": []}`)); err != nil || len(got) != 0 {
		t.Errorf("no rules: %v, %v", got, err)
	}
}

func TestUnmarshalLimitLeavesTheRuleOnError(t *testing.T) {
	l := Limit{Resource: Calls, Rate: 3, Burst: 2}
	before := l
	for _, in := range []string{"null", `"Messages"`, `{"resource": "Messages", "rate": "fast"}`, `{"rat": 1}`} {
		if err := json.Unmarshal([]byte(in), &l); err == nil || l != before {
			t.Errorf("%s: %+v, %v", in, l, err)
		}
	}
	if err := json.Unmarshal([]byte(` {"resource": "Messages", "rate": 1} `), &l); err != nil || l != (Limit{Resource: Messages, Rate: 1}) {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestParseLimitsRoundTrip(t *testing.T) {
	var want Limits
	for _, d := range DefaultLimits() {
		if d.Resource != Messages {
			want = append(want, d.Limit)
		}
	}
	good, _ := ParseLimits([]byte(goodLimits))
	want = append(append(want, good...), Limit{Resource: Messages, Sender: "whatsapp:+15005550006", Rate: 1.0 / 3}, Limit{Resource: Messages, Sender: "A & <b>", Rate: 1e-6})
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(`"rate":"unlimited"`)) {
		t.Errorf("Unlimited is not written as \"unlimited\": %s", data)
	}
	got, err := ParseLimits(data)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s\nread as %+v, %v\nexpected %+v", data, got, err, want)
	}
}

func TestParseLimitsErrors(t *testing.T) {
	tests := []struct {
		in   string
		line int
		want []string
	}{
		{"", 1, []string{"end of JSON", "expected an array"}},
		{"\n\n null", 3, []string{"null", "expected an array"}},
		{"\n\"Messages\"", 2, []string{"\"Messages\"", "expected an array"}},
		{"7", 1, []string{"7: expected an array"}},
		{"garbage", 1, []string{"'g'", "expected an array"}},

		// fields
		{"[\n{\"resource\": \"Messages\", \"rate\": 1},\n{\"resource\": \"Calls\",\n\"rat\": 1}\n]", 4, []string{"limits[1].\"rat\": unknown field", "expected resource, sender, account, op, rate, burst, maxInFlight"}},
		{"[{\"resource\": \"Messages\", \"RATE\": 1}]", 1, []string{"limits[0].\"RATE\": unknown field"}},
		{"[{\"resource\": \"Messages\",\n\"rate\": 1,\n\"rate\": 2}]", 3, []string{"limits[0].rate: given twice", "expected it once"}},
		{"[\n\n{\n\"resource\": \"Messages\",\n\"rate\": true}]", 5, []string{"limits[0].rate: true", "expected a number", "\"unlimited\""}},
		{"[{\"resource\": \"Messages\",\n\"rate\":\n\"20\"}]", 3, []string{"rate: \"20\"", "expected a number of requests per second, or \"unlimited\""}},
		{"[{\"resource\": \"Messages\", \"rate\": \"Unlimited\"}]", 1, []string{"rate: \"Unlimited\"", "expected a number"}},
		{"[{\"resource\": \"Messages\", \"rate\": [1]}]", 1, []string{"rate: an array", "expected a number"}},
		{"[{\"resource\": \"Messages\", \"rate\": null}]", 1, []string{"rate: null", "expected a number"}},
		{"[{\"resource\": \"Messages\", \"rate\": 1e400}]", 1, []string{"rate: 1e400", "expected a number"}},
		{"[\n{\"resource\": 7, \"rate\": 1}]", 2, []string{"limits[0].resource: 7", "expected a string"}},
		{"[\n{\"resource\": \"Messages\", \"sender\": 12345, \"rate\": 1}]", 2, []string{"limits[0].sender: 12345", "expected a string, in quotes"}},
		{"[{\"resource\": \"Messages\", \"sender\": \"+1500•••0006\", \"rate\": 1}]", 1, []string{"limits[0].sender: \"+1500•••0006\"", "expected the number in full"}},
		{"[{\"resource\": \"*\", \"sender\": \"whatsapp:+1500•••0006\", \"rate\": 1}]", 1, []string{"limits[0].sender: \"whatsapp:+1500•••0006\"", "expected the number in full"}},
		{"[\n{\"resource\": \"Messages\", \"account\": false, \"rate\": 1}]", 2, []string{"limits[0].account: false", "expected a string"}},
		{"[\n{\"resource\": \"Messages\", \"op\": 1, \"rate\": 1}]", 2, []string{"limits[0].op: 1", "\"read\", \"create\" or \"write\""}},
		{"[\n{\"resource\": \"Messages\", \"rate\": 1, \"burst\": \"2\"}]", 2, []string{"limits[0].burst: \"2\"", "expected a whole number of requests"}},
		{"[\n{\"resource\": \"Messages\", \"rate\": 1, \"burst\": 1.5}]", 2, []string{"burst: 1.5", "expected a whole number"}},
		{"[\n{\"resource\": \"Messages\", \"rate\": 1, \"maxInFlight\": {}}]", 2, []string{"maxInFlight: an object", "expected a whole number"}},

		// rules
		{"[\n\"Messages\"]", 2, []string{"limits[0]: \"Messages\"", "expected an object"}},
		{"[\n{\"resource\": \"Messages\", \"rate\": 1},\n\n  {\"resource\": \"Messages\",\n\"rate\": -1}]", 5, []string{"limits[1].rate: -1", "expected"}},
		{"[\n{\"resource\": \"Messages\", \"rate\": 1},\n{\n\"resource\": \"Messages\", \"rate\": 2}]", 3, []string{"limits[1] repeats limits[0]"}},
		{"[\nnull]", 2, []string{"limits[0]: null", "expected an object"}},
		{"[\n{}]", 2, []string{"limits[0].resource: \"\"", "expected"}},
		{"[\n{\n\"resource\": \"Messages\"}]", 2, []string{"limits[0].rate: 0", "expected"}},

		// syntax
		{"[{\"resource\": \"Messages\", \"rate\": 1}]\n[]", 2, []string{"'[' after top-level value"}},
		{"[{\"resource\": \"Messages\", \"rate\": 1}]\n\nx", 3, []string{"'x' after top-level value"}},
		{"[{\"resource\": \"Messages\", \"rate\": 1}", 1, []string{"unexpected end of JSON"}},
		{"[\n{\"resource\": \"Messages\", \"rate\": 1}\n", 2, []string{"unexpected end of JSON"}},
		{"[\n{\"resource\": \"Mess", 2, []string{"unexpected end of JSON"}},
		{"[{\"resource\": \"Messages\", \"rate\": 1}\n{\"resource\": \"Calls\", \"rate\": 1}]", 2, []string{"'{' after array element"}},

		// the form of an object
		{"\n\n{\n\"resource\": \"Messages\", \"rate\": 1}", 4, []string{"\"resource\": unknown field", "expected an array", "or an object {\"limits\": [...]}"}},
		{"\n{}", 2, []string{"limits: missing", "expected an array"}},
		{"{\"limits\":\n{}}", 2, []string{"limits: an object", "expected an array of rules"}},
		{"{\"limits\": null}", 1, []string{"limits: null", "expected an array of rules"}},
		{"{\"limits\": [],\n\"limits\": []}", 2, []string{"limits: given twice"}},
		{"{\"$schema\":\n7, \"limits\": []}", 2, []string{"$schema: 7", "expected a string"}},
		{"{\"$schema\": \"x\",\n\"limits\": [\n{\"resource\": \"Messages\", \"rate\": 1},\n{\"resource\": \"Calls\",\n\"rate\": -1}]}", 5, []string{"limits[1].rate: -1", "expected"}},
	}
	for _, tt := range tests {
		got, err := ParseLimits([]byte(tt.in))
		if err == nil {
			t.Errorf("%q: no error, read as %+v", tt.in, got)
			continue
		}
		if got != nil {
			t.Errorf("%q: limits beside the error: %+v", tt.in, got)
		}
		words := append([]string{"pacer: limits, line "}, tt.want...)
		if tt.line > 0 {
			words = append(words, fmt.Sprintf("line %d: ", tt.line))
		}
		wantWords(t, err, words...)
	}
	for _, rule := range []string{`"sender": "+1 212 555 0199"`, `"sender": 12125550199`, `"burst": "+12125550199"`, `"+12125550199": 1`, `"sender": ["+12125550199"]`} {
		_, err := ParseLimits([]byte(`[{"resource": "Messages", "rate": 1, ` + rule + `}]`))
		if err == nil || strings.Contains(strings.ReplaceAll(err.Error(), " ", ""), "5550199") {
			t.Errorf("%s: phone number in %v", rule, err)
		}
	}
	if _, err := ParseLimits([]byte(`[{"resource": "Messages", "rate": "` + strings.Repeat("é", unlessShort(1<<20, 1<<14)) + `"}]`)); err == nil || len(err.Error()) > 300 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// Ten megabytes of nonsense are refused in a time that does not grow with their square: that would
// outlast the test's time limit.
func TestParseLimitsOfGarbageFailsQuickly(t *testing.T) {
	size := unlessShort(10<<20, 1<<20)
	rule := `{"resource": "Messages", "rate": 1},`
	for name, in := range map[string][]byte{
		"letters":         bytes.Repeat([]byte("x"), size),
		"brackets":        bytes.Repeat([]byte("["), size),
		"open object":     bytes.Repeat([]byte(`{"a":`), size/5),
		"zeros":           make([]byte, size),
		"open string":     append([]byte(`[{"resource": "`), bytes.Repeat([]byte("x"), size)...),
		"blank":           bytes.Repeat([]byte("\n"), size),
		"same rule":       append([]byte("["), bytes.Repeat([]byte(rule), size/len(rule))...),
		"array of zeros":  append([]byte("["), bytes.Repeat([]byte("0,"), size/2)...),
		"many digits":     append([]byte(`[{"resource": "Messages", "rate": `), bytes.Repeat([]byte("9"), size)...),
		"array in a rule": append([]byte(`[{"resource": [`), bytes.Repeat([]byte("0,"), size/2)...),
	} {
		if _, err := ParseLimits(in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSetLimitsThatAreBadChangeNothing(t *testing.T) {
	before := Limits{{Resource: Messages, Rate: 7, Burst: 2}, {Resource: Calls, Rate: 3}}
	bad := Limits{{Resource: Messages, Rate: 100}, {Resource: Calls, Rate: -1}}

	l := newLimiter(t, before...)
	lane := newLane(l, sender)
	if err := lane.pass(bg); err != nil {
		t.Fatal(err)
	}
	wantWords(t, l.SetLimits(bad), "limits[1].rate: -1")
	if got := l.Limits(); !slices.Equal(got, before) {
		t.Errorf("the limiter's limits are %+v", got)
	}
	if b := l.buckets[lane.r].allowed; b.rate != 7 || b.burst != 2 {
		t.Errorf("the bucket's rate is %v, its burst %d", b.rate, b.burst)
	}

	c, err := New(ClientParams{Username: account, Password: "token"}, WithLimits(before))
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, c.SetLimits(bad), "limits[1].rate: -1")
	if got := c.cfg.limiter.(*BucketLimiter).Limits(); !slices.Equal(got, before) {
		t.Errorf("the client's limits are %+v", got)
	}
	good := Limits{{Resource: "*", Rate: 9}}
	if err := c.SetLimits(good); err != nil {
		t.Error(err)
	}
	if got := c.cfg.limiter.(*BucketLimiter).Limits(); !slices.Equal(got, good) {
		t.Errorf("after good limits the client's are %+v", got)
	}
}

// Neither the caller's slice nor the one that Limits returns is the limiter's own.
func TestLimitsAreCopied(t *testing.T) {
	mine := Limits{{Resource: Messages, Rate: 7}}
	l := newLimiter(t, mine...)
	opt := &options{}
	if err := WithLimits(mine)(opt); err != nil {
		t.Fatal(err)
	}
	_ = l.SetLimits(mine)
	mine[0].Rate = 1
	l.Limits()[0].Rate = 2
	if got := l.Limits()[0].Rate; got != 7 {
		t.Errorf("rate is now %v", got)
	}
	if got := opt.limits[0].Rate; got != 7 {
		t.Errorf("the option's rate is now %v", got)
	}
}

func TestNewWithBadLimits(t *testing.T) {
	bad := WithLimits(Limits{{Resource: Messages, Rate: 1}, {Resource: "messages", Rate: 1}})
	words := []string{"pacer: WithLimits: limits[1].resource: \"messages\"", "expected"}
	c, err := New(ClientParams{Username: account, Password: "token"}, bad)
	wantWords(t, err, words...)
	wantWords(t, createOn(c.RestClient, sender), words...)

	t.Setenv("TWILIO_ACCOUNT_SID", account)
	t.Setenv("TWILIO_AUTH_TOKEN", "token")
	for _, rc := range []*RestClient{NewRestClient(bad), NewRestClientWithParams(ClientParams{Username: account, Password: "token"}, bad)} {
		for range 2 {
			wantWords(t, createOn(rc, sender), words...)
			_, err := rc.Api.FetchMessage("SM0123456789abcdef0123456789abcdef", nil)
			wantWords(t, err, words...)
		}
	}
}

// What parses is valid, and what is written from it parses to the same.
func FuzzParseLimits(f *testing.F) {
	for _, s := range []string{
		goodLimits, "[]", "null", "[null]", "[{}]", `[{"resource":"*","rate":1e308}]`, `[{"resource":"Messages","sender":"a:\u0000\ud800<&","rate":1e-6}]`,
		`[{"resource":"verify/*","rate":"unlimited","maxInFlight":3}]`,
		`{"$schema":"x","limits":` + goodLimits + `}`, `{"limits":[]}`, `{"limits":[{"resource":"*","rate":1}],"limits":[]}`, "{}", `{"limits":{"":[]}}`, "\xef\xbb\xbf[]", `[{"resource":"*","rate":1.7976931348623157e308}]`, `[{"resource":"*","rate":1}`, "[[[[",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		limits, err := ParseLimits(data)
		if err != nil {
			if limits != nil || !strings.HasPrefix(err.Error(), "pacer: limits, line ") {
				t.Errorf("limits %+v, error %v", limits, err)
			}
			return
		}
		if err := limits.Validate(); err != nil {
			t.Errorf("parsed, but not valid: %v", err)
		}
		if len(limits) == 0 {
			return
		}
		written, err := json.Marshal(limits)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseLimits(written)
		if err != nil || !reflect.DeepEqual(again, limits) {
			t.Errorf("%s\nread as %+v, %v\nexpected %+v", written, again, err, limits)
		}
	})
}

// The line is that of the fault, also where it is in the JSON; and a number without its + is masked as one with it.
func TestParseLimitsNamesTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"[\n{\"resource\": \"Messages\", \"rate\": 1},\n\n\n{\"resource\": \"Calls\", rate: 1}\n]": "line 5",
		"[\n\n{\"resource\": \"Messages\", \"sender\": \"15015550123\", \"rate\": 1}]":             "15015•••0123",
		"[{\"resource\": \"verify//Verifications\", \"rate\": 1}]":                                 "verify//Verifications",
		"[{\"resource\": \"verify/Verifications/\", \"rate\": 1}]":                                 "verify/Verifications/",
	} {
		if _, err := ParseLimits([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "15015550123") {
			t.Errorf("%s: %v, expected it to say %s", text, err, want)
		}
	}
}

// What editors know of the fields is what there is. That the schema accepts what
// ParseLimits does is tested in module compat.
func TestSchemaHasTheFieldsOfLimit(t *testing.T) {
	data, err := os.ReadFile("limits.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			Limit struct {
				Properties           map[string]struct{ Description string }
				AdditionalProperties *bool
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range reflect.TypeFor[Limit]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[Limit]().Field(i).Tag.Get("json"), ",")
		want = append(want, name)
		_, err := ParseLimits([]byte(`[{"resource": "*", "rate": 1, "` + name + `": null}]`))
		if err == nil || strings.Contains(err.Error(), "unknown field") {
			t.Errorf("ParseLimits does not know %s: %v", name, err)
		}
	}
	fields := schema.Defs.Limit.Properties
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("the schema has %v, Limit has %v", got, want)
	}
	for name, f := range fields {
		if f.Description == "" {
			t.Errorf("%s: no description", name)
		}
	}
	if a := schema.Defs.Limit.AdditionalProperties; a == nil || *a {
		t.Error("the schema allows unknown fields")
	}
}
