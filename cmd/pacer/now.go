package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// sendNow sends a message without a queue.
func (a *app) sendNow(ctx context.Context, m *message) (err error) {
	c, stop, err := a.newClient(a.log())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	msg, err := c.WithContext(ctx).Api.CreateMessage(m.params())
	if err != nil {
		if pacer.InDoubt(err) {
			return fmt.Errorf("it may have been sent: %w: %w", errPerson, err)
		}
		return err
	}
	s := sent{State: queue.Sent}
	if msg.Sid != nil {
		s.SID = *msg.Sid
	}
	return a.printSent(&s)
}
