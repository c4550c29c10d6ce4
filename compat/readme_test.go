package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// What the programs find in their environment.
const (
	from      = "+15005550006"
	to        = "+15005550001"
	forSale   = "+15005550007"
	apiKey    = "SK0123456789abcdef0123456789abcdef"
	apiSecret = "s0123456789abcdef0123456789abcde"
)

// A program is one of twilio-go's README, and what is known of it.
type program struct {
	// mends make it compile where, as it stands, it does not.
	mends []mend

	// prepare sets up the account that it runs against.
	prepare func(*twiliotest.Server)

	// fault is what goes wrong with its requests.
	fault *twiliotest.Fault

	// edit replaces one place in the program, to suit that account.
	edit func(*twiliotest.Server) (from, to string)

	// check reports whether it has done what it is about. nil: it is to send nothing
	// and to print nothing.
	check func(t *testing.T, fake *twiliotest.Server, printed string)
}

// A mend is the replacement of one place in a program.
type mend struct{ why, from, to string }

const (
	end       = "\n}\n"
	useClient = "\n\t_ = client\n}\n"
	unused    = "client is declared and not used"
)

// programs are all of the README's that import twilio-go, by the heading they are
// under. Any that is missing here, compiles although it has a mend, or has a mend
// that it does without, is an error.
var programs = map[string]program{
	"Test your installation": {check: func(t *testing.T, fake *twiliotest.Server, printed string) {
		created(t, fake.Messages(), url.Values{"To": {"+15558675309"}, "From": {"+15017250604"}, "Body": {"Hello from Go!"}})
		var answer struct{ Sid, Body, Status string }
		_, doc, _ := strings.Cut(printed, "Response: ")
		if err := json.Unmarshal([]byte(doc), &answer); err != nil || answer.Sid != fake.Messages()[0].SID || answer.Status != "queued" {
			t.Errorf("printed %q (%v)", printed, err)
		}
	}},

	"API credentials":     {mends: []mend{{unused, end, useClient}}},
	"API credentials (2)": {mends: []mend{{unused, end, useClient}}},
	"Use a Subaccount": {mends: []mend{
		{unused, end, useClient},
		{"package os is not imported", `import "github.com/twilio/twilio-go"`, "import \"os\"\n" + `import "github.com/twilio/twilio-go"`},
	}},
	"Use API Keys":                 {mends: []mend{{unused, end, useClient}}},
	"Specify a Region and/or Edge": {},

	"Buy a phone number": {
		// Twiliotest's answer has no status. What it has is the SID.
		edit: func(*twiliotest.Server) (string, string) { return "*resp.Status", "*resp.Sid" },
		check: func(t *testing.T, fake *twiliotest.Server, printed string) {
			created(t, fake.Accepted(), url.Values{"PhoneNumber": {"AVAILABLE_TWILIO_PHONE_NUMBER"}})
			r := fake.Accepted()[0]
			if r.Resource != "IncomingPhoneNumbers" {
				t.Errorf("accepted %v", r)
			}
			is(t, printed, "Phone Number Status: "+r.SID+"\n")
		},
	},

	"Make a call": {check: func(t *testing.T, fake *twiliotest.Server, printed string) {
		created(t, fake.Calls(), url.Values{"To": {to}, "From": {from}, "Url": {"http://twimlets.com/holdmusic?Bucket=com.twilio.music.ambient"}})
		is(t, printed, "Call Status: queued\nCall Sid: "+fake.Calls()[0].SID+"\nCall Direction: outbound-api\n")
	}},

	"Get data about an existing Call": {
		prepare: func(fake *twiliotest.Server) {
			post(fake, "Calls", url.Values{"To": {to}, "From": {from}, "Url": {"http://example.com/"}})
		},
		// The README's call is none of this account's.
		edit: func(fake *twiliotest.Server) (string, string) {
			return "CA42ed11f93dc08b952027ffbc406d0868", fake.Calls()[0].SID
		},
		check: func(t *testing.T, fake *twiliotest.Server, printed string) {
			sid := fake.Calls()[0].SID
			if r := last(t, fake); r.Method != "GET" || !strings.HasSuffix(r.Path, "/Calls/"+sid+".json") || r.Status != http.StatusOK {
				t.Errorf("accepted %v", r)
			}
			is(t, printed, "Call Status: queued\nCall Sid: "+sid+"\nCall Direction: outbound-api\n")
		},
	},

	// Two pages, listed and then streamed.
	"Use `ListXxx` or `StreamXxx`": {
		prepare: sentBefore,
		check: func(t *testing.T, fake *twiliotest.Server, printed string) {
			var expected strings.Builder
			for range 2 {
				for i := sent; i > 0; i-- {
					fmt.Fprintf(&expected, "Body:  message %d\n", i)
				}
			}
			is(t, printed, expected.String())
			listed(t, fake, 4)
		},
	},

	// The first page, and the newest message of the second. It prints the pointer to the
	// address of the second, too.
	"Use `PageXxx`": {
		mends: []mend{
			{"resp and err are not declared", "resp, err = client", "resp, err := client"},
			{"and then they are", "resp, err := client.Api.PageMessage(params, pageToken", "resp, err = client.Api.PageMessage(params, pageToken"},
			{"NextPageUri is a pointer", "url.Parse(resp.NextPageUri)", "url.Parse(*resp.NextPageUri)"},
		},
		prepare: sentBefore,
		check: func(t *testing.T, fake *twiliotest.Server, printed string) {
			is(t, pointer.ReplaceAllString(printed, "POINTER"), fmt.Sprintf("POINTER\nmessage %d\n", sent-20))
			listed(t, fake, 2)
			if q := last(t, fake).Form; q.Get("Page") != "1" || q.Get("PageToken") == "" {
				t.Errorf("asked for %v as the second page", q)
			}
		},
	},

	"Handle Exceptions": {
		mends: []mend{{"resp is declared and not used", "\tresp, err := client", "\t_, err := client"}},
		fault: &twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21421, Message: "PhoneNumber is invalid"},
		check: func(t *testing.T, fake *twiliotest.Server, printed string) {
			refused := fake.Refused()
			if r := refused[len(refused)-1]; r.Method != "POST" || r.Resource != "IncomingPhoneNumbers" || r.Code != 21421 {
				t.Errorf("refused %v", r)
			}
			is(t, printed, "Status: 400 - ApiError 21421: PhoneNumber is invalid (null) More info: https://www.twilio.com/docs/errors/21421\n")
		},
	},
}

