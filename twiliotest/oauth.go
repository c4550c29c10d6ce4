package twiliotest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// A token is what is known of an OAuth token that the Fake issued.
type token struct {
	account string
	expires time.Time
}

// authorize checks a request's credentials and sets its account if the path
// did not. Credentials may be used for any account in the path, as a parent's
// may for its sub-accounts.
func (f *Fake) authorize(in *inbound) bool {
	account, ok := f.credentials(in)
	if in.req.Account == "" {
		in.req.Account = account
	}
	return ok
}

func (f *Fake) credentials(in *inbound) (account string, ok bool) {
	if bearer, is := strings.CutPrefix(in.auth, "Bearer "); is {
		t, issued := f.tokens[bearer]
		if !issued {
			return AccountSid, false
		}
		return t.account, time.Now().Before(t.expires)
	}
	r := http.Request{Header: http.Header{"Authorization": {in.auth}}}
	user, password, _ := r.BasicAuth()
	account = AccountSid
	if strings.HasPrefix(user, "AC") {
		account = user
	}
	return account, f.accepts(user, password)
}

func (f *Fake) accepts(user, password string) bool {
	if f.cfg.Credentials == nil {
		return user != "" && password != ""
	}
	want, known := f.cfg.Credentials[user]
	return known && want == password
}

// FailTokens makes the next n requests for an OAuth token fail with 401 and
// code 20003. For other statuses use a [Fault] that matches Product "oauth".
func (f *Fake) FailTokens(n int) {
	notNegative("n of FailTokens", n)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failTokens = n
}

func (f *Fake) tokenAccount(in *inbound) string {
	if sid := in.req.Form.Get("account_sid"); sid != "" {
		return sid
	}
	return AccountSid
}

// issueToken answers POST oauth.twilio.com/v2/token, which needs no
// Authorization: the credentials are in the form.
func (f *Fake) issueToken(in *inbound) *answer {
	form := in.req.Form
	switch {
	case f.failTokens > 0:
		f.failTokens--
		return f.failure(in, http.StatusUnauthorized, 20003, "Authenticate")
	case form.Get("grant_type") == "":
		return f.failure(in, http.StatusBadRequest, 20001, "Missing required parameter grant_type in the post body")
	case !f.accepts(form.Get("client_id"), form.Get("client_secret")):
		return f.failure(in, http.StatusUnauthorized, 20003, "Authenticate")
	}
	now := time.Now()
	for old, t := range f.tokens {
		if !now.Before(t.expires) {
			delete(f.tokens, old)
		}
	}
	t := token{account: f.tokenAccount(in), expires: now.Add(f.cfg.TokenTTL)}
	jwt := f.signed(t, now, f.newSID("JT"))
	f.tokens[jwt] = t
	return success(http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}{jwt, "Bearer", int64(f.cfg.TokenTTL / time.Second)})
}

// signed makes a JWT (RFC 7519, HS256). Its times are whole seconds, so that a
// token can be accepted for up to a second after its claim exp.
func (f *Fake) signed(t token, now time.Time, id string) string {
	claims := struct {
		Subject string `json:"sub"`
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
		ID      string `json:"jti"`
	}{t.account, f.byClock(now).Unix(), f.byClock(t.expires).Unix(), id}
	enc := base64.RawURLEncoding
	s := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(mustJSON(claims))
	mac := hmac.New(sha256.New, []byte("twiliotest"))
	mac.Write([]byte(s))
	return s + "." + enc.EncodeToString(mac.Sum(nil))
}
