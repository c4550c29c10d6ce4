package queue

import (
	"context"
	"time"
)

// places are those that a lane has reserved in its campaign's schedule, which all lanes and
// processes share. The zero value has none.
type places struct {
	next  time.Time     // the first one that is left
	left  int           // how many are left
	every time.Duration // how far they are apart
	take  int           // how many to reserve next
}

// Places are reserved for placesFor ahead, and at most maxPlaces. With fewer, each request would
// cost another write. With more, a change of the rate would be felt later, and a lane that cannot
// use its places would keep others from them.
const (
	placesFor = 250 * time.Millisecond
	maxPlaces = 50
)

// use counts n places as used.
func (p *places) use(n int) {
	n = min(n, p.left)
	p.left -= n
	p.next = p.next.Add(time.Duration(n) * p.every)
	if p.left == 0 {
		p.take = min(2*p.take, maxPlaces)
	}
}

// due reports how many places have come.
func (p *places) due(now time.Time) int {
	if now.Before(p.next) {
		return 0
	}
	return min(p.left, 1+int(now.Sub(p.next)/p.every))
}

// awaitPlace waits for the lane's place in its campaign's schedule. It reports false if
// the wait has ended otherwise.
func (d *dispatcher) awaitPlace(ctx context.Context, l *lane) bool {
	d.mu.Lock()
	doc, ready := l.doc, l.ready
	d.mu.Unlock()
	if doc == nil {
		return false
	}
	p, every := &l.schedule, time.Duration(float64(time.Second)/doc.Rate)
	if p.every != every || time.Since(p.next) > placesFor { // another rate, or the lane is slower than it
		*p = places{every: every, take: 1}
	}
	if p.left == 0 {
		n := int(min(int64(p.take), max(1, int64(placesFor/every)), ready))
		wait, err := d.engine.Reserve(ctx, doc.schedule(), doc.Rate, n)
		if err != nil {
			d.holder.storeFailed(ctx, l, err)
			return false
		}
		p.next, p.left = time.Now().Add(wait), n
	}
	return d.waitUntil(ctx, l, p.next)
}
