package queue

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A store that is away fails many times a second, and the log tells of it now and then.
func TestTroubleThatLastsIsLoggedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		n := &notifier{logger: slog.New(slog.NewTextHandler(&text, nil))}
		loop := &trouble{n: n, kind: AlertStore, what: "the loop", raised: time.Now()}
		for range 10 * 60 {
			loop.failed(t.Context(), errors.New("away"))
			time.Sleep(100 * time.Millisecond)
		}
		if lines := strings.Count(text.String(), "the loop fails"); lines != 4 {
			t.Errorf("%d lines in a minute, expected three at once, and one after half a minute:\n%s", lines, &text)
		}
	})
}
