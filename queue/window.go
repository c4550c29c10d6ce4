package queue

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Window is when a campaign may send, by the clock on the wall of a time zone: from
// From, inclusive, to To, exclusive. One that ends at or before its beginning ends on the
// next day; if both are the same it is open for a whole day.
//
// When the clocks change, the rule stays the clock on the wall. A From that does not occur in
// spring opens at the first instant after the gap. What occurs twice in autumn is open twice.
type Window struct {
	From, To string         // "09:00" or "9:00", 24 hours; To may be "24:00", which is "00:00"
	Days     []time.Weekday // on which it opens; none: every day
	Zone     string         // "Europe/Berlin", a name of the IANA's time zone database, or "UTC"; required
}

// hours is a Window as it is computed with.
type hours struct {
	from, to int // seconds of the day
	days     [7]bool
	zone     *time.Location
}

const day = 24 * 60 * 60 // seconds on the clock on the wall

// Validate says what is wrong with a window. From or To is no time of day, a day is none of the
// seven, or the zone is not known here.
func (w Window) Validate() error {
	_, err := w.hours()
	return err
}

func (w Window) hours() (*hours, error) {
	h := &hours{}
	for _, f := range []struct {
		field, text string
		seconds     *int
	}{{"From", w.From, &h.from}, {"To", w.To, &h.to}} {
		text := f.text
		if f.field == "To" && text == "24:00" {
			text = "00:00" // a window that ends at or before its beginning ends on the next day
		}
		t, err := time.Parse("15:04", text)
		if err != nil || len(text) > len("15:04") {
			return nil, fmt.Errorf("queue: window: %s: %.20q: expected a time of day as hours and minutes, 00:00 to 23:59, or 24:00 for To", f.field, f.text)
		}
		*f.seconds = t.Hour()*3600 + t.Minute()*60
	}
	for _, d := range w.Days {
		if d < time.Sunday || d > time.Saturday {
			return nil, fmt.Errorf("queue: window: Days: %d: expected time.Sunday (0) to time.Saturday (6)", d)
		}
		h.days[d] = true
	}
	if len(w.Days) == 0 {
		h.days = [7]bool{true, true, true, true, true, true, true}
	}
	// LoadLocation takes these two as well, but they would mean something else on another machine.
	if w.Zone == "" || w.Zone == "Local" {
		return nil, fmt.Errorf("queue: window: Zone: %q: expected a zone's name, such as Europe/Berlin or UTC", w.Zone)
	}
	var err error
	if h.zone, err = time.LoadLocation(w.Zone); err != nil {
		const known = "Europe/Berlin"
		if _, none := time.LoadLocation(known); none != nil {
			return nil, fmt.Errorf(`queue: window: Zone: %.60q: this machine has no time zone database: import _ "time/tzdata" in the program: %w`, w.Zone, err)
		}
		return nil, fmt.Errorf("queue: window: Zone: %.60q: there is no such time zone: expected one such as %s", w.Zone, known)
	}
	return h, nil
}

// Open reports whether the window is open at t. One that is not valid is never open.
func (w Window) Open(t time.Time) bool {
	h, err := w.hours()
	return err == nil && h.open(t)
}

// Next returns the first instant at or after t at which the window is open: t itself, if
// it is open. For a window that is not valid it is the zero time.
func (w Window) Next(t time.Time) time.Time {
	h, err := w.hours()
	if err != nil {
		return time.Time{}
	}
	return h.next(t)
}

func (h *hours) open(t time.Time) bool {
	t = t.In(h.zone)
	today, s := t.Weekday(), secondOfDay(t)
	if h.from < h.to {
		return h.days[today] && h.from <= s && s < h.to
	}
	return h.days[today] && s >= h.from || h.days[(today+6)%7] && s < h.to
}

func secondOfDay(t time.Time) int {
	hour, minute, second := t.Clock()
	return hour*3600 + minute*60 + second
}

// turn returns the first instant after t at which open may give another answer. Between
// two changes of the clocks the wall's seconds are seconds, so that it can be computed.
func (h *hours) turn(t time.Time) time.Time {
	t = t.In(h.zone)
	_, end := t.ZoneBounds()
	s := secondOfDay(t)
	wait := day - s
	for _, at := range []int{h.from, h.to} {
		if at > s {
			wait = min(wait, at-s)
		}
	}
	next := t.Add(time.Duration(wait)*time.Second - time.Duration(t.Nanosecond()))
	if !end.IsZero() && end.Before(next) {
		return end
	}
	return next
}

func (h *hours) next(t time.Time) time.Time {
	for !h.open(t) {
		t = h.turn(t)
	}
	return t
}

// closes returns the first instant after t, which is in the window, that is not; zero if
// it never closes.
func (h *hours) closes(t time.Time) time.Time {
	if h.from == h.to && !slices.Contains(h.days[:], false) {
		return time.Time{}
	}
	for h.open(t) {
		t = h.turn(t)
	}
	return t
}

// after returns the instant at which the window has been open for d since t; zero if
// that is not before limit.
func (h *hours) after(t time.Time, d time.Duration, limit time.Time) time.Time {
	for t.Before(limit) {
		t = h.next(t)
		end := h.closes(t)
		if end.IsZero() || end.Sub(t) >= d {
			return t.Add(d)
		}
		d -= end.Sub(t)
		t = end
	}
	return time.Time{}
}

var weekdays = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// String returns the window as text: "mon,tue,sat 09:00-20:00 Europe/Berlin".
func (w Window) String() string {
	var b strings.Builder
	for i, d := range w.Days {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ToLower(d.String()[:3]))
	}
	if len(w.Days) > 0 {
		b.WriteByte(' ')
	}
	return b.String() + w.From + "-" + w.To + " " + w.Zone
}

// MarshalText returns what String does, of a valid window. It is the form in JSON.
func (w Window) MarshalText() ([]byte, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	return []byte(w.String()), nil
}

// UnmarshalText reads what MarshalText writes, and ranges of days: "mon-fri,sun 09:00-20:00
// Europe/Berlin". It makes a Window a flag.TextVar.
func (w *Window) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	var read Window
	if len(fields) == 3 {
		var err error
		if read.Days, err = parseDays(strings.ToLower(fields[0])); err != nil {
			return err
		}
		fields = fields[1:]
	}
	if len(fields) != 2 || !strings.Contains(fields[0], "-") {
		return fmt.Errorf(`queue: window: %.80q: expected days (or none), times and zone: "mon-fri 09:00-20:00 Europe/Berlin"`, text)
	}
	read.From, read.To, _ = strings.Cut(fields[0], "-")
	read.Zone = fields[1]
	if err := read.Validate(); err != nil {
		return err
	}
	*w = read
	return nil
}

func parseDays(list string) (days []time.Weekday, err error) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(weekdays[:], first), slices.Index(weekdays[:], last)
		if from < 0 || to < 0 {
			return nil, fmt.Errorf("queue: window: day %.20q: expected sun, mon, tue, wed, thu, fri, sat, or two of them such as mon-fri", part)
		}
		for d := from; ; d = (d + 1) % 7 {
			days = append(days, time.Weekday(d))
			if d == to {
				break
			}
		}
	}
	return days, nil
}
