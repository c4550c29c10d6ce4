package sqlitequeue

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// This file has the rows of lanes and their counters.

// counts are the counters of a lane, or what is added to them, in the order of the table's
// columns.
type counts [11]int64

const (
	high = iota
	normal
	low
	delayed
	sending
	inDoubt
	sent
	failed
	cancelled
	arrived
	departed
)

func (c counts) plus(d counts) counts {
	for i := range c {
		c[i] += d[i]
	}
	return c
}

// column returns the counter of jobs of a state.
func column(s queue.State, p pacer.Priority) (int, bool) {
	switch s {
	case queue.Ready:
		return int(pacer.High - p), p >= pacer.Low && p <= pacer.High
	case queue.Delayed:
		return delayed, true
	case queue.Sending:
		return sending, true
	case queue.InDoubt:
		return inDoubt, true
	case queue.Sent:
		return sent, true
	case queue.Failed:
		return failed, true
	case queue.Cancelled:
		return cancelled, true
	}
	return 0, false
}

// count adds to a lane's counters, as soon as the operation has succeeded.
func (t *tx) count(lane int64, c counts) {
	if t.own == nil {
		t.own = map[int64]counts{}
	}
	t.own[lane] = t.own[lane].plus(c)
}

// flush writes what the operations have counted: one row per lane, however many jobs.
func (t *tx) flush() error {
	for lane, c := range t.batch {
		if c == (counts{}) {
			continue
		}
		var changed bool
		if _, err := t.one(`UPDATE lanes SET high = high + ?, normal = normal + ?, low = low + ?, delayed = delayed + ?,
			sending = sending + ?, in_doubt = in_doubt + ?, sent = sent + ?, failed = failed + ?, cancelled = cancelled + ?,
			arrived = arrived + ?, departed = departed + ? WHERE id = ? RETURNING (high + normal + low > 0) <> ready`,
			[]any{c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], lane}, &changed); err != nil {
			return err
		}
		if changed {
			if err := t.exec("UPDATE lanes SET ready = high + normal + low > 0 WHERE id = ?", lane); err != nil {
				return err
			}
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A laneRow is what a lane's row says that never changes.
type laneRow struct {
	id  int64
	key string
	sum int64
}

func laneSum(id int64, key string) int64 {
	return int64(crc32.Checksum(append(binary.AppendVarint(nil, id), key...), castagnoli))
}

// lane returns the lane that r stands for, and false if the row is damaged. Those that have
// been read are remembered, and checked once.
func (e *Engine) lane(r laneRow) (queue.Lane, bool) {
	if l, ok := e.lanes.Load(r); ok {
		return l.(queue.Lane), true
	}
	l, err := queue.ParseLane(r.key)
	if err != nil || r.sum != laneSum(r.id, r.key) {
		return queue.Lane{}, false
	}
	e.lanes.Store(r, l)
	return l, true
}

// findLane returns the ID of a lane's row, and true if the row is as it was stored. Of a
// damaged row it returns the ID and false, and without a row 0 and false.
func (t *tx) findLane(l queue.Lane) (id int64, ok bool, err error) {
	r := laneRow{key: l.Key()}
	found, err := t.one("SELECT id, sum FROM lanes WHERE key = ?", []any{r.key}, &r.id, &r.sum)
	return r.id, found && r.sum == laneSum(r.id, r.key), err
}

// makeLane returns the ID of a lane's row, which it makes if there is none. A damaged one
// gives its key away; what is in it is condemned when it is read.
func (t *tx) makeLane(l queue.Lane) (int64, error) {
	id, ok, err := t.findLane(l)
	if err != nil || ok {
		return id, err
	}
	if id != 0 {
		if err := t.exec("REINDEX lanes"); err != nil {
			return 0, err
		}
		if err := t.exec("UPDATE lanes SET "+retired+recounted+" WHERE id = ?", id); err != nil {
			return 0, err
		}
	}
	key := l.Key()
	if _, err := t.one("INSERT INTO lanes(key, campaign, bucket) VALUES(?, ?, ?) RETURNING id",
		[]any{key, l.Campaign, queue.BucketKey(l.Resource)}, &id); err != nil {
		return 0, err
	}
	return id, t.exec("UPDATE lanes SET sum = ? WHERE id = ?", laneSum(id, key), id)
}

// retired takes its key from a damaged lane, and recounted counts anew what can be, in a
// row that may hold values of any type.
const retired = "key = 'damaged ' || id, campaign = '', bucket = '', sum = 0, "

var recounted = func() string {
	count := func(column, where string) string {
		return column + " = (SELECT count(*) FROM jobs WHERE lane = lanes.id AND " + where + ")"
	}
	set := []string{
		count("high", "state = 'ready' AND priority = 1"), count("normal", "state = 'ready' AND priority = 0"), count("low", "state = 'ready' AND priority = -1"),
		count("delayed", "state = 'delayed'"), "ready = 1",
	}
	for _, c := range []string{"sending", "in_doubt", "sent", "failed", "cancelled", "arrived", "departed"} {
		set = append(set, fmt.Sprintf("%[1]s = iif(typeof(%[1]s) = 'integer', %[1]s, 0)", c))
	}
	return strings.Join(set, ", ")
}()

// recount counts anew what waits in a lane whose counters make no sense.
func (t *tx) recount(lane int64) error {
	return t.exec("UPDATE lanes SET "+recounted+" WHERE id = ?", lane)
}

// bury retires a lane whose row is damaged, and condemns what is Ready in it, slice at most.
// Nobody knows any more with whose account, and at which pace, these jobs were to be sent.
func (t *tx) bury(lane int64) error {
	if err := t.exec("UPDATE lanes SET "+retired+recounted+" WHERE id = ?", lane); err != nil {
		return err
	}
	found, err := t.records(false, "SELECT "+movingColumns+fromIndex+"i.state = 'ready' AND i.lane = ? LIMIT ?", lane, slice)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return t.exec("UPDATE lanes SET ready = 0 WHERE id = ?", lane)
	}
	for _, r := range found {
		if ok, err := t.in(r, queue.Ready); err != nil {
			return err
		} else if !ok {
			continue
		}
		r.condemn(t.now)
		if err := t.save(r, queue.Ready); err != nil {
			return err
		}
	}
	return nil
}
