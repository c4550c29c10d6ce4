package sqsqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// This file has the methods that are not quite as the ledger has them.

// InSQS is the lane under which Stats shows what waits in SQS, of all lanes. Ready is what may
// be moved. Delayed is what is being moved, or was delivered and will be shown again. SQS
// counts approximately, and the count is up to 2 s old. There is no such lane while nothing
// waits.
var InSQS = queue.Lane{Resource: pacer.Resource{Product: "sqs", Name: "messages", Op: "waiting"}}

const countAge = 2 * time.Second

// Stats implements [queue.Engine]: the ledger's lanes, and [InSQS]. If SQS cannot be asked
// it returns the ledger's alone, and logs that.
func (e *Engine) Stats(ctx context.Context) ([]queue.LaneStats, error) {
	lanes, err := e.Engine.Stats(ctx)
	if err != nil || !e.ledger {
		return lanes, err
	}
	if s := e.count(ctx); s.Ready+s.Delayed > 0 {
		lanes = append(lanes, s)
	}
	return lanes, nil
}

// A depth is how much waits in SQS, as it was counted last.
type depth struct {
	mu      sync.Mutex
	counted time.Time
	waiting queue.LaneStats
}

// count returns how much waits in SQS, and asks SQS if what is known is too old.
func (e *Engine) count(ctx context.Context) queue.LaneStats {
	d := &e.depth
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.counted) < countAge {
		return d.waiting
	}
	out, err := e.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &e.url, AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}})
	d.counted, d.waiting = time.Now(), queue.LaneStats{}
	if err != nil {
		e.log.Warn("sqsqueue: what waits in SQS is not counted", "queue", e.name, "error", e.explain("GetQueueAttributes", err))
		return d.waiting
	}
	number := func(name types.QueueAttributeName) int64 {
		n, _ := strconv.ParseInt(out.Attributes[string(name)], 10, 64) // 0 if SQS does not say
		return n
	}
	d.waiting = queue.LaneStats{
		Lane: InSQS, Ready: number(types.QueueAttributeNameApproximateNumberOfMessages),
		Delayed: number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible) + number(types.QueueAttributeNameApproximateNumberOfMessagesDelayed),
	}
	return d.waiting
}

// Sweep implements [queue.Engine]. It logs once if results are kept for a shorter time than SQS
// keeps messages. A message that is delivered again after its job was deleted is not known any
// more, and would be sent again.
func (e *Engine) Sweep(ctx context.Context, s queue.Sweep) (queue.Swept, error) {
	if e.ledger && s.Keep > 0 && s.Keep < e.retention {
		e.warned.Do(func() {
			e.log.Warn("sqsqueue: results are kept for a shorter time than SQS keeps messages: a message that could not be deleted when it was moved might be sent again: raise queue.WithRetention, or lower the queue's MessageRetentionPeriod",
				"queue", e.name, "results", s.Keep, "messages", e.retention)
		})
	}
	return e.Engine.Sweep(ctx, s)
}

// A queue and its ledger know each other by a random name. A document in the ledger has it, and
// so has a tag of the queue.
const (
	document = "sqsqueue"
	tag      = "pacer-ledger"
)

// Documents implements [queue.Engine].
func (e *Engine) Documents(ctx context.Context, names ...string) ([]queue.Document, error) {
	all, err := e.Engine.Documents(ctx, names...)
	return slices.DeleteFunc(all, func(d queue.Document) bool { return d.Name == document }), err
}

// bind makes the ledger the queue's, and returns an error if the queue has another one.
// Where tags may not be read or set it logs that, and lets it be.
func (e *Engine) bind(ctx context.Context) error {
	name, err := e.ledgerName(ctx)
	if err != nil {
		return fmt.Errorf("sqsqueue: opening: the ledger: %w", err)
	}
	for set := false; ; set = true {
		out, err := e.client.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &e.url})
		if err != nil {
			return e.unbound("ListQueueTags", err)
		}
		switch is := out.Tags[tag]; {
		case is == name:
			return nil
		case is != "" || set:
			return fmt.Errorf("sqsqueue: queue %s belongs to another ledger (%.16s; this one is %s): two ledgers would send messages twice. Have all use one ledger; if the other is gone for good: aws sqs untag-queue --queue-url %s --tag-keys %s", e.name, is, name, e.url, tag)
		}
		if _, err := e.client.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &e.url, Tags: map[string]string{tag: name}}); err != nil {
			return e.unbound("TagQueue", err)
		}
	}
}

func (e *Engine) unbound(action string, err error) error {
	err = e.explain(action, err)
	var api smithy.APIError
	if !errors.As(err, &api) || kind(api.ErrorCode()) != denied {
		return err
	}
	e.log.Warn("sqsqueue: it cannot be checked that all use one ledger: allow sqs:ListQueueTags and sqs:TagQueue (docs/sqs.md)", "queue", e.name, "error", err)
	return nil
}

// ledgerName returns the ledger's name, which it draws if there is none.
func (e *Engine) ledgerName(ctx context.Context) (string, error) {
	name := rand.Text()[:16]
	err := e.Engine.Put(ctx, document, []byte(name), 0)
	if err == nil || !errors.Is(err, queue.ErrConflict) {
		return name, err
	}
	all, err := e.Engine.Documents(ctx, document)
	for _, d := range all {
		if d.Name == document && len(d.Value) > 0 { // nil: it is damaged
			return string(d.Value), err
		}
	}
	return "", errors.Join(err, queue.ErrConflict)
}
