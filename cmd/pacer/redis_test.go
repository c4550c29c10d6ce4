//go:build unix

package main

import (
	"testing"

	"github.com/twilio-pacer/pacer/internal/redistest"
)

// redisServer starts a Redis, and returns its address.
func redisServer(t *testing.T) string {
	t.Helper()
	redistest.Need(t)
	return "redis://" + redistest.For(t).Addr + "/0"
}
