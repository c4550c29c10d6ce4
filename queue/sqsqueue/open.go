// Package sqsqueue has AWS SQS as the front door of a [queue.Queue]. Programs without a store
// of their own (Lambdas, web servers on many machines) send jobs to an SQS FIFO queue. It keeps
// them until a worker moves them into its ledger, another [queue.Engine], where all the rest
// happens.
//
// SQS alone can neither list jobs nor count them by lane. It remembers a key for 5 minutes
// only, cannot delay one message of a FIFO queue, and keeps neither results nor doubts. While
// one message of a group is in flight, it hands out no others of the group. So one request in
// doubt would stop a lane.
//
//   - A producer has no ledger: Open with nil. [Engine.Add] and [Engine.Close] work, all
//     else returns [ErrNoLedger].
//   - A program with the ledger does all that the ledger does, without a call to SQS. What it
//     adds goes into the ledger itself, or to SQS if the ledger cannot take it. Meanwhile the
//     engine moves what producers have sent.
//
// Everybody who moves messages of a queue has to use the same ledger: one file of
// sqlitequeue on one machine, or one Redis. Two ledgers know nothing of each other, and
// would send a message twice that was moved twice; Open refuses the second.
//
// docs/sqs.md has the queue's settings, IAM policies, costs and limits.
package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// ErrNoLedger is what an engine without a ledger returns for all but Add and Close.
var ErrNoLedger = errors.New("sqsqueue: this engine was opened without a ledger and can only add: open it with one (sqlitequeue, redisqueue) where requests are sent, listed or asked about, or ask there")

// An Engine is a [queue.Engine] behind an SQS FIFO queue. It is safe for concurrent use.
type Engine struct {
	queue.Engine // the ledger, or noLedger

	client *sqs.Client
	url    string
	name   string // of the queue, for errors
	log    *slog.Logger

	settings
	limits
	ledger bool // there is one
	calls  *engine.Calls
	depth  depth
	warned sync.Once // that results are kept for too short a time
}

// settings are what the options of Open set.
type settings struct {
	window     int
	visibility time.Duration
	poll       time.Duration
	toSQS      bool
	operations queue.Operations // that messages may order
}

// limits are what Open has read of the queue's attributes.
type limits struct {
	maxMessage int           // bytes
	retention  time.Duration // of messages in SQS
}

var _ queue.Engine = (*Engine)(nil)

// An Option changes an [Engine].
type Option func(*Engine) error

// WithLogger sets where the engine tells of what it cannot return: messages that it
// cannot read, calls that fail in the background. It never logs what a message holds. The
// default is [slog.Default].
func WithLogger(l *slog.Logger) Option {
	return func(e *Engine) error {
		if l == nil {
			return errors.New("sqsqueue: WithLogger: nil: expected a logger")
		}
		e.log = l
		return nil
	}
}

// WithWindow sets how many jobs may be Ready in the ledger before no more are moved into
// it, so that a backlog stays in SQS. Delayed jobs do not count: what is far off does not
// hold up the others. The default is 1,000.
func WithWindow(jobs int) Option {
	return func(e *Engine) error {
		e.window = jobs
		if jobs < 1 {
			return fmt.Errorf("sqsqueue: WithWindow: %d: expected at least 1", jobs)
		}
		return nil
	}
}

// WithVisibility sets for how long SQS keeps messages from others that this engine is
// moving; it is extended for as long as the ledger takes. What an engine had in its hands
// when it was killed is seen again after that. The default is 30 s, whatever the queue's.
func WithVisibility(d time.Duration) Option {
	return func(e *Engine) error {
		e.visibility = d
		return wholeSeconds("WithVisibility", d, time.Second, 12*time.Hour)
	}
}

// WithPoll sets how long a call waits at SQS for messages: while nothing comes each
// engine with a ledger makes one call in that time. The default is 20 s, the most.
func WithPoll(d time.Duration) Option {
	return func(e *Engine) error {
		e.poll = d
		return wholeSeconds("WithPoll", d, time.Second, 20*time.Second)
	}
}

func wholeSeconds(option string, d, least, most time.Duration) error {
	if d%time.Second != 0 || d < least || d > most {
		return fmt.Errorf("sqsqueue: %s: %v: expected whole seconds from %v to %v", option, d, least, most)
	}
	return nil
}

