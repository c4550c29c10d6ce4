package compat

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twilio-pacer/pacer"
)

// Limits that are valid, and that are not, in the eyes of ParseLimits and of the schema
// that editors check a file with.
var (
	goodLimits = []string{
		`[]`,
		`{"limits": []}`,
		`{"$schema": "./limits.schema.json", "limits": [{"resource": "Messages", "rate": 1}]}`,
		`[{"resource": "Messages", "rate": 20, "burst": 5}, {"resource": "Calls", "rate": 0.5}]`,
		`[{"resource": "Messages", "sender": "+15005550006", "op": "create", "rate": 0.000001}]`,
		`[{"resource": "*", "sender": "whatsapp:+15005550006", "rate": "unlimited"}]`,
		`[{"resource": "api/Messages", "sender": "MG0123456789abcdef0123456789abcdef", "rate": 50}]`,
		`[{"resource": "Messages", "op": "read", "rate": 1e308}]`,
		`[{"resource": "lookups/PhoneNumbers", "account": "AC0123456789abcdef0123456789abcdef", "rate": 10, "maxInFlight": 5}]`,
		`[{"resource": "verify/*", "op": "write", "maxInFlight": 1}, {"resource": "*", "maxInFlight": 50}]`,
		`[{"resource": "messaging/a2p/BrandRegistrations", "rate": 1}, {"resource": "flex-api/Interactions", "rate": 1}]`,
		`[{"resource": "Messages/Media", "rate": 1, "burst": 1000000}]`,
		`[{"resource": "*", "rate": 1, "burst": 0, "maxInFlight": 0, "op": "", "sender": "", "account": ""}]`,
		`[{"resource": "*", "rate": 0, "maxInFlight": 1}]`,
	}
	badLimits = []string{
		`null`, `7`, `"Messages"`, `{}`, `[null]`, `[[]]`, `[{}]`, `["Messages"]`,
		`{"resource": "Messages", "rate": 1}`,
		`{"limits": {}}`, `{"limits": null}`, `{"limits": [], "more": 1}`, `{"limits": [], "$schema": 7}`,
		`[{"rate": 1}]`,
		`[{"resource": "Messages"}]`,
		`[{"resource": "Messages", "rate": 1, "rat": 1}]`,
		`[{"resource": "Messages", "RATE": 1}]`,
		`[{"resource": 7, "rate": 1}]`,
		`[{"resource": "", "rate": 1}]`,
		`[{"resource": "messages", "rate": 1}]`,
		`[{"resource": "lookups/", "rate": 1}]`,
		`[{"resource": "/Messages", "rate": 1}]`,
		`[{"resource": "verify//Verifications", "rate": 1}]`,
		`[{"resource": "verify/Services/*", "rate": 1}]`,
		`[{"resource": "**", "rate": 1}]`,
		`[{"resource": "Messages", "rate": 0}]`,
		`[{"resource": "Messages", "rate": -1}]`,
		`[{"resource": "Messages", "rate": 0.0000001}]`,
		`[{"resource": "Messages", "rate": "20"}]`,
		`[{"resource": "Messages", "rate": "Unlimited"}]`,
		`[{"resource": "Messages", "rate": null}]`,
		`[{"resource": "Messages", "rate": true}]`,
		`[{"resource": "Messages", "rate": 1, "burst": -1}]`,
		`[{"resource": "Messages", "rate": 1, "burst": 1.5}]`,
		`[{"resource": "Messages", "rate": 1, "burst": 1000001}]`,
		`[{"resource": "Messages", "rate": 1, "burst": "2"}]`,
		`[{"resource": "Messages", "maxInFlight": 1, "burst": 2}]`,
		`[{"resource": "Messages", "maxInFlight": -1}]`,
		`[{"resource": "Messages", "maxInFlight": 0}]`,
		`[{"resource": "Messages", "maxInFlight": 0.5}]`,
		`[{"resource": "Messages", "op": "send", "rate": 1}]`,
		`[{"resource": "Messages", "op": 1, "rate": 1}]`,
		`[{"resource": "Messages", "account": "AC123", "rate": 1}]`,
		`[{"resource": "Messages", "account": "MG0123456789abcdef0123456789abcdef", "rate": 1}]`,
		`[{"resource": "Messages", "sender": 12345, "rate": 1}]`,
		`[{"resource": "Calls", "sender": "+15005550006", "rate": 1}]`,
		`[{"resource": "Messages", "sender": "+15005550006", "op": "read", "rate": 1}]`,
	}
	// What a schema cannot say, or only at the cost of its legibility.
	badBeyondSchema = []string{
		`[{"resource": "Messages", "rate": 1}, {"resource": "Messages", "rate": 2}]`,
		`[{"resource": "Messages", "rate": 1, "rate": 2}]`,
		`[{"resource": "Messages", "sender": "A name that is too long", "rate": 1}]`,
		`[{"resource": "Messages/SM0123456789abcdef0123456789abcdef", "rate": 1}]`,
		`[{"resource": "Mesages", "rate": 1}]`,
		`[{"resource": "lookups/Messages", "rate": 1}]`,
	}
)

func TestLimitsSchema(t *testing.T) {
	c := jsonschema.NewCompiler() // it validates the schema itself, too
	schema, err := c.Compile(filepath.Join("..", "limits.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	allows := func(text string) error {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		return schema.Validate(doc)
	}
	for _, text := range goodLimits {
		if _, err := pacer.ParseLimits([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := allows(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range badLimits {
		if _, err := pacer.ParseLimits([]byte(text)); err == nil {
			t.Errorf("%s: ParseLimits takes it", text)
		}
		if allows(text) == nil {
			t.Errorf("%s: the schema allows it", text)
		}
	}
	for _, text := range badBeyondSchema {
		if _, err := pacer.ParseLimits([]byte(text)); err == nil {
			t.Errorf("%s: ParseLimits takes it", text)
		}
		if err := allows(text); err != nil {
			t.Errorf("%s: the schema refuses it after all, move it to badLimits: %v", text, err)
		}
	}
	// Every default can be written down as a rule.
	for _, d := range pacer.DefaultLimits() {
		text, err := d.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := allows("[" + string(text) + "]"); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
