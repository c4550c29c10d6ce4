// Context shows how calls end early. A deadline that cannot be met is refused at once.
// A wait can be cancelled. An HTTP handler passes its request's context on. In all
// three cases pacer says for certain that nothing was sent.
//
//	go run ./examples/context
//
// It talks to a fake Twilio in memory and needs no account.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

func main() {
	fmt.Println("How calls end early: deadlines, cancellation, and an HTTP handler.")
	fmt.Println("The limit is 1 message a second, so that every call but the first has to wait for its turn.")
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "context:", err)
		os.Exit(1)
	}
}

func run() error {
	fake := twiliotest.New(twiliotest.Config{}) // limits nothing: the pace is pacer's
	tw, err := pacer.New(
		pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()), // without this line: Twilio itself
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 1}}),
	)
	if err != nil {
		return err
	}

	if err := deadline(tw); err != nil {
		return err
	}
	if err := cancellation(tw); err != nil {
		return err
	}
	if err := handler(tw); err != nil {
		return err
	}
	fmt.Printf("\nTwilio got %d messages, %d of them twice; %d were reported as sent.\n",
		len(fake.Messages()), len(fake.Duplicates()), sent.Load())
	return nil
}

var sent atomic.Int64 // calls that returned no error

// send is all that a program needs: WithContext, and twilio-go's own call.
func send(ctx context.Context, tw *pacer.Client, body string) error {
	params := &api.CreateMessageParams{}
	params.SetFrom("+15005550006")
	params.SetTo("+15555550100")
	params.SetBody(body)
	_, err := tw.WithContext(ctx).Api.CreateMessage(params)
	if err == nil {
		sent.Add(1)
	}
	return err
}

func deadline(tw *pacer.Client) error {
	fmt.Println("\n1. A deadline that cannot be met")
	if err := send(context.Background(), tw, "the first"); err != nil {
		return err
	}
	fmt.Println("   the first message leaves at once; the next one's turn is in 1 s")

	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := send(ctx, tw, "too late")
	switch {
	case errors.Is(err, pacer.ErrWaitTooLong):
		fmt.Printf("   refused after %v, without waiting for the deadline in 300ms:\n", time.Since(start).Round(10*time.Microsecond))
		fmt.Printf("     %v\n", err)
		fmt.Printf("     errors.Is(err, context.DeadlineExceeded) is %v, too\n", errors.Is(err, context.DeadlineExceeded))
		return nil
	case err != nil:
		return err
	default:
		return errors.New("expected the call to be refused, it was sent")
	}
}

func cancellation(tw *pacer.Client) error {
	fmt.Println("\n2. Cancelling calls that wait")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	var passed, cancelled, failed atomic.Int64
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			err := send(ctx, tw, fmt.Sprintf("cancelled or not, number %d", i))
			switch {
			case err == nil:
				passed.Add(1)
			case errors.Is(err, context.Canceled):
				cancelled.Add(1) // the error is a *pacer.WaitError: certainly not sent
			default:
				failed.Add(1)
			}
		})
	}
	time.Sleep(2500 * time.Millisecond)
	cancel()
	start := time.Now()
	wg.Wait()
	fmt.Printf("   10 calls, cancelled after 2.5 s: %d sent, %d cancelled, %d failed; all returned within %v\n",
		passed.Load(), cancelled.Load(), failed.Load(), time.Since(start).Round(10*time.Microsecond))
	fmt.Println("   a cancelled call uses up no turn: the next one leaves as if it had not been")
	return nil
}

// notify is an HTTP handler that sends a message on behalf of its caller. It waits two
// seconds for its turn at most, and not at all for a caller who has gone away.
func notify(tw *pacer.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		err := send(ctx, tw, r.FormValue("text"))

		var notSent *pacer.WaitError
		switch {
		case err == nil:
			w.WriteHeader(http.StatusAccepted)
		case errors.As(err, &notSent): // too busy, or the caller is gone: may be tried again
			w.Header().Set("Retry-After", "5")
			http.Error(w, "busy, nothing was sent", http.StatusServiceUnavailable)
		default: // Twilio said no, or the connection broke
			http.Error(w, "the message could not be sent", http.StatusBadGateway)
		}
	}
}

func handler(tw *pacer.Client) error {
	fmt.Println("\n3. An HTTP handler that waits for 2 s at most; 5 requests arrive at once")
	server := httptest.NewServer(notify(tw))
	defer server.Close()

	start := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for i := range 5 {
		wg.Go(func() {
			resp, err := http.Get(fmt.Sprintf("%s/?text=hello+%d", server.URL, i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			resp.Body.Close()
			fmt.Printf("   after %.2f s: %s\n", time.Since(start).Seconds(), resp.Status)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
