// Package jsontext finds text that encoding/json would change without an error.
package jsontext

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Check returns an error if b, a JSON value, holds bytes that are not UTF-8, or an escape
// of half a character such as \ud83d. encoding/json reads both as U+FFFD, so that another
// text would be sent than was written. The error has the offset in bytes, and no text.
func Check(b []byte) error {
	if !utf8.Valid(b) {
		at := 0
		for at < len(b) {
			r, n := utf8.DecodeRune(b[at:])
			if r == utf8.RuneError && n <= 1 {
				break
			}
			at += n
		}
		return fmt.Errorf("not UTF-8 at byte %d: expected JSON in UTF-8; the text was written in another encoding, such as ISO-8859-1", at)
	}
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\\')
		if i < 0 {
			return nil
		}
		at += i
		switch unit := escaped(b[at:]); {
		case unit < 0: // another escape, or none
			at += 2
		case unit&0xfc00 == 0xd800 && escaped(b[at+6:])&^0x3ff == 0xdc00:
			at += 12
		case unit&0xf800 == 0xd800:
			return fmt.Errorf(`half a character (\u%04x) at byte %d: expected whole ones; an emoji was cut in two, as by JavaScript's substring`, unit, at)
		default:
			at += 6
		}
		if at >= len(b) {
			return nil
		}
	}
}

// escaped returns the unit of UTF-16 that b begins with, written as \u and four digits; -1
// if it begins otherwise.
func escaped(b []byte) int {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int(n)
}
