package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// witnessed is all that commands have printed and logged in this run of the tests, and all that their servers have
// answered: with lines between.
var witnessed struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func witness(text string) {
	witnessed.mu.Lock()
	defer witnessed.mu.Unlock()
	witnessed.all.WriteString(text)
}

// shows reports that a command line is to show numbers: it has --reveal, or it explains something by
// examples, which have some.
func shows(args []string) bool {
	return len(args) == 0 || slices.ContainsFunc(args, func(a string) bool {
		return slices.Contains([]string{"--reveal", "--help", "help", "completion", "schema"}, a)
	})
}

// A number of the tests, whole, and not as a part of an ID. All of them begin with +1500 or +1555.
var wholeNumber = regexp.MustCompile(`(?:^|%2B|[^0-9A-Za-z-])1(?:500|555)[0-9]{7}(?:$|[^0-9A-Za-z])`)

var (
	// The text of the tests' messages, also as a form has it.
	aText = regexp.MustCompile(`your( |\+|%20)code( |\+|%20)is`)
	// What the tests sign in with, and no SID that ends like it.
	anyToken = regexp.MustCompile(`(?:^|[^0-9A-Za-z])(?:` + token + "|" + keySecret + "|" + twiliotest.AuthToken + `)`)
)

// secretsIn returns the numbers, texts and credentials of the tests that are in a text, with what is around them.
func secretsIn(text string) (found []string) {
	around := func(from, to int) {
		found = append(found, fmt.Sprintf("%q", text[max(0, from-80):min(len(text), to+80)]))
	}
	for _, secret := range []*regexp.Regexp{wholeNumber, aText, anyToken} {
		for _, at := range secret.FindAllStringIndex(text, -1) {
			around(at[0], at[1])
		}
	}
	return found
}

// silence looks for secrets in all that was witnessed. It returns the exit code of the tests: 1, if there is one.
func silence() int {
	found := secretsIn(witnessed.all.String())
	for _, f := range found[:min(len(found), 5)] {
		fmt.Fprintf(os.Stderr, "FAIL: a command, a log or a page has shown a number, a text or a credential: %s\n", f)
	}
	return min(len(found), 1)
}

// overheard is a handler whose answers are witnessed.
func overheard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(&overhearing{w}, r) })
}

type overhearing struct{ http.ResponseWriter }

func (o *overhearing) Write(p []byte) (int, error) {
	witness(string(p))
	return o.ResponseWriter.Write(p)
}

func (o *overhearing) Unwrap() http.ResponseWriter { return o.ResponseWriter } // for what flushes and has deadlines

func TestSecretsAreFound(t *testing.T) {
	for _, bad := range []string{receiver, "sent to 15005550006.", "?From=%2B15005550006&", text, "Basic " + token, "\x1b[1m+15005550006\x1b[m"} {
		if len(secretsIn(bad)) == 0 {
			t.Errorf("%q is not found", bad)
		}
	}
	if found := secretsIn("+1500•••0006 job 01a21eda-e21e-7930-80e8-150055500061 of 1500 at 15555550123456"); len(found) > 0 {
		t.Error(found)
	}
}
