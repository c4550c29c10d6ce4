package storm

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A Dial makes a client above a transport. What it returns makes one call, and ends when ctx does.
type Dial func(ctx context.Context, transport http.RoundTripper, told float64) (send func(*Call) error)

// Run puts a client into a scene, in the bubble of testing/synctest that it is called in. It returns when all of its
// goroutines have ended.
func Run(scene *Scene, seed uint64, dial Dial) Result {
	ctx, cancel := context.WithCancel(context.Background())
	srv := newServer(scene, seed)
	send := dial(ctx, srv, scene.Told)
	var wg sync.WaitGroup
	for i := range scene.Streams {
		wg.Go(func() { scene.Streams[i].run(ctx, srv, send) })
	}
	for now := time.Duration(0); now < scene.End; {
		now = min(now+5*time.Second, scene.End)
		time.Sleep(time.Until(srv.start.Add(now)))
		if now >= scene.Measured.To && now >= scene.Trouble.To {
			srv.mu.Lock()
			recovered := srv.record.allRecovered(now)
			srv.mu.Unlock()
			if recovered {
				break
			}
		}
	}
	srv.mu.Lock()
	srv.ended = true
	srv.record.possible = scene.Possible() // now with the luck of this run
	res := srv.record.result(srv.now())
	srv.mu.Unlock()
	cancel()
	wg.Wait()
	time.Sleep(time.Second) // in which what clients tell a store in the background ends
	return res
}
