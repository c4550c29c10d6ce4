package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A way is how a command is run against the queue of [seed].
type way struct {
	args  string // behind the command's name; {x} is the value of x
	code  int    // exit code
	until string // what it prints before it is interrupted; "": it ends by itself
	redis bool   // it needs a server, whose address is {redis}
}

// ways has at least one for each command that shows something, by its name without "pacer". A new command needs
// a line here and a row in docs/json.md.
var ways = map[string][]way{
	"campaign cancel":       {{args: "spring --yes"}},
	"campaign failures":     {{args: "spring"}},
	"campaign list":         {{}},
	"campaign pause":        {{args: "spring"}},
	"campaign rate":         {{args: "spring 5"}},
	"campaign resume":       {{args: "spring"}, {args: "autumn"}},
	"campaign show":         {{args: "spring"}, {args: "autumn"}},
	"campaign start":        {{args: "summer --csv {csv} --from +15005550006 --body hello"}},
	"campaign window":       {{args: "spring always"}},
	"completion bash":       {{}},
	"completion fish":       {{}},
	"completion powershell": {{}},
	"completion zsh":        {{}},
	"demo":                  {{args: "--dir {dir} --n 3 --rate 100", until: "The campaign is done."}},
	"doctor":                {{args: "--base-url {twilio}"}, {args: "--offline --limits none.json", code: exitPerson}},
	"doubt cancel":          {{args: "{doubt} --yes"}},
	"doubt confirm":         {{args: "{doubt} SM1123456789abcdef0123456789abcdef"}},
	"doubt list":            {{code: exitPerson}},
	"doubt resend":          {{args: "{doubt} --yes"}},
	"doubt show":            {{args: "{doubt}"}},
	"fake":                  {{args: "--listen 127.0.0.1:0", until: "A fake Twilio listens."}},
	"help":                  {{}, {args: "queue stats"}},
	"hold end":              {{args: "{hold} --yes"}},
	"hold list":             {{}},
	"limits check":          {{args: "{limits}"}},
	"limits schema":         {{}},
	"limits set":            {{args: "{limits} --share {redis} --yes", redis: true}},
	"limits show":           {{}, {args: "--limits {limits}"}, {args: "--share {redis}", redis: true}},
	"queue cancel":          {{args: "{delayed} --yes"}},
	"queue failures":        {{}},
	"queue list":            {{}, {args: "--state in-doubt"}},
	"queue requeue":         {{args: "{failed} --yes"}},
	"queue show":            {{args: "{failed}"}, {args: "{doubt}"}, {args: "{delayed}"}},
	"queue stats":           {{}},
	"send":                  {{args: "--to +15005550001 --from +15005550006 --body hello"}, {args: "--now --base-url {twilio} --to +15005550001 --from +15005550006 --body hello"}},
	"top":                   {{args: "--once"}},
	"version":               {{}},
	"why":                   {{code: exitPerson}, {args: "spring", code: exitPerson}, {args: "{failed}"}, {args: "{doubt}", code: exitPerson}, {args: "{delayed}"}},
	"worker":                {{args: "--listen off --base-url {twilio}", until: "pacer worker: starts"}, {args: "--schema"}},
	"workers":               {{}},
}

// leaves returns the commands that do something, by their names without "pacer".
func leaves() map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	root := (&app{}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	each(root, func(c *cobra.Command) {
		if !c.HasSubCommands() && !c.Hidden {
			all[strings.TrimPrefix(c.CommandPath(), "pacer ")] = c
		}
	})
	return all
}

// A seeded is a queue that has something of everything, and what else ways name.
type seeded struct {
	file  string            // of the queue; never opened again
	names map[string]string // by {name}
}

// evil is what a name or an answer may have in it.
const evil = "\x1b[31mred\x07\u009b2J\r\nnext\x7f"

