module github.com/twilio-pacer/pacer

go 1.25.0

require (
	github.com/cenkalti/backoff/v4 v4.3.0
	github.com/twilio/twilio-go v1.31.0
	golang.org/x/time v0.15.0
)

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/golang/mock v1.6.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
)
