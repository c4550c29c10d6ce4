package pacer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twilio/twilio-go/client"
	oauth "github.com/twilio/twilio-go/rest/oauth/v2"
)

// A tokenSource fetches access tokens for a ClientCredentialProvider, and keeps the last one
// until shortly before it expires. Before that, while requests are sent, it fetches the next
// one in the background. It is safe for concurrent use.
type tokenSource struct {
	credentials ClientCredentialProvider
	sender      func(context.Context) client.BaseClient // sends the request for a token, which carries none
	logs        *logs
	fetches     fetcher

	mu    sync.Mutex
	token string    // "": none
	until time.Time // the token is used until then
	renew time.Time // from then on the next one is fetched in the background: the last fifth, at most 5 minutes
	tried time.Time // when that was begun last; zero: not yet
}

// renewPause is the least time between two fetches in the background.
const renewPause = 10 * time.Second

const tokenSourceText = "pacer: OAuth (not shown)"

// String says what it is, without what is secret. So do Format, MarshalText and LogValue.
func (s *tokenSource) String() string { return tokenSourceText }

// Format implements fmt.Formatter, for every verb.
func (s *tokenSource) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokenSourceText) }

// MarshalText implements encoding.TextMarshaler, which JSON uses, too.
func (s *tokenSource) MarshalText() ([]byte, error) { return []byte(tokenSourceText), nil }

// LogValue implements slog.LogValuer.
func (s *tokenSource) LogValue() slog.Value { return slog.StringValue(tokenSourceText) }

// GetAccessToken implements client.OAuth.
func (s *tokenSource) GetAccessToken(ctx context.Context) (string, error) {
	if token, ok := s.usable(ctx); ok {
		return token, nil
	}
	return s.fetches.do(ctx)
}

// usable returns the token in hand, if it is valid. It begins to fetch the next one in the
// background when this one is soon to expire.
func (s *tokenSource) usable(ctx context.Context) (string, bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" || reached(s.until, now) {
		return "", false
	}
	if reached(s.renew, now) && now.Sub(s.tried) >= renewPause {
		s.tried = now
		s.fetches.background(ctx)
	}
	return s.token, true
}

// reached reports that t has come, by the monotonic clock or by the wall clock. The former
// stands still while a machine is suspended, the latter may be set back.
func reached(t, now time.Time) bool {
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// fetch asks Twilio for a token. The request is paced and retried as any other, but
// carries no token.
func (s *tokenSource) fetch(ctx context.Context) (string, error) {
	now := time.Now()
	s.mu.Lock()
	token, fresh := s.token, s.token != "" && !reached(s.renew, now)
	s.mu.Unlock()
	if fresh {
		return token, nil // another fetch has ended just now
	}
	handler := client.NewRequestHandler(s.sender(ctx))
	params := (&oauth.CreateOauth2TokenParams{}).
		SetGrantType(s.credentials.GrantType).
		SetClientId(s.credentials.ClientId).
		SetClientSecret(s.credentials.ClientSecret)
	answer, err := oauth.NewApiService(handler).CreateOauth2Token(params)
	if err == nil && (answer.AccessToken == nil || *answer.AccessToken == "") {
		err = errors.New("the answer of Twilio's token endpoint has no access_token")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.token != "" && ctx.Err() == nil { // nobody may be waiting for it
			s.logs.log().Warn("pacer: the next access token could not be fetched, the present one is used until it expires", "until", s.until, "error", shownError(err))
		}
		return "", err
	}
	s.token = *answer.AccessToken
	var life time.Duration
	if answer.ExpiresIn != nil {
		life = time.Duration(min(*answer.ExpiresIn, 1<<30)) * time.Second
	}
	s.until = usableUntil(s.token, life, now)
	if !s.until.After(now) { // by this machine's clock, which is wrong: Twilio has issued it just now
		s.until = usableUntil("", 0, now)
	}
	s.renew, s.tried = s.until.Add(-min(s.until.Sub(now)/5, 5*time.Minute)), time.Time{}
	return s.token, nil
}

// forget drops a token that Twilio no longer takes.
func (s *tokenSource) forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}

// usableUntil returns until when a token that was fetched at now is used: its life less
// a tenth, at most 30 s, for the request's way. Its life is what the token endpoint
// says, else the token's exp claim; a token that says nothing is used for a minute.
func usableUntil(token string, life time.Duration, now time.Time) time.Time {
	if life <= 0 {
		life = time.Minute
		if parts := strings.Split(token, "."); len(parts) == 3 {
			var claims struct {
				Exp float64 `json:"exp"`
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
			if err == nil && json.Unmarshal(payload, &claims) == nil && claims.Exp > 0 && claims.Exp < 1<<40 {
				life = time.Unix(int64(claims.Exp), 0).Sub(now)
			}
		}
	}
	return now.Add(life - min(life/10, 30*time.Second))
}
