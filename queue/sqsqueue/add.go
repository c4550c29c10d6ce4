package sqsqueue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/twilio-pacer/pacer/queue"
)

// This file adds jobs, to the ledger or to SQS.

// Add implements [queue.Engine]. With a ledger it stores the jobs there, as the ledger does. If
// the ledger cannot take them (it is unreachable, full or gone), Add sends them to SQS. From
// there they are moved as soon as the ledger can take them.
//
// Without a ledger, or with [WithAddToSQS], it sends them to SQS, in calls of at most ten. Then
// some of what an engine promises is missing:
//   - What Add has returned is kept by SQS, but is not in Get, List or Claim until it has
//     been moved.
//   - Known is always false. A job with a Unique key gets an ID that comes from the key, which
//     Added has. If it is added once more, it gets the same ID, and nothing is stored twice.
//     Have the jobs of one key come in by one way: an ID that the ledger has given is another.
//   - If not all are stored, the error is a [*NotStored] that says which. Jobs with a key may
//     safely be added again. SQS knows the key for 5 minutes, and the ledger for as long as it
//     keeps the job.
//   - The order given is kept within a lane.
func (e *Engine) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	if err := e.calls.Begin(); err != nil {
		return nil, err
	}
	defer e.calls.End()
	if e.ledger && !e.toSQS {
		added, err := e.Engine.Add(ctx, jobs)
		if err == nil || !e.down(ctx, err) {
			return added, err
		}
		for _, j := range jobs {
			if e.operations.Check(j.Request) != nil {
				return added, err // a worker would not take it from there
			}
		}
		e.log.Warn("sqsqueue: the ledger takes no jobs: they go to SQS", "queue", e.name, "jobs", len(jobs), "error", err)
		return e.send(ctx, jobs)
	}
	own := make([]queue.Job, len(jobs))
	for i, j := range jobs {
		own[i] = j
		if j.Unique != "" {
			own[i].ID = idOf(j.Unique)
		}
	}
	return e.send(ctx, own)
}

// down reports whether an error of the ledger's Add is the ledger's and not the jobs'.
func (e *Engine) down(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, queue.ErrClosed) {
		return false
	}
	if errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrGone) || errors.Is(err, queue.ErrDamaged) || errors.Is(err, queue.ErrOutdated) {
		return true
	}
	_, err = e.Engine.Get(ctx, "none")
	return err != nil && !errors.Is(err, queue.ErrNotFound)
}

// NotStored is the error of an [Engine.Add] that has sent only some of its jobs to SQS.
type NotStored struct {
	Indices []int // of the jobs that are not stored, in what Add was given
	IDs     []queue.ID
	Err     error // of the last of them
}

// Error says how many are not stored, and the first one's ID.
func (e *NotStored) Error() string {
	return fmt.Sprintf("sqsqueue: %d jobs are not stored, the first is number %d (%s): add all of them again, with the same Unique keys: %v",
		len(e.Indices), e.Indices[0], e.IDs[0], e.Err)
}

// Unwrap returns Err.
func (e *NotStored) Unwrap() error { return e.Err }

// One call may hold 1 MiB in all. Where the queue's messages may not be larger, as in regions
// that SQS has not changed yet, it may hold 256 KiB.
const (
	leastBatch  = 256 << 10
	mostBatch   = 1 << 20
	mostEntries = 10
)

// send sends jobs under the IDs that they have.
func (e *Engine) send(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	added := make([]queue.Added, len(jobs))
	first := make(map[queue.ID]int, len(jobs))
	entries := make([]types.SendMessageBatchRequestEntry, 0, len(jobs))
	for i, j := range jobs {
		added[i].ID = j.ID
		if n, ok := first[j.ID]; ok {
			if j.Unique == "" || j.Unique != jobs[n].Unique {
				return nil, fmt.Errorf("sqsqueue: adding job %s twice: give each job its own ID", j.ID)
			}
			added[i].Known = true
			continue
		}
		first[j.ID] = i
		body, err := encode(j)
		if err != nil {
			return nil, err
		}
		if err := e.operations.Check(j.Request); err != nil {
			return nil, fmt.Errorf("sqsqueue: job %s: no worker would take it: %w", j.ID, err)
		}
		if len(body) > e.maxMessage {
			return nil, fmt.Errorf("sqsqueue: job %s is a message of %d bytes: expected at most %d, the MaximumMessageSize of queue %s (SQS allows up to 1 MiB)", j.ID, len(body), e.maxMessage, e.name)
		}
		id, group, once := strconv.Itoa(i), hash(j.Lane.Key()), hash(string(j.ID))
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: &once})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for rest := entries; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && n < mostEntries && (n == 0 || size+len(*rest[n].MessageBody) <= max(e.maxMessage, leastBatch)) {
			size += len(*rest[n].MessageBody)
			n++
		}
		failed, err := e.sendBatch(ctx, rest[:n])
		if err != nil {
			ns := &NotStored{Err: err}
			for _, entry := range append(failed, rest[n:]...) {
				i, _ := strconv.Atoi(*entry.Id) // is ours
				ns.Indices, ns.IDs = append(ns.Indices, i), append(ns.IDs, jobs[i].ID)
			}
			return nil, ns
		}
		rest = rest[n:]
	}
	return added, nil
}

// hash names what may hold a phone number.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// The entries that SQS has not taken are sent again after 100, 200, 400, 800 ms.
const (
	sendTries = 5
	sendPause = 100 * time.Millisecond
)

// sendBatch returns the entries that SQS has not taken, and why not.
func (e *Engine) sendBatch(ctx context.Context, entries []types.SendMessageBatchRequestEntry) (failed []types.SendMessageBatchRequestEntry, err error) {
	pause := sendPause
	for try := 1; ; try++ {
		out, err := e.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &e.url, Entries: entries})
		if err != nil {
			return entries, e.explain("SendMessageBatch", err)
		}
		stored := make(map[string]bool, len(entries))
		for _, s := range out.Successful {
			stored[*s.Id] = true
		}
		failed = nil
		for _, entry := range entries {
			if !stored[*entry.Id] {
				failed = append(failed, entry)
			}
		}
		if len(failed) == 0 {
			return nil, nil
		}
		err = errors.New("sqsqueue: SendMessageBatch: SQS has not said why")
		final := try == sendTries
		for _, f := range out.Failed {
			err = fmt.Errorf("sqsqueue: SendMessageBatch: %s: %s", value(f.Code), value(f.Message))
			final = final || f.SenderFault
		}
		if final || !sleep(ctx, pause) {
			return failed, err
		}
		entries, pause = failed, 2*pause
	}
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// sleep reports whether it has slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
