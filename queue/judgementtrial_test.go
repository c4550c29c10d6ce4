package queue_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A trial is a handful of messages and what happens to them, all of it made up from a
// number.
type trial struct {
	chance
	number    uint64
	unit      time.Duration // what a second takes: less where time is real
	settings  settings
	letters   []*letter
	phases    []phase // what happens to all requests for a while
	events    []event
	elsewhere []string // the groups of what other programs send, x0 first

	*theater // where it is played
}

// settings are those of the workers and of the fake.
type settings struct {
	attempt, margin, settle, grace time.Duration
	calm                           time.Duration // when nothing more happens
	late                           time.Duration // how long Twilio takes to accept, at most
	lag                            time.Duration // how late its lists are, at most
	workers                        int
	rate                           float64 // 0: unlimited
	silent                         bool    // the transport tells nothing of what is written
	fake                           twiliotest.Config
	engine                         time.Duration // how far the engine's clock is ahead
	theme                          theme
}

// A letter is one of the queue's, or a call.
type letter struct {
	tag      string // by which the fake's records are told apart; the queue does not look at it
	request  queue.Request
	group    string // of messages that look the same
	at       time.Duration
	mishaps  []mishap // one for each of its attempts, roughly in this order
	id       queue.ID
	is       queue.Job // at the end
	accepted []string  // SIDs
}

// A phase is a while in which the same happens to all requests of a kind.
type phase struct {
	name     string
	from, to time.Duration
	lists    bool // it happens to questions for lists
	posts    bool // it happens to what creates
	fault    twiliotest.Fault
	store    storeTrouble // or it happens to the store
}

// An event happens once.
type event struct {
	at   time.Duration
	name string
	do   func()
}

// A theme makes that happen often which is hard in combination.
type theme string

const (
	mixed theme = ""
	// Clocks jump from one side to the other, and texts cannot be compared.
	jumps theme = "jumps"
	// Leases end early, Twilio accepts late, its lists are late, and workers are killed.
	haste theme = "haste"
)

// maxClock is how far the clocks of the engine and of Twilio are wrong, at most.
const maxClock = 2 * time.Minute

func newTrial(number uint64, unit time.Duration) *trial {
	t := &trial{chance: chance{rand.New(rand.NewPCG(number, 11))}, number: number, unit: unit}
	t.theater = &theater{}
	t.set()
	for i := range 1 + t.IntN(5) {
		t.letters = append(t.letters, t.letter(i))
	}
	if t.in100(50) {
		t.makePhases()
	}
	t.makeEvents()
	return t
}

// d returns so many seconds, as long as the trial takes for them.
func (t *trial) d(seconds float64) time.Duration { return time.Duration(seconds * float64(t.unit)) }

func (t *trial) real() bool { return t.unit != time.Second }

func (t *trial) clock() time.Duration {
	if t.settings.theme == jumps {
		return one(t.chance, -maxClock, maxClock)
	}
	return one(t.chance, 0, t.between(-maxClock, maxClock), t.between(-15*time.Second, 15*time.Second), t.between(-maxClock, maxClock))
}

func (t *trial) set() {
	s := &t.settings
	s.theme = one(t.chance, mixed, mixed, mixed, mixed, mixed, mixed, jumps, haste)
	s.attempt, s.margin, s.settle = t.d(35), t.d(25), t.d(60)
	if t.in100(30) {
		s.attempt, s.settle = t.d(10), t.d(20)
	}
	s.grace = one(t.chance, 0, t.d(2), s.attempt)
	s.calm = t.between(t.d(60), t.d(300))
	s.late, s.lag = min(t.d(30), s.settle*9/10), s.settle*9/10
	if t.real() { // this machine may be slow
		s.late, s.lag = s.late/2, s.lag/2
	}
	s.workers = 1 + t.IntN(2)
	s.rate = one(t.chance, 0, 0, 0, 1/t.d(1).Seconds())
	s.silent = t.in100(5)
	s.engine = t.clock()
	s.fake.Clock = t.clock()
	s.fake.Latency = one(t.chance, 0, t.d(.1), t.between(0, t.d(3)))
	if s.theme == haste {
		s.engine, s.fake.ListLag = one(t.chance, s.engine, -maxClock), s.lag
	} else if t.in100(50) {
		s.fake.ListLag = t.between(0, s.lag)
	}
	a := &s.fake.Alterations
	if t.in100(20) {
		a.SmartEncoding = []string{""}
	}
	if t.in100(8) {
		a.Redaction = map[string]twiliotest.Redaction{"": {Bodies: t.in100(60), Numbers: t.in100(60)}}
	}
	a.NormalizeNumbers, a.ExactFilters = t.in100(50), t.in100(30)
	if s.theme == jumps {
		a.Item = showsOtherText
	} else if t.in100(15) {
		a.Item = one(t.chance, showsTrial, showsOtherText, showsNumbersOtherwise)
	}
}

