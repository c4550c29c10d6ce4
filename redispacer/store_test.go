package redispacer

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
)

func TestClock(t *testing.T) {
	start := time.Now()
	at := start.Add
	const ahead = 5 * time.Minute // the server's clock
	server := func(d time.Duration) float64 { return float64((ahead + d).Microseconds()) }
	off := func(c *clock, ahead, now time.Duration) time.Duration {
		return c.local(float64((ahead + now).Microseconds())).Sub(at(now)).Abs()
	}
	ms := time.Millisecond
	var c clock

	c.set(server(35*ms), at(0), at(40*ms)) // slow on its way there
	if e := off(&c, ahead, 40*ms); e > 20*ms || e < 10*ms {
		t.Errorf("after one answer in 40 ms: wrong by %v, expected up to half of that", e)
	}
	c.set(server(101*ms), at(100*ms), at(102*ms))
	if e := off(&c, ahead, time.Second); e > ms {
		t.Errorf("after a quick one: wrong by %v", e)
	}
	c.set(server(200*ms), at(200*ms), at(230*ms))
	if e := off(&c, ahead, time.Second); e > ms {
		t.Errorf("after a slow one again: wrong by %v, expected that the best counts", e)
	}

	for _, jump := range []time.Duration{ahead + 2*time.Second, ahead - time.Hour} { // both ways
		c.set(float64((jump + 301*ms).Microseconds()), at(300*ms), at(310*ms))
		if e := off(&c, jump, 310*ms); e > 5*ms {
			t.Errorf("after the server's clock has jumped: wrong by %v", e)
		}
	}

	c = clock{}
	c.set(server(0), at(0), at(2*ms))
	c.set(server(clockLasts+10*ms), at(clockLasts), at(clockLasts+20*ms))
	if c.error != 10*ms {
		t.Errorf("error %v: expected that a sample is good for a minute", c.error)
	}
}

// However long answers take each way, the clock is wrong by half a round trip at most.
func FuzzClock(f *testing.F) {
	f.Add(uint16(1), uint16(1), uint16(300), uint16(0))
	f.Add(uint16(900), uint16(3), uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, there1, back1, there2, back2 uint16) {
		start := time.Now()
		var c clock
		sent := start
		worst := time.Duration(math.MaxInt64)
		for _, way := range [][2]uint16{{there1, back1}, {there2, back2}} {
			there, back := time.Duration(way[0])*time.Microsecond, time.Duration(way[1])*time.Microsecond
			c.set(float64(sent.Add(there).Sub(start).Microseconds()), sent, sent.Add(there+back))
			worst = min(worst, (there+back)/2)
			sent = sent.Add(there + back + time.Second)
		}
		if e := c.local(1e6).Sub(start.Add(time.Second)).Abs(); e > worst+2*time.Microsecond {
			t.Errorf("wrong by %v, expected up to %v", e, worst)
		}
	})
}

func FuzzNotice(f *testing.F) {
	for _, r := range []pacer.Resource{messages, addresses} {
		text, err := json.Marshal(notice{From: "abc", Resource: r, Sender: r.Sender, Micros: 1e6, TooLong: true})
		if err != nil {
			f.Fatal(err)
		}
		if n, err := parseNotice(string(text)); err != nil || n.Resource != r || n.Micros != 1e6 || !n.TooLong || n.From != "abc" {
			f.Errorf("%s: %+v, %v", text, n, err)
		}
		f.Add(string(text))
	}
	for _, text := range []string{"", "null", "{}", "[]", `{"us":-1,"resource":{"Name":"Messages"}}`, `{"us":9e99}`, `{"us":3600000001,"resource":{"Name":"Messages"}}`} {
		if n, err := parseNotice(text); err == nil {
			f.Errorf("%q: %+v, expected an error", text, n)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseNotice(text)
		switch hold := time.Duration(n.Micros) * time.Microsecond; {
		case err == nil && (hold <= 0 || hold > longestHold && !n.TooLong || hold > longestRetry || n.Resource.Name == ""):
			t.Errorf("%q: %+v, expected an error", text, n)
		case err != nil && n != (notice{}):
			t.Errorf("%q: %v, and yet %+v", text, err, n)
		}
	})
}

// Whatever a server answers, and it need not be the script that answers, a grant is one that
// can be lived with.
func FuzzGrant(f *testing.F) {
	f.Add(int64(3), int64(7), "1000000.000", "1500000.000", "0.000", "1200000.000", "10.000", "0.000", int64(2), 14)
	f.Add(int64(0), int64(0), "0", "0", "0", "0", "0", "0", int64(0), 14)
	f.Add(int64(1), int64(1), "nan", "inf", "-inf", "NaN", "+Inf", "1e308", int64(1), 14)
	f.Add(int64(-1), int64(-1), "-1", "1e300", "1e300", "-1e300", "1e-300", "-1", int64(-1), 14)
	f.Add(int64(1), int64(1), "1", "1", "1", "1", "x", "1", int64(1), 14)
	f.Add(int64(1), int64(1), "1", "1", "1", "1", "1", "1", int64(1), 13)
	f.Fuzz(func(t *testing.T, got, number int64, from, again, until, now, pace, learned string, users int64, n int) {
		all := []any{got, number, from, again, until, now, pace, learned, users, until, int64(1), got, number, int64(1), nil, 1.5, []any{}}
		s := &store{}
		sent := time.Now()
		g, err := s.grant(all[:max(0, min(n, len(all)))], sent, sent.Add(time.Millisecond))
		switch {
		case err != nil && g != (pacer.Grant{}):
			t.Errorf("%v, and yet %+v", err, g)
		case err != nil:
		case n != 14:
			t.Errorf("%d fields: %+v, expected an error", n, g)
		case g.N < 0, g.N > 0 && g.Every < 0, math.IsNaN(g.Pace), g.Pace <= 0, math.IsNaN(g.Learned), g.Learned < 0, g.Processes < 0:
			t.Errorf("%q: %+v, expected an error", all, g)
		}
	})
}
