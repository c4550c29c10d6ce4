//go:build !unix

package main

import "testing"

func redisServer(t *testing.T) string {
	t.Helper()
	t.Skip("SKIP: no Redis is started here")
	return ""
}
