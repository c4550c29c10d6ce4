package pacer

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer/internal/line"
)

// Limits that the program has set speak for themselves. Those that pacer brings must say
// that they are there: a program that has only swapped its import knows nothing of them.

// noticeAfter is how long a bucket's calls must have waited for a default pace, without a
// call that passed at once in between, before that is told.
const noticeAfter = 5 * time.Second

// Bounds of memory. What is beyond the first is not told of, and what is beyond the second is
// told of later, or never if no client asks: the limiter is then used without one.
const (
	maxTold    = 100_000 // senders; 20 to 40 bytes each
	maxPending = 1000
)

// A notice is what a limiter has to tell about a limit that pacer brought.
type notice struct {
	resource Resource
	limit    *builtin
	waiting  int  // calls that wait in the bucket's line
	refused  bool // it is about a call that was refused; false: about calls that have waited
}

// notices are those of one limiter. Its lock may be held when their methods are called.
type notices struct {
	pending atomic.Bool // list is not empty

	mu   sync.Mutex
	seed maphash.Seed
	told map[uint64]struct{} // hashes of what was told once
	list []notice

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

// tellOnceLocked is tellOnce with mu held.
func (n *notices) tellOnceLocked(kind AlertKind, r Resource) bool {
	if n.told == nil {
		n.seed, n.told = maphash.MakeSeed(), make(map[uint64]struct{})
	}
	key := maphash.Comparable(n.seed, struct {
		kind AlertKind
		r    Resource
	}{kind, r})
	if _, told := n.told[key]; told || len(n.told) >= maxTold {
		return false
	}
	n.told[key] = struct{}{}
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

// self is how a client gets at its BucketLimiter, also at one that another limiter embeds.
func (l *BucketLimiter) self() *BucketLimiter { return l }

// bucketLimiter returns the BucketLimiter that l is or embeds; nil: it is another limiter.
func bucketLimiter(l Limiter) *BucketLimiter {
	if own, ok := l.(interface{ self() *BucketLimiter }); ok {
		return own.self()
	}
	return nil
}

// pacedByDefault reports whether the pace of b is a default, and not what throttled answers,
// the program, or an outage of the store have made of it.
func (b *bucket) pacedByDefault() bool {
	if b.allowed.byDefault == nil || b.evidence.Pace() < b.allowed.rate {
		return false
	}
	leased := b.leased()
	if leased == nil {
		return true
	}
	return leased.Shared() && (leased.Learned() == 0 || leased.Learned() >= b.allowed.rate)
}

// noteWait takes in how long w, which arrived then and has departed as d, has waited for b's
// pace while it was at the head of the line. What it waited for a cool-down or for a slot in
// flight does not count, nor what it waited behind others: theirs counts for itself.
func (b *bucket) noteWait(w *line.Waiter, arrived time.Time, d departure) {
	if !b.pacedByDefault() {
		b.pacedFor = 0
		return
	}
	if w.Held() {
		return
	}
	since := arrived
	if until := b.cooldown.until; until.After(since) {
		since = until
	}
	interval := time.Duration(float64(time.Second) / b.allowed.rate)
	b.pacedFor += max(0, min(d.due().Sub(since), interval))
	if b.pacedFor >= noticeAfter {
		b.pacedFor = 0
		b.limiter.notices.add(notice{b.resource, b.allowed.byDefault, b.line.Len(), false})
	}
}

// tooLate refuses a wait in the bucket that would outlast the context's deadline.
func (b *bucket) tooLate(need time.Duration, now time.Time) *WaitError {
	refused := tooLate(b.resource, need)
	refused.byPace = b.cooldown.remaining(now) <= 0
	return refused
}

// noteRefusal takes in that the limiter has refused the call with err. It has waited for
// nothing, and yet a default pace is what its caller feels.
func (c *call) noteRefusal(err error) {
	var refused *WaitError
	if l := c.cfg.local; l != nil && errors.As(err, &refused) && refused.byPace {
		l.refusedByPace(c.resource)
	}
}

// refusedByPace notes that a call of r was refused for the pace of its bucket.
func (l *BucketLimiter) refusedByPace(r Resource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[r]; b != nil && b.pacedByDefault() {
		l.notices.add(notice{r, b.allowed.byDefault, b.line.Len(), true})
	}
}

// speak raises what the limiter has to tell. It is called when the call has ended: nobody
// waits for a listener with a slot in hand.
func (c *call) speak() {
	l := c.cfg.local
	if l == nil {
		return
	}
	sid := c.resource.Sender
	if isService(sid) && l.lacksPool(c.resource) && !l.notices.isAsked(sid) && l.notices.tellOnce(AlertPoolUnknown, Resource{Sender: sid}) {
		c.cfg.raise(poolUnknown(c.resource, errors.New("how many senders are in its pool only Twilio knows, and no limit gives it a rate"), adviceAskForPool))
	}
	if !l.notices.pending.Load() {
		return
	}
	for _, n := range l.notices.take() {
		c.cfg.raise(n.alert())
	}
}

// level is at which the log gets alerts of a kind: notices ask for a look, not for help.
func (k AlertKind) level() slog.Level {
	if k == AlertPacedByDefault || k == AlertPoolUnknown {
		return slog.LevelWarn
	}
	return slog.LevelError
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
