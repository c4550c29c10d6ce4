package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// HeartbeatPrefix begins the names of the documents in which workers say that they live. Put of such a
// document ends no Await: it brings no work.
const HeartbeatPrefix = "worker/"

const (
	beatEvery    = 5 * time.Second
	deadAfter    = 20 * time.Second
	beatBuckets  = 50 // of a heartbeat at most
	beatAccounts = 20 // likewise
	lastBeat     = 2 * time.Second
)

// A heartbeat is what a worker writes every 5 s, as it is kept in a [Document].
type heartbeat struct {
	Format      string             `json:"v"`
	ID          string             `json:"id"` // of the Run
	Host        string             `json:"host"`
	PID         int                `json:"pid"`
	Version     string             `json:"version,omitempty"`
	Started     time.Time          `json:"started"`
	Seen        time.Time          `json:"seen"`
	Clock       time.Duration      `json:"clock,omitempty"`
	Twilio      time.Duration      `json:"twilio,omitempty"`
	Concurrency int                `json:"concurrency"`
	OnWire      int                `json:"onWire"`
	Pace        float64            `json:"pace"`
	Campaigns   map[string]float64 `json:"campaigns,omitempty"` // their paces
	Credentials string             `json:"credentials,omitempty"`
	Watched     bool               `json:"watched,omitempty"` // the source of the credentials
	Refused     []string           `json:"refused,omitempty"` // accounts for which Twilio does not take the credentials
	Refusals    []beatRefusal      `json:"refusals,omitempty"`
	Buckets     []beatBucket       `json:"buckets,omitempty"`
}

// A beatBucket is a [BucketPace] as it is stored.
type beatBucket struct {
	Key     string  `json:"bucket"` // BucketKey
	Pace    float64 `json:"pace"`
	Rate    float64 `json:"rate,omitempty"`
	Learned float64 `json:"learned,omitempty"`
	Waiting int     `json:"waiting,omitempty"`
}

// A heart writes the heartbeats of one Run.
type heart struct {
	*base
	board *board
	heartbeat
	slot    int   // the number of its document; below 0: it has none
	version int64 // of the document
}

// beat writes a heartbeat every 5 s until ctx ends, and then takes the document away. That the store
// fails only the log tells: the loops that work raise alerts of that.
func (w *Worker) beat(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	h := &heart{base: w.base, board: w.board, slot: -1, heartbeat: heartbeat{
		Format: formatVersion, ID: uuid.NewString(), Host: host, PID: os.Getpid(), Version: moduleVersion(), Concurrency: w.slots.size,
		Credentials: w.credentials, Watched: w.credentialsWatched}}
	for on := true; on; on = pause(ctx, beatEvery) {
		if err := h.write(ctx); err != nil && ctx.Err() == nil {
			h.warn("cannot tell that this worker lives", "error", err)
		}
	}
	if h.slot >= 0 {
		over, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastBeat)
		defer cancel()
		_ = h.engine.Put(over, slotName(h.slot), nil, h.version) // else it counts as dead soon
	}
	return nil
}

// moduleVersion returns the version of package queue in this program; "": it is not known.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	const module = "github.com/twilio-pacer/pacer/queue"
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}

