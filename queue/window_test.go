package queue

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func window(t *testing.T, text string) Window {
	t.Helper()
	var w Window
	if err := w.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return w
}

// Opening and closing, worked out by hand on the clock on the wall; with the offset, as
// in autumn it alone tells the two passes apart.
func TestWindow(t *testing.T) {
	for _, tt := range []struct {
		name, window, at, opens, closes string // RFC 3339
	}{
		{"before", "09:00-20:00 Europe/Berlin", "2026-11-24T08:59:59+01:00", "2026-11-24T09:00:00+01:00", "2026-11-24T20:00:00+01:00"},
		{"at From", "09:00-20:00 Europe/Berlin", "2026-11-24T09:00:00+01:00", "2026-11-24T09:00:00+01:00", "2026-11-24T20:00:00+01:00"},
		{"within", "09:00-20:00 Europe/Berlin", "2026-11-24T12:30:15.5+01:00", "2026-11-24T12:30:15.5+01:00", "2026-11-24T20:00:00+01:00"},
		{"at To", "09:00-20:00 Europe/Berlin", "2026-11-24T20:00:00+01:00", "2026-11-25T09:00:00+01:00", "2026-11-25T20:00:00+01:00"},
		{"asked in another zone", "09:00-20:00 Europe/Berlin", "2026-11-24T03:00:00-05:00", "2026-11-24T09:00:00+01:00", "2026-11-24T20:00:00+01:00"},
		{"over the weekend", "mon-fri 09:00-20:00 Europe/Berlin", "2026-11-27T20:00:00+01:00", "2026-11-30T09:00:00+01:00", "2026-11-30T20:00:00+01:00"},
		{"across midnight", "22:00-06:00 Europe/Berlin", "2026-11-24T21:00:00+01:00", "2026-11-24T22:00:00+01:00", "2026-11-25T06:00:00+01:00"},
		{"across midnight, after it", "22:00-06:00 Europe/Berlin", "2026-11-24T03:00:00+01:00", "2026-11-24T03:00:00+01:00", "2026-11-24T06:00:00+01:00"},
		{"the day is that of From", "fri 22:00-06:00 Europe/Berlin", "2026-11-27T03:00:00+01:00", "2026-11-27T22:00:00+01:00", "2026-11-28T06:00:00+01:00"},
		{"the day after From's", "fri 22:00-06:00 Europe/Berlin", "2026-11-28T03:00:00+01:00", "2026-11-28T03:00:00+01:00", "2026-11-28T06:00:00+01:00"},
		{"until midnight", "20:00-00:00 UTC", "2026-11-24T19:00:00Z", "2026-11-24T20:00:00Z", "2026-11-25T00:00:00Z"},
		{"until 24:00", "20:00-24:00 UTC", "2026-11-24T19:00:00Z", "2026-11-24T20:00:00Z", "2026-11-25T00:00:00Z"},
		{"until 24:00 on one day", "tue 0:00-24:00 UTC", "2026-11-23T12:00:00Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
		{"all day, every day", "00:00-24:00 UTC", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", ""},
		{"an hour of one digit", "9:00-8:30 UTC", "2026-11-24T08:45:00Z", "2026-11-24T09:00:00Z", "2026-11-25T08:30:00Z"},
		{"a whole day", "tue 09:00-09:00 UTC", "2026-11-23T12:00:00Z", "2026-11-24T09:00:00Z", "2026-11-25T09:00:00Z"},
		{"two whole days", "tue,wed 00:00-00:00 UTC", "2026-11-23T12:00:00Z", "2026-11-24T00:00:00Z", "2026-11-26T00:00:00Z"},
		{"never closes", "12:00-12:00 UTC", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", ""},

		// 2026-03-29, 02:00 to 03:00 does not occur.
		{"spring, From in the gap", "02:30-05:00 Europe/Berlin", "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"},
		{"spring, To in the gap", "01:00-02:30 Europe/Berlin", "2026-03-29T01:30:00+01:00", "2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"spring, all in the gap", "02:10-02:50 Europe/Berlin", "2026-03-29T00:00:00+01:00", "2026-03-30T02:10:00+02:00", "2026-03-30T02:50:00+02:00"},
		{"spring, the gap within", "01:00-04:00 Europe/Berlin", "2026-03-29T00:00:00+01:00", "2026-03-29T01:00:00+01:00", "2026-03-29T04:00:00+02:00"},
		{"spring, New York", "02:30-05:00 America/New_York", "2026-03-08T00:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T05:00:00-04:00"},
		{"spring, half an hour", "02:15-04:00 Australia/Lord_Howe", "2026-10-04T00:00:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T04:00:00+11:00"},

		// 2026-10-25, 02:00 to 03:00 occurs twice.
		{"autumn, ends in the second pass", "01:00-03:00 Europe/Berlin", "2026-10-25T01:00:00+02:00", "2026-10-25T01:00:00+02:00", "2026-10-25T03:00:00+01:00"},
		{"autumn, first pass", "02:10-02:50 Europe/Berlin", "2026-10-25T00:00:00+02:00", "2026-10-25T02:10:00+02:00", "2026-10-25T02:50:00+02:00"},
		{"autumn, second pass", "02:10-02:50 Europe/Berlin", "2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00", "2026-10-25T02:50:00+01:00"},
		{"autumn, New York", "01:30-05:00 America/New_York", "2026-11-01T00:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T01:00:00-05:00"},
		{"autumn, half an hour", "01:45-03:00 Australia/Lord_Howe", "2026-04-05T01:59:59+11:00", "2026-04-05T01:59:59+11:00", "2026-04-05T01:30:00+10:30"},

		// In Samoa Thursday, 2011-12-29 was followed by Saturday.
		{"no Friday", "fri 09:00-20:00 Pacific/Apia", "2011-12-29T12:00:00-10:00", "2012-01-06T09:00:00+14:00", "2012-01-06T20:00:00+14:00"},
		{"From on the missing day", "fri 22:00-06:00 Pacific/Apia", "2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T06:00:00+14:00"},
		{"To on the missing day", "thu 22:00-06:00 Pacific/Apia", "2011-12-29T12:00:00-10:00", "2011-12-29T22:00:00-10:00", "2011-12-31T00:00:00+14:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			w := window(t, tt.window)
			next := w.Next(at)
			if got := next.In(zone(t, w.Zone)).Format(time.RFC3339Nano); !next.Equal(parseTime(t, tt.opens)) {
				t.Errorf("%v: next after %s is %s, expected %s", w, tt.at, got, tt.opens)
			}
			if w.Open(at) != next.Equal(at) {
				t.Errorf("%v: open at %s: %t, but next is %s", w, tt.at, w.Open(at), next)
			}
			h, _ := w.hours()
			closes := h.closes(next)
			if tt.closes == "" && !closes.IsZero() || tt.closes != "" && !closes.Equal(parseTime(t, tt.closes)) {
				t.Errorf("%v: closes at %s, expected %q", w, closes, tt.closes)
			}
		})
	}
}

func parseTime(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Every five minutes over a year, of which the windows' times and the zones' changes are
// multiples: what next, closes and after compute against what the
// clock on the wall says.
func TestWindowOverAYear(t *testing.T) {
	const step = 5 // minutes
	windows := []string{"09:00-20:00", "mon-fri 02:30-05:00", "01:15-02:45", "sun 22:00-06:00", "sat,sun 02:00-02:00", "23:30-00:30"}
	for _, z := range []struct {
		zone string
		year int
	}{
		{"Europe/Berlin", 2026}, {"America/New_York", 2026}, {"Australia/Lord_Howe", 2026}, {"Pacific/Apia", 2011},
		{"Africa/Casablanca", 2026}, {"America/Sao_Paulo", 2018}, // whose clocks change at midnight
	} {
		t.Run(z.zone, func(t *testing.T) {
			t.Parallel()
			loc := zone(t, z.zone)
			minutes := make([]minute, 368*24*60/step) // a day and a half more, to end in
			start := time.Date(z.year, 1, 1, 0, 0, 0, 0, loc)
			for i := range minutes {
				minutes[i] = newMinute(start.Add(time.Duration(i*step) * time.Minute))
			}
			for _, text := range windows {
				w := window(t, text+" "+z.zone)
				h, err := w.hours()
				if err != nil {
					t.Fatal(err)
				}
				open := make([]bool, len(minutes))
				total := 0
				for i, m := range minutes {
					open[i] = m.in(w)
					if h.open(m.t) != open[i] {
						t.Fatalf("%v: open at %s: %t", w, m.t, !open[i])
					}
					if open[i] {
						total++
					}
				}
				// From the end, so that what comes next is known.
				var nextOpen, nextClosed, last time.Time
				for i := len(minutes) - 1; i >= 0; i-- {
					m := minutes[i].t
					if open[i] {
						nextOpen = m
						if last.IsZero() {
							last = m
						}
					} else {
						nextClosed = m
					}
					if i > 0 && open[i] == open[i-1] && i%29 != 0 {
						continue // all turns, and a part of the rest
					}
					if !nextOpen.IsZero() && !h.next(m).Equal(nextOpen) {
						t.Fatalf("%v: next after %s is %s, expected %s", w, m, h.next(m), nextOpen)
					}
					if open[i] && !nextClosed.IsZero() && !h.closes(m).Equal(nextClosed) {
						t.Fatalf("%v: open at %s closes at %s, expected %s", w, m, h.closes(m), nextClosed)
					}
				}
				if got := h.after(start, time.Duration(total*step)*time.Minute, start.AddDate(9, 0, 0)); !got.Equal(last.Add(step * time.Minute)) {
					t.Errorf("%v: open for %d minutes by %s, expected %s", w, total*step, got, last.Add(step*time.Minute))
				}
			}
		})
	}
}

// A minute is what the clock and the calendar on the wall show.
type minute struct {
	t             time.Time
	clock         string
	today, before time.Weekday // before: of the calendar's day before, not of the instant 24 hours before
}

func newMinute(t time.Time) minute {
	before := time.Date(t.Year(), t.Month(), t.Day()-1, 0, 0, 0, 0, time.UTC)
	return minute{t, t.Format("15:04"), t.Weekday(), before.Weekday()}
}

func (m minute) in(w Window) bool {
	on := func(d time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, d) }
	if w.From < w.To {
		return on(m.today) && w.From <= m.clock && m.clock < w.To
	}
	return on(m.today) && m.clock >= w.From || on(m.before) && m.clock < w.To
}

// Next is open, nothing between is, and it does not move.
func TestWindowProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "America/St_Johns", "UTC"}
	for range 3000 {
		w := Window{Zone: zones[r.IntN(len(zones))]}
		clock := func() string {
			return time.Unix(int64(r.IntN(24*60)*60), 0).UTC().Format("15:04")
		}
		w.From, w.To = clock(), clock()
		for d := range time.Saturday + 1 {
			if r.IntN(3) == 0 {
				w.Days = append(w.Days, d)
			}
		}
		at := time.Unix(r.Int64N(80*365*24*3600), r.Int64N(1e9))
		next := w.Next(at)
		if next.Before(at) || !w.Open(next) || !w.Next(next).Equal(next) {
			t.Fatalf("%v: next after %s is %s", w, at, next)
		}
		if next.After(at) && (w.Open(at) || w.Open(next.Add(-1))) {
			t.Fatalf("%v: next after %s is %s, but it is open before", w, at, next)
		}
		if gap := next.Sub(at); gap > 15*24*time.Hour {
			t.Fatalf("%v: closed for %s after %s", w, gap, at)
		}
		for range 5 {
			if gap := next.Sub(at); gap > 0 && w.Open(at.Add(time.Duration(r.Int64N(int64(gap))))) {
				t.Fatalf("%v: next after %s is %s, but it is open between", w, at, next)
			}
		}
		var again Window
		text, err := w.MarshalText()
		if err != nil || again.UnmarshalText(text) != nil || again.String() != w.String() {
			t.Fatalf("%v: text %q reads as %v: %v", w, text, again, err)
		}
	}
}

func TestWindowText(t *testing.T) {
	for text, want := range map[string]string{
		"mon-fri,sun 09:00-20:00 Europe/Berlin": "mon,tue,wed,thu,fri,sun 09:00-20:00 Europe/Berlin",
		"fri-mon 22:00-06:00 UTC":               "fri,sat,sun,mon 22:00-06:00 UTC",
		" Sat  00:00-00:00\tUTC ":               "sat 00:00-00:00 UTC",
		"09:00-20:00 America/New_York":          "09:00-20:00 America/New_York",
	} {
		w := window(t, text)
		b, err := json.Marshal(&w)
		if err != nil || string(b) != `"`+want+`"` {
			t.Errorf("%q: %s, %v, expected %q", text, b, err, want)
		}
	}
}

func TestWindowErrors(t *testing.T) {
	for _, tt := range []struct {
		w    Window
		want string
	}{
		{Window{}, `From: "": expected a time of day`},
		{Window{From: "24:00", To: "20:00", Zone: "UTC"}, `From: "24:00": expected a time of day as hours and minutes, 00:00 to 23:59`},
		{Window{From: "9", To: "20:00", Zone: "UTC"}, `From: "9"`},
		{Window{From: "9:5", To: "20:00", Zone: "UTC"}, `From: "9:5"`},
		{Window{From: "09:00", To: "24:01", Zone: "UTC"}, `To: "24:01"`},
		{Window{From: "09:00", To: "20:00:00", Zone: "UTC"}, `To: "20:00:00"`},
		{Window{From: "9:00 ", To: "20:00", Zone: "UTC"}, `From: "9:00 "`},
		{Window{From: "+9:00", To: "20:00", Zone: "UTC"}, `From: "+9:00"`},
		{Window{From: "09:00", To: "20:00"}, `Zone: "": expected a zone's name`},
		{Window{From: "09:00", To: "20:00", Zone: "Local"}, `Zone: "Local"`},
		{Window{From: "09:00", To: "20:00", Zone: "Europe/Berlim"}, `Zone: "Europe/Berlim": there is no such time zone: expected one such as Europe/Berlin`},
		{Window{From: "09:00", To: "20:00", Zone: "UTC", Days: []time.Weekday{7}}, "Days: 7"},
	} {
		err := tt.w.Validate()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, expected %q in it", tt.w, err, tt.want)
		}
		if _, err := json.Marshal(tt.w); err == nil {
			t.Errorf("%+v: becomes JSON", tt.w)
		}
		if tt.w.Open(time.Now()) || !tt.w.Next(time.Now()).IsZero() {
			t.Errorf("%+v: opens, although it is not valid", tt.w)
		}
	}
	for text, want := range map[string]string{
		"":                           "expected days",
		"09:00 20:00 UTC":            "day",
		"mon-fru 09:00-20:00 UTC":    `day "mon-fru"`,
		", 09:00-20:00 UTC":          `day ""`,
		"mon 09:00-20:00":            "expected days",
		"mon 09:00-20:00 UTC please": "expected days",
	} {
		w := Window{From: "untouched"}
		if err := w.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || w.From != "untouched" {
			t.Errorf("%q: %v (%v), expected %q in it", text, err, w, want)
		}
	}
}
