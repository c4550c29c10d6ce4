// Package client_test is what TestClientTests adds to twilio-go's tests of its
// package client, in a copy of them, so that their requests go through pacer.
// Here it is only compiled and vetted.
package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	// The copied tests need it; named here for go.mod.
	_ "github.com/stretchr/testify/assert"
	_ "github.com/stretchr/testify/require"
	"github.com/twilio/twilio-go/client"

	"github.com/twilio-pacer/pacer"
)

// A Client takes the place of twilio-go's client.Client in the copied tests. It has
// the same fields, and all that a client.BaseClient does is done by pacer.
type Client client.Client

var _ client.BaseClient = (*Client)(nil)

var paced = struct {
	sync.Mutex
	of map[*Client]client.BaseClient
}{of: map[*Client]client.BaseClient{}}

func (c *Client) paced() client.BaseClient {
	paced.Lock()
	defer paced.Unlock()
	p, ok := paced.of[c]
	if !ok {
		made, err := pacer.New(pacer.ClientParams{Client: (*client.Client)(c)}, pacer.WithObserver(report))
		if err != nil {
			panic(err)
		}
		p = made.RequestHandler.Client
		paced.of[c] = p
	}
	return p
}

// report adds a line for each finished call to the file that TestClientTests counts.
func report(_ context.Context, e pacer.Event) {
	if e.Kind != pacer.EventDone {
		return
	}
	f, err := os.OpenFile(os.Getenv("PACER_COMPAT_CALLS"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := fmt.Fprintf(f, "%s %d\n", e.Resource, e.Status); err != nil {
		panic(err)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
}

func (c *Client) SendRequest(method, rawURL string, data url.Values, headers map[string]any, body ...byte) (*http.Response, error) {
	return c.paced().SendRequest(method, rawURL, data, headers, body...)
}

func (c *Client) SetTimeout(timeout time.Duration) { c.paced().SetTimeout(timeout) }
func (c *Client) SetOauth(source client.OAuth)     { c.paced().SetOauth(source) }
func (c *Client) OAuth() client.OAuth              { return c.paced().OAuth() }
func (c *Client) AccountSid() string               { return c.paced().AccountSid() }

// SetAccountSid is not a BaseClient's.
func (c *Client) SetAccountSid(sid string) { (*client.Client)(c).SetAccountSid(sid) }
