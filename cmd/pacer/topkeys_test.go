package main

import (
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// types gives keys to a hand, one after the other, and returns the last deed.
func (h *hand) types(keys string, s *sight) (d *deed) {
	for _, b := range []byte(keys) {
		if one := h.key(b, s, time.Unix(0, 0)); one != nil {
			d = one
		}
	}
	return d
}

// Each key, with two campaigns on the screen, the second of which is paused.
func TestTopKeys(t *testing.T) {
	const up, down, escape = "\x1b[A", "\x1bOB", "\x1b"
	s := &sight{campaigns: []queue.Progress{
		{Name: "spring", State: queue.CampaignRunning, Options: queue.CampaignOptions{Rate: 20}}, {Name: "autumn", State: queue.CampaignPaused},
	}}
	for name, c := range map[string]struct{ keys, chosen, done, said string }{
		"the next":                 {"jj", "autumn", "", ""},
		"no further than the last": {"j" + down + down, "autumn", "", ""},
		"from the end":             {"k", "autumn", "", ""},
		"back":                     {"k" + up + up, "spring", "", ""},
		"a long sequence":          {"j\x1b[1;5B", "autumn", "", ""},
		"p chooses first":          {"p", "spring", "", "Campaign spring is chosen. Press p again to pause or resume it."},
		"r chooses first":          {"r5\r", "spring", "", "Campaign spring is chosen. Press r again to change its rate."},
		"pause":                    {"jp", "spring", "spring is paused: workers heed it within a second. p: resume", ""},
		"resume":                   {"kp", "autumn", "autumn is resumed: workers heed it within a second.", ""},
		"a rate":                   {"jr2.5\r", "spring", "spring has a rate of 2.5/s: workers heed it within a second.", ""},
		"a rate that is mended":    {"jr35\x7f\x7f\x7f7x\n", "spring", "spring has a rate of 7/s: workers heed it within a second.", ""},
		"while it is typed":        {"jr12", "spring", "", "New rate of spring, now 20/s (Enter: set, Esc: leave): 12_"},
		"no rate":                  {"jr\r", "spring", "", `Rate "": expected messages a second, such as 5. Nothing was changed; p pauses it.`},
		"0":                        {"jr0\r", "spring", "", `Rate "0": expected messages a second, such as 5. Nothing was changed; p pauses it.`},
		"two points":               {"jr1.2.3\r", "spring", "", `Rate "1.2.3": expected messages a second, such as 5. Nothing was changed; p pauses it.`},
		"Escape leaves it":         {"jr5" + escape, "spring", "", ""},
		"no longer than a rate is": {"jr" + strings.Repeat("1", 99), "spring", "", "New rate of spring, now 20/s (Enter: set, Esc: leave): 111111111111_"},
		"keys":                     {"?", "", "", keyHelp},
		"an unknown one":           {"jx\x00\xff", "spring", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var h hand
			d := h.types(c.keys, s)
			done := ""
			if d != nil {
				done = d.done
				if d.campaign != c.chosen || d.do == nil {
					t.Errorf("%q", d.campaign)
				}
			}
			if said := h.line(s, time.Unix(0, 0)); h.chosen != c.chosen || done != c.done || said != c.said {
				t.Errorf("%q, %q, %q: expected %q, %q, %q", h.chosen, done, said, c.chosen, c.done, c.said)
			}
			if said := h.line(s, time.Unix(0, 0).Add(saidFor)); said != "" && !h.typing {
				t.Errorf("%q is said for ever", said)
			}
		})
	}
}

// Without a campaign, and after the one that was chosen is gone, keys change nothing.
func TestTopKeysWithoutACampaign(t *testing.T) {
	h := hand{chosen: "gone"}
	for _, keys := range []string{"p", "r5\r", "j", "k"} {
		if d := h.types(keys, &sight{}); d != nil || h.chosen == "" && h.line(&sight{}, time.Unix(0, 0)) != "There is no campaign to choose." {
			t.Errorf("%s: %+v, %+v", keys, d, h)
		}
	}
}

// The campaign that is chosen is marked, also where there is no room for all before it, and what a key has done is said.
func TestTopShowsWhatIsChosen(t *testing.T) {
	s := storm()
	for len(s.campaigns) < 30 {
		s.campaigns = append(s.campaigns, queue.Progress{Name: "campaign-" + strings.Repeat("x", len(s.campaigns))})
	}
	p := sized(80, 24)
	p.chosen, p.said = s.campaigns[29].Name, "is paused"
	page := draw(s, p)
	if strings.Count(page, "> campaign-") != 1 || !strings.Contains(page, "\nis paused\n") || strings.Count(page, "\n") > 23 {
		t.Error(page)
	}
}
