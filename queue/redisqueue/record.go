package redisqueue

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// This file has the stored form of jobs.

// A job is two keys. The string r:ID has a checksum and what never changes. The hash j:ID has
// what changes, in fields so short and few that Redis keeps them in one piece.

// body is what never changes of a job.
type body struct {
	Request queue.Request     `json:"request"`
	Labels  map[string]string `json:"labels,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumLen is how many digits stand before the JSON of a body.
const sumLen = 8

// sumOf is the checksum of a body and of what else of a job never changes.
func sumOf(id queue.ID, lane, priority, unique string, text []byte) string {
	b := make([]byte, 0, 1024)
	for _, s := range []string{string(id), lane, priority, unique} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return fmt.Sprintf("%0*x", sumLen, crc32.Checksum(append(b, text...), castagnoli))
}

// letter is how a priority is stored; one out of range is the nearest.
func letter(p pacer.Priority) string {
	switch {
	case p > pacer.Normal:
		return "h"
	case p < pacer.Normal:
		return "l"
	}
	return "n"
}

var priorities = map[string]pacer.Priority{"h": pacer.High, "n": pacer.Normal, "l": pacer.Low}

// encode returns what is stored of a job that never changes. encoding/json replaces what
// is not UTF-8, which would be another request; Request checks.
func encode(j queue.Job, lane string) ([]byte, error) {
	// Not json.Marshal of a body: that reads what MarshalJSON returns once more.
	request, err := j.Request.MarshalJSON()
	if err == nil && len(j.Labels) > 0 {
		var labels []byte
		if labels, err = json.Marshal(j.Labels); err == nil {
			request = fmt.Appendf(request, `,"labels":%s`, labels)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("redisqueue: job %s: its request or its labels cannot be stored: %w", j.ID, err)
	}
	text := fmt.Appendf(nil, `{"request":%s}`, request)
	return append([]byte(sumOf(j.ID, lane, letter(j.Priority), j.Unique, text)), text...), nil
}

// An outcome is stored in three fields: SID and reason by themselves, as scripts need
// them, and the rest as JSON.
func outcomeFields(o queue.Outcome) (sid, reason, rest string, err error) {
	sid, reason = o.SID, o.Reason
	o.SID, o.Reason = "", ""
	b, err := json.Marshal(o)
	if err != nil {
		return "", "", "", err
	}
	if rest = string(b); rest == "{}" {
		rest = ""
	}
	return sid, reason, rest, nil
}

// A hash is a job's fields as they were read.
type hash map[string]string

// int returns a number; not there is 0.
func (h hash) int(name string, ok *bool) int64 {
	v, there := h[name]
	if !there {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		*ok = false
	}
	return n
}

func (h hash) time(name string, ok *bool) time.Time { return engine.FromMicros(h.int(name, ok)) }

// decode makes a job of what was read. It reports false if that is not what was stored:
// then only ID, Lane, State and Finished are of use.
func decode(id queue.ID, l queue.Lane, h hash, stored []byte) (queue.Job, bool) {
	ok := true
	p, known := priorities[h["p"]]
	j := queue.Job{
		ID: id, Lane: l, Priority: p, State: queue.State(h["s"]), Unique: h["u"],
		Created: h.time("c", &ok), Due: h.time("d", &ok), Deadline: h.time("dl", &ok),
		Attempts: int(h.int("a", &ok)), Claim: h.int("n", &ok), Began: h.time("b", &ok), Lease: h.time("e", &ok),
		Looks: int(h.int("k", &ok)), Look: h.time("t", &ok), Finished: h.time("f", &ok), Reported: h["r"] == "1",
	}
	if rest := h["o"]; rest != "" {
		ok = json.Unmarshal([]byte(rest), &j.Outcome) == nil && ok
	}
	j.Outcome.SID, j.Outcome.Reason = h["sid"], h["y"]
	var b body
	ok = ok && known && len(stored) > sumLen &&
		string(stored[:sumLen]) == sumOf(id, l.Key(), h["p"], h["u"], stored[sumLen:]) && json.Unmarshal(stored[sumLen:], &b) == nil
	if !engine.IsState(j.State) {
		j.State, ok = queue.InDoubt, false // it may have been sent
	}
	if !ok {
		return queue.Job{ID: id, Lane: l, State: j.State, Claim: j.Claim, Finished: j.Finished, Outcome: queue.Outcome{Reason: queue.ReasonDamaged}}, false
	}
	j.Request, j.Labels = b.Request, b.Labels
	return j, true
}
