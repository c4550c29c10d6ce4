package queue

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
)

// A Refusal is something new that a worker has read while it runs, and has not taken: it goes on with what it had.
type Refusal struct {
	What string    // [RefusedCredentials], "limits" or the like
	From string    // such as the path of a file
	Time time.Time // when it was read, or written, by the clock of this process; zero: not known
	Why  string    // it has no secret, and no full stop at its end; "": nothing is refused any more
}

// Refuse has other processes see that the worker has not taken something: [WorkerStatus] has it, and [Queue.Why] says
// it. It stands until there is another one with the same What. It is safe for concurrent use.
func (w *Worker) Refuse(r Refusal) { w.refusals.set(r) }

// refusals are those that stand. The zero value has none. It is safe for concurrent use.
type refusals struct {
	mu  sync.Mutex
	all []Refusal
}

func (r *refusals) set(of Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = slices.DeleteFunc(r.all, func(other Refusal) bool { return other.What == of.What })
	if of.Why != "" {
		r.all = append(r.all, of)
	}
}

const (
	maxRefusals = 4
	maxWhy      = 400 // runes
)

// A beatRefusal is a [Refusal] as it is stored. Its time is of the engine's clock.
type beatRefusal struct {
	What string    `json:"what"`
	From string    `json:"from"`
	Time time.Time `json:"time,omitzero"`
	Why  string    `json:"why"`
}

// stored returns some of what stands. ahead is by how much this process's clock is ahead of the engine's.
func (r *refusals) stored(ahead time.Duration) (all []beatRefusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range r.all[:min(len(r.all), maxRefusals)] {
		b := beatRefusal{of.What, of.From, of.Time, pacer.MaskNumbers(of.Why)}
		if !b.Time.IsZero() {
			b.Time = b.Time.Add(-ahead).UTC()
		}
		if why := []rune(b.Why); len(why) > maxWhy {
			b.Why = string(why[:maxWhy]) + " ..."
		}
		all = append(all, b)
	}
	return all
}

// text says it in a sentence. either is true where what the worker had is refused, too.
func (r *beatRefusal) text(by *heartbeat, either bool) string {
	read, not := "", "are not taken"
	if !r.Time.IsZero() {
		read = " of " + r.Time.UTC().Format(time.TimeOnly) + " UTC"
	}
	if either {
		not = "are refused, too"
	}
	return fmt.Sprintf("The new %s%s in %s %s, says process %d on %s: %s.", r.What, read, r.From, not, by.PID, by.Host, strings.TrimSuffix(r.Why, "."))
}

// RefusedCredentials is the What of a [Refusal] that is about the client's credentials. [Queue.Why] then says it beside
// the hold of an account, if that is held for those before.
const RefusedCredentials = "credentials"

// refused finds what workers have read and not taken, but for credentials if an account is held for these.
func (w *inquiry) refused() {
	held := slices.ContainsFunc(w.reasons, func(r Reason) bool { return r.Kind == CauseUnauthorized })
	for i := range w.beats {
		b := &w.beats[i]
		for _, r := range b.Refusals {
			if !held || r.What != RefusedCredentials {
				w.add(Reason{Kind: CauseRefused, Since: r.Time, Text: r.text(b, false), Do: "mend " + r.From + ": the worker reads it again by itself"})
			}
		}
	}
}

// refusedToo says which new credentials workers have read that are refused as well, each in a sentence after a blank.
func (w *inquiry) refusedToo() (text string) {
	said := 0
	for i := range w.beats {
		for _, r := range w.beats[i].Refusals {
			if r.What == RefusedCredentials && said < fewWorkers {
				said++
				text += " " + r.text(&w.beats[i], true)
			}
		}
	}
	return text
}
