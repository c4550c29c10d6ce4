package redisqueue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/jsontext"
)

// This file takes in what programs in other languages have written to the intake.

// Programs in any language add requests to the stream in: XADD with one field, job, whose
// value is the JSON of an intakeJob. Engines read it in Work, and add what they have read
// as Queue.EnqueueRequest would. The job's ID follows from the entry's, so that what is
// read twice, because an engine has died in between, is added once.

const (
	intakeGroup  = "w"
	intakeAtOnce = 500
	// maxRounds bounds how long Work is kept by the intake.
	maxRounds = 10
	// abandoned is after how long what another engine has read is taken over.
	abandoned    = 30 * time.Second
	lookForThem  = 10 * time.Second
	keepRejected = 1000
)

// An intake is where an engine's reading of the stream stands. One call at a time reads.
type intake struct {
	sync.Mutex
	takeover time.Time // when entries that other engines have read were last taken over
}

// An intakeJob is what stands in an entry of the intake.
type intakeJob struct {
	Request  queue.Request     `json:"request"`
	Account  string            `json:"account"` // as in queue.WithAccount
	Unique   string            `json:"unique"`
	Priority string            `json:"priority"` // high, normal or low
	At       *time.Time        `json:"at"`       // RFC 3339
	Deadline *time.Time        `json:"deadline"`
	Labels   map[string]string `json:"labels"`
}

// parseIntake makes a job of an entry of queue name.
func parseIntake(name, entry string, text []byte) (queue.Job, error) {
	var in intakeJob
	if err := jsontext.Check(text); err != nil {
		return queue.Job{}, fmt.Errorf("field job: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields() // a misspelt "deadline" must not go unseen
	if err := d.Decode(&in); err != nil {
		return queue.Job{}, fmt.Errorf("field job: expected JSON as in docs/redis.md: %w", err)
	}
	if d.More() {
		return queue.Job{}, errors.New("field job: expected one JSON object, and nothing after it")
	}
	var opts []queue.EnqueueOption
	if in.Unique != "" {
		opts = append(opts, queue.Unique(in.Unique))
	}
	switch in.Priority {
	case "high":
		opts = append(opts, queue.High)
	case "", "normal":
	case "low":
		opts = append(opts, queue.Low)
	default:
		return queue.Job{}, fmt.Errorf(`"priority": %.20q: expected "high", "normal" or "low"`, in.Priority)
	}
	if in.At != nil {
		opts = append(opts, queue.At(*in.At))
	}
	for k, v := range in.Labels {
		opts = append(opts, queue.Label(k, v))
	}
	if in.Account == "" {
		in.Account = os.Getenv("TWILIO_ACCOUNT_SID")
	} else if !strings.HasPrefix(in.Account, "AC") {
		return queue.Job{}, fmt.Errorf(`"account": %.40q: expected an account SID, which begins with AC`, in.Account)
	}
	if in.Deadline != nil {
		// Not queue.Deadline: one that has passed meanwhile makes it Failed, as with all that wait.
		opts = append(opts, func(j *queue.Job) error { j.Deadline = *in.Deadline; return nil })
	}
	j, err := queue.NewJob(in.Request, in.Account, opts...)
	if err != nil {
		return queue.Job{}, err
	}
	j.ID = intakeID(name, entry)
	return j, nil
}

// intakeID is the ID of what an entry becomes: a UUID of version 7, which sorts by the
// time of the entry.
func intakeID(name, entry string) queue.ID {
	sum := sha256.Sum256([]byte(name + " " + entry))
	id := uuid.UUID(sum[:16])
	ms, _, _ := strings.Cut(entry, "-")
	n, _ := strconv.ParseUint(ms, 10, 64)
	for i := range 6 {
		id[i] = byte(n >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return queue.ID(id.String())
}

// takeIn adds what is in the intake. That it cannot, as when Redis is full, does not keep
// workers from their work: what was read is read again later.
func (e *Engine) takeIn(ctx context.Context) error {
	if !e.intake.TryLock() {
		return nil // another call is at it
	}
	defer e.intake.Unlock()
	if err := e.calls.Begin(); err != nil {
		return err
	}
	defer e.calls.End()
	if time.Since(e.intake.takeover) > lookForThem {
		e.intake.takeover = time.Now()
		left, _, err := e.rdb.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: e.key("in"), Group: intakeGroup, Consumer: e.consumer, MinIdle: abandoned, Start: "0", Count: intakeAtOnce,
		}).Result()
		if err == nil {
			err = e.add(ctx, left)
		}
		if err != nil {
			return e.later(ctx, err)
		}
	}
	for range maxRounds {
		streams, err := e.rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: intakeGroup, Consumer: e.consumer, Streams: []string{e.key("in"), ">"}, Count: intakeAtOnce, Block: -1,
		}).Result()
		switch {
		case errors.Is(err, redis.Nil):
			return nil
		case err != nil:
			return e.later(ctx, err)
		}
		entries := streams[0].Messages
		if err := e.add(ctx, entries); err != nil {
			return e.later(ctx, err)
		}
		if len(entries) < intakeAtOnce {
			return nil
		}
	}
	return nil
}

