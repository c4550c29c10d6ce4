package pacer

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/twilio/twilio-go/client"
)

// The environment variables that twilio-go takes credentials from.
const (
	envAccountSid = "TWILIO_ACCOUNT_SID"
	envAuthToken  = "TWILIO_AUTH_TOKEN"
)

// A setting is a value with the name of the field or variable that it comes from.
type setting struct{ name, value string }

// fieldOr returns the field, or, if that is empty, the variable: as twilio-go does.
func fieldOr(field, value, variable string) setting {
	if value == "" {
		return setting{variable, os.Getenv(variable)}
	}
	return setting{field, value}
}

// checkCredentials refuses, when the client is made, what Twilio would refuse for each call.
// It accepts everything where ClientParams.Client is set: the credentials are in there.
func checkCredentials(params ClientParams) error {
	account := setting{"ClientParams.AccountSid", params.AccountSid}
	if p := params.ClientCredentialProvider; p != nil {
		return errors.Join(checkProvider(p), account.checkAccount())
	}
	if params.Client != nil {
		return nil
	}
	user := fieldOr("ClientParams.Username", params.Username, envAccountSid)
	password := fieldOr("ClientParams.Password", params.Password, envAuthToken)
	var errs []error
	switch {
	case user.value == "":
		errs = append(errs, fmt.Errorf("pacer: %s is not set, and ClientParams.Username is empty: expected an account SID, AC and 32 hex digits, in one of them", envAccountSid), account.checkAccount())
	case account.value == "" || strings.HasPrefix(user.value, "AC"): // it stands in the paths, unless there is an AccountSid
		errs = append(errs, user.checkAccount(), account.checkAccount())
	default: // an API key
		errs = append(errs, user.checkVisible("an API key's SID"), account.checkAccount())
	}
	if password.value == "" {
		errs = append(errs, fmt.Errorf("pacer: %s is not set, and ClientParams.Password is empty: expected the account's auth token, or the API key's secret, in one of them", envAuthToken))
	} else {
		errs = append(errs, password.checkVisible("an auth token or an API key's secret"))
	}
	return errors.Join(errs...)
}

func checkProvider(p *ClientCredentialProvider) error {
	var errs []error
	for _, s := range []setting{{"GrantType", p.GrantType}, {"ClientId", p.ClientId}, {"ClientSecret", p.ClientSecret}} {
		s.name = "ClientParams.ClientCredentialProvider." + s.name
		if s.value == "" {
			errs = append(errs, fmt.Errorf("pacer: %s: empty: expected that of an OAuth app at Twilio", s.name))
		}
		errs = append(errs, s.checkVisible("that of an OAuth app at Twilio"))
	}
	return errors.Join(errs...)
}

// checkAccount is an error if the setting has a value that is no account SID. Letters pass
// where Twilio has hex digits: made-up SIDs in tests and in twilio-go's README have them.
func (s setting) checkAccount() error {
	other := func(r rune) bool {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	if s.value == "" || len(s.value) == 34 && strings.HasPrefix(s.value, "AC") && !strings.ContainsFunc(s.value, other) {
		return nil
	}
	if err := s.checkVisible("an account SID, AC and 32 hex digits"); err != nil {
		return err
	}
	advice := ""
	if strings.HasPrefix(s.value, "SK") {
		advice = "; an API key belongs in ClientParams.Username, its secret in Password, and the SID of its account in AccountSid"
	}
	return fmt.Errorf("pacer: %s: %s: expected an account SID, AC and 32 hex digits%s", s.name, s.shown(), advice)
}

// checkVisible is an error if the setting has a character that cannot be seen. Such a character may
// be the end of a line in the file that it was read from.
func (s setting) checkVisible(expected string) error {
	if i := strings.IndexFunc(s.value, func(r rune) bool { return r <= ' ' || !unicode.IsGraphic(r) || unicode.IsSpace(r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s.value[i:])
		return fmt.Errorf("pacer: %s: %s, with U+%04X as character %d: expected %s, without white space", s.name, s.shown(), r, 1+utf8.RuneCountInString(s.value[:i]), expected)
	}
	return nil
}

// SetCredentials replaces the credentials while the client is in use. Attempts that begin later have
// the new ones, also those of calls that wait already. username is the client's account SID, or the SID of an
// API key of that account; password is the auth token, or the key's secret. The account that stands in
// paths does not change.
//
// An error changes nothing. It is for what Twilio would refuse anyway, and for another account's SID. It is
// also for a client that has OAuth or a BaseClient of the program's own. Twilio is not asked: to know
// whether it takes them, make a request with another client first. SetCredentials is safe for concurrent use.
func (c *Client) SetCredentials(username, password string) error {
	if c.twilio == nil || c.auth.Load() != nil {
		return errors.New("pacer: SetCredentials: the client has none: expected one of New, without OAuth or a BaseClient of your own")
	}
	user, secret := setting{"SetCredentials: username", username}, setting{"SetCredentials: Password", password}
	var errs []error
	switch {
	case strings.HasPrefix(username, "AC") && username != c.charged():
		errs = append(errs, errors.New("pacer: SetCredentials: another account: expected the client's own account SID, or an API key of it"))
	case username == "":
		errs = append(errs, errors.New("pacer: SetCredentials: username: empty: expected the client's account SID, or an API key of it"))
	default:
		errs = append(errs, user.checkVisible("an account SID, or an API key's SID"))
	}
	if password == "" {
		errs = append(errs, errors.New("pacer: SetCredentials: password: empty: expected an auth token, or an API key's secret"))
	}
	errs = append(errs, secret.checkVisible("an auth token, or an API key's secret"))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.replaced.Store(client.NewCredentials(username, password))
	return nil
}

// shown is the value for an error. It may be a secret in the wrong place.
func (s setting) shown() string {
	runes := []rune(s.value)
	if strings.HasSuffix(s.name, "AUTH_TOKEN") || strings.HasSuffix(s.name, "Password") || strings.HasSuffix(s.name, "Secret") {
		return fmt.Sprintf("%d characters, not shown", len(runes))
	}
	if len(runes) <= 2 {
		return fmt.Sprintf("%q", s.value)
	}
	return fmt.Sprintf("%q... (%d characters)", string(runes[:2]), len(runes))
}
