//go:build unix

package redisqueue_test

import "log/slog"

var quiet = slog.New(slog.DiscardHandler)
