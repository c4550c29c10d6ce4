package pacer

import (
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
)

// What twilio-go's root package exports, so that a program which imports pacer in its
// place compiles. The types are twilio-go's own, not copies.
type (
	// RestClient is twilio.RestClient.
	RestClient = twilio.RestClient
	// ClientParams is twilio.ClientParams.
	ClientParams = twilio.ClientParams
	// ClientCredentialProvider is twilio.ClientCredentialProvider.
	ClientCredentialProvider = twilio.ClientCredentialProvider
	// Meta is twilio.Meta.
	Meta = twilio.Meta
	// OAuthCredentials is twilio.OAuthCredentials.
	OAuthCredentials = twilio.OAuthCredentials
	// TokenAuth is twilio.TokenAuth.
	TokenAuth = twilio.TokenAuth
	// APIOAuth is twilio.APIOAuth.
	APIOAuth = twilio.APIOAuth
)

// NewAPIOAuth is twilio.NewAPIOAuth.
func NewAPIOAuth(c *client.RequestHandler, creds *OAuthCredentials) *APIOAuth {
	return twilio.NewAPIOAuth(c, creds)
}
