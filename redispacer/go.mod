module github.com/twilio-pacer/pacer/redispacer

go 1.26.0

require (
	github.com/redis/go-redis/v9 v9.23.0
	github.com/twilio-pacer/pacer v0.1.0
	github.com/twilio/twilio-go v1.31.0
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/golang/mock v1.6.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/twilio-pacer/pacer => ..
