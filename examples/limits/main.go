// Limits shows how to tell pacer what an account may do: a Messaging Service with ten
// numbers, a short code, a budget for lookups. It sets new limits while a program runs,
// reads limits from JSON, and shows what a mistake in them looks like.
//
//	go run ./examples/limits
//
// It talks to a fake Twilio in memory and needs no account. The fake limits nothing
// here, so that whatever pace you see is pacer's.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
	lookups "github.com/twilio/twilio-go/rest/lookups/v2"
	messaging "github.com/twilio/twilio-go/rest/messaging/v1"
)

const (
	service   = "MG00000000000000000000000000000001" // a Messaging Service
	shortCode = "55501"
	longCode  = "+15005550006"
	someone   = "+15555550100"

	lookupTakes = 800 * time.Millisecond // a slow one: carrier data
)

func main() {
	fmt.Println("How to tell pacer what your account may do, and how to change it while the program runs.")
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "limits:", err)
		os.Exit(1)
	}
}

func run() error {
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{ // not an error, only slow
		Kind: twiliotest.Slow, Delay: lookupTakes,
		Match: func(r *twiliotest.Request) bool { return r.Product == "lookups" },
	})
	for i := range 10 {
		fake.AddServiceNumbers(service, fmt.Sprintf("+1555555010%d", i))
	}
	tw, err := pacer.New(
		pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()), // without this line: Twilio itself
	)
	if err != nil {
		return err
	}
	if err := budgets(tw, fake); err != nil {
		return err
	}
	if err := whileRunning(tw, fake); err != nil {
		return err
	}
	return fromJSON(tw)
}

func budgets(tw *pacer.Client, fake *twiliotest.Fake) error {
	fmt.Println("\n1. Three budgets at the same time, each with a pace of its own")

	// A Messaging Service sends at the sum of what its numbers may: ask how many.
	pool, err := tw.MessagingV1.ListPhoneNumber(service, &messaging.ListPhoneNumberParams{})
	if err != nil {
		return err
	}
	err = tw.SetLimits(pacer.Limits{
		{Resource: pacer.Messages, Sender: service, Rate: float64(len(pool))}, // 1/s for each number
		{Resource: pacer.Messages, Sender: shortCode, Rate: 100},              // also pacer's default for a short code
		{Resource: pacer.Lookups, Rate: 10, MaxInFlight: 5},
	})
	if err != nil {
		return err
	}

	var wg sync.WaitGroup
	var errs errorList
	wg.Go(func() {
		errs.add(together(30, func(i int) error { return send(tw, service, i) }))
	})
	wg.Go(func() {
		errs.add(together(300, func(i int) error { return send(tw, shortCode, i) }))
	})
	wg.Go(func() {
		errs.add(together(20, func(int) error {
			_, err := tw.LookupsV2.FetchPhoneNumber(someone, &lookups.FetchPhoneNumberParams{})
			return err
		}))
	})
	wg.Wait()
	if err := errs.first(); err != nil {
		return err
	}

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	row := func(what, allowed string, match func(r twiliotest.Request) bool) {
		times := arrivals(fake, match)
		fmt.Fprintf(w, "   %s\t%s\t%d\t%.1f\t%.1f\n", what, allowed, len(times), span(times).Seconds(), pace(times))
	}
	fmt.Fprintln(w, "   what\tallowed\tsent\tseconds\tper second")
	row("Messaging Service, 10 numbers", "10/s", from(service))
	row("short code", "100/s", from(shortCode))
	isLookup := func(r twiliotest.Request) bool { return r.Product == "lookups" }
	row("lookups", "10/s, 5 in flight", isLookup)
	w.Flush()
	fmt.Printf("   A lookup takes %v here, so that 5 in flight make some 6/s. The most in flight were %d.\n",
		lookupTakes, busiest(arrivals(fake, isLookup), lookupTakes))
	return nil
}