// sent is how many messages there are to list: more than a page of 20.
const sent = 25

func sentBefore(fake *twiliotest.Server) {
	post(fake, "Messages", url.Values{"To": {to}, "From": {"+15005550009"}, "Body": {"of another sender"}})
	for i := range sent {
		post(fake, "Messages", url.Values{"To": {to}, "From": {from}, "Body": {fmt.Sprintf("message %d", i+1)}})
	}
}

func post(fake *twiliotest.Server, resource string, form url.Values) {
	address := "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/" + resource + ".json"
	req, err := http.NewRequest("POST", address, strings.NewReader(form.Encode()))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(twiliotest.AccountSid, twiliotest.AuthToken)
	resp, err := fake.Client().Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		panic(resp.Status)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		panic(err)
	}
}

func created(t *testing.T, made []twiliotest.Request, form url.Values) {
	t.Helper()
	if len(made) != 1 || made[0].SID == "" || made[0].Form.Encode() != form.Encode() {
		t.Fatalf("created %+v, expected one, of %v", made, form)
	}
}

func listed(t *testing.T, fake *twiliotest.Server, pages int) {
	t.Helper()
	accepted := fake.Accepted()[sent+1:]
	if len(accepted) != pages {
		t.Errorf("%d pages were asked for, expected %d", len(accepted), pages)
	}
	for _, r := range accepted {
		if r.Method != "GET" || r.Resource != "Messages" || r.Form.Get("From") != from || r.Status != http.StatusOK {
			t.Errorf("accepted %v", r)
		}
	}
}

func last(t *testing.T, fake *twiliotest.Server) twiliotest.Request {
	t.Helper()
	accepted := fake.Accepted()
	return accepted[len(accepted)-1]
}

func is(t *testing.T, printed, expected string) {
	t.Helper()
	if printed != expected {
		t.Errorf("printed:\n%sexpected:\n%s", printed, expected)
	}
}

// A run is one run of a program.
type run struct {
	name      string
	paced     bool
	fake      *twiliotest.Server
	before    int // what the fake had accepted by then
	throttled int // how many requests the fake is to throttle
}

