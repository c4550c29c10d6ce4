package sqlitequeue

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// counts are the counters of a lane, or what is to be added to them, in the order of the
// table's columns.
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

// lane returns the lane that r stands for. Those that have been read are remembered, and
// checked once.
func (e *Engine) lane(r laneRow) (queue.Lane, error) {
	if l, ok := e.lanes.Load(r); ok {
		return l.(queue.Lane), nil
	}
	l, err := queue.ParseLane(r.key)
	if err != nil || r.sum != laneSum(r.id, r.key) {
		return l, e.damaged(fmt.Sprintf("lane %d is not as it was stored", r.id), nil)
	}
	e.lanes.Store(r, l)
	return l, nil
}

// findLane returns the ID of a lane's row: 0 if it has none.
func (t *tx) findLane(l queue.Lane) (int64, error) {
	r := laneRow{key: l.Key()}
	found, err := t.one("SELECT id, sum FROM lanes WHERE key = ?", []any{r.key}, &r.id, &r.sum)
	if err != nil || !found {
		return 0, err
	}
	if r.sum != laneSum(r.id, r.key) {
		return 0, t.e.damaged(fmt.Sprintf("lane %d is not as it was stored", r.id), nil)
	}
	return r.id, nil
}

// makeLane returns the ID of a lane's row, which it makes if there is none.
func (t *tx) makeLane(l queue.Lane) (int64, error) {
	id, err := t.findLane(l)
	if err != nil || id != 0 {
		return id, err
	}
	key := l.Key()
	if _, err := t.one("INSERT INTO lanes(key, campaign, bucket) VALUES(?, ?, ?) RETURNING id",
		[]any{key, l.Campaign, queue.BucketKey(l.Resource)}, &id); err != nil {
		return 0, err
	}
	return id, t.exec("UPDATE lanes SET sum = ? WHERE id = ?", laneSum(id, key), id)
}
