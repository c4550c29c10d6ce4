package pacer

import (
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

// mask hides the middle of a phone number, also of "whatsapp:+15550006": enough is
// left to recognise one's own sender. SIDs and names are not secret.
func mask(sender string) string {
	number := max(0, strings.IndexByte(sender, '+'))
	if len(sender)-number < 10 || strings.Trim(sender[number:], "+0123456789 -().") != "" {
		return sender
	}
	return sender[:number+5] + "•••" + sender[len(sender)-4:]
}

// alike is what only looks like a phone number: a UUID, such as the ID of a queued request, and a date, such as that of a
// time, or of the version in a path of Twilio's.
const alike = `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}` +
	`|(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?`

var (
	longNumber = regexp.MustCompile(`\b(?:` + alike + `)(?:Z|\b)|[0-9A-Za-z]*\+?[0-9][0-9 ().-]{7,}[0-9][0-9A-Za-z]*`)
	noNumber   = regexp.MustCompile(`^(?:` + alike + `)Z?$`)
)

// MaskNumbers returns text with the middle of every phone number hidden, as pacer does in its
// logs and alerts. Twilio's error messages may name a number, and pacer leaves its errors as
// they are: use it where a program logs them itself.
//
// A run of ten characters or more that has only digits, blanks, dots, hyphens, brackets and a plus
// counts as a number. SIDs, UUIDs, dates and IP addresses stay. It is safe for concurrent use.
func MaskNumbers(text string) string {
	return longNumber.ReplaceAllStringFunc(text, func(found string) string {
		if len(found) < 10 || endpoint.IsSID(found) || net.ParseIP(found) != nil || noNumber.MatchString(found) {
			return found
		}
		return found[:5] + "•••" + found[len(found)-4:]
	})
}

func quoted(s string) string { return fmt.Sprintf("%q", cut(MaskNumbers(s))) }

func cut(s string) string {
	const enough = 60
	if len(s) <= enough {
		return s
	}
	return strings.ToValidUTF8(s[:enough], "") + "..."
}

// shownError is the text of an error for logs: Twilio's messages may have phone numbers, of which
// the middle is hidden. The error itself stays as twilio-go makes it. nil is nil.
func shownError(err error) any {
	if err == nil {
		return nil
	}
	return MaskNumbers(err.Error())
}