func whileRunning(tw *pacer.Client, fake *twiliotest.Fake) error {
	fmt.Println("\n2. New limits while 60 calls are waiting: from 5/s to 25/s after 2 s")
	fake.Reset()
	at := func(perSecond float64) pacer.Limits {
		return pacer.Limits{{Resource: pacer.Messages, Sender: longCode, Rate: perSecond}}
	}
	if err := tw.SetLimits(at(5)); err != nil {
		return err
	}
	done := make(chan error)
	go func() {
		done <- together(60, func(i int) error { return send(tw, longCode, i) })
	}()

	time.Sleep(2 * time.Second)
	changed := time.Now()
	if err := tw.SetLimits(at(25)); err != nil {
		return err
	}
	if err := <-done; err != nil {
		return err
	}

	var before, after []time.Time
	for _, t := range arrivals(fake, from(longCode)) {
		if t.Before(changed) {
			before = append(before, t)
		} else {
			after = append(after, t)
		}
	}
	fmt.Printf("   before: %2d messages, %4.1f/s\n", len(before), pace(before))
	fmt.Printf("   after:  %2d messages, %4.1f/s, the first %v after the change\n",
		len(after), pace(after), after[0].Sub(changed).Round(time.Millisecond))
	return nil
}

const good = `[
  {"resource": "Messages", "rate": 1},
  {"resource": "Messages", "sender": "55501", "rate": 100},
  {"resource": "lookups/PhoneNumbers", "rate": 10, "maxInFlight": 5},
  {"resource": "verify/*", "rate": "unlimited"}
]`

var bad = []string{
	`[{"resource": "Messages", "rate": "20"}]`,
	`[{"resource": "Messages", "persecond": 20}]`,
	`[{"resource": "messages", "rate": 20}]`,
	`[{"resource": "Messages", "account": "AC123", "rate": 20}]`,
	`[{"resource": "Messages", "burst": 5}]`,
	"[\n" + `  {"resource": "Messages", "rate": 20},` + "\n" + `  {"resource": "Calls", "rate": -1}` + "\n]",
	`[{"resource": "Messages", "rate": 20}`,
}

func fromJSON(tw *pacer.Client) error {
	fmt.Println("\n3. Limits from JSON: a file, an environment variable, your configuration service")
	limits, err := pacer.ParseLimits([]byte(good))
	if err != nil {
		return err
	}
	if err := tw.SetLimits(limits); err != nil {
		return err
	}
	fmt.Printf("   %s\n   -> %d rules read, and in force\n", strings.ReplaceAll(good, "\n", "\n   "), len(limits))

	fmt.Println("\n   Mistakes. Each is refused as a whole, and the limits in force stay:")
	for _, text := range bad {
		_, err := pacer.ParseLimits([]byte(text))
		if err == nil {
			return fmt.Errorf("expected an error for %s", text)
		}
		fmt.Printf("   %s\n     -> %v\n", strings.ReplaceAll(text, "\n", "\n   "), err)
	}
	return nil
}

// send sends one message from a number, a short code, or a Messaging Service.
func send(tw *pacer.Client, sender string, i int) error {
	params := &api.CreateMessageParams{}
	if sender == service {
		params.SetMessagingServiceSid(sender)
	} else {
		params.SetFrom(sender)
	}
	params.SetTo(someone)
	params.SetBody(fmt.Sprintf("message %d", i))
	_, err := tw.Api.CreateMessage(params)
	return err
}

// together makes n calls at once, waits for all, and returns the first error.
func together(n int, call func(i int) error) error {
	var wg sync.WaitGroup
	var errs errorList
	for i := range n {
		wg.Go(func() { errs.add(call(i)) })
	}
	wg.Wait()
	return errs.first()
}

type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

func (l *errorList) first() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%d calls failed, the first: %w", len(l.errs), l.errs[0])
}

// What follows measures, by the fake's records.

func from(sender string) func(twiliotest.Request) bool {
	return func(r twiliotest.Request) bool { return r.Resource == "Messages" && r.Sender == sender }
}

func arrivals(fake *twiliotest.Fake, match func(twiliotest.Request) bool) []time.Time {
	var times []time.Time
	for _, r := range fake.Accepted() {
		if match(r) {
			times = append(times, r.Time)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

func span(times []time.Time) time.Duration {
	if len(times) < 2 {
		return 0
	}
	return times[len(times)-1].Sub(times[0])
}

func pace(times []time.Time) float64 {
	return float64(len(times)-1) / span(times).Seconds()
}

// busiest is the most arrivals in any window: of requests that each take as long as the
// window, the most that were in flight.
func busiest(times []time.Time, window time.Duration) int {
	most, first := 0, 0
	for i, t := range times {
		for t.Sub(times[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
