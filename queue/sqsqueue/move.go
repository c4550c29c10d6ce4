package sqsqueue

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/twilio-pacer/pacer/queue"
)

// This file moves messages from SQS into the ledger.

const (
	fullPause  = 250 * time.Millisecond // while the window is full
	leastPause = 500 * time.Millisecond // after an error; doubled for each more in a row
	mostPause  = 10 * time.Second
	roomAge    = time.Second      // of what is known of the ledger's depth
	lastWords  = 10 * time.Second // for what is still to be said to SQS when the engine ends
)

// move moves messages into the ledger until ctx ends: it receives, stores, deletes. A
// crash in between delivers a message again, which the ledger then knows by its ID.
//
// While the ledger does not answer, nothing is received, and what was received is kept from
// others. Each delivery counts for the dead-letter queue, and these messages are good.
func (e *Engine) move(ctx context.Context) {
	pause := leastPause
	failing := ""
	fails := func(what string, err error) {
		if ctx.Err() != nil {
			return
		}
		if what != failing {
			e.log.Error("sqsqueue: moving messages: "+what, "queue", e.name, "error", err)
		}
		failing = what
		sleep(ctx, pause)
		pause = min(2*pause, mostPause)
	}
	room, looked := 0, time.Time{}
	for ctx.Err() == nil {
		if room < 1 || time.Since(looked) > roomAge {
			var err error
			if room, err = e.room(ctx); err != nil {
				fails("the ledger does not answer", err)
				continue
			}
			looked = time.Now()
		}
		if room < 1 {
			sleep(ctx, fullPause)
			continue
		}
		out, err := e.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &e.url, MaxNumberOfMessages: int32(min(room, mostEntries)),
			WaitTimeSeconds: int32(e.poll / time.Second), VisibilityTimeout: int32(e.visibility / time.Second),
		})
		if err != nil {
			fails("SQS hands out none", e.explain("ReceiveMessage", err))
			continue
		}
		pause, failing = leastPause, ""
		room -= len(out.Messages)
		if len(out.Messages) > 0 {
			e.moveSome(ctx, out.Messages)
		}
	}
}

// room returns how many jobs may be moved. It reads Stats, as Work moves jobs.
func (e *Engine) room(ctx context.Context) (int, error) {
	lanes, err := e.Engine.Stats(ctx)
	if err != nil {
		return 0, err
	}
	ready := int64(0)
	for _, l := range lanes {
		ready += l.Ready
	}
	return int(max(0, int64(e.window)-ready)), nil
}

// inHand is a message with the job that it holds.
type inHand struct {
	queue.Job
	messageID, receipt string
}

// moveSome stores the jobs of messages, however long the ledger takes, and deletes the
// messages. Messages that cannot be read are left alone. SQS delivers them again, perhaps to a
// newer version of this program. In the end it moves them to the dead-letter queue.
func (e *Engine) moveSome(ctx context.Context, messages []types.Message) {
	var jobs []inHand
	for _, m := range messages {
		j, err := decode(value(m.Body), value(m.MessageId))
		if err == nil {
			err = e.operations.Check(j.Request)
		}
		if err != nil {
			e.log.Error("sqsqueue: a message cannot be read and is left to the dead-letter queue", "queue", e.name, "message", value(m.MessageId), "error", err)
			continue
		}
		jobs = append(jobs, inHand{j, value(m.MessageId), value(m.ReceiptHandle)})
	}
	if len(jobs) == 0 {
		return
	}
	holding, release := context.WithCancel(ctx)
	held := make(chan struct{})
	go func() {
		defer close(held)
		for sleep(holding, e.visibility/3) {
			e.show(holding, jobs, e.visibility)
		}
	}()
	stored, left := e.store(ctx, jobs)
	release()
	<-held

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	e.delete(last, stored)
	e.show(last, left, 0)
}

// store stores jobs in the ledger, and tries again until ctx ends. It returns what is stored,
// and in left what could not be stored until then. What the ledger refuses is in neither.
func (e *Engine) store(ctx context.Context, jobs []inHand) (stored, left []inHand) {
	pause := leastPause
	for {
		done, down, err := e.storeOnce(ctx, jobs)
		stored = append(stored, done...)
		if len(down) == 0 {
			return stored, nil
		}
		if ctx.Err() == nil && pause == leastPause {
			e.log.Error("sqsqueue: the ledger does not take what SQS has delivered: it is tried again", "queue", e.name, "error", err)
		}
		if !sleep(ctx, pause) {
			return stored, down
		}
		jobs, pause = down, min(2*pause, mostPause)
	}
}

// storeOnce returns the jobs that are in the ledger now, or were before, and those that
// the ledger is not able to take at present.
func (e *Engine) storeOnce(ctx context.Context, jobs []inHand) (done, down []inHand, err error) {
	all := make([]queue.Job, len(jobs))
	for i, j := range jobs {
		all[i] = j.Job
	}
	if _, err = e.Engine.Add(ctx, all); err == nil {
		return jobs, nil, nil
	}
	// One that is there already, from a delivery before, fails the call. So one by one.
	for i, j := range jobs {
		_, err = e.Engine.Get(ctx, j.ID)
		if errors.Is(err, queue.ErrNotFound) {
			_, err = e.Engine.Add(ctx, []queue.Job{j.Job})
		}
		switch {
		case err == nil:
			done = append(done, j)
		case ctx.Err() != nil, e.down(ctx, err):
			return done, jobs[i:], err
		default:
			e.log.Error("sqsqueue: the ledger refuses a job: its message is left to the dead-letter queue", "queue", e.name, "message", j.messageID, "job", string(j.ID), "error", err)
		}
	}
	return done, nil, nil
}

// delete deletes messages. One that cannot be deleted is delivered again, and known then.
func (e *Engine) delete(ctx context.Context, jobs []inHand) {
	if len(jobs) == 0 {
		return
	}
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &e.url}
	for i := range jobs {
		id := strconv.Itoa(i)
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: &jobs[i].receipt})
	}
	out, err := e.client.DeleteMessageBatch(ctx, in)
	switch {
	case err != nil:
		e.log.Warn("sqsqueue: moved messages could not be deleted: they come again, and are known then", "queue", e.name, "error", e.explain("DeleteMessageBatch", err))
	case len(out.Failed) > 0:
		e.log.Warn("sqsqueue: moved messages could not be deleted: they come again, and are known then", "queue", e.name, "messages", len(out.Failed), "code", value(out.Failed[0].Code))
	}
}

// show has SQS show messages to others after d. If that fails they are shown when the
// timeout before has passed.
func (e *Engine) show(ctx context.Context, jobs []inHand, d time.Duration) {
	if len(jobs) == 0 {
		return
	}
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &e.url}
	for i := range jobs {
		id := strconv.Itoa(i)
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: &jobs[i].receipt, VisibilityTimeout: int32(d / time.Second)})
	}
	if _, err := e.client.ChangeMessageVisibilityBatch(ctx, in); err != nil && ctx.Err() == nil {
		e.log.Warn("sqsqueue: SQS does not keep messages that are being moved from others", "queue", e.name, "error", e.explain("ChangeMessageVisibilityBatch", err))
	}
}
