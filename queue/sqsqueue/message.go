package sqsqueue

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/internal/engine"
	"github.com/twilio-pacer/pacer/queue/internal/jsontext"
)

// This file has the form in which a job travels through SQS.

// A message is one job as it travels, in the body of an SQS message. It is JSON in ASCII, since
// SQS does not take every character. For programs in other languages, docs/sqs.md describes it.
type message struct {
	Version  string            `json:"v"`
	ID       queue.ID          `json:"id,omitempty"`
	Lane     string            `json:"lane,omitempty"` // queue.Lane.Key; "": that of the request
	Priority int               `json:"priority,omitempty"`
	Due      time.Time         `json:"due,omitzero"`
	Deadline time.Time         `json:"deadline,omitzero"`
	Unique   string            `json:"unique,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Request  queue.Request     `json:"request"`
}

// The version: a reader takes any minor one of its major one, and ignores fields that it
// does not know.
const (
	formatMajor   = "1"
	formatVersion = "1.0"
)

// names is the namespace of the IDs that come from keys.
var names = uuid.MustParse("6f0b9a8e-3c57-4d3e-9a55-2f6f1d7c5b10")

// idOf returns the ID of a job that has a key, where no ledger can be asked who holds the key.
// The same key gives the same ID. It is a UUID of version 5.
func idOf(unique string) queue.ID {
	return queue.ID(uuid.NewSHA1(names, []byte(unique)).String())
}

// encode returns a job as a message. A job that would not arrive as it is, is an error: it is
// not UTF-8, or its request is one that no worker takes.
func encode(j queue.Job) (string, error) {
	if err := engine.Package("sqsqueue").CheckID(j); err != nil {
		return "", err
	}
	m := message{
		Version: formatVersion, ID: j.ID, Lane: j.Lane.Key(), Priority: int(j.Priority), Due: within(j.Due), Deadline: within(j.Deadline),
		Unique: j.Unique, Labels: j.Labels, Request: j.Request,
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("sqsqueue: job %s cannot be stored: %w", j.ID, err)
	}
	body := ascii(b)
	var back message
	if err := back.parse(body); err != nil {
		return "", fmt.Errorf("sqsqueue: job %s: no worker would take it: %w", j.ID, err)
	}
	if !same(m, back) {
		return "", fmt.Errorf("sqsqueue: job %s: its ID, lane, key, labels or request would arrive as others: expected UTF-8 text", j.ID)
	}
	return body, nil
}

// within returns a time as it travels: one before 1970 is 1970, as engines keep it. The zero
// time stays.
func within(t time.Time) time.Time {
	if t = t.Round(0).UTC(); !t.IsZero() && t.Unix() < 0 {
		return time.Unix(0, 0).UTC()
	}
	return t
}

// same compares messages; an empty map is as good as none.
func same(a, b message) bool {
	for _, m := range []*message{&a, &b} {
		if len(m.Labels) == 0 {
			m.Labels = nil
		}
		if len(m.Request.Form) == 0 {
			m.Request.Form = nil
		}
		if len(m.Request.Header) == 0 {
			m.Request.Header = nil
		}
	}
	return a.Due.Equal(b.Due) && a.Deadline.Equal(b.Deadline) && func() bool {
		b.Due, b.Deadline = a.Due, a.Deadline
		return reflect.DeepEqual(a, b)
	}()
}

// ascii writes JSON's other characters as escapes.
func ascii(b []byte) string {
	var s strings.Builder
	s.Grow(len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		switch high, low := utf16.EncodeRune(r); {
		case r < utf8.RuneSelf:
			s.WriteByte(byte(r))
		case high != utf8.RuneError:
			fmt.Fprintf(&s, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&s, `\u%04x`, r)
		}
	}
	return s.String()
}

// digits may be a phone number; a size in bytes has fewer.
var digits = regexp.MustCompile(`[0-9]{8,}`)

// parse reads a message. What its errors quote, such as a version or a method, is short,
// and has no number in it.
func (m *message) parse(body string) error {
	if err := m.read(body); err != nil {
		return errors.New(digits.ReplaceAllString(err.Error(), "***"))
	}
	return nil
}

func (m *message) read(body string) error {
	if err := jsontext.Check([]byte(body)); err != nil {
		return fmt.Errorf("the message is %w", err)
	}
	var v struct {
		Version string `json:"v"`
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		return errors.New(`the message is not a JSON object with a version, "v": "1.0"`)
	}
	major, minor, ok := strings.Cut(v.Version, ".")
	if _, err := strconv.ParseUint(minor, 10, 16); !ok || err != nil {
		return fmt.Errorf(`"v": %.20q: expected a version like %q`, v.Version, formatVersion)
	}
	if major != formatMajor {
		return fmt.Errorf(`"v": %.20q: expected %s.x: it was written by another version of pacer: update this program`, v.Version, formatMajor)
	}
	if err := json.Unmarshal([]byte(body), m); err != nil {
		var wrong *json.UnmarshalTypeError
		var when *time.ParseError
		switch {
		case errors.As(err, &wrong):
			return fmt.Errorf("field %.50q: expected another type", wrong.Field)
		case errors.As(err, &when):
			return errors.New(`field "due" or "deadline": expected a time as in RFC 3339`)
		}
		return err // of the request
	}
	if m.Request.Method == "" {
		return errors.New(`field "request": expected one`)
	}
	return nil
}

// decode reads a job from a message. SQS's own name of the message, the same each time
// that it is delivered, becomes the ID of a job that has none.
func decode(body, messageID string) (queue.Job, error) {
	var m message
	if err := m.parse(body); err != nil {
		return queue.Job{}, err
	}
	j := queue.Job{
		ID: m.ID, Priority: pacer.Priority(m.Priority), Due: within(m.Due), Deadline: within(m.Deadline),
		Unique: m.Unique, Labels: m.Labels, Request: m.Request,
	}
	if m.Lane != "" { // it comes from an engine, and was checked when it was enqueued
		var err error
		if j.Lane, err = queue.ParseLane(m.Lane); err != nil {
			return queue.Job{}, errors.New(`field "lane": expected the lane's key`)
		}
	} else {
		times := func(checked *queue.Job) error { checked.Due, checked.Deadline = m.Due, m.Deadline; return nil }
		checked, err := queue.NewJob(m.Request, "", times)
		if err != nil {
			return queue.Job{}, errors.New(digits.ReplaceAllString(err.Error(), "***"))
		}
		j.Lane, j.Due, j.Deadline, j.Request = checked.Lane, checked.Due, checked.Deadline, checked.Request
	}
	switch {
	case j.ID != "":
	case j.Unique != "":
		j.ID = idOf(j.Unique)
	default:
		j.ID = queue.ID("sqs-" + messageID)
	}
	return j, nil
}
