package jsontext

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTextThatJSONWouldChangeIsFound(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"a":"Jos` + "\xe9" + `"}`, "not UTF-8 at byte 9"},
		{"\xff\xfe{\x00}\x00", "not UTF-8 at byte 0"},
		{`"ab\ud83d"`, `(\ud83d) at byte 3`},
		{`"\ud83dx"`, "half a character"},
		{`"\ud83d\n"`, "half a character"},
		{`"\ude00\ud83d"`, `(\ude00)`},
		{`"\ud83d\ud83d\ude00"`, "at byte 1"},
		{`"\uD83D\u0041"`, "half a character"},
		{`"` + "\xed\xa0\xbd" + `"`, "not UTF-8 at byte 1"}, // a surrogate as bytes
		{`"\\\ud83d"`, "at byte 3"},
		{`"\ud83d\ude00"`, ""},
		{`"\uD83D\uDE00"`, ""},
		{`"\\ud83d"`, ""}, // a backslash, and letters
		{`"\ufffd, José, 👋"`, ""},
		{`"\u00`, ""}, // no JSON, which is not said here
		{`\`, ""},
		{"", ""},
	} {
		err := Check([]byte(c.in))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, expected %q", c.in, err, c.want)
		}
	}
}

// A string that passes is read as it was written: it has U+FFFD only where that was said.
func FuzzCheckedTextIsReadAsWritten(f *testing.F) {
	for _, s := range []string{`a\ud83d\ude00`, `\ud83d`, "\xff", `\\u`, `\ufffd`, `\"\u00e9`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := []byte(`"` + s + `"`)
		var read string
		if json.Unmarshal(b, &read) != nil {
			return
		}
		said := strings.Contains(s, "\ufffd") || strings.Contains(strings.ToLower(s), `\ufffd`)
		if err := Check(b); !said && (err == nil) == strings.Contains(read, "\ufffd") {
			t.Fatalf("%q is read as %q: %v", b, read, err)
		}
	})
}
