package pacer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A fetcher asks a source of access tokens, in a goroutine that ends with the answer. All who
// need a token while it runs wait for the same answer, a failure included. The callers'
// contexts end their waits only.
type fetcher struct {
	logs *logs
	get  func(context.Context) (string, error)

	// cancels says that a fetch is cancelled when nobody waits for it any more, so that no
	// goroutine stays behind calls that have ended. It is false for a source that may not be
	// asked twice at a time, and that may not look at its context.
	cancels bool

	mu      sync.Mutex
	running *fetch // nil: none
}

type fetch struct {
	done   chan struct{} // closed when token and err are final
	token  string
	err    error
	cancel context.CancelFunc

	waiting int         // callers; guarded by the fetcher's lock
	alone   *time.Timer // ends a fetch in the background; nil: it is none
}

// aloneFor is how long a fetch in the background may take.
const aloneFor = 30 * time.Second

// do returns what the fetch that runs returns, or one that it begins.
func (f *fetcher) do(ctx context.Context) (string, error) {
	f.mu.Lock()
	r := f.begin(ctx)
	r.waiting++ // from now on the callers decide how long it may take
	f.mu.Unlock()
	defer f.leave(r)
	select {
	case <-r.done:
		return r.token, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// background begins a fetch, unless one runs, and does not wait for it.
func (f *fetcher) background(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.begin(ctx)
	if r.alone == nil && r.waiting == 0 {
		r.alone = time.AfterFunc(aloneFor, func() { f.drop(r) })
	}
}

// begin returns the fetch that runs. f.mu is locked.
func (f *fetcher) begin(ctx context.Context) *fetch {
	if f.running == nil {
		r := &fetch{done: make(chan struct{})}
		ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx)) // its values stay: a tracer's span, a priority
		f.running = r
		go f.run(ctx, r)
	}
	return f.running
}

func (f *fetcher) run(ctx context.Context, r *fetch) {
	r.err = errors.New("the OAuth source has ended its goroutine: expected a token or an error")
	defer func() {
		if p := recover(); p != nil {
			f.logs.logPanic("OAuth source", p)
			r.token, r.err = "", fmt.Errorf("the OAuth source panicked: %s", panicText(p))
		}
		f.mu.Lock()
		if f.running == r {
			f.running = nil
		}
		if r.alone != nil {
			r.alone.Stop()
		}
		f.mu.Unlock()
		r.cancel()
		close(r.done)
	}()
	r.token, r.err = f.get(ctx)
}

// leave ends a caller's wait.
func (f *fetcher) leave(r *fetch) {
	f.mu.Lock()
	r.waiting--
	f.mu.Unlock()
	f.drop(r)
}

// drop cancels a fetch that runs and that nobody waits for. Who comes later begins another,
// and does not get this one's end.
func (f *fetcher) drop(r *fetch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancels && r.waiting == 0 && f.running == r {
		f.running = nil
		r.cancel()
	}
}

// busy reports that a fetch runs. A nil fetcher is not busy.
func (f *fetcher) busy() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running != nil
}
