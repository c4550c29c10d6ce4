package queue_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// However many requests are in doubt, each is decided in its turn: there is no number
// above which nothing is.
func TestTwentyThousandInDoubtAreDecided(t *testing.T) {
	if testing.Short() || slower > 1 {
		t.Skip("takes a minute: run without -short and -race")
	}
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		const n = 20_500
		w.moved(n, queue.Move{To: queue.InDoubt, LookIn: -1}, strconv.Itoa)
		w.work(w.client(unlimited))
		for range 600 {
			time.Sleep(time.Second)
			left := 0
			for range w.q.List(t.Context(), queue.Filter{States: []queue.State{queue.InDoubt}}) {
				left++
			}
			if left <= n-1000 {
				return
			}
		}
		t.Error("after ten minutes fewer than 1,000 are decided")
	})
}