// What lists may show otherwise than it was sent.
func showsTrial(_ *twiliotest.Request, item map[string]any) bool {
	if body, ok := item["body"].(string); ok {
		item["body"] = "Sent from your Twilio trial account - " + body
	}
	return true
}

func showsOtherText(_ *twiliotest.Request, item map[string]any) bool {
	if _, ok := item["body"]; ok {
		item["body"] = "https://twil.io/short"
	}
	return true
}

func showsNumbersOtherwise(_ *twiliotest.Request, item map[string]any) bool {
	if to, ok := item["to"].(string); ok {
		item["to"] = strings.TrimPrefix(to, "+")
	}
	return true
}

const accountURL = "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid

// letter makes a message or call. There are few texts, receivers and senders, so that
// some look the same.
func (t *trial) letter(i int) *letter {
	m := &letter{tag: fmt.Sprint("m", i), at: t.between(0, t.settings.calm/2)}
	if t.in100(50) {
		m.at = 0
	}
	resource, form, group := t.creation(m.tag)
	m.group = group
	m.request = queue.Request{Method: http.MethodPost, URL: accountURL + "/" + resource + ".json", Form: form,
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}
	all := t.mishaps()
	for n := 2; n > 0 && t.in100(80); n-- {
		h := one(t.chance, all...)
		for i := 0; i < 8 && !h.accepts() && t.in100(50); i++ { // what may be doubled comes more often
			h = one(t.chance, all...)
		}
		m.mishaps = append(m.mishaps, h)
	}
	if t.settings.theme == haste {
		m.mishaps = []mishap{{"accepted late", twiliotest.Fault{Kind: twiliotest.AcceptLate, Delay: t.settings.late}}}
	}
	if t.in100(5) { // again and again the same
		same := one(t.chance, all...)
		for range 8 {
			m.mishaps = append(m.mishaps, same)
		}
	}
	if !t.real() && t.in100(5) {
		m.mishaps = append(m.mishaps, one(t.chance, accountMishaps()...))
	}
	return m
}

// creation makes a form, and says to which group of those that look the same it belongs.
func (t *trial) creation(tag string) (resource string, form map[string][]string, group string) {
	to := one(t.chance, "+15005550001", "+15005550002")
	from := one(t.chance, "+15005550006", "+15005550006", "+15005550007")
	text := one(t.chance, "hello", "bye", "It's - \"today\"", "It’s – “today”", " hello\n")
	form = map[string][]string{"StatusCallback": {"https://example.com/" + tag}}
	by := from
	resource = "Messages"
	switch n := t.IntN(100); {
	case n < 15:
		resource, text = "Calls", ""
		form["Twiml"] = []string{"<Response/>"}
	case n < 30:
		from, by = "", one(t.chance, "MG0123456789abcdef0123456789abcdef", "MG0123456789abcdef0123456789abcde0")
		form["MessagingServiceSid"] = []string{by}
	case n < 35:
		to, from = "whatsapp:"+to, "whatsapp:"+from
		by = from
	}
	if text != "" {
		form["Body"] = []string{text}
	}
	if from != "" {
		form["From"] = []string{from}
	}
	group = strings.Join([]string{resource, to, by, strings.TrimSpace(plain.Replace(text))}, "|")
	if t.in100(15) && !strings.HasPrefix(to, "whatsapp:") {
		d := to[2:]
		to = one(t.chance, "+1 ("+d[:3]+") "+d[3:6]+"-"+d[6:], "1-"+d[:3]+"-"+d[3:6]+"-"+d[6:], "1"+d, d, "+1."+d)
	}
	form["To"] = []string{to}
	if resource == "Messages" && t.in100(5) {
		form["AddressRetention"] = []string{"obfuscate"}
	}
	if resource == "Messages" && t.in100(5) {
		form["ContentRetention"] = []string{"discard"}
	}
	return resource, form, group
}

