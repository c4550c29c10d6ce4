package sqlitequeue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file has the rows of jobs, with their checksums.

// A record is a job's row.
type record struct {
	queue.Job
	seq     int64
	lane    int64
	request []byte // JSON
	labels  []byte // JSON
	sum     int64  // of what never changes
	mark    int64  // of what does
	whole   bool   // what never changes has been read as well
	broken  bool   // some of it is of a type that was never stored
}

// A stored time is scanned into one.
type stored struct{ t *time.Time }

// Scan implements sql.Scanner.
func (s stored) Scan(v any) error {
	us, ok := v.(int64)
	if !ok {
		return fmt.Errorf("time of type %T", v)
	}
	*s.t = engine.FromMicros(us)
	return nil
}

// Columns in the order of scanMoving and scanAll.
const (
	movingColumns = `j.seq, j.id, j.lane, j.priority, j.state, j.due, j.attempts, j.claim, j.began, j.lease, j.looks, j.look,
		j.finished, j.reported, j.sid, j.status, j.code, j.reason, j.response, j.mark`
	allColumns = movingColumns + `, j.request, j.labels, j.key, j.created, j.deadline, j.sum`
)

// fromIndex finds rows by a partial index and reads them by themselves. In a plain query SQLite
// takes for granted what the condition of the index says, such as the state. A row that the
// disk has changed would look as it should.
const fromIndex = " FROM jobs i CROSS JOIN jobs j ON j.seq = i.seq WHERE "

// moving returns where movingColumns are scanned to.
func (r *record) moving() []any {
	o := &r.Outcome
	return []any{&r.seq, &r.ID, &r.lane, &r.Priority, &r.State, stored{&r.Due}, &r.Attempts, &r.Claim, stored{&r.Began}, stored{&r.Lease},
		&r.Looks, stored{&r.Look}, stored{&r.Finished}, &r.Reported, &o.SID, &o.Status, &o.Code, &o.Reason, &o.Response, &r.mark}
}

// all returns where allColumns are scanned to.
func (r *record) all() []any {
	r.whole = true
	return append(r.moving(), &r.request, &r.labels, &r.Unique, stored{&r.Created}, stored{&r.Deadline}, &r.sum)
}

// sums hashes values so that no two lists of values look the same.
type sums []byte

func (s sums) int(v ...int64) sums {
	for _, v := range v {
		s = binary.AppendVarint(s, v)
	}
	return s
}

func (s sums) text(v string) sums { return append(binary.AppendUvarint(s, uint64(len(v))), v...) }

func (s sums) sum() int64 { return int64(crc32.Checksum(s, castagnoli)) }

func (r *record) sumNow() int64 {
	return make(sums, 0, 512).text(string(r.ID)).int(r.lane, int64(r.Priority)).text(string(r.request)).text(string(r.labels)).
		text(r.Unique).int(engine.Micros(r.Created), engine.Micros(r.Deadline)).sum()
}

func (r *record) markNow() int64 {
	reported := int64(0)
	if r.Reported {
		reported = 1
	}
	o := &r.Outcome
	return make(sums, 0, 256).text(string(r.ID)).int(r.lane, int64(r.Priority)).text(string(r.State)).
		int(engine.Micros(r.Due), int64(r.Attempts), r.Claim, engine.Micros(r.Began), engine.Micros(r.Lease), int64(r.Looks), engine.Micros(r.Look), engine.Micros(r.Finished), reported).
		text(o.SID).int(int64(o.Status), int64(o.Code)).text(o.Reason).text(string(o.Response)).sum()
}

// encode fills in what of the job is stored as JSON. encoding/json replaces what is not
// UTF-8, which would be another request.
func (r *record) encode() (err error) {
	if r.request, err = r.Request.MarshalJSON(); err != nil {
		return fmt.Errorf("sqlitequeue: job %s: its request cannot be stored: %w", r.ID, err)
	}
	r.labels = []byte("{}")
	if len(r.Labels) > 0 {
		if r.labels, err = json.Marshal(r.Labels); err != nil {
			return fmt.Errorf("sqlitequeue: job %s: its labels cannot be stored: %w", r.ID, err)
		}
	}
	return nil
}

// decode reports whether the record is what was stored, and a request that can be read.
func (r *record) decode() bool {
	if r.broken {
		return false
	}
	if len(r.Outcome.Response) == 0 {
		r.Outcome.Response = nil
	}
	if r.mark != r.markNow() {
		return false
	}
	if !r.whole {
		return true
	}
	if r.sum != r.sumNow() || json.Unmarshal(r.request, &r.Request) != nil {
		return false
	}
	if len(r.labels) > len("{}") {
		return json.Unmarshal(r.labels, &r.Labels) == nil
	}
	return true
}

// become moves the record to another state, with all that goes with it.
func (r *record) become(s queue.State, now time.Time) {
	was := r.State
	r.State = s
	if s != queue.Sending {
		r.Lease = time.Time{}
	}
	if s != queue.InDoubt {
		r.Look = time.Time{}
	} else if was != s {
		r.Looks = 0
	}
	switch {
	case !s.Final():
		r.Finished, r.Reported = time.Time{}, false
	case was != s:
		r.Finished, r.Reported = now, false
	}
}

