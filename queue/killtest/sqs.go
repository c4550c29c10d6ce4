package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/sqstest"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/queue/sqsqueue"
)

// Of -engine sqs: what is enqueued goes through SQS, an emulator of the parent's that
// nobody kills, and is moved into a SQLite file, the ledger, by all children: they die in
// the middle of that, too.
const (
	sqsVisible = 2 * time.Second // what a dead child had in its hands comes again after that
	sqsPoll    = time.Second     // the emulator hands messages to the dead for so long
	sqsTries   = 1000            // deliveries before a message is a dead letter: none is to be
)

// startSQS starts the emulator, and writes beside the store where it is.
func startSQS(store string) (stop func() error, err error) {
	if err := sqstest.Installed(); err != nil {
		return nil, fmt.Errorf("-engine sqs: %w", err)
	}
	s, err := sqstest.Start()
	if err != nil {
		return nil, err
	}
	url, _, err := s.Queue(context.Background(), "killtest", sqsTries)
	if err == nil {
		const mine = 0o600
		err = os.WriteFile(sqsFile(store), []byte(s.URL+" "+url), mine)
	}
	if err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return s.Kill, nil
}

func sqsFile(store string) string { return filepath.Join(filepath.Dir(store), "sqs") }

// openSQS opens an engine with the ledger. The parent, who is not to do the children's
// work, has the ledger alone, and a producer.
func openSQS(t task) (queue.Engine, error) {
	where, err := os.ReadFile(sqsFile(t.Store))
	if err != nil {
		return nil, err
	}
	endpoint, url, _ := strings.Cut(string(where), " ")
	ledger, err := sqlitequeue.Open(t.Store)
	if err != nil {
		return nil, err
	}
	moves := queue.Engine(ledger)
	if t.parent() {
		moves = nil
	}
	e, err := sqsqueue.Open(context.Background(), sqstest.Client(endpoint), url, moves,
		sqsqueue.WithVisibility(sqsVisible), sqsqueue.WithPoll(sqsPoll), sqsqueue.WithAddToSQS())
	if err != nil {
		return nil, errors.Join(err, ledger.Close())
	}
	if t.parent() {
		return &viaSQS{Engine: ledger, sqs: e, count: func(ctx context.Context) (int, error) { return sqsCount(ctx, endpoint, url) }}, nil
	}
	return &viaSQS{Engine: e, sqs: e, known: t.Known}, nil
}

// viaSQS adds through SQS.
type viaSQS struct {
	queue.Engine // parent: the ledger; child: sqs
	sqs          *sqsqueue.Engine
	known        int // of the next jobs, so many have been sent before
	count        func(context.Context) (int, error)
}

// Add says of a producer's first jobs that they are known, as SQS cannot say it. Whether
// they are is seen in the end: that they are sent once more hides no loss, as SQS drops
// what it has been sent within 5 minutes.
func (e *viaSQS) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	added, err := e.sqs.Add(ctx, jobs)
	for i := range added {
		added[i].Known = e.known > 0
		e.known = max(0, e.known-1)
	}
	return added, err
}

// List shows the parent, who waits until nothing is ready any more, what is in SQS.
func (e *viaSQS) List(ctx context.Context, f queue.Filter, after queue.ID, most int) ([]queue.Job, error) {
	if e.count != nil && after == "" && slices.Contains(f.States, queue.Ready) {
		if n, err := e.count(ctx); err != nil || n > 0 {
			return []queue.Job{{ID: "in SQS", State: queue.Ready}}, err
		}
	}
	return e.Engine.List(ctx, f, after, most)
}

// sqsCount returns how many messages are waiting or in somebody's hands.
func sqsCount(ctx context.Context, endpoint, url string) (n int, err error) {
	names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}
	out, err := sqstest.Client(endpoint).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		i, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return 0, err
		}
		n += i
	}
	return n, nil
}

func (e *viaSQS) Close() error {
	if e.count != nil {
		return errors.Join(e.sqs.Close(), e.Engine.Close())
	}
	return e.sqs.Close()
}
