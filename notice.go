package pacer

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits that the program has set speak for themselves. Those that pacer brings must say
// that they are there: a program that has only swapped its import knows nothing of them.

// noticeAfter is how long a bucket's calls must have waited for a default pace before an alert says
// so. A call that leaves at once in between begins the count anew.
const noticeAfter = 5 * time.Second

// Bounds of memory. What is beyond the first is not told of, and what is beyond the second is
// told of later, or never if no client asks: the limiter is then used without one.
const (
	maxKnown   = 100_000 // senders; 20 to 40 bytes each
	maxPending = 1000
)

// A notice is what a limiter has to tell about a limit that pacer brought.
type notice struct {
	resource Resource
	limit    *builtin
	waiting  int  // calls that wait in the bucket's line
	refused  bool // it is about a call that was refused; false: about calls that have waited
}

// notices are those of one limiter. The limiter's mutex may be locked when their methods are called.
type notices struct {
	pending atomic.Bool // list is not empty

	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint64]struct{} // hashes of what was told once
	list  []notice

	// ask is when the pool of a service may be asked for: of each service for which that is
	// somebody's task and whose pool is unknown.
	ask    map[string]time.Time
	asking int // goroutines that ask
}

// tellOnce reports whether this is to be told about r now. It is so once for each r and kind.
func (n *notices) tellOnce(kind AlertKind, r Resource) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tellOnceLocked(kind, r)
}

// tellOnceLocked is tellOnce with mu locked.
func (n *notices) tellOnceLocked(kind AlertKind, r Resource) bool {
	if n.known == nil {
		n.seed, n.known = maphash.MakeSeed(), make(map[uint64]struct{})
	}
	key := maphash.Comparable(n.seed, struct {
		kind AlertKind
		r    Resource
	}{kind, r})
	if _, told := n.known[key]; told || len(n.known) >= maxKnown {
		return false
	}
	n.known[key] = struct{}{}
	return true
}

// add puts a notice on the list unless its resource has had one.
func (n *notices) add(of notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.list) < maxPending && n.tellOnceLocked(AlertPacedByDefault, of.resource) {
		n.list = append(n.list, of)
		n.pending.Store(true)
	}
}

// take empties the list.
func (n *notices) take() []notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := n.list
	n.list = nil
	n.pending.Store(false)
	return taken
}

func (n notice) alert() Alert {
	from, kind := "", ""
	if n.resource.Sender != "" {
		from = " from " + mask(n.resource.Sender)
	}
	if n.limit.senders != anySender {
		kind = fmt.Sprintf(" for this kind of sender (%s)", n.limit.senders)
	}
	what := fmt.Sprintf("its calls have waited %v for that without a pause", noticeAfter)
	if n.refused {
		what = "a call was refused since it could not wait for its turn"
	}
	rule := n.limit.limit
	rule.Sender, rule.Rate = n.resource.Sender, 2*rule.Rate
	return Alert{
		Kind: AlertPacedByDefault, Time: time.Now(), Resource: n.resource,
		Err: fmt.Errorf("%v%s leaves at %s, pacer's default%s, as no limit of yours gives it a rate; source: %s; %s; %d wait now",
			n.resource, from, rateText(n.limit.limit.Rate), kind, n.limit.source, what, n.waiting),
		Advice: "if Twilio gives you more, " + adviceRule(rule),
	}
}

// rateText is a rate for people: "3/s", "1 in 3 s".
func rateText(perSecond float64) string {
	if perSecond < 1 {
		return "1 in " + strconv.FormatFloat(1/perSecond, 'g', 4, 64) + " s"
	}
	return strconv.FormatFloat(perSecond, 'g', 4, 64) + "/s"
}

// adviceRule says how to set a rule, in Go and in JSON. The middle of a phone number is
// hidden: such a rule is refused until somebody has filled it in.
func adviceRule(rule Limit) string {
	fill := ""
	if masked := mask(rule.Sender); masked != rule.Sender {
		rule.Sender, fill = masked, ", with the number in full"
	}
	rule.Rate, _ = strconv.ParseFloat(strconv.FormatFloat(rule.Rate, 'g', 3, 64), 64)
	fields := []string{fmt.Sprintf("Resource: %q", rule.Resource)}
	if rule.Sender != "" {
		fields = append(fields, fmt.Sprintf("Sender: %q", rule.Sender))
	}
	if rule.Op != "" {
		fields = append(fields, fmt.Sprintf("Op: %q", string(rule.Op)))
	}
	fields = append(fields, fmt.Sprintf("Rate: %v", rule.Rate))
	inJSON, _ := json.Marshal(rule) // a Limit has nothing that cannot be written
	return fmt.Sprintf("set your rate%s: pacer.WithLimits(pacer.Limits{{%s}}), or in PACER_LIMITS [%s]", fill, strings.Join(fields, ", "), inJSON)
}

const (
	askAgain  = time.Hour       // after a failure
	askingFor = 2 * time.Minute // at most, waits and retries included
	maxAsking = 4               // discoveries at a time
	maxAsked  = 10_000          // services whose failures are remembered
)

// beginAsking reports whether the pool of a service is to be asked for now. If so, endAsking
// must be called when that is done.
func (n *notices) beginAsking(sid string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, known := n.ask[sid]
	if known && now.Before(at) || !known && len(n.ask) >= maxAsked {
		return false
	}
	if n.ask == nil {
		n.ask = make(map[string]time.Time)
	}
	if n.asking >= maxAsking {
		n.ask[sid] = now // at its next use
		return false
	}
	n.asking++
	n.ask[sid] = now.Add(askAgain)
	return true
}

// endAsking ends what beginAsking began. done: there is nothing more to ask, or nobody who asks.
func (n *notices) endAsking(sid string, done bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asking--
	if done {
		delete(n.ask, sid)
	}
}

// isAsked reports whether to ask for the pool of a service is somebody's task.
func (n *notices) isAsked(sid string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, is := n.ask[sid]
	return is
}

const (
	adviceAskForPool = "let pacer ask Twilio once, with pacer.WithPoolDiscovery(true) or Client.LearnMessagingService, or "
	adviceSetRate    = "an hour later pacer asks again; else "
)

// poolUnknown is the notice that the sender of r, a Messaging Service, is not paced.
func poolUnknown(r Resource, reason error, advice string) Alert {
	return Alert{
		Kind: AlertPoolUnknown, Time: time.Now(), Resource: r,
		Err:    fmt.Errorf("no rate is known for Messaging Service %s, so that it is not paced until Twilio throttles it: %w", r.Sender, reason),
		Advice: advice + adviceRule(Limit{Resource: Messages, Sender: r.Sender, Rate: 10}),
	}
}
