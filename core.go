package pacer

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/twilio/twilio-go/client"
)

// A core is what the calls of one [Client] have in common.
type core struct {
	cfg    *config
	err    error // of the constructor; returned by every call
	base   client.BaseClient
	twilio *client.Client // base, if it is twilio-go's own; nil: a black box

	narrow   narrow
	provided bool   // with a ClientCredentialProvider, which has no account SID
	user     string // ClientParams.Username beside a BaseClient of the program's own
	auth     atomic.Pointer[auth]
	replaced atomic.Pointer[client.Credentials] // by SetCredentials; nil: those of twilio are in force
	timeout  atomic.Int64                       // as set by SetTimeout; below 0: that of the http.Client
}

// setTimeout is [Client.SetTimeout].
func (c *core) setTimeout(timeout time.Duration) {
	if c.twilio == nil {
		c.base.SetTimeout(timeout)
	}
	c.timeout.Store(max(0, int64(timeout)))
}

// credentials returns those in force, beside a token; nil: there are none.
func (c *core) credentials() *client.Credentials {
	if replaced := c.replaced.Load(); replaced != nil {
		return replaced
	}
	return c.twilio.Credentials
}

// setOauth is [Client.SetOauth].
func (c *core) setOauth(source client.OAuth) {
	switch {
	case c.twilio == nil:
		c.base.SetOauth(source)
	case source == nil:
		c.auth.Store(nil)
	default:
		c.auth.Store(authOf(source, &c.cfg.logs))
	}
}

// oauth is [Client.OAuth].
func (c *core) oauth() client.OAuth {
	if c.twilio == nil {
		return c.base.OAuth()
	}
	if a := c.auth.Load(); a != nil {
		return a.source
	}
	return nil
}

// authFor returns where the token for a request of r comes from; nil: it needs none. The
// request for a token itself needs none, whoever sends it.
func (c *core) authFor(r Resource) *auth {
	if c.twilio == nil || (r.Product == "oauth" && r.Name == "token") {
		return nil
	}
	return c.auth.Load()
}

// rejected takes in that Twilio has answered a token with 401: the next request fetches another.
func (c *core) rejected(token string) {
	if a := c.auth.Load(); a != nil && a.pacers != nil && token != "" {
		a.pacers.forget(token)
	}
}

// charged returns the SID of the account that Twilio charges for requests whose paths have
// none: that of the credentials. For an API key and for OAuth it is the AccountSid, as
// nothing else is known. It may change while the client is in use.
func (c *core) charged() string {
	user := c.user
	if c.twilio != nil {
		user = ""
		if in := c.credentials(); in != nil && c.auth.Load() == nil {
			user = in.Username
		}
	}
	if strings.HasPrefix(user, "AC") {
		return user
	}
	return c.base.AccountSid()
}
