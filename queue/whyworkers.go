package queue

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// This file finds workers that have vanished, or of which nothing is heard.

// absent finds out whether no worker lives.
func (w *inquiry) absent() {
	if len(w.beats) > 0 || w.ready+w.sending == 0 {
		return
	}
	r := Reason{Kind: CauseNoWorker, Stops: true, Waiting: w.ready + w.sending, Text: "No worker lives.", Do: adviceNoWorker}
	for _, b := range w.dead {
		if b.Seen.After(r.Since) {
			r.Since = b.Seen
			r.Text = fmt.Sprintf("No worker lives. The last one, process %d on %s, has vanished.", b.PID, b.Host)
		}
	}
	if w.sending > 0 {
		if w.sending == 1 {
			r.Text += " A request was on the wire: once a worker runs it is in doubt."
		} else {
			r.Text += fmt.Sprintf(" %d requests were on the wire: once a worker runs they are in doubt.", w.sending)
		}
	}
	w.add(r)
}

// doubtfulFor is how long after a worker has vanished its requests may not yet be in doubt. It is longer than
// a lease is by default.
const doubtfulFor = 2 * time.Minute

// concerned reports whether the inquiry is about something that a worker has to do with.
func (w *inquiry) concerned() bool { return w.about == About{} || w.ready+w.sending > 0 }

// vanished finds workers that have vanished within the last hour while others live.
func (w *inquiry) vanished() {
	gone := w.missing()
	if len(w.beats) == 0 || len(gone) == 0 || !w.concerned() {
		return
	}
	r := Reason{Kind: CauseSilent, Since: gone[0].Seen, Text: sentence(named(gone) + " vanished"), Do: adviceVanished}
	for _, b := range gone {
		if w.sending > 0 && w.at.Sub(b.Seen) < doubtfulFor {
			r.Waiting += int64(b.OnWire)
		}
	}
	if r.Waiting > 0 {
		r.Text += fmt.Sprintf(" What was on the wire then, %d at most, is in doubt when its lease ends.", r.Waiting)
	}
	w.add(r)
}

// missing returns the workers that are shown as vanished and that no other one has replaced, the last one first. One that
// has started since then replaces one of them, of its own host rather than of another.
func (s *scene) missing() []heartbeat {
	gone := slices.DeleteFunc(slices.Clone(s.dead), func(b heartbeat) bool { return b.shownFor(s.at) <= 0 })
	slices.SortStableFunc(gone, func(a, b heartbeat) int { return b.Seen.Compare(a.Seen) })
	free := slices.Concat(s.beats, gone)
	for _, anyHost := range []bool{false, true} {
		gone = slices.DeleteFunc(gone, func(d heartbeat) bool {
			n := slices.IndexFunc(free, func(b heartbeat) bool { return b.Started.After(d.Seen) && (anyHost || b.Host == d.Host) })
			if n >= 0 {
				free = slices.Delete(free, n, n+1)
			}
			return n >= 0
		})
	}
	return gone
}

// quietAfter is how long after its last heartbeat a worker is said to be quiet. The next one may be late by 3 s.
const quietAfter = beatEvery + 3*time.Second

// quiet finds workers of which nothing has been heard for some seconds. They may have vanished just now.
func (w *inquiry) quiet() {
	silent := slices.DeleteFunc(slices.Clone(w.beats), func(b heartbeat) bool { return w.at.Sub(b.Seen) < quietAfter })
	if len(silent) == 0 || w.ready+w.sending == 0 {
		return
	}
	w.unheard = len(silent) == len(w.beats)
	slices.SortStableFunc(silent, func(a, b heartbeat) int { return a.Seen.Compare(b.Seen) })
	r := Reason{Kind: CauseSilent, Waiting: w.ready + w.sending, Since: silent[0].Seen, Until: silent[len(silent)-1].Seen.Add(deadAfter)}
	r.Text = sentence(fmt.Sprintf("%s said nothing for %v, though each worker says every %v that it lives", named(silent), w.at.Sub(r.Since).Round(time.Second), beatEvery))
	w.add(r)
}

// named names some workers, with the verb for them.
func named(all []heartbeat) string {
	var names []string
	for _, b := range all[:min(len(all), fewWorkers)] {
		names = append(names, fmt.Sprintf("process %d on %s (last heard of at %s UTC)", b.PID, b.Host, b.Seen.UTC().Format(time.TimeOnly)))
	}
	if more := len(all) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	verb := " has"
	if len(all) > 1 {
		verb = " have"
	}
	return strings.Join(names, " and ") + verb
}
