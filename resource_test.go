package pacer

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/internal/endpoint"
	"github.com/twilio-pacer/pacer/twiliotest"
)

type operation struct{ method, url, id string }

// operations reads all operations of Twilio's OpenAPI documents.
func operations(t testing.TB) []operation {
	f, err := os.Open("testdata/twilio-endpoints.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var ops []operation
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Split(s.Text(), "\t")
		ops = append(ops, operation{fields[0], fields[1], fields[2]})
	}
	if len(ops) != 1447 {
		t.Fatalf("testdata/twilio-endpoints.tsv has %d operations, expected 1447", len(ops))
	}
	return ops
}

var param = regexp.MustCompile(`\{[^}]*\}`)

const account = "AC0123456789abcdef0123456789abcdef"

// ids are what may stand where an OpenAPI path has a parameter. Each is tried in all
// positions of all paths.
var ids = []string{
	"MG0123456789abcdef0123456789abcdef", "+15005550006", "%2B15005550006", "15005550006",
	"my-unique-name", "MyUniqueName", "user@example.com", "5", "US", "Café", "d.o.t", strings.Repeat("x", 64),
}

func (op operation) with(id string) string {
	u := strings.Replace(op.url, "/Accounts/{AccountSid}", "/Accounts/"+account, 1)
	return param.ReplaceAllString(u, id)
}

// collection is what an operation works on, derived from its OpenAPI path rather than
// from a concrete URL: host and fixed words, without version and account.
func (op operation) collection() string {
	u := strings.TrimSuffix(strings.TrimPrefix(op.url, "https://"), ".json")
	u = strings.Replace(u, "/2010-04-01/Accounts/{AccountSid}/", "/", 1)
	var words []string
	for i, w := range strings.Split(u, "/") {
		if !strings.HasPrefix(w, "{") && !(i == 1 && regexp.MustCompile(`^(v\d|2010-04-01)$`).MatchString(w)) {
			words = append(words, w)
		}
	}
	return strings.Join(words, "/")
}

func (op operation) class() Op {
	switch verb := regexp.MustCompile(`^[A-Z][a-z]+`).FindString(op.id); verb {
	case "Fetch", "List":
		return Read
	case "Create":
		return Create
	default: // Update, Delete, Patch
		return Write
	}
}

// Every operation maps to a resource; whatever identifiers its URL holds, two
// different collections never share one, and of one collection reads, creates and
// other writes are apart.
func TestResourceOfAllOperations(t *testing.T) {
	collections := map[string]string{}
	classes := map[string]string{}
	names := map[string]bool{}
	for _, op := range operations(t) {
		var first Resource
		for i, id := range ids {
			r := ResourceOf(op.method, op.with(id), nil, account)
			r.Sender = ""
			if i == 0 {
				first = r
			}
			if r != first {
				t.Errorf("%s %s: resource depends on the identifier %q: %v, expected %v", op.method, op.url, id, r, first)
			}
		}
		r := first
		if r.Product == "" || r.Name == "" || r.Account != account || r.Region != "us1" {
			t.Errorf("%s %s: incomplete resource %+v", op.method, op.url, r)
		}
		if want := op.class(); r.Op != want {
			t.Errorf("%s %s (%s): op %q, expected %q", op.method, op.url, op.id, r.Op, want)
		}
		key := r.Product + "/" + r.Name
		names[key] = true
		if other, ok := collections[key]; ok && other != op.collection() {
			t.Errorf("%s and %s share the resource %s", other, op.collection(), key)
		}
		collections[key] = op.collection()
		bucket := r.String()
		if other, ok := classes[bucket]; ok && other != string(op.class()) {
			t.Errorf("%s is used by %s and by %s operations", bucket, other, op.class())
		}
		classes[bucket] = string(op.class())
		for word := range strings.SplitSeq(r.Name, "/") {
			if endpoint.IsSID(word) || strings.ContainsAny(word, "+%@.{}") || regexp.MustCompile(`\d{3}`).MatchString(word) {
				t.Errorf("%s %s: name %q holds an identifier", op.method, op.url, r.Name)
			}
		}
	}
	t.Logf("1447 operations, %d collections, %d buckets for one account", len(names), len(classes))
}

