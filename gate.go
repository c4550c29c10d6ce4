package pacer

import (
	"container/list"
	"time"

	"github.com/twilio-pacer/pacer/internal/learn"
	"github.com/twilio-pacer/pacer/internal/line"
)

// A sharedGate is a gate that several buckets pass.
type sharedGate struct {
	line.Gate
	key     gateKey
	learned learn.InFlight // of an account's gate
	buckets int            // how many pass it
	used    time.Duration  // from when the limiter was made until one of those that were dropped was last used
	unused  *list.Element  // in the limiter's list of those without buckets; nil: it has some
}

type gateKey struct{ account, region, resource string } // resource is "" for the account's

// adopt puts in force what was learned, and reports whether more is allowed than before.
func (g *sharedGate) adopt() (more bool) {
	before := g.Learned
	g.Learned = g.learned.Limit()
	return before > 0 && (g.Learned == 0 || g.Learned > before)
}
