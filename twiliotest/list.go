package twiliotest

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"time"
)

const (
	defaultPageSize = 50   // Twilio's, https://www.twilio.com/docs/usage/twilios-response
	maxPageSize     = 1000 // likewise
)

// A page says which part of a list is asked for. With an anchor it is what is
// older, or newer, than one item, so that items created meanwhile do not
// shift it; otherwise it is found by its number.
type page struct {
	number, size int
	anchor       uint64
	older, newer bool
}

// pageOf reads PageSize, Page and PageToken. Sizes out of range are made to
// fit; ok is false for a token or number that cannot be.
func pageOf(q url.Values) (p page, ok bool) {
	p.size = pageSize(q)
	if s := q.Get("Page"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 1<<30 {
			return p, false
		}
		p.number = n
	}
	token := q.Get("PageToken")
	if token == "" {
		return p, true
	}
	if len(token) != 2+34 || !isSID(token[2:]) {
		return p, false
	}
	p.older, p.newer = token[:2] == "PA", token[:2] == "PB"
	anchor, err := strconv.ParseUint(token[2+2+16:], 16, 64)
	p.anchor = anchor
	return p, err == nil && (p.older || p.newer)
}

func pageSize(q url.Values) int {
	n, err := strconv.Atoi(q.Get("PageSize"))
	if err != nil || n < 1 {
		return defaultPageSize
	}
	return min(n, maxPageSize)
}

// A bound is a filter on a time.
type bound struct {
	field    string
	from, to time.Time // both included; zero: open
}

func (b bound) holds(it *item) bool {
	t := it.created
	if b.field == "EndTime" {
		if t = it.ended; t.IsZero() {
			return false
		}
	}
	t = t.Truncate(time.Second)
	return (b.from.IsZero() || !t.Before(b.from)) && (b.to.IsZero() || !t.After(b.to))
}

// boundsOf reads filters such as DateSent, "DateSent<" and "DateSent>". The
// last two include their date, as Twilio documents ("on or before midnight",
// "on or after midnight"); a plain one is its whole day in UTC. Dates are
// YYYY-MM-DD or, as twilio-go sends them, RFC 3339.
func boundsOf(q url.Values, fields []string) (bounds []bound, ok bool) {
	for _, field := range fields {
		for _, op := range []string{"", "<", ">"} {
			value := q.Get(field + op)
			if value == "" {
				continue
			}
			t, err := time.Parse(time.DateOnly, value)
			if err != nil {
				t, err = time.Parse(time.RFC3339, value)
			}
			if err != nil {
				return nil, false
			}
			b := bound{field: field}
			switch op {
			case "<":
				b.to = t
			case ">":
				b.from = t
			default:
				b.from = t.UTC().Truncate(24 * time.Hour)
				b.to = b.from.Add(24*time.Hour - 1)
			}
			bounds = append(bounds, b)
		}
	}
	return bounds, true
}

// list answers GET on a collection: newest first, filtered, in pages.
func (f *Fake) list(in *inbound, k *kind, c *collection) *answer {
	q := in.req.Form
	p, pageOK := pageOf(q)
	bounds, boundsOK := boundsOf(q, k.times)
	if !pageOK || !boundsOK {
		// That these are refused, and how, is this package's choice.
		return f.failure(in, http.StatusBadRequest, 20001, "Invalid page or date")
	}
	var since time.Time
	for _, b := range bounds {
		if b.field != "EndTime" && b.from.After(since) {
			since = b.from
		}
	}
	listed := in.req.Time.Add(-f.listLag)
	found, more := c.find(p, since, func(it *item) bool {
		if it.accepted.After(listed) {
			return false
		}
		for field, valueOf := range k.filters {
			asked := q.Get(field)
			if asked == "" {
				continue
			}
			value := valueOf(it)
			shown := value
			if field == "To" {
				shown = it.shownTo(false)
			}
			if !f.alter.finds(field == "To" || field == "From", asked, value, shown) {
				return false
			}
		}
		for _, b := range bounds {
			if !b.holds(it) {
				return false
			}
		}
		return true
	})
	docs := make([]any, len(found))
	for i, it := range found {
		docs[i] = k.doc(it, false)
	}
	doc := pageDoc(in, p, len(docs))
	doc[k.key] = docs
	if more && len(found) > 0 {
		doc["next_page_uri"] = pageURI(in, p.size, p.number+1, "PA"+found[len(found)-1].sid)
	}
	if p.number > 0 && len(found) > 0 {
		doc["previous_page_uri"] = pageURI(in, p.size, p.number-1, "PB"+found[0].sid)
	}
	if f.alter.Item != nil {
		a := success(http.StatusOK, nil)
		a.listing = &listing{doc, k.key, docs, f.alter.Item}
		return a
	}
	return success(http.StatusOK, doc)
}

// find returns the items of a page, newest first, and whether there are more.
// It need not look at what was created before since, so that asking a large
// collection for what is new stays cheap.
func (c *collection) find(p page, since time.Time, matches func(*item) bool) (found []*item, more bool) {
	// The first item that is not older than the anchor.
	at := sort.Search(len(c.items), func(i int) bool { return c.items[i].seq >= p.anchor })
	if p.newer {
		for _, it := range c.items[at:] {
			if it.seq > p.anchor && !it.deleted && matches(it) {
				found = append(found, it)
				if len(found) == p.size {
					break
				}
			}
		}
		slices.Reverse(found)
		return found, true // the page that this one was asked from
	}
	if !p.older {
		at = len(c.items)
	}
	skip := 0
	if !p.older {
		skip = p.number * p.size
	}
	for i := at - 1; i >= 0; i-- {
		it := c.items[i]
		if it.newest.Add(time.Second).Before(since) { // dates are compared in whole seconds
			break
		}
		if it.deleted || !matches(it) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if len(found) == p.size {
			return found, true
		}
		found = append(found, it)
	}
	return found, false
}

// pageDoc is the frame of a list at api.twilio.com.
func pageDoc(in *inbound, p page, n int) map[string]any {
	return map[string]any{
		"page": p.number, "page_size": p.size,
		"start": p.number * p.size, "end": p.number*p.size + max(n-1, 0),
		"uri":            pageURI(in, p.size, p.number, in.req.Form.Get("PageToken")),
		"first_page_uri": pageURI(in, p.size, 0, ""),
		"next_page_uri":  nil, "previous_page_uri": nil,
	}
}

// pageURI is the request's path and filters with another page.
func pageURI(in *inbound, size, number int, token string) string {
	q := url.Values{}
	for name, values := range in.req.Form {
		q[name] = values
	}
	q.Set("PageSize", strconv.Itoa(size))
	q.Set("Page", strconv.Itoa(number))
	q.Del("PageToken")
	if token != "" {
		q.Set("PageToken", token)
	}
	return (&url.URL{Path: in.req.Path, RawQuery: q.Encode()}).String()
}
