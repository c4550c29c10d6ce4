package pacer

import "time"

// A spread says how far throttling has spread among the keys of a resource. It is for answers
// that may be about a single key or about all. If they are about all, mostly keys are throttled
// that were not before, and few others are accepted. If they are about a key, it is throttled again
// and again while others are accepted.
//
// A plain 20429 of Verify is taken to be about a number at first, as Twilio's page on it names
// mostly such causes. 63018 is taken to be about the sender at first. Once many keys of a
// resource were throttled, the resource itself is taken to have a limit. For a while each further
// answer is about that, unless the same key is throttled again.
type spread struct {
	fresh   float64   // keys throttled that were not before; each loses weight with time
	others  float64   // requests accepted, each for another key than the one before
	at      time.Time // of these weights
	last    string    // the key that was accepted last
	widened time.Time // when an answer was last taken to be about the whole resource; zero: never
}

const (
	halfLife  = 10 * time.Second // of weights
	wideShare = 0.2              // of requests throttled for fresh keys, from which on it is about all
	wideFor   = 10 * time.Minute // for which a limit of the whole resource is remembered

	coincidences = 2 // cool-downs of a key in a row, or other keys, that may be by chance
)

func (e *spread) accepts(k *key) {
	if e.last != k.id {
		e.others++
		e.last = k.id
	}
}

// wide reports whether a throttled answer is about all of the resource. h is what is known of
// its key; nil: it was not throttled before. mostly: answers with this code are usually about
// the whole resource.
func (e *spread) wide(h *keyState, mostly bool) bool {
	if h == nil {
		e.fresh++
	}
	few := e.fresh < 1.5 || e.fresh < wideShare*(e.fresh+e.others)
	presumed := mostly || !e.widened.IsZero() && e.at.Sub(e.widened) < wideFor
	if !few || presumed && (h == nil || e.others < 1) {
		e.widened = e.at
		return true
	}
	// Where many other keys are throttled, one of them is throttled again and again by chance.
	if h != nil && h.times >= coincidences && e.fresh < coincidences {
		e.widened = time.Time{}
	}
	return false
}
