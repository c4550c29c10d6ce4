package sqsqueue

import (
	"context"

	"github.com/twilio-pacer/pacer/queue"
)

// Send sends jobs to SQS under the IDs that they have.
func (e *Engine) Send(ctx context.Context, jobs []queue.Job) ([]queue.Added, error) {
	return e.send(ctx, jobs)
}

// IDOf returns the ID of a job with a key, and Hash what names lanes and jobs in SQS.
var (
	IDOf = idOf
	Hash = hash
)

// Encode and Decode are the two ends of a message.
var (
	Encode = encode
	Decode = decode
)