// seed makes the queue. It has campaigns spring and autumn, a hold, and requests that are failed, in doubt, delayed, sent and ready.
func seed(t *testing.T) *seeded {
	t.Helper()
	dir := t.TempDir()
	s := &seeded{filepath.Join(dir, "seed.db"), map[string]string{}}
	_, s.names["twilio"] = server(t, twiliotest.Config{})
	s.names["csv"] = written(t, "list.csv", "to\n+15005550009\n")
	s.names["limits"] = written(t, "limits.json",
		`[{"resource": "Messages", "rate": 0.25, "burst": 2}, {"resource": "Calls", "rate": "unlimited", "maxInFlight": 5}]`)
	e, err := engineurl.Open(t.Context(), "sqlite:"+s.file)
	must(t, err)
	q, err := queue.Open(e)
	must(t, err)
	defer q.Close()

	window := new(queue.Window)
	must(t, window.UnmarshalText([]byte("mon-sun 00:00-24:00 UTC")))
	spring, err := q.Campaign(t.Context(), "spring", queue.CampaignOptions{Rate: 1. / 3, Window: window, Expires: time.Now().Add(48 * time.Hour)})
	must(t, err)
	autumn, err := q.Campaign(t.Context(), "autumn", queue.CampaignOptions{Rate: 1, Start: time.Now().Add(time.Hour)})
	must(t, err)
	to := func(tw *twilio.RestClient, to, from string) error {
		p := &api.CreateMessageParams{}
		p.SetTo(to).SetFrom(from).SetBody(text)
		_, err := tw.Api.CreateMessage(p)
		return err
	}
	_, err = spring.Enqueue(t.Context(), slices.Values([]queue.Recipient{{ID: receiver}, {ID: "+15555550124"}, {ID: "+15555550125"}}),
		func(tw *twilio.RestClient, r queue.Recipient) error { return to(tw, r.ID, "+15005550006") })
	must(t, err)
	_, err = autumn.Enqueue(t.Context(), slices.Values([]queue.Recipient{{ID: receiver}}),
		func(tw *twilio.RestClient, r queue.Recipient) error { return to(tw, r.ID, "+15005550008") })
	must(t, err)
	single := func(opts ...queue.EnqueueOption) string {
		id, err := q.Enqueue(t.Context(), func(tw *twilio.RestClient) error { return to(tw, receiver, "+15005550007") }, opts...)
		must(t, err)
		return string(id)
	}
	s.names["doubt"] = single(queue.Unique("order-" + evil))
	s.move(t, e, "doubt", queue.InDoubt, queue.Outcome{Reason: "no answer came: " + evil})
	s.move(t, e, "failed", queue.Failed, queue.Outcome{Status: 400, Code: 30003, Reason: "Twilio says " + evil})
	s.move(t, e, "sent", queue.Sent, queue.Outcome{Status: 201, SID: "SM0123456789abcdef0123456789abcdef"})
	s.names["delayed"] = single(queue.In(time.Hour), queue.Deadline(time.Now().Add(2*time.Hour)))
	s.hold(t, q)
	return s
}

// move claims a request of the lane that is next, and gives it a state and a name.
func (s *seeded) move(t *testing.T, e queue.Engine, name string, state queue.State, o queue.Outcome) {
	t.Helper()
	lanes, _, err := e.Work(t.Context())
	must(t, err)
	i := slices.IndexFunc(lanes, func(l queue.ReadyLane) bool {
		return (l.Lane.Campaign == "") == (state == queue.InDoubt) && l.Lane.Campaign != "autumn"
	})
	jobs, err := e.Claim(t.Context(), queue.Claim{Lane: lanes[i].Lane, Max: 1, Lease: time.Minute})
	must(t, err)
	s.names[name] = string(jobs[0].ID)
	must(t, e.Move(t.Context(), queue.Move{
		ID: jobs[0].ID, From: []queue.State{queue.Sending}, Claim: jobs[0].Claim, To: state, Attempt: true, Outcome: &o, Reported: true,
	}))
}

// hold holds the bucket of the requests that belong to no campaign.
func (s *seeded) hold(t *testing.T, q *queue.Queue) {
	t.Helper()
	j, err := q.Engine().Get(t.Context(), queue.ID(s.names["doubt"]))
	must(t, err)
	_, err = q.Engine().Park(t.Context(), queue.Park{Resource: j.Lane.Resource, For: time.Hour, Reason: queue.HoldThrottled, Code: 20429})
	must(t, err)
	s.names["hold"] = queue.Hold{Resource: j.Lane.Resource}.Name()
}

// fresh makes a copy of the queue, which commands use from now on. So none sees what another has changed. A worker has
// said just now that it lives.
func (s *seeded) fresh(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(s.file)
	must(t, err)
	s.names["dir"] = t.TempDir()
	path := filepath.Join(s.names["dir"], "copy.db")
	must(t, os.WriteFile(path, data, 0o600))
	t.Setenv("PACER_QUEUE", "sqlite:"+path)
	e, err := engineurl.Open(t.Context(), "sqlite:"+path)
	must(t, err)
	defer e.Close()
	now, err := e.Now(t.Context())
	must(t, err)
	beat, err := json.Marshal(map[string]any{
		"v": "1.0", "id": "run", "host": "host" + evil, "pid": 7, "version": "v0.1.0", "started": now.Add(-time.Hour), "seen": now,
		"concurrency": 200, "onWire": 1, "pace": 0.1, "campaigns": map[string]float64{"spring": 0.1},
	})
	must(t, err)
	must(t, e.Put(t.Context(), queue.HeartbeatPrefix+"00", beat, 0))
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// line returns the words of a command line.
func (s *seeded) line(t *testing.T, command string, w way) []string {
	t.Helper()
	if w.redis {
		s.names["redis"] = redisServer(t)
	}
	words := strings.Fields(command + " " + w.args)
	for i := range words {
		words[i] = placeholder.ReplaceAllStringFunc(words[i], func(name string) string {
			value := s.names[strings.Trim(name, "{}")]
			if value == "" {
				t.Fatalf("nothing is called %s", name)
			}
			return value
		})
	}
	return words
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