// write writes one heartbeat. It looks for another slot if somebody has taken its own, as it was
// silent for too long.
func (h *heart) write(ctx context.Context) error {
	now, err := h.askEngine(ctx)
	if err != nil {
		return err
	}
	h.look(now, time.Now())
	value, err := json.Marshal(&h.heartbeat)
	if err != nil {
		return err
	}
	if h.slot >= 0 {
		err = h.engine.Put(ctx, slotName(h.slot), value, h.version)
		if err == nil {
			h.version++
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		h.slot = -1
	}
	used, err := beats(ctx, h.engine)
	if err != nil {
		return err
	}
	for _, slot := range freeSlots(used, h.ID, now) {
		version := int64(0)
		if slot < len(used) {
			version = used[slot].version
		}
		switch err := h.engine.Put(ctx, slotName(slot), value, version); {
		case err == nil:
			h.slot, h.version = slot, version+1
			return nil
		case !errors.Is(err, ErrConflict): // somebody else has just taken it
			return err
		}
	}
	return fmt.Errorf("other workers have taken all slots for heartbeats: it is tried again in %v", beatEvery)
}

// freeSlots returns the slots that a Run may take, the best ones first. A worker that has vanished keeps its slot for as
// long as it is shown, unless so many have vanished that the first slots are full.
func freeSlots(used []beatSlot, id string, now time.Time) (free []int) {
	var dead []int
	for slot := range used {
		switch b := &used[slot]; {
		case b.version > 0 && b.ID == id: // its own: the answer to its Put was lost
			return []int{slot}
		case b.version == 0 || b.shownFor(now) <= 0:
			free = append(free, slot)
		case !b.alive(now):
			dead = append(dead, slot)
		}
	}
	slices.SortStableFunc(dead, func(a, b int) int { return used[a].Seen.Compare(used[b].Seen) })
	if len(free) == 0 || free[0] >= slotsAtOnce-1 { // the last one stays free, as a full page has another one read
		return append(dead, free...)
	}
	return append(free, dead...)
}

// look fills in what the worker does now. engineNow is the engine's clock.
func (h *heart) look(engineNow, now time.Time) {
	if h.Started.IsZero() {
		h.Started = engineNow
	}
	h.Seen, h.OnWire = engineNow, h.slots.used()
	h.Clock = now.Round(0).Sub(engineNow).Round(time.Millisecond)
	h.Refused, h.Refusals = h.board.refusedAccounts(), h.refusals.stored(h.Clock)
	h.Twilio = 0
	if ahead, ok := h.clocks.ahead(); ok && ahead.lo > 0 {
		h.Twilio = ahead.lo.Round(time.Millisecond)
	} else if ok && ahead.hi < 0 {
		h.Twilio = ahead.hi.Round(time.Millisecond)
	}
	h.Pace, h.Campaigns = h.board.tally.paces(now)
	h.Buckets = h.Buckets[:0]
	stats := h.client.Stats()
	for _, b := range stats.Buckets {
		// Nobody waits in the moment in which one request leaves and the next one has not come.
		if b.Pace > 0 && (b.Waiting > 0 || b.Waited >= stats.Window/2) {
			h.Buckets = append(h.Buckets, beatBucket{BucketKey(b.Resource), b.Pace, b.Rate, b.Learned, b.Waiting})
		}
	}
	slices.SortFunc(h.Buckets, func(a, b beatBucket) int { return cmp.Or(cmp.Compare(a.Pace, b.Pace), cmp.Compare(a.Key, b.Key)) })
	h.Buckets = h.Buckets[:min(len(h.Buckets), beatBuckets)]
}

// A beatSlot is a document for heartbeats, as it was read.
type beatSlot struct {
	heartbeat
	version int64 // 0: there is no document
}

// alive reports whether the heartbeat is young, by the engine's clock.
func (b *heartbeat) alive(now time.Time) bool { return now.Sub(b.Seen).Abs() < deadAfter }

// shownFor returns for how much longer a heartbeat is shown, by the engine's clock.
func (b *heartbeat) shownFor(now time.Time) time.Duration { return deadShown - now.Sub(b.Seen).Abs() }

// slotsAtOnce is how many slots are read at a time, and how many there are at least.
const slotsAtOnce = 64

func slotName(n int) string { return fmt.Sprintf("%s%02d", HeartbeatPrefix, n) }

// beats returns the slots of heartbeats, by their numbers. One that cannot be read looks as if dead.
func beats(ctx context.Context, e Engine) (used []beatSlot, err error) {
	for full := true; full; {
		names, at := make([]string, slotsAtOnce), make(map[string]int, slotsAtOnce)
		for i := range names {
			names[i] = slotName(len(used) + i)
			at[names[i]] = len(used) + i
		}
		docs, err := e.Documents(ctx, names...)
		if err != nil {
			return nil, err
		}
		used = append(used, make([]beatSlot, slotsAtOnce)...)
		for _, d := range docs {
			s := &used[at[d.Name]]
			if err := json.Unmarshal(d.Value, &s.heartbeat); err != nil || checkVersion("heartbeat", s.Format) != nil {
				s.heartbeat = heartbeat{}
			}
			s.version = d.Version
		}
		full = len(docs) == slotsAtOnce
	}
	return used, nil
}

// sortedBeats returns those of slots that say something, by host, process and beginning.
func sortedBeats(slots []beatSlot) []heartbeat {
	var all []heartbeat
	for _, s := range slots {
		if s.ID != "" {
			all = append(all, s.heartbeat)
		}
	}
	slices.SortFunc(all, func(a, b heartbeat) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID), a.Started.Compare(b.Started), strings.Compare(a.ID, b.ID))
	})
	return all
}