func TestResourceOf(t *testing.T) {
	const other = "ACffffffffffffffffffffffffffffffff"
	form := func(kv ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(kv); i += 2 {
			v.Set(kv[i], kv[i+1])
		}
		return v
	}
	tests := []struct {
		method, url string
		form        url.Values
		want        Resource
	}{
		{"POST", "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json", form("From", "+15005550006", "MessagingServiceSid", "MG1", "Body", "b"),
			Resource{account, "us1", "api", "Messages", Create, "+15005550006"}},
		{"POST", "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json", form("MessagingServiceSid", "MG1"),
			Resource{account, "us1", "api", "Messages", Create, "MG1"}},
		{"POST", "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json", nil,
			Resource{account, "us1", "api", "Messages", Create, ""}},
		{"GET", "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json?PageSize=50&From=%2B1", form("From", "+1"),
			Resource{account, "us1", "api", "Messages", Read, ""}},
		{"POST", "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Messages/SM0.json", form("From", "+1"),
			Resource{account, "us1", "api", "Messages", Write, ""}},
		{"POST", "https://api.twilio.com/2010-04-01/Accounts/" + account + "/Calls.json", form("From", "+1"),
			Resource{account, "us1", "api", "Calls", Create, ""}},
		// a subaccount in the path wins over the client's account
		{"GET", "https://api.twilio.com/2010-04-01/Accounts/" + other + "/Calls/CA0.json", nil,
			Resource{other, "us1", "api", "Calls", Read, ""}},
		{"GET", "https://api.twilio.com/2010-04-01/Accounts/" + other + ".json", nil,
			Resource{account, "us1", "api", "Accounts", Read, ""}},
		{"POST", "https://api.twilio.com/2010-04-01/Accounts.json", nil,
			Resource{account, "us1", "api", "Accounts", Create, ""}},
		// edges are dropped, regions kept
		{"GET", "https://api.sydney.au1.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json", nil,
			Resource{account, "au1", "api", "Messages", Read, ""}},
		{"GET", "https://api.ie1.twilio.com/2010-04-01/Accounts/" + account + "/Messages.json", nil,
			Resource{account, "ie1", "api", "Messages", Read, ""}},
		{"GET", "https://lookups.dublin.ie1.twilio.com/v2/PhoneNumbers/+15005550006?Fields=caller_name", nil,
			Resource{account, "ie1", "lookups", "PhoneNumbers", Read, ""}},
		{"GET", "https://lookups.twilio.com/v1/PhoneNumbers/+15005550006", nil,
			Resource{account, "us1", "lookups", "PhoneNumbers", Read, ""}},
		{"POST", "https://verify.twilio.com/v2/Services/VA0/Verifications", form("To", "+1"),
			Resource{account, "us1", "verify", "Services/Verifications", Create, ""}},
		{"POST", "https://studio.twilio.com/v2/Flows/FW0/Executions", nil,
			Resource{account, "us1", "studio", "Flows/Executions", Create, ""}},
		// unique names may be anything, also the name of a collection
		{"GET", "https://sync.twilio.com/v1/Services/default/Documents/Messages", nil,
			Resource{account, "us1", "sync", "Services/Documents", Read, ""}},
		// other hosts: a fake, a proxy
		{"POST", "http://127.0.0.1:8080/2010-04-01/Accounts/" + account + "/Messages.json", form("From", "+1"),
			Resource{account, "", "api", "Messages", Create, "+1"}},
		{"GET", "https://user:pw@proxy.example:443/v1/Things/x", nil,
			Resource{account, "", "proxy.example", "Things", Read, ""}},
		{"PATCH", "https://lookups.twilio.com/v2/PhoneNumbers/+1", nil,
			Resource{account, "us1", "lookups", "PhoneNumbers", Write, ""}},
	}
	for _, tt := range tests {
		if got := ResourceOf(tt.method, tt.url, tt.form, account); got != tt.want {
			t.Errorf("%s %s:\n got %#v\nwant %#v", tt.method, tt.url, got, tt.want)
		}
	}
}

