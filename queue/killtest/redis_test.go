//go:build unix

package main

import (
	"strings"
	"testing"

	"github.com/twilio-pacer/pacer/internal/redistest"
)

func TestKillRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts and kills processes, for 20 s")
	}
	redistest.Need(t)
	var stdout, stderr strings.Builder
	if code := command(t.Context(), []string{"-kills", "5", "-messages", "200", "-engine", "redis"}, &stdout, &stderr); code != 0 {
		t.Errorf("exit code %d\n%s\n%s", code, &stdout, &stderr)
	}
}
