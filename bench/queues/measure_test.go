package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// An engine's file can be opened again, keeps what was added, and has nothing to claim
// when all has been claimed.
func TestStores(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a file's name?.db")
			must(t, withStore(t.Context(), e, path, func(s store) error {
				return errors.Join(s.addMany(t.Context(), messages(0, 2, 1)), s.add(t.Context(), messages(2, 1, 1)[0]))
			}))
			must(t, withStore(t.Context(), e, path, func(s store) error {
				if n, err := s.unfinished(t.Context()); n != 3 || err != nil {
					t.Errorf("%d unfinished, %v, expected 3", n, err)
				}
				for range 3 {
					must(t, s.claim(t.Context(), sender(0)))
				}
				if err := s.claim(t.Context(), sender(0)); !errors.Is(err, errNothingWaits) {
					t.Errorf("fourth claim: %v, expected that nothing waits", err)
				}
				return nil
			}))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessagesAreOfOneLengthAndTakeTurns(t *testing.T) {
	ms := messages(7, 4, 3)
	for i, want := range []string{sender(1), sender(2), sender(0), sender(1)} {
		if ms[i].From != want || len(ms[i].Body) != bodyLength || i > 0 && ms[i].Body == ms[i-1].Body {
			t.Errorf("message %d is %+v, expected one of %s, of %d bytes", i, ms[i], want, bodyLength)
		}
	}
}

// forgetful is a store whose worker sends each message a number of times.
type forgetful struct {
	waiting []message
	times   int
	left    atomic.Int64
}

func (f *forgetful) add(context.Context, message) error { return nil }
func (f *forgetful) addMany(_ context.Context, ms []message) error {
	f.waiting = append(f.waiting, ms...)
	f.left.Add(int64(len(ms)))
	return nil
}
func (f *forgetful) work(ctx context.Context, transport http.RoundTripper) error {
	if f.times == 0 {
		return errors.New("no way")
	}
	rest := plainClient(ctx, transport)
	for _, m := range f.waiting {
		for range f.times {
			if err := m.create(rest); err != nil {
				return err
			}
		}
		f.left.Add(-1)
	}
	<-ctx.Done()
	return nil
}
func (f *forgetful) unfinished(context.Context) (int, error) { return int(f.left.Load()), nil }
func (f *forgetful) claim(context.Context, string) error     { return errNothingWaits }
func (f *forgetful) close() error                            { return nil }

func TestWorkThatIsNotDoneOnceIsNoFigure(t *testing.T) {
	for times, want := range map[int]string{
		0: "the worker has ended by itself\nno way",
		1: "",
		2: "of 120 messages 240 were sent, 120 of them again",
	} {
		var to row
		err := (&run{amounts: tiny}).workOff(t.Context(), &forgetful{times: times}, &to)
		if got := errorText(err); got != want || (len(to.Work) > 0) != (want == "") {
			t.Errorf("sent %d times: error is %q, expected %q; figures are %v", times, got, want, to.Work)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimSpace(err.Error())
}
