package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

const from = "+15005550006"

var night = time.Date(2026, 3, 1, 3, 4, 5, 0, time.UTC)

func messages(sender string) pacer.Resource {
	return pacer.Resource{Account: "AC0123456789abcdef0123456789abcdef", Product: "api", Name: "Messages", Op: "create", Sender: sender}
}

// calm is what an operator sees on a good day.
func calm() *sight {
	lane := queue.LaneDepth{LaneStats: queue.LaneStats{Lane: queue.Lane{Resource: messages(from), Campaign: "spring"}, Ready: 812, Sending: 3, Sent: 1185}, OldestAge: 13 * time.Second}
	return &sight{
		stats: queue.Stats{Time: night, Lanes: []queue.LaneDepth{lane}, Total: lane},
		campaigns: []queue.Progress{{
			Name: "spring", State: queue.CampaignRunning, Options: queue.CampaignOptions{Rate: 20}, Total: 2000, Sent: 1185, Waiting: 812, Sending: 3,
			Pace: 19.74, LimitedBy: queue.LimitedByRate, ETA: night.Add(time.Hour + 42*time.Second),
		}},
		workers: []queue.WorkerStatus{{Host: "sender-1", PID: 4711, Alive: true, Seen: night.Add(-2 * time.Second), Concurrency: 200, OnWire: 3, Pace: 19.74}},
		reasons: []queue.Reason{{Kind: queue.CauseRate, Campaign: "spring", Text: "Campaign spring sends at its rate, 20 a second.", Do: "raise the rate, if it is to go faster"}},
		// The clock of this process is an hour ahead of the store's.
		answered: night.Add(time.Hour),
	}
}

// storm is what an operator sees when everything is wrong, and there is much of it.
func storm() *sight {
	s := calm()
	s.warning = "campaign \"winter\" is of a newer version"
	hold := queue.Hold{Resource: messages(from), Reason: queue.HoldQueueFull, Code: 30022, Since: night, Until: night.Add(4 * time.Minute)}
	for i := range 7 {
		s.reasons = append(s.reasons, queue.Reason{
			Kind: queue.CauseHeld, Stops: true, Held: hold, Until: hold.Until, Do: "wait, or end the hold if you know better",
			Text: fmt.Sprintf("api/Messages:create is held: Twilio was throttling, so that pacer waits (code 20429), for the time number %d.", i),
		})
		s.holds = append(s.holds, hold)
		s.workers = append(s.workers, queue.WorkerStatus{Host: strings.Repeat("long-", 20) + fmt.Sprint(i), PID: i, Seen: night.Add(-time.Minute)})
	}
	slices.Reverse(s.reasons)
	for i := range 12 {
		c := s.campaigns[0]
		c.Name = fmt.Sprintf("春のキャンペーン %d\x1b[2J\u202e\n of a very long name, in which %s stands", i, "nothing")
		c.Total, c.Sent, c.Waiting, c.State, c.LimitedBy = 30_000_000, 12_345_678, 17_654_322, queue.CampaignClosed, queue.LimitedByWindow
		c.ETA, c.LimitedUntil = night.AddDate(0, 2, 0), night.Add(5*time.Hour)
		s.campaigns = append(s.campaigns, c)
		l := s.stats.Lanes[0]
		l.Lane.Campaign, l.Delayed, l.InDoubt, l.Parked = c.Name, 1000+int64(i), 1, hold.Until
		s.stats.Lanes = append(s.stats.Lanes, l)
	}
	s.stats.Total.Ready, s.stats.Total.Sent, s.stats.Total.InDoubt = 17_654_322, 12_345_678, 12
	s.sort()
	return s
}

func sized(width, height int) *paper {
	return &paper{width: width, height: height, screen: true, number: (&app{}).number, now: night.Add(time.Hour + time.Second)}
}

func TestTopDrawsAGoodDay(t *testing.T) {
	want := `waiting 812  sending 3  sent 1185  failed 0  in doubt 0  19.7/s  ?: keys  q: end

- Campaign spring sends at its rate, 20 a second. -> raise its rate, if wanted

CAMPAIGN  STATE    SENT                     PACE  RATE  LIMIT     ETA
spring    running  █████░░░░░  1185/2000  19.7/s  20/s  its rate  41s

LANE                 CAMPAIGN  SENDER        READY  SENDING  OLDEST
api/Messages:create  spring    +1500•••0006    812        3     13s

WORKER    PROCESS  ON THE WIRE    PACE  HEARD OF
sender-1     4711        3/200  19.7/s  3s ago

Nothing is held.`
	if got := draw(calm(), sized(80, 24)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTopFitsEveryTerminal(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 60}, {132, 43}, {40, 10}, {20, 3}, {1, 1}, {unlimited, lineHeight}} {
		for name, s := range map[string]*sight{"calm": calm(), "storm": storm(), "nothing yet": {}, "empty": {answered: night}} {
			for _, trouble := range []string{"", "dial tcp: connection refused"} {
				s.trouble = trouble
				text := draw(s, sized(size[0], size[1]))
				lines := strings.Split(text, "\n")
				if len(lines) > size[1] {
					t.Errorf("%s, %v: %d lines", name, size, len(lines))
				}
				for _, l := range lines {
					if textWidth(l) > size[0] {
						t.Errorf("%s, %v: %d columns: %q", name, size, textWidth(l), l)
					}
					if l != visible(l) {
						t.Errorf("%s, %v: %q", name, size, l)
					}
				}
			}
		}
	}
}

