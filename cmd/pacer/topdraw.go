package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// This file draws what "pacer top" has found. It knows no terminal and no clock.

// A paper is what is drawn on.
type paper struct {
	width, height int
	colour        bool
	screen        bool                // it is a terminal's, and not the lines in a file or a pipe
	number        func(string) string // how phone numbers are shown
	now           time.Time           // by this process's clock
	late          time.Duration       // after so long without an answer the store counts as away
	chosen        string              // the campaign on which keys act; "": none
	said          string              // about the last key; "": nothing
}

// A section is a part of the page, of which some rows may have no room.
type section struct {
	what string // it has, such as "campaign"
	none string // the line where there are none
	head bool   // it has a line of titles
	n    int    // how many there are
	rows func(shown int) []line
	all  string // the command that shows all
}

const (
	unlimited = 1000 // columns of a page in a pipe
	roomy     = 120  // columns from which on words need not be short
)

// draw returns the page, without a line break at its end. No line is wider than the page, and there are no more than it has.
func draw(s *sight, p *paper) string {
	lines := p.totals(s)
	if !s.answered.IsZero() {
		lines = append(lines, p.fill([]section{p.reasons(s), p.campaigns(s), p.lanes(s), p.workers(s), p.holds(s)}, p.height-len(lines))...)
	}
	var b strings.Builder
	for i, l := range lines[:min(len(lines), p.height)] {
		if i > 0 {
			b.WriteByte('\n')
		}
		text := fit(visible(l.text), p.width)
		if p.colour && l.tint != "" {
			text = "\x1b[" + string(l.tint) + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
	}
	return b.String()
}

// totals returns the first lines: whether the store answers, and the sums.
func (p *paper) totals(s *sight) (lines []line) {
	silent := p.now.Sub(s.answered)
	switch {
	case s.answered.IsZero() && s.trouble == "":
		return []line{{"Asking the store ...", strong}}
	case s.answered.IsZero():
		return []line{{"! The store does not answer, trying again: " + s.trouble, alarm}}
	case s.trouble != "":
		lines = append(lines, line{fmt.Sprintf("! The store has not answered for %s, trying again: %s", span(silent), s.trouble), alarm})
	case p.late > 0 && silent > p.late:
		lines = append(lines, line{fmt.Sprintf("! The store has not answered for %s, and is waited for.", span(silent)), alarm})
	}
	t := &s.stats.Total
	sums := fmt.Sprintf("waiting %d  sending %d  sent %d  failed %d  in doubt %d  %s", t.Ready+t.Delayed, t.Sending, t.Sent, t.Failed, t.InDoubt, speed(s.pace()))
	if p.screen {
		clock := s.stats.Time.UTC().Format(time.TimeOnly) + " UTC  "
		sums = aside(sums, p.width, clock+"?: keys  q: end", "?: keys  q: end", "q: end")
	} else {
		sums = moment(s.stats.Time) + "  " + sums
	}
	lines = append(lines, line{sums, strong})
	if s.warning != "" {
		lines = append(lines, line{"! " + s.warning, yellow})
	}
	if p.said != "" {
		lines = append(lines, line{p.said, strong})
	}
	return lines
}

// aside puts the first of the notes for which there is room at the right end of a line.
func aside(text string, width int, notes ...string) string {
	for _, note := range notes {
		if blanks := width - textWidth(text) - textWidth(note); blanks >= gap {
			return text + strings.Repeat(" ", blanks) + note
		}
	}
	return text
}

// fill draws as many rows of each section as there is room for. Sections at the end have none if there is very little.
func (p *paper) fill(all []section, room int) (lines []line) {
	var first, more []int // rows that each section has in any case, and that it has if there is room
	for _, s := range all {
		titles, row := 0, min(1, s.n)
		if s.head || s.n == 0 {
			titles = 1
		}
		if room < titles+row {
			break
		}
		room -= titles + row
		first, more = append(first, row), append(more, s.n-row)
	}
	spaced := p.screen && room-total(more) >= len(all)
	for i, rows := range share(room, more) {
		if spaced {
			lines = append(lines, line{})
		}
		lines = append(lines, all[i].draw(first[i]+rows)...)
	}
	return lines
}

func total(all []int) (sum int) {
	for _, n := range all {
		sum += n
	}
	return sum
}

// draw returns the titles, and so many rows. The last one says how many more there are, if that is not all.
func (s *section) draw(room int) []line {
	if s.n == 0 {
		return []line{{s.none, faint}}
	}
	if room >= s.n {
		return s.rows(s.n)
	}
	more := fmt.Sprintf("and %d more: %s", s.n-room+1, s.all)
	if room == 1 && s.head {
		return append(s.rows(0), line{fmt.Sprintf("%d %s: %s", s.n, s.what, s.all), faint})
	}
	return append(s.rows(room-1), line{more, faint})
}

// span returns a duration in its two largest units, such as 2h05m.
func span(d time.Duration) string {
	d = max(0, d).Round(time.Second)
	days, hours, minutes, seconds := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%02dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%02dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%02ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}

// speed returns requests per second with three digits.
func speed(r float64) string {
	if r >= 100 {
		return strconv.FormatFloat(r, 'f', 0, 64) + "/s"
	}
	return strconv.FormatFloat(r, 'g', 3, 64) + "/s"
}

// brief is what to do, in a few words, about causes for which no command is enough.
var brief = map[queue.Cause]string{
	queue.CauseStore:        "pacer doctor",
	queue.CauseStoreFull:    "make room",
	queue.CauseUnauthorized: "right credentials; pacer doctor",
	queue.CauseSuspended:    "see Twilio's console",
	queue.CauseSilent:       "start it again",
	queue.CauseRefused:      "mend the file",
	queue.CauseClock:        "set the clocks (NTP)",
	queue.CauseExpired:      "enqueue them in another campaign",
	queue.CauseFailed:       "mend what its code is about",
	queue.CauseLimit:        "raise the limit, if allowed",
	queue.CauseRate:         "raise its rate, if wanted",
	queue.CauseBusy:         "start another worker",
}

// reasons has what stands in the way, each in one line with what to do.
func (p *paper) reasons(s *sight) section {
	clock := s.clock(p.now)
	return section{"reasons", "Nothing stands in the way.", false, len(s.reasons), func(shown int) (lines []line) {
		for i := range s.reasons[:shown] {
			r := &s.reasons[i]
			mark, of := "- ", yellow
			switch {
			case r.Stops && r.Kind == queue.CauseWindow: // as it was told to
				mark = "! "
			case r.Stops:
				mark, of = "! ", red
			}
			lines = append(lines, line{mark + p.reason(r, clock), of})
		}
		return lines
	}, "pacer why"}
}

// reason returns one reason and what to do, cut so that both can be read.
func (p *paper) reason(r *queue.Reason, clock time.Time) string {
	room := p.width - 2
	run := commandFor(r)
	known := brief[r.Kind]
	if r.Kind == queue.CauseLimit && r.Learned {
		known = "set the limit to that, or ask for more"
	}
	ends := ""
	if r.Stops && r.Until.After(clock) {
		ends = "ends in " + span(r.Until.Sub(clock))
	}
	var words []string
	for _, w := range []string{ends, r.Do, run} {
		if w != "" {
			words = append(words, w)
		}
	}
	do := strings.Join(words, "; ")
	if do == "" {
		do = "it ends by itself"
	}
	if textWidth(r.Text)+4+textWidth(do) <= room {
		return r.Text + " -> " + do
	}
	short := cmp.Or(known, run, r.Do, do)
	if ends != "" && textWidth(short)+textWidth(ends) < room/2 {
		short = ends + "; " + short
	}
	short = fit(short, room*6/10)
	return fit(r.Text, room-4-textWidth(short)) + " -> " + short
}