// TestReadmePrograms checks the programs of twilio-go's README as they stand, mended
// where they need it, and with their import swapped. It runs them against twiliotest:
// with twilio-go; with pacer, which must make no difference; and with pacer when the
// first request is throttled, which must make none either.
func TestReadmePrograms(t *testing.T) {
	sources := readmePrograms(t)
	for heading := range programs {
		if _, ok := sources[heading]; !ok {
			t.Errorf("the README has no program under %q", heading)
		}
	}
	module := newModule(t)
	compile := newChecker(t, module, sources)
	dispatch := map[string]string{} // to programs, by variant
	runs := map[string][]run{}
	for _, heading := range slices.Sorted(maps.Keys(sources)) {
		src := sources[heading]
		p, ok := programs[heading]
		if !ok {
			t.Errorf("the program under %q is new (as it stands: %v): add it to programs", heading, compile(src))
			continue
		}
		if err := compile(src); err == nil && len(p.mends) > 0 {
			t.Errorf("%q compiles as it stands: its mends are no longer needed", heading)
		} else if err != nil && len(p.mends) == 0 {
			t.Errorf("%q does not compile: %v", heading, err)
		} else {
			t.Logf("%q as it stands: %v", heading, err)
		}
		for i, m := range p.mends {
			if compile(mended(t, src, slices.Delete(slices.Clone(p.mends), i, i+1))) == nil {
				t.Errorf("%q compiles although %s: that mend is no longer needed", heading, m.why)
			}
		}
		src = mended(t, src, p.mends)
		swapped := replaceOnce(t, src, `"`+twilioGo+`"`, `twilio "github.com/twilio-pacer/pacer"`)
		for variant, src := range map[string]string{"twilio": src, "pacer": swapped} {
			if err := compile(src); err != nil {
				t.Errorf("%q, mended, with %s: %v", heading, variant, err)
			}
		}

		name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(heading), "_"), "_")
		r := []run{newRun(t, p, name, false, false), newRun(t, p, name, true, false), newRun(t, p, name, true, true)}
		if p.edit != nil {
			from, to := p.edit(r[0].fake)
			src, swapped = replaceOnce(t, src, from, to), replaceOnce(t, swapped, from, to)
		}
		for variant, src := range map[string]string{"twilio": src, "pacer": swapped} {
			write(t, filepath.Join(module, variant, name+".go"), replaceOnce(t, src, "\nfunc main() {\n", "\nfunc "+name+"() {\n"))
			dispatch[variant] += fmt.Sprintf("\tcase %q:\n\t\t%s()\n", name, name)
		}
		if p.check == nil {
			r = r[:2] // what sends nothing is not throttled
		}
		runs[heading] = r
	}
	if t.Failed() {
		t.FailNow()
	}
	if testing.Short() {
		t.Log("-short: the programs are compiled, and are not run")
		return
	}

	// To compile whatever mentions RestClient takes the compiler 10 s and more, to emit
	// the types of all services. So all programs become functions of two executables.
	for variant, cases := range dispatch {
		write(t, filepath.Join(module, variant, "redirect.go"), read(t, filepath.Join("testdata", "redirect.go")))
		write(t, filepath.Join(module, variant, "main.go"), "package main\n\nimport \"os\"\n\nfunc main() {\n\tswitch os.Args[1] {\n"+cases+"\tdefault:\n\t\tpanic(os.Args[1])\n\t}\n}\n")
	}
	bin := filepath.Join(module, "bin") + string(filepath.Separator)
	if out, errOut, err := command(t, goTimeout, module, goEnv(), "go", "build", "-race", "-gcflags=-l", "-o", bin, "./twilio", "./pacer"); err != nil {
		t.Fatalf("go build: %v\n%s%s", err, out, errOut)
	}
	for heading, r := range runs {
		t.Run(heading, func(t *testing.T) {
			t.Parallel()
			checkRuns(t, programs[heading], bin, r)
		})
	}
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// readmePrograms returns the programs of twilio-go's README that import twilio-go, by
// heading.
func readmePrograms(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	var heading, fence string
	var block strings.Builder
	var blocks, others int
	for line := range strings.Lines(read(t, filepath.Join(twilioGoDir(t), "README.md"))) {
		mark, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && fence == "":
			fence = "```" + strings.TrimSpace(mark)
			block.Reset()
		case isFence:
			src := block.String()
			if fence == "```go" {
				blocks++
				if !strings.Contains(src, `"`+twilioGo+`"`) {
					others++
				} else {
					if !strings.HasPrefix(src, "package main\n") {
						t.Errorf("the code under %q is not a whole program", heading)
					}
					name := heading
					for n := 2; sources[name] != ""; n++ {
						name = fmt.Sprintf("%s (%d)", heading, n)
					}
					sources[name] = src
				}
			}
			fence = ""
		case fence != "":
			block.WriteString(line)
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	t.Logf("%d blocks of Go, %d of which do not import twilio-go", blocks, others)
	return sources
}

// mended applies mends to src.
func mended(t *testing.T, src string, mends []mend) string {
	t.Helper()
	for _, m := range mends {
		src = replaceOnce(t, src, m.from, m.to)
	}
	return src
}

// newChecker returns a function that says why a program does not compile, by what the
// compiler, too, checks types with.
func newChecker(t *testing.T, module string, sources map[string]string) func(src string) error {
	t.Helper()
	fset := token.NewFileSet()
	imported := map[string]bool{"github.com/twilio-pacer/pacer": true, "os": true}
	for heading, src := range sources {
		f, err := parser.ParseFile(fset, heading, src, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imported[path] = true
		}
	}
	args := []string{"list", "-race", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}
	out, errOut, err := command(t, goTimeout, module, goEnv(), "go", append(args, slices.Sorted(maps.Keys(imported))...)...)
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errOut)
	}
	exports := map[string]string{}
	for line := range strings.Lines(out) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		exports[path] = file
	}
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return func(src string) error {
		f, err := parser.ParseFile(fset, "main.go", src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var errs []error
		conf := types.Config{Importer: imp, Error: func(err error) { errs = append(errs, err) }}
		_, _ = conf.Check("main", fset, []*ast.File{f}, nil) // its error is the first of errs
		return errors.Join(errs...)
	}
}

