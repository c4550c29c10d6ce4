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

// Of -engine sqs: what producers enqueue goes through SQS, an emulator of the parent's that
// nobody kills. All children move it into a SQLite file, the ledger, and die in the middle
// of that, too. What the parent enqueues goes into the ledger, and comes by
// SQS once more.
const (
	sqsVisible = time.Second // what a dead child had in its hands comes again after that
	sqsPoll    = time.Second // the emulator hands messages to the dead for so long
	sqsTries   = 1000        // deliveries before a message is a dead letter: none is to be
)

// startSQS starts the emulator, and writes beside the store where it is.
func startSQS(dir string, _ bool) (started, error) {
	if err := sqstest.Installed(); err != nil {
		return started{}, fmt.Errorf("-engine sqs: %w", err)
	}
	s, err := sqstest.Start()
	if err != nil {
		return started{}, err
	}
	store := filepath.Join(dir, "queue.db")
	url, _, err := s.Queue(context.Background(), "killtest", sqsTries)
	if err == nil {
		const mine = 0o600
		err = os.WriteFile(sqsFile(store), []byte(s.URL+" "+url), mine)
	}
	if err != nil {
		return started{}, errors.Join(err, s.Kill())
	}
	return started{store: store, stop: s.Kill}, nil
}

func sqsFile(store string) string { return filepath.Join(filepath.Dir(store), "sqs") }

// openSQS opens an engine with the ledger. The parent, who is not to do the children's
// work, has the ledger alone.
func openSQS(t task) (queue.Engine, error) {
	where, err := os.ReadFile(sqsFile(t.Store))
	if err != nil {
		return nil, err
	}
	endpoint, url, _ := strings.Cut(string(where), " ")
	client := sqstest.Client(endpoint)
	ledger, err := sqlitequeue.Open(t.Store)
	if err != nil {
		return nil, err
	}
	if t.parent() {
		return &besideSQS{ledger, client, url}, nil
	}
	e, err := sqsqueue.Open(context.Background(), client, url, ledger,
		sqsqueue.WithVisibility(sqsVisible), sqsqueue.WithPoll(sqsPoll), sqsqueue.WithAddToSQS())
	if err != nil {
		return nil, errors.Join(err, ledger.Close())
	}
	return &viaSQS{e, t.Known}, nil
}

// viaSQS is a child's engine.
type viaSQS struct {
	queue.Engine
	known int // of the next jobs, so many have been enqueued before
}

// Add says of a producer's first jobs that they are known, as SQS cannot say it. Whether
// they are is seen in the end. They are sent once more, and that hides no loss: SQS drops
// what it has been sent within 5 minutes.
func (e *viaSQS) Add(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	added, err := e.Engine.Add(ctx, jobs)
	for i := range added {
		added[i].Known = e.known > 0
		e.known = max(0, e.known-1)
	}
	return added, err
}

// besideSQS is the parent's.
type besideSQS struct {
	queue.Engine
	client *sqs.Client
	url    string
}

// List shows the parent, when it waits until nothing is ready any more, what is in SQS.
func (e *besideSQS) List(ctx context.Context, f queue.Filter, after queue.ID, most int) ([]queue.Job, error) {
	if after == "" && slices.Contains(f.States, queue.Ready) {
		if n, err := e.count(ctx); err != nil || n > 0 {
			return []queue.Job{{ID: "in SQS", State: queue.Ready}}, err
		}
	}
	return e.Engine.List(ctx, f, after, most)
}

// count returns how many messages are waiting or in somebody's hands.
func (e *besideSQS) count(ctx context.Context) (n int, err error) {
	names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}
	out, err := e.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &e.url, AttributeNames: names})
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
