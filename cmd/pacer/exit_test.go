package main

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/internal/doctest"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// An end is a command line, and what it says on the standard error at its end.
type end struct {
	args, says string
}

// exits has command lines against the queue of [seed], by the exit code that they end with.
var exits = map[int][]end{
	exitDone: {
		{"queue stats", ""},
		{"campaign list --json", ""},
		{"hold end {hold} --yes", ""},
		{"why --queue {empty}", ""},
		{"queue list --json --queue {empty}", ""},
		{"doubt list --json --queue {empty}", ""},
		{"send --to +15005550001 --from +15005550006 --body hello", ""},
		{"limits check {limits}", ""},
		{"help queue", ""},
		{"queue", ""},
		{"doubt show {failed}", "not in doubt"},
	},
	exitFailed: {
		{"queue stats --queue redis://127.0.0.1:1/0", "refused"},
		{"send --queue redis://127.0.0.1:1/0 --to +15005550001 --from +15005550006 --body hello", "refused"},
		{"queue stats --queue sqlite:{limits}", "not a database"},
		{"send --now --base-url http://127.0.0.1:1 --to +15005550001 --from +15005550006 --body hello", "refused"},
		{"send --now --base-url {refusing} --to +15005550001 --from +15005550006 --body hello", "400"},
		{"limits check {csv}", "line 1"},
		{"campaign start x --csv none.csv --from +15005550006 --body hello", "none.csv"},
		{"doubt confirm {doubt} CA0", "expected that of a message"},
		{"queue requeue {doubt} --yes", "pacer doubt confirm, resend or cancel"},
		{"queue cancel {doubt} --yes", "pacer doubt confirm, resend or cancel"},
		{"doubt resend {failed} --yes", "pacer queue requeue"},
		{"doubt cancel {delayed} --yes", "pacer queue cancel"},
		{"queue requeue {sent} --yes", "sent"},
	},
	exitUsage: {
		{"sned", "unknown command"},
		{"queue empty", "unknown command"},
		{"queue stats --no-such-flag", "unknown flag"},
		{"queue list --limit many", "invalid argument"},
		{"queue list --state lost", "--state"},
		{"queue show", "expected 1 ID"},
		{"queue stats --queue file:x", "scheme"},
		{"campaign rate spring 0", "rate"},
		{"campaign window spring nights", "window"},
		{"campaign cancel spring", "expected --yes"},
		{"send", "expected --to"},
		{"worker --config {limits}", "expected an object"},
		{"worker --limits none.json --listen off", "none.json"},
		{"limits set {limits}", "PACER_SHARE"},
	},
	exitNotFound: {
		{"queue stats --queue sqlite:none.db", "no queue at"},
		{"campaign show winter", "no such campaign"},
		{"campaign list --queue {empty}", "no campaign"},
		{"campaign failures autumn", "no failure"},
		{"queue list --campaign winter", "no such request"},
		{"queue show none", "no such job"},
		{"queue cancel none --yes", "no such job"},
		{"doubt list --queue {empty}", "no request that is in doubt"},
		{"hold list --queue {empty}", "no hold"},
		{"hold end 00000000 --yes", "no hold of that name"},
		{"workers --queue {empty}", "no worker"},
		{"why winter", "not \"winter\""},
	},
	exitPerson: {
		{"doubt list", "something needs a person"},
		{"doubt list --json", "something needs a person"},
		{"why", "something needs a person"},
		{"why {doubt} --json", "something needs a person"},
		{"doctor --offline --limits none.json", "limits: something needs a person"},
		{"send --now --base-url {silent} --to +15005550001 --from +15005550006 --body hello", "may have been sent"},
	},
}

// Each exit code that docs/operating.md, the help and the code have is that of some command lines here.
func TestExitCodesAreThoseOfTheDocument(t *testing.T) {
	documented, helped := map[int]string{}, map[int]string{}
	for _, row := range doctest.Read(t, "docs/operating.md").Table(t, "Exit codes and JSON") {
		code, err := strconv.Atoi(row[0])
		must(t, err)
		documented[code] = row[1]
	}
	_, list, _ := strings.Cut(ok(t, "--help"), "Exit codes:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range regexp.MustCompile(`(?m)^  (\d+)  (.+)$`).FindAllStringSubmatch(list, -1) {
		code, err := strconv.Atoi(m[1])
		must(t, err)
		helped[code] = m[2]
	}
	if !maps.Equal(documented, helped) {
		t.Errorf("docs/operating.md has the exit codes %v, the help has %v", documented, helped)
	}
	var tested []string
	for code := range exits {
		tested = append(tested, strconv.Itoa(code))
		if documented[code] == "" {
			t.Errorf("exit code %d is not documented", code)
		}
	}
	for code := range documented {
		if len(exits[code]) < 2 {
			t.Errorf("exit code %d is documented, and exits has too few command lines for it", code)
		}
	}
	slices.Sort(tested)
	if made := constants(t, ".", func(name, _ string) bool { return strings.HasPrefix(name, "exit") }); !slices.Equal(made, tested) {
		t.Errorf("the code has the exit codes %v, tested are %v", made, tested)
	}
}

func TestExitCodes(t *testing.T) {
	s := seed(t)
	s.names["empty"] = file(t)
	makeQueue(t, s.names["empty"])
	for name, fault := range map[string]twiliotest.Fault{"silent": {Kind: twiliotest.DropAfterAccept}, "refusing": {Kind: twiliotest.RespondStatus, Status: 400}} {
		fake, url := server(t, twiliotest.Config{})
		fake.Inject(fault)
		s.names[name] = url
	}
	for _, code := range slices.Sorted(maps.Keys(exits)) {
		for _, e := range exits[code] {
			t.Run(strconv.Itoa(code)+" "+e.args, func(t *testing.T) {
				s.fresh(t)
				p := do(t, s.line(t, "", way{args: e.args})...)
				if p.code != code || !strings.Contains(p.err, e.says) || code != exitDone && p.err == "" {
					t.Errorf("exit code %d, expected %d, and an error with %q: %s", p.code, code, e.says, p.err)
				}
				if strings.Contains(p.err, "pacer: pacer:") {
					t.Errorf("the command's name twice: %s", p.err)
				}
			})
		}
	}
}
