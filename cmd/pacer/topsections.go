package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// This file has the sections of the page of "pacer top" that are tables.

// bar draws how much of a campaign is sent, and how much will not be.
func bar(q *queue.Progress, width int) string {
	if q.Total == 0 {
		return strings.Repeat("░", width)
	}
	part := func(n int64) int { return int(float64(n) / float64(q.Total) * float64(width)) }
	done := part(q.Sent)
	lost := part(q.Sent+q.Failed+q.InDoubt+q.Cancelled) - done
	return strings.Repeat("█", done) + strings.Repeat("▒", lost) + strings.Repeat("░", width-done-lost)
}

// short returns a number in five characters at most, such as 1234k, unless it is above 9999 G.
func short(n int64) string {
	if n < 100_000 {
		return count(n)
	}
	for _, unit := range []string{"k", "M", "G"} {
		if n /= 1000; n < 10_000 {
			return count(n) + unit
		}
	}
	return count(n) + "G"
}

// inBrief are words of campaigns for narrow pages.
var inBrief = map[string]string{
	string(queue.CampaignClosed):  "closed",
	string(queue.LimitedBySender): "sender", string(queue.LimitedByHold): "hold", string(queue.LimitedByWindow): "window",
	string(queue.LimitedByPause): "pause", string(queue.LimitedByWorker): "workers",
}

// word returns a word of a campaign's, short on a narrow page.
func (p *paper) word(text string) string {
	if brief, known := inBrief[text]; known && p.width < roomy {
		return brief
	}
	return text
}

// table returns a section's titles and rows. tint colours each row.
func (p *paper) table(columns []column, rows [][]string, tint func(i int) tint) (lines []line) {
	for i, text := range grid(columns, rows, p.width) {
		if i == 0 {
			lines = append(lines, line{text, strong})
		} else {
			lines = append(lines, line{text, tint(i - 1)})
		}
	}
	return lines
}

func (p *paper) campaigns(s *sight) section {
	columns := []column{
		{"CAMPAIGN", false, 8}, {"STATE", false, 0}, {"SENT", false, 0}, {"", false, 0}, {"PACE", true, 0}, {"RATE", true, 0},
		{"LIMITED BY", false, 8}, {"ETA", false, 0},
	}
	number, width, in := count, 20, "in "
	if p.width < roomy {
		number, width, in = short, 10, ""
		columns[6].title = "LIMIT"
	}
	clock := s.clock(p.now)
	return section{"campaigns", "No campaign.", true, len(s.campaigns), func(shown int) []line {
		rows, all := [][]string{}, slices.Clone(s.campaigns[:shown])
		if at := s.campaign(p.chosen); shown > 0 && at >= shown {
			all[shown-1] = s.campaigns[at] // the one that is chosen is always seen
		}
		for i := range all {
			c, name := &all[i], all[i].Name
			if name == p.chosen {
				name = "> " + name
			}
			eta, limit, until := "", p.word(string(c.LimitedBy)), c.LimitedUntil
			if !c.ETA.IsZero() && !c.NobodySends() {
				eta = in + span(c.ETA.Sub(p.now))
			}
			if p.width >= roomy && until.After(clock) {
				limit += " for " + span(until.Sub(clock))
			}
			rows = append(rows, []string{
				name, p.word(string(c.State)), bar(c, width), fmt.Sprintf("%s/%s", number(c.Sent), number(c.Total)),
				speed(c.Pace), rate(c.Options.Rate), limit, eta,
			})
		}
		return p.table(columns, rows, func(i int) tint {
			switch c := &all[i]; {
			case c.Name == p.chosen:
				return strong
			case over(c.State) == 1:
				return faint
			case c.LimitedBy == queue.LimitedByHold, c.LimitedBy == queue.LimitedByWorker && c.Pace == 0:
				return red
			}
			return ""
		})
	}, "pacer campaign list"}
}

func (p *paper) lanes(s *sight) section {
	columns := []column{
		{"LANE", false, 11}, {"CAMPAIGN", false, 8}, {"SENDER", false, 12}, {"READY", true, 0}, {"DELAYED", true, 0}, {"SENDING", true, 0},
		{"IN DOUBT", true, 0}, {"OLDEST", true, 0}, {"HELD", true, 0},
	}
	number := count
	if p.width < roomy {
		number = short
		columns[4].title, columns[6].title = "LATER", "DOUBT"
	}
	some := func(n int64) string { // "": none
		if n == 0 {
			return ""
		}
		return number(n)
	}
	clock := s.clock(p.now)
	return section{"lanes", "Nothing waits.", true, len(s.stats.Lanes), func(shown int) []line {
		rows := [][]string{}
		for i := range s.stats.Lanes[:shown] {
			l := &s.stats.Lanes[i]
			oldest, held := "", ""
			if l.Ready > 0 {
				oldest = span(l.OldestAge)
			}
			if l.Parked.After(clock) {
				held = span(l.Parked.Sub(clock))
			}
			rows = append(rows, []string{
				named(l.Lane.Resource), l.Lane.Campaign, p.number(l.Lane.Resource.Sender), number(l.Ready), some(l.Delayed), some(l.Sending),
				some(l.InDoubt), oldest, held,
			})
		}
		return p.table(columns, rows, func(i int) tint {
			if s.stats.Lanes[i].Parked.After(clock) {
				return yellow
			}
			return ""
		})
	}, "pacer queue stats"}
}

func (p *paper) workers(s *sight) section {
	columns := []column{
		{"WORKER", false, 12}, {"PROCESS", true, 0}, {"ON THE WIRE", true, 0}, {"PACE", true, 0}, {"HEARD OF", false, 0},
	}
	clock := s.clock(p.now)
	return section{"workers", "No worker.", true, len(s.workers), func(shown int) []line {
		rows := [][]string{}
		for i := range s.workers[:shown] {
			w := &s.workers[i]
			heard, pace, onWire := span(clock.Sub(w.Seen))+" ago", speed(w.Pace), fmt.Sprintf("%d/%d", w.OnWire, w.Concurrency)
			if !w.Alive { // nobody knows
				heard, pace, onWire = heard+", vanished", "", ""
			}
			rows = append(rows, []string{w.Host, strconv.Itoa(w.PID), onWire, pace, heard})
		}
		return p.table(columns, rows, func(i int) tint {
			if !s.workers[i].Alive {
				return red
			}
			return ""
		})
	}, "pacer workers"}
}

func (p *paper) holds(s *sight) section {
	columns := []column{
		{"HOLD", false, 0}, {"OF", false, 12}, {"SENDER", false, 12}, {"REASON", false, 10}, {"CODE", true, 0}, {"ENDS IN", true, 0},
	}
	clock := s.clock(p.now)
	return section{"holds", "Nothing is held.", true, len(s.holds), func(shown int) []line {
		rows := [][]string{}
		for i := range s.holds[:shown] {
			h := &s.holds[i]
			of := named(h.Resource)
			if of == "" {
				of = wholeAccount
			}
			rows = append(rows, []string{h.Name(), of, p.number(h.Resource.Sender), string(h.Reason), code(h.Code), span(h.Until.Sub(clock))})
		}
		return p.table(columns, rows, func(int) tint { return yellow })
	}, "pacer hold list"}
}

// clock returns the time by the store's clock.
func (s *sight) clock(now time.Time) time.Time { return s.stats.Time.Add(now.Sub(s.answered)) }
