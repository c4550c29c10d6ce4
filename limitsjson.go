package pacer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ParseLimits reads rules from JSON: an array of objects with the fields of [Limit]
// in lower camel case; rate may also be the string "unlimited".
//
//	[
//	  {"resource": "Messages", "rate": 20},
//	  {"resource": "Messages", "sender": "+15005550006", "rate": 1},
//	  {"resource": "lookups/PhoneNumbers", "rate": 10, "maxInFlight": 5}
//	]
//
// The array may also stand in an object, {"$schema": "...", "limits": [...]}, by which
// an editor finds the schema, limits.schema.json in pacer's repository.
//
// Unknown fields are errors, as are null and a field given twice. The error gives the line of what is
// wrong, the field, its value and what was expected. Where a field is missing, the line is that on
// which its rule begins. Beside an error the limits are nil.
func ParseLimits(data []byte) (Limits, error) {
	ls, err := parseLimits(data)
	if err != nil {
		return nil, fmt.Errorf("pacer: limits, %w", err)
	}
	return ls, nil
}

// parseLimits is ParseLimits with errors that begin with the line.
func parseLimits(data []byte) (Limits, error) {
	p := limitsParser{seen: map[Limit]int{}}
	if err := p.parse(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))); err != nil { // some editors begin a file with a mark
		return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(p.at, len(data))], []byte("\n")), err)
	}
	return p.limits, nil
}

type limitsParser struct {
	limits Limits
	seen   map[Limit]int // by scope, for [Limit.repeats]
	at     int           // of what is being read, in the text: where an error is
}

const expectedLimits = `expected an array of rules, [{"resource": ..., "rate": ...}, ...], or an object {"limits": [...]}`

func (p *limitsParser) parse(data []byte) error {
	// First of all the whole text has to be JSON: nothing below meets a syntax error,
	// and the decoder tells its place exactly only here.
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			p.at = max(0, int(syntax.Offset)-1)
		}
		return fmt.Errorf("%w: %s", err, expectedLimits)
	}
	p.at = len(data) - len(bytes.TrimLeft(data, " \t\r\n"))
	switch data[p.at] {
	case '[':
		return p.rules(data, 0)
	case '{':
		return p.object(data)
	}
	return fmt.Errorf("%s: %s", shown(data[p.at:]), expectedLimits)
}

func (p *limitsParser) object(data []byte) error {
	start, found := p.at, false
	err := walk(data, func(key string, at int, value []byte) error {
		p.at = at
		switch {
		case key == "limits" && value[0] == '[' && !found:
			found = true
			return p.rules(value, at)
		case key == "limits" && found:
			return errors.New("limits: given twice: expected it once")
		case key == "limits":
			return fmt.Errorf("limits: %s: expected an array of rules", shown(value))
		case key == "$schema" && value[0] != '"':
			return fmt.Errorf("$schema: %s: expected a string, the address of limits.schema.json", shown(value))
		case key != "$schema":
			return fmt.Errorf("%s: unknown field: %s", quoted(key), expectedLimits)
		}
		return nil
	})
	if err == nil && !found {
		p.at = start
		err = errors.New("limits: missing: " + expectedLimits)
	}
	return err
}

// rules reads the array data, which begins at base in the text.
func (p *limitsParser) rules(data []byte, base int) error {
	return walk(data, func(_ string, at int, value []byte) error {
		start, i := base+at, len(p.limits)
		p.at = start
		if value[0] != '{' {
			return fmt.Errorf("limits[%d]: %w", i, notRule(value))
		}
		var l Limit
		fields := map[string]int{}
		err := walk(value, func(key string, at int, value []byte) error {
			p.at = start + at
			if _, twice := fields[key]; twice {
				return fmt.Errorf("%s: given twice: expected it once", key)
			}
			fields[key] = p.at
			return l.set(key, value)
		})
		if err == nil {
			p.at = start
			if err = l.validateFields(); err != nil {
				field, _, _ := strings.Cut(err.Error(), ":") // which it begins with
				if at, given := fields[field]; given {
					p.at = at
				}
			}
		}
		if err != nil {
			return fmt.Errorf("limits[%d].%w", i, err)
		}
		if err := l.repeats(i, p.seen); err != nil {
			return err
		}
		p.limits = append(p.limits, l)
		return nil
	})
}

// walk calls f for each element of data, a JSON array or object, with its key, where
// its value begins in data, and the value.
func walk(data []byte, f func(key string, at int, value []byte) error) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	open, err := dec.Token()
	if err != nil {
		return err
	}
	for dec.More() {
		var key string
		if open == json.Delim('{') {
			t, err := dec.Token()
			if err != nil {
				return err
			}
			key, _ = t.(string)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := f(key, int(dec.InputOffset())-len(value), value); err != nil {
			return err
		}
	}
	return nil
}

func notRule(value []byte) error {
	return fmt.Errorf("%s: expected an object, {\"resource\": ..., \"rate\": ...}", shown(value))
}

// set reads one field of a rule from JSON.
func (l *Limit) set(field string, value []byte) error {
	var to any
	var expected string
	switch field {
	case "resource":
		to, expected = &l.Resource, `a string such as "Messages" or "lookups/PhoneNumbers"`
	case "sender":
		to, expected = &l.Sender, "a string, in quotes also where it is a number"
	case "account":
		to, expected = &l.Account, "a string, an account SID"
	case "op":
		to, expected = &l.Op, `a string: "read", "create" or "write"`
	case "rate":
		if string(value) == `"unlimited"` {
			l.Rate = Unlimited
			return nil
		}
		to, expected = &l.Rate, `a number of requests per second, or "unlimited"`
	case "burst":
		to, expected = &l.Burst, "a whole number of requests"
	case "maxInFlight":
		to, expected = &l.MaxInFlight, "a whole number of requests"
	default:
		return fmt.Errorf("%s: unknown field: expected resource, sender, account, op, rate, burst, maxInFlight", quoted(field))
	}
	if string(value) == "null" || json.Unmarshal(value, to) != nil {
		return fmt.Errorf("%s: %s: expected %s", field, shown(value), expected)
	}
	return nil
}

// shown is a JSON value for an error: short, on one line, and without phone numbers.
func shown(value []byte) string {
	var s string
	switch {
	case bytes.HasPrefix(value, []byte("[")):
		return "an array"
	case bytes.HasPrefix(value, []byte("{")):
		return "an object"
	case bytes.HasPrefix(value, []byte(`"`)) && json.Unmarshal(value, &s) == nil:
		return quoted(s)
	}
	return cut(MaskNumbers(strings.TrimSpace(string(value))))
}

// limitJSON is Limit as it stands in JSON: Rate may be "unlimited".
type limitJSON struct {
	plainLimit
	Rate any `json:"rate,omitempty"`
}

type plainLimit Limit

// MarshalJSON writes [Unlimited] as "unlimited".
func (l Limit) MarshalJSON() ([]byte, error) {
	out := limitJSON{plainLimit: plainLimit(l)}
	switch {
	case l.Rate >= Unlimited:
		out.Rate = "unlimited"
	case l.Rate != 0:
		out.Rate = l.Rate
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads one rule and refuses unknown fields. It does not validate; see
// [ParseLimits] and [Limits.Validate].
func (l *Limit) UnmarshalJSON(data []byte) error {
	if data = bytes.TrimSpace(data); len(data) == 0 || data[0] != '{' {
		return notRule(data)
	}
	var in Limit
	if err := walk(data, func(key string, _ int, value []byte) error { return in.set(key, value) }); err != nil {
		return err
	}
	*l = in
	return nil
}