// condemn moves a damaged record to where it does no harm, and says why. One that may
// have been sent is for a person to decide on.
func (r *record) condemn(now time.Time) {
	switch r.State {
	case queue.Ready, queue.Delayed:
		r.become(queue.Failed, now)
	case queue.Sent, queue.Failed, queue.Cancelled:
		r.Finished = now
	default:
		r.become(queue.InDoubt, now)
		r.Look = time.Time{}
	}
	r.Outcome.Reason = queue.ReasonDamaged
}

// save stores what of a record changes, and counts that it was in state from. Of a damaged
// one from may be none: then nobody knows where it is counted.
func (t *tx) save(r *record, from queue.State) error {
	var c counts
	if was, ok := column(from, r.Priority); ok {
		c[was]--
	}
	if is, ok := column(r.State, r.Priority); ok {
		c[is]++
	}
	switch {
	case from.Final() && !r.State.Final():
		c[arrived]++
	case !from.Final() && r.State.Final():
		c[departed]++
	}
	t.count(r.lane, c)
	o := &r.Outcome
	update := func(more string) error {
		return t.exec(`UPDATE jobs SET state = ?, due = ?, attempts = ?, claim = ?, began = ?, lease = ?, looks = ?, look = ?,
		finished = ?, reported = ?, sid = ?, status = ?, code = ?, reason = ?, response = ?, mark = ?`+more+` WHERE seq = ?`,
			string(r.State), engine.Micros(r.Due), r.Attempts, r.Claim, engine.Micros(r.Began), engine.Micros(r.Lease), r.Looks, engine.Micros(r.Look),
			engine.Micros(r.Finished), r.Reported, o.SID, o.Status, o.Code, o.Reason, blob(o.Response), r.markNow(), r.seq)
	}
	if !r.broken {
		err := update("")
		var s *sqlite.Error
		if !errors.As(err, &s) || s.Code() != lib.SQLITE_CONSTRAINT_DATATYPE {
			return err
		}
	}
	return update(typed + fmt.Sprintf(", lane = %d, priority = %d", r.lane, r.Priority))
}

// typed gives the columns that never change the types that SQLite asks for, where a row is
// broken: it refuses to write the row otherwise.
var typed = func() (set string) {
	for _, c := range [][3]string{{"id", "text", "'damaged ' || seq"}, {"request", "blob", "x''"}, {"labels", "text", "'{}'"}, {"key", "text", "''"},
		{"created", "integer", "0"}, {"deadline", "integer", "0"}, {"sum", "integer", "0"}} {
		set += fmt.Sprintf(", %[1]s = iif(typeof(%[1]s) = '%[2]s', %[1]s, %[3]s)", c[0], c[1], c[2])
	}
	return set
}()

// blob keeps nil from being stored as NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// records reads the rows of a query, which selects movingColumns, or allColumns if whole
// is true. The rows are all read before the first is changed, since what a query reads
// while it is being changed is undefined.
func (t *tx) records(whole bool, query string, args ...any) ([]*record, error) {
	s, err := t.prepared(query)
	if err != nil {
		return nil, err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has reported its error
	var all []*record
	for rows.Next() {
		r := &record{}
		dest := r.moving()
		if whole {
			dest = r.all()
		}
		if err := rows.Scan(dest...); err != nil {
			if r, err = salvage(len(dest), rows.Scan); err != nil {
				return nil, t.e.unread(err)
			}
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// salvage reads a row that cannot be read as it should be. It reads what is needed to move the
// row to where it does no harm. n is how many columns there are.
func salvage(n int, scan func(...any) error) (*record, error) {
	values, err := anything(n, scan)
	if err != nil {
		return nil, err
	}
	text := func(i int) string { s, _ := values[i].(string); return s }
	number := func(i int) int64 { n, _ := values[i].(int64); return n }
	// In the order of movingColumns.
	return &record{broken: true, seq: number(0), lane: number(2), Job: queue.Job{
		ID: queue.ID(text(1)), Priority: pacer.Priority(number(3)), State: queue.State(text(4)), Claim: number(7),
		Outcome: queue.Outcome{SID: text(14), Reason: text(17)},
	}}, nil
}

// anything reads n columns of whatever type.
func anything(n int, scan func(...any) error) ([]any, error) {
	values, dest := make([]any, n), make([]any, n)
	for i := range dest {
		dest[i] = &values[i]
	}
	return values, scan(dest...)
}

// in reports whether a record that an index holds under one of states is in it. If not, the
// disk has changed the row or the index. Then the indexes are made anew, and the record is
// condemned unless it is as it was stored.
func (t *tx) in(r *record, states ...queue.State) (bool, error) {
	if slices.Contains(states, r.State) {
		return true, nil
	}
	if err := t.exec("REINDEX jobs"); err != nil {
		return false, err
	}
	from := r.State
	if _, ok := column(from, pacer.Normal); ok && r.decode() {
		return false, nil
	}
	r.condemn(t.now)
	return false, t.save(r, from)
}

// nearest returns the priority that p is taken for.
func nearest(p pacer.Priority) pacer.Priority { return min(max(p, pacer.Low), pacer.High) }