// newRun makes the account for a run. Every fake counts its SIDs from 1, so that runs
// can be compared.
func newRun(t *testing.T, p program, name string, paced, throttled bool) run {
	t.Helper()
	fake := twiliotest.NewServer(twiliotest.Config{Credentials: map[string]string{
		twiliotest.AccountSid: twiliotest.AuthToken,
		apiKey:                apiSecret,
		// Of "Test your installation".
		"ACXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX": "f2xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	}})
	t.Cleanup(fake.Close)
	if p.prepare != nil {
		p.prepare(fake)
	}
	r := run{name: name, paced: paced, fake: fake, before: len(fake.Accepted())}
	if throttled {
		r.throttled = 1
		fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: http.StatusTooManyRequests, Times: 1, RetryAfter: "1"})
	}
	if p.fault != nil {
		fake.Inject(*p.fault)
	}
	return r
}

// String says which run it is, in messages.
func (r run) String() string {
	with := "twilio-go"
	if r.paced {
		with = "pacer"
	}
	return fmt.Sprintf("%s with %s, throttled %d times", r.name, with, r.throttled)
}

// checkRuns makes the runs of a program, and compares each with the first.
func checkRuns(t *testing.T, p program, bin string, runs []run) {
	var first outcome
	for i, r := range runs {
		o := r.do(t, bin)
		if p.check == nil {
			if n := r.fake.Stats().Received; n != 0 || o.printed != "" {
				t.Errorf("%v: it has sent %d requests and printed %q", r, n, o.printed)
			}
			continue
		}
		if p.check(t, r.fake, o.printed); t.Failed() {
			t.Fatalf("that was %v", r)
		}
		o.printed = pointer.ReplaceAllString(date.ReplaceAllString(o.printed, "DATE"), "POINTER")
		if i == 0 {
			first = o
		}
		if o.printed != first.printed || !slices.Equal(o.accepted, first.accepted) {
			t.Errorf("%v: %+v\n%v: %+v", r, o, runs[0], first)
		}
		if o.throttled != r.throttled {
			t.Errorf("%v: it was throttled %d times", r, o.throttled)
		}
	}
}

// An outcome is what a run did.
type outcome struct {
	printed   string
	accepted  []string
	throttled int
}

func (r run) do(t *testing.T, bin string) (o outcome) {
	t.Helper()
	env := []string{
		"TWILIOTEST_URL=" + r.fake.URL,
		"TWILIO_ACCOUNT_SID=" + twiliotest.AccountSid, "TWILIO_AUTH_TOKEN=" + twiliotest.AuthToken,
		"TWILIO_SUBACCOUNT_SID=ACfedcba9876543210fedcba9876543210",
		"TWILIO_API_KEY=" + apiKey, "TWILIO_API_SECRET=" + apiSecret,
		"TWILIO_FROM_PHONE_NUMBER=" + from, "TWILIO_TO_PHONE_NUMBER=" + to, "TWILIO_PHONE_NUMBER=" + forSale,
	}
	variant := "twilio"
	if r.paced {
		variant = "pacer"
	}
	printed, errOut, err := command(t, 30*time.Second, t.TempDir(), env, bin+variant, r.name)
	if err != nil || errOut != "" {
		t.Fatalf("%v: %v\n%s%s", r, err, printed, errOut)
	}
	o.printed = printed
	for _, q := range r.fake.Accepted()[r.before:] {
		o.accepted = append(o.accepted, fmt.Sprint(q.Method, " ", q.Host, q.Path, " ", q.Form.Encode(), " ", q.Status))
	}
	for _, q := range r.fake.Refused() {
		if q.Status == http.StatusTooManyRequests {
			o.throttled++
		}
	}
	return o
}

// What may differ between runs: a time as in Twilio's documents, and a pointer.
var (
	date    = regexp.MustCompile(`\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}`)
	pointer = regexp.MustCompile(`0x[0-9a-f]+`)
)
