package endpoint

import "testing"

func TestOf(t *testing.T) {
	const account = "AC0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		method, url string
		want        Endpoint
	}{
		{"POST", "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json", Endpoint{"api", "us1", account, "Messages", Create}},
		{"POST", "https://api.sydney.au1.twilio.com/2010-04-01/Accounts/" + account + "/Messages/SM0.json", Endpoint{"api", "au1", account, "Messages", Write}},
		{"GET", "https://lookups.twilio.com/v2/PhoneNumbers/+15005550006?Fields=x", Endpoint{"lookups", "us1", "", "PhoneNumbers", Read}},
		{"POST", "https://verify.twilio.com/v2/Attempts/Summary", Endpoint{"verify", "us1", "", "Attempts/Summary", Create}},                    // two fixed words
		{"POST", "https://voice.twilio.com/v1/Settings", Endpoint{"voice", "us1", "", "Settings", Write}},                                       // an irregular POST
		{"POST", "https://lookups.twilio.com/v2/PhoneNumbers/+1/Overrides/x", Endpoint{"lookups", "us1", "", "PhoneNumbers/Overrides", Create}}, // another one
		{"GET", "https://user:pw@proxy.example:443/v1/Things/x", Endpoint{"proxy.example", "", "", "Things", Read}},
		{"GET", "", Endpoint{Op: Read}},
	} {
		if got := Of(tt.method, tt.url); got != tt.want {
			t.Errorf("%s %s: %+v, expected %+v", tt.method, tt.url, got, tt.want)
		}
	}
}

func TestBelowLeavesTheVersionOut(t *testing.T) {
	for url, want := range map[string]string{
		"https://verify.twilio.com/v2/Services/VA0":  "Services/VA0",
		"https://verify.twilio.com/Services/VA0":     "Services/VA0",
		"https://api.twilio.com/2010-04-01/Accounts": "Accounts",
		"": "",
	} {
		if got := Below(url); got != want {
			t.Errorf("%s: %q, expected %q", url, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"Mesages", "messages", 1}, {"verfiy", "verify", 1}, {"abc", "cab", 2}, {"kitten", "sitting", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: %d, expected %d", tt.a, tt.b, got, tt.want)
		}
	}
}
