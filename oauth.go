package pacer

import (
	"context"
	"errors"
	"time"

	"github.com/twilio/twilio-go/client"
)

// Twilio-go's client, used by several goroutines, loses its credentials while it fetches an OAuth
// token. It ignores a failure to fetch the token, and uses it for 30 s after it has expired. Here each attempt gets a token of its own before it is sent.

// auth is where access tokens come from.
type auth struct {
	source client.OAuth
	pacers *tokenSource // the source, if it is pacer's; nil: it is not
	shared *fetcher     // asks a source that is not safe for concurrent use; nil: not needed
}

// authOf returns where tokens come from, for a source that is not nil.
func authOf(source client.OAuth, logs *logs) *auth {
	a := &auth{source: source}
	switch source := source.(type) {
	case *tokenSource:
		a.pacers = source
	case *APIOAuth:
		a.shared = &fetcher{logs: logs, get: source.GetAccessToken}
	}
	return a
}

func tokenOf(token string, err error) (string, error) {
	if err == nil && token == "" {
		err = errors.New("the OAuth source returned an empty token: expected a token or an error")
	}
	return token, err
}

// ask returns a function that returns a token. Its wait ends with its argument. ctx is the
// context of the call, for a source that makes a difference between calls.
func (a *auth) ask(ctx context.Context, logs *logs) func(context.Context) (string, error) {
	switch {
	case a.pacers != nil:
		return a.pacers.GetAccessToken
	case a.shared != nil:
		return a.shared.do
	}
	f := &fetcher{logs: logs, get: func(context.Context) (string, error) { return a.source.GetAccessToken(ctx) }}
	return f.do
}

// foreignPatience is how long a source that is not pacer's may take to return the token that it has.
// The call has a permit meanwhile.
const foreignPatience = 10 * time.Millisecond

// atOnce returns a token that is in hand. inTime is false if there is none.
func (a *auth) atOnce(ctx context.Context, ask func(context.Context) (string, error)) (token string, inTime bool, err error) {
	if a.pacers != nil {
		token, inTime = a.pacers.usable(ctx)
		return token, inTime, nil
	}
	short, cancel := context.WithTimeout(ctx, foreignPatience)
	defer cancel()
	token, err = tokenOf(ask(short))
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return "", false, nil
	}
	return token, true, err
}