// On the smallest usual terminal a bit of everything stays, in the order of what matters, and the rest is counted.
func TestTopCutsAndCounts(t *testing.T) {
	s := storm()
	text := draw(s, sized(80, 24))
	t.Log("\n" + text)
	at := -1
	for _, part := range []string{"waiting 17654322", "winter", "! api/Messages:create is held", "pacer hold end ", "pacer why\n", "\nCAMPAIGN", "pacer campaign list\n", "\nLANE", "pacer queue stats\n", "\nWORKER", "vanished\n", "pacer workers\n", "\nHOLD"} {
		next := strings.Index(text, part)
		if next <= at {
			t.Errorf("%q is missing or in the wrong place", part)
		}
		at = max(at, next)
	}
	head, all := 0, map[string]int{"why": len(s.reasons), "campaign list": len(s.campaigns), "queue stats": len(s.stats.Lanes), "workers": len(s.workers), "hold list": len(s.holds)}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		m := regexp.MustCompile(`^and (\d+) more: pacer (.+)$`).FindStringSubmatch(l)
		switch {
		case m != nil:
			if n := i - head - 1; fmt.Sprint(all[m[2]]-n) != m[1] {
				t.Errorf("%q behind %d of %d", l, n, all[m[2]])
			}
			delete(all, m[2])
			head = i
		case regexp.MustCompile(`^[A-Z]{4}`).MatchString(l), strings.Contains(l, "winter"):
			head = i
		}
	}
	if len(all) > 0 {
		t.Errorf("of these the rest is not counted: %v", all)
	}
	if text := draw(s, sized(200, 60)); !strings.Contains(text, "outside its window") || !strings.Contains(text, "for 4h59m") || strings.Contains(text, "more: pacer why") {
		t.Errorf("there is room for more:\n%s", text)
	}
}

func TestTopMasksNumbers(t *testing.T) {
	p := sized(200, 60)
	if text := draw(storm(), p); strings.Contains(text, from) || !strings.Contains(text, "+1500•••0006") {
		t.Errorf("a number that is not masked:\n%s", text)
	}
	p.number = (&app{reveal: true}).number
	if text := draw(storm(), p); !strings.Contains(text, from) {
		t.Errorf("no number, though it is wanted:\n%s", text)
	}
}

func TestTopColoursChangeNoText(t *testing.T) {
	p := sized(80, 24)
	black := draw(storm(), p)
	p.colour = true
	coloured := draw(storm(), p)
	if strings.Contains(black, "\x1b") || !strings.Contains(coloured, "\x1b[31m! api") {
		t.Errorf("%q", coloured)
	}
	if ansi.Strip(coloured) != black {
		t.Errorf("got\n%s\nwant\n%s", ansi.Strip(coloured), black)
	}
}

func TestTopSaysThatTheStoreIsAway(t *testing.T) {
	s, p := calm(), sized(80, 24)
	first := func() string { l, _, _ := strings.Cut(draw(s, p), "\n"); return l }
	p.late = 5 * time.Second
	p.now = s.answered.Add(4 * time.Second)
	if l := first(); !strings.HasPrefix(l, "waiting 812") {
		t.Error(l)
	}
	if p.now = s.answered.Add(65 * time.Second); first() != "! The store has not answered for 1m05s, and is waited for." {
		t.Error(first())
	}
	if s.trouble = "connection refused"; first() != "! The store has not answered for 1m05s, trying again: connection refused" {
		t.Error(first())
	}
	if text := draw(s, p); !strings.Contains(text, "waiting 812") {
		t.Errorf("what was known is gone:\n%s", text)
	}
	if s.answered = (time.Time{}); first() != "! The store does not answer, trying again: connection refused" {
		t.Error(first())
	}
}

func TestTopFrameErasesWhatWasThere(t *testing.T) {
	for _, c := range []struct {
		text, want string
		height     int
	}{
		{"ab\nabc", "\x1b[Hab\x1b[K\r\nabc\r\n\x1b[J", 3},
		{"ab\nabc", "\x1b[Hab\x1b[K\r\nabc", 2},
		{"\x1b[1mab\x1b[0m", "\x1b[H\x1b[1mab\x1b[0m\x1b[K", 1},
	} {
		if got := frame(c.text, 3, c.height); got != c.want {
			t.Errorf("%q: %q, expected %q", c.text, got, c.want)
		}
	}
}

func TestTopWords(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 3599600 * time.Millisecond: "1h00m", 125 * time.Second: "2m05s", 50 * time.Hour: "2d02h"} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, expected %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 99_999: "99999", 100_000: "100k", 12_345_678: "12M"} {
		if got := short(n); got != want {
			t.Errorf("%d: %s, expected %s", n, got, want)
		}
	}
	for _, c := range []struct {
		q    queue.Progress
		want string
	}{
		{queue.Progress{}, "░░░░"}, {queue.Progress{Total: 100, Sent: 99}, "███░"}, {queue.Progress{Total: 4, Sent: 4}, "████"},
		{queue.Progress{Total: 4, Sent: 1, Failed: 1, InDoubt: 1}, "█▒▒░"},
	} {
		if got := bar(&c.q, 4); got != c.want {
			t.Errorf("%+v: %s, expected %s", c.q, got, c.want)
		}
	}
	for text, want := range map[string]string{"abcd": "abcd", "abcde": "abc…", "日本": "日本", "日本語": "日…", "é́́bcd": "é́́bcd"} {
		if got := fit(text, 4); got != want {
			t.Errorf("%s: %s, expected %s", text, got, want)
		}
	}
	if got := share(5, []int{1, 9, 0, 3}); !slices.Equal(got, []int{1, 2, 0, 2}) {
		t.Error(got)
	}
}