var plain = strings.NewReplacer("’", "'", "–", "-", "“", `"`, "”", `"`)

// makePhases makes whiles in which the same happens to all.
func (t *trial) makePhases() {
	for range 1 + t.IntN(3) {
		p := phase{from: t.between(0, t.settings.calm)}
		p.to = min(t.settings.calm, p.from+t.between(0, t.settings.calm/2))
		switch n := t.IntN(100); {
		case n < 50:
			m := one(t.chance, t.listMishaps()...)
			p.name, p.fault, p.lists = "lists: "+m.name, m.fault, true
			if !t.real() && t.in100(2) {
				p.to = 3 * time.Hour // for ever
			}
		case n < 70:
			m := one(t.chance, t.mishaps()...)
			p.name, p.fault, p.posts = "all: "+m.name, m.fault, true
			p.lists = t.in100(50)
		case n < 80 && !t.real():
			m := one(t.chance, accountMishaps()...)
			p.name, p.fault, p.posts, p.lists = "account: "+m.name, m.fault, true, true
		default:
			p.store = storeTrouble{op: one(t.chance, "Claim", "Move", "List", "Sweep", "Now", "Work"), delay: one(t.chance, 0, t.between(0, t.d(80)))}
			p.store.before, p.store.after = t.in100(30), t.in100(30)
			p.to = min(p.to, p.from+t.d(40))
			p.name = fmt.Sprintf("store: %+v", p.store)
		}
		t.phases = append(t.phases, p)
	}
}

// makeEvents makes what happens once.
func (t *trial) makeEvents() {
	on := func(at time.Duration, name string, do func()) { t.events = append(t.events, event{at, name, do}) }
	for _, m := range t.letters {
		on(m.at, fmt.Sprintf("%s is enqueued: %s; %v", m.tag, m.group, namesOf(m.mishaps)), func() { t.enqueue(m) })
	}
	calm := t.settings.calm
	for range t.times(4, jumps) {
		d := t.clock()
		on(t.between(0, calm), fmt.Sprintf("Twilio's clock is off by %v", d), func() { t.fake.SetClock(d) })
	}
	for range t.times(4, jumps) {
		d := t.clock()
		on(t.between(0, calm), fmt.Sprintf("the engine's clock is off by %v", d), func() { t.setClock(d) })
	}
	for range t.times(4, haste) {
		on(t.between(0, calm), "leases end early", func() { t.shortenLeases(time.Microsecond) })
	}
	for range t.IntN(3) * t.IntN(2) {
		d := t.between(0, t.settings.lag)
		on(t.between(0, calm), fmt.Sprintf("lists are late by %v", d), func() { t.fake.SetListLag(d) })
	}
	for i := range t.IntN(4) * t.IntN(2) {
		resource, form, group := t.creation(fmt.Sprint("x", i))
		if t.in100(80) && form["Body"] != nil { // else it looks the same as one of the queue's
			form["Body"] = []string{"from elsewhere"}
			group = "elsewhere|" + group
		}
		t.elsewhere = append(t.elsewhere, group)
		on(t.between(0, calm), "another program sends "+group, func() { t.other(resource, form) })
	}
	for i := range t.settings.workers {
		at := t.between(0, t.d(1))
		on(at, "", func() { t.start(i) })
		for range t.times(3, haste) {
			at = min(calm, at+t.between(0, calm/2))
			back := min(calm, at+one(t.chance, 0, t.between(0, t.d(5)), t.between(0, calm/3)))
			if t.in100(60) {
				on(at, fmt.Sprintf("worker %d is killed", i), func() { t.kill(i) })
			} else {
				on(at, fmt.Sprintf("worker %d is stopped", i), func() { t.stop(i) })
			}
			on(back, fmt.Sprintf("worker %d starts", i), func() { t.start(i) })
			at = back
		}
	}
	slices.SortStableFunc(t.events, func(a, b event) int { return int(a.at - b.at) })
}

// times draws how often something happens: less than n times, or, if it belongs to the
// theme, at least n times.
func (t *trial) times(n int, belongs theme) int {
	if t.settings.theme == belongs {
		return n + t.IntN(2*n)
	}
	return t.IntN(n) * t.IntN(2)
}

func namesOf(all []mishap) (names []string) {
	for _, m := range all {
		names = append(names, m.name)
	}
	return names
}