// An endpoint that Twilio adds tomorrow gets a resource of its own, and its
// identifiers do not get into the name even where they follow each other.
func TestResourceOfUnknownEndpoint(t *testing.T) {
	got := ResourceOf("GET", "https://novel.twilio.com/v9/Things/TH0123456789abcdef0123456789abcdef/XX0123456789abcdef0123456789abcdef/+15005550006/Parts", nil, account)
	if want := (Resource{account, "us1", "novel", "Things/Parts", Read, ""}); got != want {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

// Phone numbers stay out of what is printed and logged.
func TestResourceKeepsPhoneNumbersToItself(t *testing.T) {
	r := Resource{account, "us1", "api", "Messages", Create, "whatsapp:+15005550006"}
	for _, s := range []string{r.String(), fmt.Sprint(r), fmt.Sprintf("%+v", Event{Resource: r}), r.LogValue().String()} {
		if strings.Contains(s, "5005550006") {
			t.Errorf("phone number in %q", s)
		}
	}
	for in, want := range map[string]string{
		"+15005550006": "+1500•••0006", "whatsapp:+15005550006": "whatsapp:+1500•••0006", "12345": "12345", "ACME": "ACME", "": "", "+123": "+123",
	} {
		if got := mask(in); got != want {
			t.Errorf("mask(%q) = %q, expected %q", in, got, want)
		}
	}
}

func TestNotationsOfOneSenderAreOneBucket(t *testing.T) {
	for want, notations := range map[string][]string{
		"+15005550006": {"+15005550006", " +15005550006\t", "+1 500 555 0006", "+1 (500) 555-0006", "+1.500.555.0006", "15005550006", "1-500-555-0006", "5005550006", "(500) 555-0006",
			"+1\u00a0500\u2011555\u20110006", "\u202a+15005550006\u202c", "\ufeff+15005550006", "+1\u2009500\u2009555\u20130006"},
		"+442079460000":          {"+442079460000", "+44 (0) 20 7946 0000", "+44 20 7946 0000", "442079460000"},
		"+4712345678":            {"+4712345678", "+47 12 34 56 78"},
		"whatsapp:+15005550006":  {"whatsapp:+15005550006", "WhatsApp:+15005550006", "whatsapp: +1 500 555 0006", "whatsapp:15005550006", "whatsapp:(500) 555-0006", " whatsapp:+15005550006"},
		"whatsapp:+14155238886":  {"whatsapp:14155238886", "whatsapp:+1 415 523 8886"},
		"12345":                  {"12345", "12 345", "123-45"},
		serviceSID:               {serviceSID, serviceSID + " "},
		"ACME":                   {"ACME", " ACME "},
		"ACME 24-7":              {"ACME 24-7"},
		"messenger:110000000000": {"messenger:110000000000", "Messenger:110000000000"}, // a page's ID, and no number
		"rcs:brand_agent":        {"rcs:brand_agent", "RCS:brand_agent"},
		"rcs:+15005550006":       {"rcs:+1 500 555 0006"},
		"020 7946 0000":          {"020 7946 0000"}, // of some country
		"123456789":              {"123456789"},
		"+":                      {"+"},
		"+0 1":                   {"+0 1"},
		"+1500555000612345":      {"+1500555000612345"}, // too long for a number
		"++15005550006":          {"++15005550006"},
		"a b:c":                  {"a b:c"},
		"":                       {"", " "},
	} {
		for _, notation := range notations {
			r := ResourceOf("POST", "https://api.twilio.com/2010-04-01/Accounts/"+account+"/Messages.json", url.Values{"From": {notation}}, account)
			if r.Sender != want {
				t.Errorf("%q: sender %q, expected %q", notation, r.Sender, want)
			}
		}
	}
}

// 60 messages of one number in three notations leave at the number's default rate, 1/s.
func TestNotationsOfOneSenderShareItsDefaultRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{Limits: []twiliotest.Limit{{Resource: Messages, Rate: 1, PerSender: true}}})
		c := fakeClient(t, fake)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				if err := createOn(c.RestClient, []string{"+15005550006", "+1 500 555 0006", "15005550006"}[i%3]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if s := fake.Stats(); s.Throttled != 0 || time.Since(began) != 59*time.Second {
			t.Errorf("%d throttled, all sent after %v, expected 59 s", s.Throttled, time.Since(began))
		}
		if n := c.Stats().BucketsInAll; n != 1 {
			t.Errorf("%d buckets for one number", n)
		}
	})
}

func FuzzResourceOf(f *testing.F) {
	for _, op := range operations(f)[:200] {
		f.Add(op.method, op.with("XX0123456789abcdef0123456789abcdef"), "+15005550006")
	}
	f.Add("POST", "://", "")
	f.Add("POST", "https://[::1]:80/2010-04-01//Accounts/", "")
	f.Fuzz(func(t *testing.T, method, rawURL, from string) {
		r := ResourceOf(method, rawURL, url.Values{"From": {from}}, account)
		for word := range strings.SplitSeq(r.Name, "/") {
			if word != "" && !endpoint.IsWord(word) {
				t.Errorf("%q: name %q has the word %q", rawURL, r.Name, word)
			}
		}
		if r.Op != Read && r.Op != Create && r.Op != Write {
			t.Errorf("op %q", r.Op)
		}
		if r.Sender != "" && (r.Product != "api" || r.Name != Messages || r.Op != Create) {
			t.Errorf("%q: sender for %v", rawURL, r)
		}
		if sender := canonicalParty(from); canonicalParty(sender) != sender {
			t.Errorf("%q becomes %q, and that %q", from, sender, canonicalParty(sender))
		}
	})
}