// WithAddToSQS has Add send to SQS although there is a ledger, so that a backlog of
// millions waits in SQS and not in the ledger. What it costs is told at [Engine.Add].
func WithAddToSQS() Option {
	return func(e *Engine) error { e.toSQS = true; return nil }
}

// WithOperations sets which operations messages in the SQS queue may order: exactly these,
// named as in "api/Messages:create"; "*" is all. The default is [queue.DefaultOperations];
// append to it to allow more. Whoever may send to the queue could otherwise buy numbers, as
// workers send what is ordered with the account's credentials. A worker leaves others to
// the dead-letter queue, and logs why; Add of a producer refuses them. What goes straight
// into the ledger is not concerned. Give all engines of a queue the same.
func WithOperations(names ...string) Option {
	return func(e *Engine) (err error) {
		if e.operations, err = queue.NewOperations(names...); err != nil {
			return fmt.Errorf("sqsqueue: WithOperations: %w", err)
		}
		return nil
	}
}

// Open returns an engine on the FIFO queue at queueURL, which exists. With a ledger, which
// [Engine.Close] closes, it begins to move messages at once; ledger nil makes it a
// producer. ctx is for Open alone. Open makes one call to SQS, and with a ledger another
// one or two; if it returns an error the ledger stays open.
func Open(ctx context.Context, client *sqs.Client, queueURL string, ledger queue.Engine, opts ...Option) (*Engine, error) {
	if client == nil {
		return nil, errors.New("sqsqueue: Open: nil client: expected one such as sqs.NewFromConfig returns")
	}
	if queueURL == "" {
		return nil, errors.New("sqsqueue: Open: no queue URL: expected one such as https://sqs.us-east-1.amazonaws.com/123456789012/pacer.fifo")
	}
	e := &Engine{
		Engine: ledger, client: client, url: queueURL, name: queueURL[strings.LastIndexByte(queueURL, '/')+1:], log: slog.Default(),
		settings: settings{window: 1000, visibility: 30 * time.Second, poll: 20 * time.Second}, ledger: ledger != nil, calls: engine.NewCalls(),
	}
	for _, o := range opts {
		if o == nil {
			continue
		}
		if err := o(e); err != nil {
			return nil, err
		}
	}
	if err := e.inspect(ctx); err != nil {
		return nil, err
	}
	if !e.ledger {
		e.Engine = noLedger{}
		return e, nil
	}
	if err := e.bind(ctx); err != nil {
		return nil, err
	}
	e.calls.Go(e.move)
	return e, nil
}

// inspect reads the queue's settings, and reports those that cannot work.
func (e *Engine) inspect(ctx context.Context) error {
	out, err := e.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &e.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		return e.explain("GetQueueAttributes", err)
	}
	a := out.Attributes
	if a["FifoQueue"] != "true" {
		return fmt.Errorf("sqsqueue: queue %s is a standard queue, which keeps no order and delivers twice: expected a FIFO queue, whose name ends in .fifo; a queue's type cannot be changed: create another one (docs/sqs.md)", e.name)
	}
	number := func(attribute string, least, otherwise int) int {
		n, err := strconv.Atoi(a[attribute])
		if err != nil || n < least {
			return otherwise
		}
		return n
	}
	e.maxMessage = min(number("MaximumMessageSize", 1, leastBatch), mostBatch)
	const fourDays = 345_600
	e.retention = time.Duration(number("MessageRetentionPeriod", 1, fourDays)) * time.Second
	if e.ledger && a["RedrivePolicy"] == "" {
		e.log.Warn("sqsqueue: the queue has no RedrivePolicy: a message that cannot be read blocks its lane until it expires: give the queue a dead-letter queue (docs/sqs.md)", "queue", e.name)
	}
	return nil
}

// Close implements [queue.Engine]. It stops moving, lets what is under way end, and closes
// the ledger. Messages that SQS was just about to hand over are seen again after the
// visibility timeout.
func (e *Engine) Close() error {
	if err := e.calls.Close(); err != nil {
		return err
	}
	if !e.ledger {
		return nil
	}
	return e.Engine.Close()
}
