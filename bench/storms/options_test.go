package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

func TestOptionsPickRowsAndClients(t *testing.T) {
	for _, tt := range []struct {
		args          []string
		rows, clients int
	}{
		{nil, len(allRows()), len(allClients)},
		{[]string{"-row", "^noise/20/"}, 5, len(allClients)},
		{[]string{"-row", "^steps$", "-short", "-client", "aws"}, 1, 1}, // neither is part of a short run by itself
		{[]string{"-client", "^pacer$"}, len(allRows()), 1},
	} {
		o, err := parseOptions(tt.args, io.Discard)
		if err != nil || len(o.rows) != tt.rows || len(o.clients) != tt.clients {
			t.Errorf("%q: %d rows, %d clients, %v; expected %d and %d", tt.args, len(o.rows), len(o.clients), err, tt.rows, tt.clients)
		}
	}
	o, err := parseOptions([]string{"-short"}, io.Discard)
	if err != nil || len(o.rows) == 0 || len(o.rows) == len(allRows()) || len(o.clients) != 4 {
		t.Errorf("-short has %d rows and %d clients, %v; expected some, and 4", len(o.rows), len(o.clients), err)
	}
}

func TestMistakesOnTheCommandLineAreNamed(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-row", "nosuch"}, `-row: "nosuch" matches no row: expected one of noise/20/0.1%`},
		{[]string{"-client", "nosuch"}, `-client: "nosuch" matches no client: expected one of twilio-go`},
		{[]string{"-row", "("}, "missing closing"},
		{[]string{"-seed", "x"}, "-seed"},
		{[]string{"-check", "-client", "aws"}, "-check: expected pacer among the clients"},
		{[]string{"all"}, `argument "all": expected flags only`},
	} {
		if _, err := parseOptions(tt.args, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, expected an error with %q", tt.args, err, tt.want)
		}
	}
}

func TestHelpNamesAllFlagsRowsAndClients(t *testing.T) {
	var b bytes.Buffer
	if _, err := parseOptions([]string{"-h"}, &b); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("%v, expected flag.ErrHelp", err)
	}
	want := []string{"-check", "-json", "-short", "-seed", "-row", "-client", "rule 3"}
	for _, r := range allRows() {
		want = append(want, r.name, r.what)
	}
	for _, c := range allClients {
		want = append(want, c.name)
	}
	for _, w := range want {
		if !strings.Contains(b.String(), w) {
			t.Errorf("the help does not say %q", w)
		}
	}
}

func TestNamesOfRowsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range allRows() {
		if seen[r.name] || r.name == "" || r.what == "" {
			t.Errorf("row %q, %q: expected a name of its own, and what it is", r.name, r.what)
		}
		seen[r.name] = true
	}
}
