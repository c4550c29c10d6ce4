package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twilio-pacer/pacer/queue"
)

// This file has the keys of "pacer top". It knows no terminal, and changes nothing by itself: it says what is to be done.

const (
	keyHelp   = "j k or arrows: choose a campaign   p: pause or resume it   r: change its rate   q: end"
	saidFor   = 10 * time.Second // so long is shown what a key has done
	mostTyped = 12               // characters of a rate
)

// A hand is what the keys have done until now.
type hand struct {
	chosen string // the name of a campaign; "": none is chosen
	typing bool   // a rate
	typed  string
	said   string // about the last key
	until  time.Time
	escape byte // of a sequence that has begun: 'e' after Escape, '[' within it; 0: none
}

// A deed is a change of a campaign.
type deed struct {
	campaign string
	do       func(*queue.Campaign, context.Context) error
	done     string // said when it is done
}

// key takes a byte that was typed while s is on the screen. It returns what is to be done; nil: nothing.
func (h *hand) key(b byte, s *sight, now time.Time) *deed {
	switch {
	case h.escape == 'e' && (b == '[' || b == 'O'):
		h.escape = '['
		return nil
	case h.escape == '[':
		if b < 0x40 || b > 0x7e {
			return nil // its parameters
		}
		h.escape = 0
		switch b {
		case 'A':
			h.choose(-1, s, now)
		case 'B':
			h.choose(1, s, now)
		}
		return nil
	case b == 0x1b:
		h.escape, h.typing, h.said = 'e', false, ""
		return nil
	}
	h.escape = 0
	if h.typing {
		return h.digit(b, now)
	}
	switch b {
	case 'j':
		h.choose(1, s, now)
	case 'k':
		h.choose(-1, s, now)
	case 'p', 'P':
		return h.pause(s, now)
	case 'r', 'R':
		if h.chosenIn(s, "r again to change its rate", now) != nil {
			h.typing, h.typed, h.said = true, "", ""
		}
	case '?', 'h':
		h.say(now, keyHelp)
	}
	return nil
}

func (h *hand) say(now time.Time, format string, args ...any) {
	h.said, h.until = fmt.Sprintf(format, args...), now.Add(saidFor)
}

// choose goes on to the next campaign on the screen, or back to the one before.
func (h *hand) choose(by int, s *sight, now time.Time) {
	h.typing, h.said = false, ""
	n := len(s.campaigns)
	if n == 0 {
		h.say(now, "There is no campaign to choose.")
		return
	}
	at := s.campaign(h.chosen)
	switch {
	case at >= 0:
		at = min(max(at+by, 0), n-1)
	case by > 0:
		at = 0
	default:
		at = n - 1
	}
	h.chosen = s.campaigns[at].Name
}

// chosenIn returns the campaign that is chosen. If none is, it chooses the first one, says which key acts on it, and
// returns nil, so that a key that was hit by chance changes nothing.
func (h *hand) chosenIn(s *sight, next string, now time.Time) *queue.Progress {
	if at := s.campaign(h.chosen); at >= 0 {
		return &s.campaigns[at]
	}
	h.chosen = ""
	h.choose(1, s, now)
	if h.chosen != "" {
		h.say(now, "Campaign %s is chosen. Press %s.", h.chosen, next)
	}
	return nil
}

func (h *hand) pause(s *sight, now time.Time) *deed {
	c := h.chosenIn(s, "p again to pause or resume it", now)
	switch {
	case c == nil:
		return nil
	case c.State == queue.CampaignPaused:
		return &deed{c.Name, (*queue.Campaign).Resume, c.Name + " is resumed: workers heed it within a second."}
	}
	return &deed{c.Name, (*queue.Campaign).Pause, c.Name + " is paused: workers heed it within a second. p: resume"}
}

// digit takes a byte of a rate.
func (h *hand) digit(b byte, now time.Time) *deed {
	switch {
	case '0' <= b && b <= '9', b == '.':
		if len(h.typed) < mostTyped {
			h.typed += string(b)
		}
	case b == 0x7f || b == '\b':
		h.typed = h.typed[:max(0, len(h.typed)-1)]
	case b == '\r' || b == '\n':
		h.typing = false
		perSecond, err := strconv.ParseFloat(h.typed, 64)
		if err != nil || !(perSecond > 0) {
			h.say(now, "Rate %q: expected messages a second, such as 5. Nothing was changed; p pauses it.", h.typed)
			return nil
		}
		set := func(c *queue.Campaign, ctx context.Context) error { return c.SetRate(ctx, perSecond) }
		return &deed{h.chosen, set, h.chosen + " has a rate of " + rate(perSecond) + ": workers heed it within a second."}
	}
	return nil
}

// line is what the page says about the keys; "": nothing.
func (h *hand) line(s *sight, now time.Time) string {
	switch {
	case h.typing:
		was := ""
		if at := s.campaign(h.chosen); at >= 0 {
			was = ", now " + rate(s.campaigns[at].Options.Rate)
		}
		return fmt.Sprintf("New rate of %s%s (Enter: set, Esc: leave): %s_", h.chosen, was, h.typed)
	case now.Before(h.until):
		return h.said
	}
	return ""
}

// campaign returns where a campaign is in the list; -1: nowhere.
func (s *sight) campaign(name string) int {
	return slices.IndexFunc(s.campaigns, func(c queue.Progress) bool { return c.Name == name })
}
