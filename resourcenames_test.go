package pacer

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

// The table of names is what ResourceOf makes of each operation of Twilio's OpenAPI documents
// and of each path in the sources of the twilio-go that pacer is built with. To make it anew:
//
//	PACER_UPDATE=1 go test -run TestResourceNamesAreTwilioGos .
func TestResourceNamesAreTwilioGos(t *testing.T) {
	names := map[string][]string{}
	add := func(op operation) {
		r := ResourceOf(op.method, op.with(ids[0]), nil, account)
		if !slices.Contains(names[r.Product], r.Name) {
			names[r.Product] = append(names[r.Product], r.Name)
		}
	}
	for _, op := range operations(t) {
		add(op)
	}
	n := 0
	for _, op := range twilioGosPaths(t) {
		add(op)
		n++
	}
	if n < 1000 {
		t.Errorf("%d paths in twilio-go's sources, expected more than 1,000", n)
	}
	var lines []string
	for product, names := range names {
		slices.Sort(names)
		lines = append(lines, product+": "+strings.Join(names, " ")+"\n")
	}
	slices.Sort(lines)
	want := strings.Join(lines, "")
	if want == endpoint.Names {
		return
	}
	if os.Getenv("PACER_UPDATE") != "" {
		try(t, os.WriteFile("internal/endpoint/names.txt", []byte(want), 0o644))
		t.Fatal("internal/endpoint/names.txt is written anew")
	}
	have := strings.Split(endpoint.Names, "\n")
	for _, line := range lines {
		if !slices.Contains(have, strings.TrimSpace(line)) {
			t.Errorf("internal/endpoint/names.txt lacks, or has otherwise: %s", line)
		}
	}
	t.Error("internal/endpoint/names.txt is not what Twilio's operations say; PACER_UPDATE=1 writes it anew")
}

// twilioGosPaths reads the paths of twilio-go's operations from its sources.
func twilioGosPaths(t *testing.T) (ops []operation) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/twilio/twilio-go").Output()
	try(t, err)
	services, err := filepath.Glob(filepath.Join(string(bytes.TrimSpace(out)), "rest", "*", "*", "api_service.go"))
	try(t, err)
	baseURL := regexp.MustCompile(`baseURL: +"([^"]+)"`)
	path := regexp.MustCompile(`path := "([^"]+)"`)
	for _, service := range services {
		text, err := os.ReadFile(service)
		try(t, err)
		base := baseURL.FindSubmatch(text)
		if base == nil {
			t.Errorf("%s has no baseURL", service)
			continue
		}
		files, _ := filepath.Glob(filepath.Join(filepath.Dir(service), "*.go"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			try(t, err)
			for _, p := range path.FindAllSubmatch(text, -1) {
				ops = append(ops, operation{method: "GET", url: string(base[1]) + string(p[1])})
			}
		}
	}
	return ops
}

// Each resource can be written as a rule in each way that Limit documents.
func TestEveryResourceOfTwiliosMayBeLimited(t *testing.T) {
	for _, op := range append(operations(t), twilioGosPaths(t)...) {
		r := ResourceOf(op.method, op.with(ids[0]), nil, account)
		rules := []string{r.Product + "/" + r.Name, r.Product + "/*"}
		if words := strings.Split(r.Name, "/"); len(words) > 1 && (r.Product != "api" || words[len(words)-1][0] < 'a') {
			rules = append(rules, r.Product+"/"+words[len(words)-1])
		}
		if r.Product == "api" {
			rules = append(rules, r.Name)
		}
		for _, rule := range rules {
			l := Limit{Resource: rule, Rate: 1, Op: r.Op}
			if err := (Limits{l}).Validate(); err != nil {
				t.Errorf("%s (%s %s): %v", rule, op.method, op.url, err)
			}
			if l.matches(r) == 0 {
				t.Errorf("%s does not match %v", rule, r)
			}
		}
	}
}

func TestRuleForAResourceThatTwilioDoesNotHaveIsRefused(t *testing.T) {
	for resource, nearest := range map[string]string{
		"Mesages":                `"Messages"`,
		"MESSAGES":               `"Messages"`,
		"messages":               `"Messages"`,
		"Message":                `"Messages"`,
		"api/Mesages":            `"Messages"`,
		"Massages/Media":         `"Messages/Media"`,
		"Call":                   `"Calls"`,
		"Lookups":                `"lookups/PhoneNumbers"`,
		"Lookup":                 `"lookups/PhoneNumbers"`,
		"lookups":                `"lookups/PhoneNumbers"`,
		"Studio":                 `"studio/Flows/Executions"`,
		"Verify":                 `"verify/Verifications"`,
		"Verifications":          `"verify/Verifications"`,
		"Services/Verifications": `"verify/Services/Verifications"`,
		"verify/Verification":    `"verify/Verifications"`,
		"verify/ifications":      `"verify/Verifications"`,
		"verfiy/Verifications":   `"verify/Verifications"`,
		"lookups/phonenumbers":   `"lookups/PhoneNumbers"`,
		"lookups/Messages":       "",
		"lookup/PhoneNumbers":    `"lookups/PhoneNumbers"`,
		"PhoneNumbers":           `"lookups/PhoneNumbers"`,
		"Trunking":               `"trunking/*"`,
		"lookup/*":               `"lookups/*"`,
		"verfiy/*":               `"verify/*"`,
		"messages/*":             `"Messages"`,
		"calls/*":                `"Calls"`,
		"novel/Things":           "",
		"Zzyzx":                  "",
	} {
		err := Limits{{Resource: "*", Rate: 1}, {Resource: resource, Rate: 1}}.Validate()
		wantWords(t, err, "limits[1].resource: \""+resource+"\"", "expected", nearest)
		if err != nil && nearest == "" && strings.Contains(err.Error(), "nearest") {
			t.Errorf("%s is near nothing: %v", resource, err)
		}
		_, err = ParseLimits([]byte(`[{"resource": "*", "rate": 1},` + "\n" + `{"rate": 1, "resource": "` + resource + `"}]`))
		wantWords(t, err, "line 2: limits[1].resource: \""+resource+"\"", nearest)
	}
}

// A product that is newer than pacer, and the name of a proxy's host, can be limited as a whole.
func TestProductThatPacerDoesNotKnowMayBeLimited(t *testing.T) {
	for _, resource := range []string{"novel/*", "localhost/*", "proxy2/*", "api2/*"} {
		if err := (Limits{{Resource: resource, Rate: 1}}).Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestPhoneNumberAsAResourceIsMasked(t *testing.T) {
	for _, resource := range []string{
		"+15005550006", "15005550006", "Messages/+15005550006", "+15005550006/Media", "whatsapp:+15005550006", "Messages15005550006", "+1 500 555-0006",
		"lookups/15005550006", "15005550006/*",
	} {
		for _, err := range []error{
			Limits{{Resource: resource, Rate: 1}}.Validate(),
			Limits{{Resource: Calls, Sender: resource, Rate: 1}}.Validate(),
			Limits{{Resource: Messages, Account: resource, Rate: 1}}.Validate(),
			Limits{{Resource: Messages, Op: Op(resource), Rate: 1}}.Validate(),
			func() error {
				_, err := ParseLimits([]byte(`[{"resource": "` + resource + `", "rate": 1}]`))
				return err
			}(),
			func() error { _, err := ParseLimits([]byte(`[{"` + resource + `": 1}]`)); return err }(),
		} {
			if err == nil || strings.Contains(err.Error(), "5550006") || strings.Contains(err.Error(), "555-0006") {
				t.Errorf("%s: %v", resource, err)
			}
		}
	}
}
