package twiliotest

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A Limit is a rate above which requests are throttled. It is counted apart
// for each account, and only accepted requests count.
//
// The window slides: a request at time t is accepted if fewer than Rate were
// accepted in (t-Window, t]. All limits that match a request apply to it; if
// several have no room, the answer is that of the one with the longest wait.
type Limit struct {
	// Resource is the collection whose requests are limited, by its name in the path. It is
	// "Messages" or "Calls" for api.twilio.com. For other hosts it has the product in front:
	// "lookups/PhoneNumbers", "verify/Verifications". "*" is every request of the account but the
	// fetching of OAuth tokens. See [Request].Resource.
	Resource string

	// Method is the HTTP method that is limited; "*" is any. Empty: creation,
	// which is POST on the collection and not on one of its items. For "*"
	// empty is any method, and for lookups GET.
	Method string

	// Rate is how many requests are accepted in each Window. At least 1.
	Rate int

	// Window is the time over which Rate is counted. 0: one second.
	Window time.Duration

	// PerSender counts apart for each From or, where there is none, for each
	// MessagingServiceSid. Notations of one phone number are one sender, as for
	// Twilio: "+1 500 555 0006", "15005550006" and "+15005550006".
	PerSender bool

	// PerReceiver counts apart for each To: the limit of a single number, such as
	// Verify's, which answers with code 60212. Notations of one phone number are one
	// receiver. A request without a To is not limited.
	PerReceiver bool

	// Per counts apart for each value that it returns, such as a document's name in
	// the path. A request for which it returns "" is not limited, so that one
	// document alone can have the limit. It is called from many goroutines at once
	// and must not change the Request, which has neither SID nor Status yet. With
	// PerSender or PerReceiver it counts apart for each combination. nil: it has no
	// effect.
	Per func(*Request) string

	// Strict accepts requests only when at least Window/Rate has passed since
	// the last one accepted: a leaky bucket with room for one.
	Strict bool

	// Status, Code and Message are those of the throttled answer.
	// 0, 0 and "": 429, 20429 and "Too Many Requests".
	Status  int
	Code    int
	Message string
}

func (l Limit) check(i int) {
	field := fmt.Sprintf("Config.Limits[%d].", i)
	if l.Resource == "" {
		panic("twiliotest: " + field + `Resource is empty; "*" is all requests`)
	}
	if l.Rate < 1 {
		panic(fmt.Sprintf("twiliotest: %sRate is %d; it must be at least 1", field, l.Rate))
	}
	notNegative(field+"Window", l.Window)
	notNegative(field+"Code", l.Code)
	errorStatus(field+"Status", l.Status)
}

func (l Limit) matches(in *inbound) bool {
	if l.Resource != "*" && l.Resource != in.req.Resource {
		return false
	}
	switch {
	case l.Method == "*" || l.Method == "" && l.Resource == "*":
		return true
	case l.Method != "":
		return l.Method == in.req.Method
	case strings.HasPrefix(l.Resource, "lookups/"):
		return in.req.Method == http.MethodGet
	default:
		return in.req.Method == http.MethodPost && in.id == ""
	}
}

// A meter counts one limit. It is guarded by the Fake's mutex.
type meter struct {
	limit  Limit
	rate   int
	window time.Duration
	counts map[meterKey]*window
}

type meterKey struct{ account, sender, receiver, per string }

// A window holds the times, since the Fake was made, of the last requests that
// were accepted: a ring of at most rate of them, next being the oldest.
type window struct {
	times []time.Duration
	next  int
}

func newMeters(limits []Limit) []*meter {
	meters := make([]*meter, len(limits))
	for i, l := range limits {
		m := &meter{limit: l, rate: l.Rate, window: l.Window, counts: map[meterKey]*window{}}
		if m.window == 0 {
			m.window = time.Second
		}
		if l.Strict {
			// Evenly spaced requests are one in each Window/Rate.
			m.rate, m.window = 1, m.window/time.Duration(l.Rate)
		}
		meters[i] = m
	}
	return meters
}

// per calls the limits' functions for a request, without the Fake's mutex.
func (f *Fake) per(in *inbound) {
	f.mu.Lock()
	meters := f.meters
	f.mu.Unlock()
	for _, m := range meters {
		if m.limit.Per != nil && m.limit.matches(in) {
			if in.per == nil {
				in.per = map[*meter]string{}
			}
			in.per[m] = m.limit.Per(&in.req)
		}
	}
}

func (m *meter) matches(in *inbound) bool {
	return m.limit.matches(in) && !(m.limit.Per != nil && in.per[m] == "") && !(m.limit.PerReceiver && in.req.Form.Get("To") == "")
}

func (m *meter) count(in *inbound) *window {
	key := meterKey{account: in.req.Account, per: in.per[m]}
	if m.limit.PerSender {
		key.sender = e164(in.req.Sender)
	}
	if m.limit.PerReceiver {
		key.receiver = e164(in.req.Form.Get("To"))
	}
	w := m.counts[key]
	if w == nil {
		w = new(window)
		m.counts[key] = w
	}
	return w
}

// wait is how long after now the next request would be accepted; 0 or less if
// it would be now.
func (m *meter) wait(w *window, now time.Duration) time.Duration {
	if len(w.times) < m.rate {
		return 0
	}
	return w.times[w.next] + m.window - now
}

func (m *meter) take(w *window, now time.Duration) {
	if len(w.times) < m.rate {
		w.times = append(w.times, now)
		return
	}
	w.times[w.next] = now
	w.next = (w.next + 1) % m.rate
}

// throttle counts the request in every limit that matches, or in none and
// returns the refusal of the limit with the longest wait.
func (f *Fake) throttle(in *inbound, now time.Duration) *answer {
	var refusing *meter
	var longest time.Duration
	for _, m := range f.meters {
		if m.matches(in) {
			if wait := m.wait(m.count(in), now); wait > longest {
				refusing, longest = m, wait
			}
		}
	}
	if refusing != nil {
		return f.tooMany(in, refusing.limit, longest)
	}
	for _, m := range f.meters {
		if m.matches(in) {
			m.take(m.count(in), now)
		}
	}
	return nil
}

// tooMany is the answer to a throttled request.
func (f *Fake) tooMany(in *inbound, l Limit, wait time.Duration) *answer {
	status, code, message := l.Status, l.Code, l.Message
	if status == 0 {
		status = http.StatusTooManyRequests
	}
	if code == 0 {
		code = 20429
	}
	if message == "" {
		message = "Too Many Requests"
	}
	a := f.failure(in, status, code, message)
	a.throttled, a.wait = true, wait
	return a
}
