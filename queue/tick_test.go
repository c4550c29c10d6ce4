package queue_test

import (
	"time"

	"github.com/twilio-pacer/pacer/queue/internal/engine"
)

// Each test here has its store for itself. The workers of many of them are idle for an hour of virtual time.
func init() { engine.Tick = time.Second }
