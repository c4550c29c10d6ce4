package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer/queue"
)

// A message is what "pacer send" sends.
type message struct {
	to, from, service, body string
	key                     string
	priority                string
	in, deadline            time.Duration
	now                     bool
	wait                    time.Duration
}

// sent is what "pacer send --json" prints.
type sent struct {
	ID    queue.ID    `json:"id"` // in the queue; "" with --now
	State queue.State `json:"state"`
	Known bool        `json:"known"` // a request with that key was there already
	SID   string      `json:"sid"`   // of the message; "": it is not sent yet
}

func (a *app) send() *cobra.Command {
	var m message
	cmd := &cobra.Command{
		Use: "send", Short: "Send one message, through the queue or at once", Args: exactly(),
		Long: `Puts one message into the queue, and prints its ID. A worker sends it. With --key the
same message is never queued twice, so that a script may run again.

With --now there is no queue: the message is sent by this process, and its SID printed. If
no answer comes, it may have been sent. The exit code is 4 then.`,
		Example: "  pacer send --queue sqlite:queue.db --to +15555550100 --from +15005550006 --body \"Your table is ready.\" --key table-17\n" +
			"  echo \"Your table is ready.\" | pacer send --now --to +15555550100 --from +15005550006 --body -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := m.check(a.in); err != nil {
				return err
			}
			if m.now {
				return a.sendNow(cmd.Context(), &m)
			}
			return a.withNewQueue(cmd.Context(), func(q *queue.Queue) error { return a.enqueue(cmd.Context(), q, &m) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.to, "to", "", "the receiver's `number`")
	f.StringVar(&m.from, "from", "", "the sender's `number`")
	f.StringVar(&m.service, "messaging-service", "", "the `SID` of a Messaging Service, in place of --from")
	f.StringVar(&m.body, "body", "", "the `text`; - reads it from the standard input")
	f.StringVar(&m.key, "key", "", "a `key` that no other request has, such as order-17-shipped")
	f.StringVar(&m.priority, "priority", "normal", "high, normal or low")
	f.DurationVar(&m.in, "in", 0, "send it that long from now")
	f.DurationVar(&m.deadline, "deadline", 0, "do not send it later than that long from now; 0: no deadline")
	f.BoolVar(&m.now, "now", false, "send it at once, without a queue")
	f.DurationVar(&m.wait, "wait", 0, "wait for that long until it is sent; 0: do not wait")
	return cmd
}

// check completes a message, or says what is missing.
func (m *message) check(in io.Reader) error {
	switch {
	case m.to == "":
		return usage("no receiver: expected --to")
	case (m.from == "") == (m.service == ""):
		return usage("the sender: expected one of --from and --messaging-service")
	case m.body == "":
		return usage("no text: expected --body")
	case m.now && (m.key != "" || m.in != 0 || m.deadline != 0 || m.wait != 0):
		return usage("--now has no queue: expected it without --key, --in, --deadline and --wait")
	}
	if m.body != "-" {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if err != nil {
		return err
	}
	m.body = string(text)
	return nil
}

func (m *message) params() *api.CreateMessageParams {
	p := &api.CreateMessageParams{}
	p.SetTo(m.to).SetBody(m.body)
	if m.service != "" {
		return p.SetMessagingServiceSid(m.service)
	}
	return p.SetFrom(m.from)
}

func (m *message) options(known *bool) ([]queue.EnqueueOption, error) {
	opts := []queue.EnqueueOption{queue.Known(known)}
	switch m.priority {
	case "high":
		opts = append(opts, queue.High)
	case "normal":
	case "low":
		opts = append(opts, queue.Low)
	default:
		return nil, usage("--priority %q: expected high, normal or low", m.priority)
	}
	if m.key != "" {
		opts = append(opts, queue.Unique(m.key))
	}
	if m.in != 0 {
		opts = append(opts, queue.In(m.in))
	}
	if m.deadline != 0 {
		opts = append(opts, queue.Deadline(time.Now().Add(m.deadline)))
	}
	return opts, nil
}

func (a *app) enqueue(ctx context.Context, q *queue.Queue, m *message) error {
	s := sent{State: queue.Ready}
	opts, err := m.options(&s.Known)
	if err != nil {
		return err
	}
	s.ID, err = q.Enqueue(ctx, func(tw *twilio.RestClient) error {
		_, err := tw.Api.CreateMessage(m.params())
		return err
	}, opts...)
	if err != nil {
		return err
	}
	var failed error
	if m.wait > 0 {
		waiting, cancel := context.WithTimeout(ctx, m.wait)
		defer cancel()
		r, err := q.Wait(waiting, s.ID)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		s.State, s.SID, failed = r.State, r.SID, r.Err
	} else if r, err := q.Result(ctx, s.ID); err == nil {
		s.State, s.SID = r.State, r.SID
	}
	if err := a.printSent(&s); err != nil {
		return err
	}
	switch {
	case s.State == queue.InDoubt:
		return fmt.Errorf("%s may have been sent: %w: pacer doubt list", s.ID, errPerson)
	case failed != nil && s.State.Final():
		return failed
	}
	return nil
}

func (a *app) printSent(s *sent) error {
	if a.json {
		return a.printJSON(s)
	}
	known := ""
	if s.Known {
		known = ", which was there already"
	}
	switch {
	case s.ID == "":
		a.say("%s %s", s.State, s.SID)
	case s.SID != "":
		a.say("%s %s%s: %s", s.ID, s.State, known, s.SID)
	default:
		a.say("%s %s%s", s.ID, s.State, known)
	}
	return nil
}
