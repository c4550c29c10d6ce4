package queue_test

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twilio-pacer/pacer/queue"
)

// verify checks what has become of each message. What looks the same cannot be told
// apart by anybody: of such messages the numbers have to be right.
func (t *trial) verify() {
	if s := t.restless(); s != "" {
		t.fail("at the end %s", s)
	}
	byTag := make(map[string]*letter)
	for _, m := range t.letters {
		byTag[m.tag] = m
	}
	groupOf := make(map[string]string) // of a SID
	type count struct{ messages, accepted, others, sent, parked int }
	counts := make(map[string]*count)
	of := func(group string) *count {
		if counts[group] == nil {
			counts[group] = &count{}
		}
		return counts[group]
	}
	for _, r := range slices.Concat(t.fake.Messages(), t.fake.Calls()) {
		tag := path.Base(r.Form.Get("StatusCallback"))
		if m := byTag[tag]; m != nil {
			m.accepted = append(m.accepted, r.SID)
			groupOf[r.SID] = m.group
			of(m.group).accepted++
			continue
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(tag, "x"))
		groupOf[r.SID] = t.elsewhere[n]
		of(groupOf[r.SID]).others++
	}
	taken := make(map[string]string)
	for _, m := range t.letters {
		c := of(m.group)
		c.messages++
		switch sid := m.is.Outcome.SID; m.is.State {
		case queue.Sent:
			c.sent++
			if groupOf[sid] != m.group {
				t.fail("%s is Sent as %q, which is not its: lost", m.tag, sid)
			}
			if taken[sid] != "" {
				t.fail("%s and %s are both Sent as %s", m.tag, taken[sid], sid)
			}
			taken[sid] = m.tag
		case queue.Failed:
			if m.is.Outcome.Status < 400 || m.is.Outcome.Status >= 500 {
				t.fail("%s is Failed, but not refused by Twilio: %+v", m.tag, m.is.Outcome)
			}
			if len(m.accepted) > 0 {
				t.fail("%s is Failed, but Twilio has accepted it", m.tag)
			}
		case queue.InDoubt:
			c.parked++
			if t.alerted[m.is.ID] == "" {
				t.fail("%s is parked without an alert: %s", m.tag, m.is.Outcome.Reason)
			}
		}
	}
	for group, c := range counts {
		if c.accepted > c.sent+c.parked {
			t.fail("%s: accepted %d times, for %d that are Sent and %d parked of %d: doubled", group, c.accepted, c.sent, c.parked, c.messages)
		}
		if c.sent > c.accepted+c.others {
			t.fail("%s: %d are Sent, but only %d were accepted, and %d of other programs: lost", group, c.sent, c.accepted, c.others)
		}
	}
	if s := strings.Join(t.history, "\n"); strings.Contains(s, "alerts") && number.MatchString(alertsOf(t.history)) {
		t.fail("an alert tells a number")
	}
}

var number = regexp.MustCompile(`\+1500555\d{4}`)

func alertsOf(history []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(history), func(s string) bool { return !strings.Contains(s, " alerts of ") }), "\n")
}

func (t *trial) fail(format string, args ...any) {
	t.t.Errorf("trial %d: %s", t.number, fmt.Sprintf(format, args...))
}

// print tells all of the trial.
func (t *trial) print() {
	var b strings.Builder
	s := t.settings
	fmt.Fprintf(&b, "trial %d: theme %q, attempt %v, margin %v, settle %v, grace %v, %d workers, rate %v, silent %v, engine's clock %v\n", t.number, s.theme, s.attempt, s.margin, s.settle, s.grace, s.workers, s.rate, s.silent, s.engine)
	fmt.Fprintf(&b, "fake: clock %v, latency %v, list lag %v, redaction %v, smart encoding %v, normalize %v, exact filters %v, item %v\n", s.fake.Clock, s.fake.Latency, s.fake.ListLag,
		s.fake.Alterations.Redaction, s.fake.Alterations.SmartEncoding, s.fake.Alterations.NormalizeNumbers, s.fake.Alterations.ExactFilters, s.fake.Alterations.Item != nil)
	for _, m := range t.letters {
		fmt.Fprintf(&b, "%s to %s: is %s %s (%d attempts, %s); accepted as %v\n", m.tag, m.request.Form["To"], m.is.State, m.is.Outcome.SID, m.is.Attempts, m.is.Outcome.Reason, m.accepted)
	}
	for _, p := range t.phases {
		fmt.Fprintf(&b, "%8.3f to %.3f %s\n", p.from.Seconds()/t.unit.Seconds(), p.to.Seconds()/t.unit.Seconds(), p.name)
	}
	for _, r := range slices.Concat(t.fake.Messages(), t.fake.Calls()) {
		fmt.Fprintf(&b, "%8.3f accepted %s as %s\n", r.Time.Sub(t.began).Seconds()/t.unit.Seconds(), path.Base(r.Form.Get("StatusCallback")), r.SID)
	}
	b.WriteString(strings.Join(t.history, "\n"))
	t.t.Log(b.String())
}

// withoutDetails returns a reason without what differs from one to the next.
func withoutDetails(reason string) string { return details.ReplaceAllString(reason, "*") }

var details = regexp.MustCompile(`\b(SM|CA|MM)[0-9a-f]{32}\b|\b\d+\b`)