// later decides what becomes of an error of the intake's.
func (e *Engine) later(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if strings.Contains(err.Error(), "NOGROUP") { // the stream was deleted, and made anew by a producer
		err = e.rdb.XGroupCreateMkStream(ctx, e.key("in"), intakeGroup, "0").Err()
	}
	if errors.Is(err, queue.ErrGone) || errors.Is(err, queue.ErrClosed) {
		return err
	}
	if err != nil {
		e.warn("what programs have left in the intake cannot be taken in now", "error", e.explain(err))
	}
	return nil
}

// add adds what entries say, and takes them out of the stream.
func (e *Engine) add(ctx context.Context, entries []redis.XMessage) error {
	if len(entries) == 0 {
		return nil
	}
	var jobs []queue.Job
	var done []string
	for _, m := range entries {
		text, ok := m.Values["job"].(string)
		err := errors.New("no field job: expected XADD KEY * job JSON")
		var j queue.Job
		if ok {
			j, err = parseIntake(e.name, m.ID, []byte(text))
		}
		if err == nil {
			err = e.operations.Check(j.Request)
		}
		if err == nil {
			jobs = append(jobs, j)
		} else if err := e.reject(ctx, m, err); err != nil {
			return err
		}
		done = append(done, m.ID)
	}
	if _, err := e.Add(ctx, jobs); errors.Is(err, errExists) {
		// Somebody has given an entry an ID that there was, or a queue its old name.
		for _, j := range jobs {
			if _, err := e.Add(ctx, []queue.Job{j}); errors.Is(err, errExists) {
				e.warn("an entry of the intake has the ID of one before it, and is left out: let Redis choose IDs (XADD KEY *)", "job", j.ID)
			} else if err != nil {
				return err
			}
		}
	} else if err != nil {
		return err
	}
	_, err := e.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.XAck(ctx, e.key("in"), intakeGroup, done...)
		p.XDel(ctx, e.key("in"), done...)
		return nil
	})
	return err
}

// reject keeps an entry where a person can see it.
func (e *Engine) reject(ctx context.Context, m redis.XMessage, why error) error {
	values := map[string]any{"entry": m.ID, "reason": why.Error()}
	for k, v := range m.Values {
		if _, ok := values[k]; !ok {
			values[k] = v
		}
	}
	err := e.rdb.XAdd(ctx, &redis.XAddArgs{Stream: e.key("rejected"), MaxLen: keepRejected, Approx: true, Values: values}).Err()
	if err == nil {
		e.warn("an entry of the intake is no request: see the stream rejected", "entry", m.ID, "stream", e.key("rejected"))
	}
	return err
}
