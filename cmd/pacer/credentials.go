package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// This file reads credentials from a file, so that they can be rotated while the worker runs.

// A secret is what a file of credentials says. It must not be printed.
type secret struct{ user, password string }

const maxCredentials = 4 << 10

// readCredentials reads a file that has the account's auth token alone, or an API key's SID and the key's secret,
// with white space between them. No error shows what is in it.
func readCredentials(path, account string) (secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
	if err != nil {
		return secret{}, err
	}
	switch words := strings.Fields(string(data)); {
	case len(data) > maxCredentials:
	case len(words) == 1:
		return secret{account, words[0]}, nil
	case len(words) == 2:
		return secret{words[0], words[1]}, nil
	}
	return secret{}, fmt.Errorf("%s: no credentials: expected the auth token alone, or an API key's SID and its secret", path)
}

// accountSID returns the account's SID of the flags or the environment.
func (a *app) accountSID() string { return cmp.Or(a.account, os.Getenv("TWILIO_ACCOUNT_SID")) }

// credentialsPath returns the file of credentials; "": there is none.
func (a *app) credentialsPath() string {
	return cmp.Or(a.credentialsFile, os.Getenv("PACER_CREDENTIALS_FILE"))
}

// credentialsFrom tells others where a worker's credentials come from.
func (a *app) credentialsFrom() queue.WorkerOption {
	path := a.credentialsPath()
	if path == "" {
		return queue.WithCredentialsFrom("TWILIO_AUTH_TOKEN", false)
	}
	return queue.WithCredentialsFrom(absolute(path), true)
}

// absolute is a path that means the same in another folder.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// params returns whom a client sends as.
func (a *app) params() (pacer.ClientParams, error) {
	path := a.credentialsPath()
	if path == "" {
		return pacer.ClientParams{Username: a.account}, nil
	}
	s, err := readCredentials(path, a.accountSID())
	if err != nil {
		return pacer.ClientParams{}, err
	}
	return pacer.ClientParams{Username: s.user, Password: s.password, AccountSid: a.accountSID()}, nil
}

// A rotation gives a client the credentials of a file, whenever they have changed and Twilio takes them.
type rotation struct {
	a       *app
	path    string
	client  *pacer.Client
	q       *queue.Queue
	refuse  func(queue.Refusal) // tells others
	log     *slog.Logger
	now     secret // in force
	refused secret // that Twilio has refused last
	said    string // the error that was logged last; "": none
	next    time.Time
}

const (
	credentialsEvery = time.Second      // between two looks at the file
	credentialsAgain = 10 * time.Second // after Twilio could not be asked
)

// rotate reads the file each second, and at once with each SIGHUP, until ctx ends.
func (a *app) rotate(ctx context.Context, c *pacer.Client, q *queue.Queue, refuse func(queue.Refusal), log *slog.Logger) {
	r := &rotation{a: a, path: a.credentialsPath(), client: c, q: q, refuse: refuse, log: log}
	if r.path == "" {
		return
	}
	r.now, _ = readCredentials(r.path, a.accountSID()) // if it is gone since the start, look says so
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(credentialsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			r.refused, r.said, r.next = secret{}, "", time.Time{}
		case <-tick.C:
		}
		r.look(ctx)
	}
}

// look takes over what the file says, if it is new and Twilio takes it.
func (r *rotation) look(ctx context.Context) {
	s, err := readCredentials(r.path, r.a.accountSID())
	switch {
	case err != nil:
		r.keep(err)
		return
	case s == r.now:
		r.takes(s)
		return
	case s == r.refused, time.Now().Before(r.next):
		return
	}
	switch wrong, err := r.a.try(ctx, s); {
	case ctx.Err() != nil:
		return
	case wrong:
		r.refused, r.said = s, "" // others than before, also if the error is the same
		r.keep(refusal(err))
		return
	case err != nil:
		r.next = time.Now().Add(credentialsAgain)
		r.keep(fmt.Errorf("new ones are there, and Twilio cannot be asked about them now: it is asked again: %w", err))
		return
	}
	if err := r.client.SetCredentials(s.user, s.password); err != nil {
		r.refused = s
		r.keep(err)
		return
	}
	r.takes(s)
	r.log.Info("pacer worker: new credentials are in force", "file", r.path)
	r.release(ctx)
}

// refusal says in few words that Twilio does not take credentials, as its own text is long and says no more.
func refusal(err error) error {
	fact := pacer.AttemptOf(err)
	switch {
	case fact.Code != 0:
		return fmt.Errorf("they are not taken by Twilio (code %d)", fact.Code)
	case fact.Status == http.StatusUnauthorized:
		return errors.New("they are not taken by Twilio")
	}
	return fmt.Errorf("they cannot be used: %w", err)
}

// takes says that the file's credentials are in force.
func (r *rotation) takes(s secret) {
	if r.said != "" {
		r.refuse(queue.Refusal{What: queue.RefusedCredentials})
	}
	r.now, r.refused, r.said = s, secret{}, ""
}

// keep says, once, that the credentials stay as they were.
func (r *rotation) keep(err error) {
	text := pacer.MaskNumbers(err.Error())
	if text == r.said {
		return
	}
	r.said = text
	r.refuse(queue.Refusal{What: queue.RefusedCredentials, From: absolute(r.path), Time: time.Now(), Why: text})
	r.log.Error("pacer worker: the credentials stay as they were", "file", r.path, "error", text)
}

// try asks Twilio, with one free request, whether it takes credentials. wrong: it does not. Any other error
// leaves that open.
func (a *app) try(ctx context.Context, s secret) (wrong bool, err error) {
	opts := []pacer.Option{pacer.WithMaxRetries(0), pacer.WithLogger(slog.New(slog.DiscardHandler)), pacer.WithLimits(nil)}
	if base := cmp.Or(a.baseURL, os.Getenv("PACER_BASE_URL")); base != "" {
		opts = append(opts, pacer.WithBaseURL(base))
	}
	c, err := pacer.New(pacer.ClientParams{Username: s.user, Password: s.password, AccountSid: a.accountSID()}, opts...)
	if err != nil {
		return true, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	// A list of messages, since a key may be allowed to do no more than the worker does.
	_, err = c.WithContext(ctx).Api.PageMessage((&api.ListMessageParams{}).SetPageSize(1), "", "")
	const permission = 70051 // of a key that is known: https://www.twilio.com/docs/api/errors/70051
	switch fact := pacer.AttemptOf(err); {
	case err == nil, fact.Status == http.StatusForbidden, fact.Code == permission:
		return false, nil // Twilio knows them: it is another matter what they may do
	case fact.Status == http.StatusUnauthorized, fact.Status == http.StatusBadRequest: // by twilio-go: not even well formed
		return true, err
	}
	return false, err
}

// release ends the hold of an account that Twilio had refused, as with these credentials it may not.
func (r *rotation) release(ctx context.Context) {
	holds, err := r.q.Holds(ctx)
	account := pacer.Resource{Account: r.a.accountSID()}
	for _, h := range holds {
		if h.Resource == account && h.Reason == queue.HoldUnauthorized {
			err = r.q.EndHold(ctx, account)
		}
	}
	if err != nil && !errors.Is(err, queue.ErrNotHeld) && ctx.Err() == nil {
		r.log.Warn("pacer worker: the account's hold was not ended, and ends by itself within a minute", "error", err)
	}
}
