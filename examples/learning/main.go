// Learning shows pacer find a limit that nobody has told it, and follow it when it
// halves and doubles. A plot of the messages accepted in each second is drawn live.
//
//	go run ./examples/learning
//
// It takes 75 s, as pacer holds a rate that works for 22 s before it asks for more. The
// fake Twilio on loopback accepts 20 messages a second, then 10, then 20 again.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

var unit = flag.Duration("unit", time.Second, "how long a `column` of the plot takes; shorter than 1s is too short to learn in")

// The limit, by the second from which it holds.
var phases = []struct{ from, rate int }{{0, 20}, {15, 10}, {35, 20}}

const (
	columns = 75
	top     = 24 // messages a second at the plot's upper edge
)

// A second is what one column of the plot shows.
type second struct{ limit, accepted, throttled int }

func main() {
	flag.Parse()
	if *unit <= 0 {
		fmt.Fprintf(os.Stderr, "learning: -unit %v: expected a duration above 0\n", *unit)
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "learning:", err)
		os.Exit(1)
	}
}

func run() error {
	fake := twiliotest.NewServer(twiliotest.Config{Limits: limit(phases[0].rate)})
	defer fake.Close()

	// No limits are set, and the sender is of a kind that pacer has no default for.
	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()), pacer.WithAlert(func(pacer.Alert) {}))
	if err != nil {
		return err
	}
	stop := campaign(c)

	fmt.Println("A campaign from 30 goroutines, to a fake Twilio whose limit nobody has told: 20 messages a second,")
	fmt.Println("from second 15 on 10, from second 35 on 20 again.")
	fmt.Println()
	var seen []second
	draw := terminal(os.Stdout)
	rate, before := phases[0].rate, fake.Stats()
	tick := time.NewTicker(*unit)
	defer tick.Stop()
	for i := range columns {
		for _, p := range phases[1:] {
			if p.from == i {
				rate = p.rate
				fake.SetLimits(limit(rate))
			}
		}
		<-tick.C
		now := fake.Stats()
		seen = append(seen, second{rate, now.Accepted - before.Accepted, now.Throttled - before.Throttled})
		before = now
		draw(seen, c.Stats())
	}
	lost := stop()
	fmt.Println(plot(seen))

	s := c.Stats()
	fmt.Printf("%d accepted, %d throttled, %d lost. In the last minute pacer sent %.1f a second, %.1f %% of them throttled.\n",
		before.Accepted, before.Throttled, lost, s.RequestsPerSecond(), 100*s.ThrottledRatio())
	fmt.Println("Tell pacer the limit, if you know it (go run ./examples/limits): then it need not be throttled to find it.")
	if lost > 0 {
		return fmt.Errorf("%d messages were lost: please report this", lost)
	}
	return nil
}

func limit(rate int) []twiliotest.Limit {
	return []twiliotest.Limit{{Resource: "Messages", Rate: rate, PerSender: true}}
}

// campaign sends as fast as pacer lets it, until stop is called.
func campaign(c *pacer.Client) (stop func() (lost int)) {
	var over atomic.Bool
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			for !over.Load() {
				params := &api.CreateMessageParams{}
				params.SetFrom("PACER").SetTo("+15555550100").SetBody("Our shop has moved.")
				if _, err := c.Api.CreateMessage(params); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	return func() int {
		over.Store(true)
		wg.Wait()
		return int(failed.Load())
	}
}

// plot draws seconds as columns: how many were accepted, the limit, and which had
// throttled answers.
func plot(seen []second) string {
	var b strings.Builder
	for level := top; level >= 2; level -= 2 {
		fmt.Fprintf(&b, "%3d/s ", level)
		for _, s := range seen {
			switch {
			case s.limit == level:
				b.WriteString("━")
			case s.accepted >= level:
				b.WriteString("█")
			case s.accepted >= level-1:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("      ")
	for _, s := range seen {
		if s.throttled > 0 {
			b.WriteString("×")
		} else {
			b.WriteString("·")
		}
	}
	b.WriteString("\n      ")
	for i := 0; i < len(seen); i += 15 {
		fmt.Fprintf(&b, "%-15s", fmt.Sprintf("%d s", i))
	}
	return strings.TrimRight(b.String(), " ") + "\n      █ accepted   ━ the limit   × throttled answers\n"
}

// terminal returns what shows how far it is: on a terminal the plot, again and again, in
// a pipe a line now and then.
func terminal(f *os.File) func([]second, pacer.Stats) {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(seen []second, s pacer.Stats) {
			if n := len(seen); n%5 == 0 {
				fmt.Fprintf(f, "%2d s: limit %d, accepted %d, throttled %d, waiting %d%s\n", n, seen[n-1].limit, seen[n-1].accepted, seen[n-1].throttled, s.Waiting, pace(s))
			}
		}
	}
	lines := 0
	return func(seen []second, s pacer.Stats) {
		if lines > 0 {
			fmt.Fprintf(f, "\x1b[%dA\x1b[J", lines)
		}
		text := plot(seen) + fmt.Sprintf("      %d calls wait%s\n", s.Waiting, pace(s))
		lines = strings.Count(text, "\n")
		if len(seen) == columns {
			return // the last plot is printed for good
		}
		fmt.Fprint(f, text)
	}
}

// pace says what pacer believes.
func pace(s pacer.Stats) string {
	if len(s.Buckets) == 0 || s.Buckets[0].Learned == 0 {
		return ", not paced"
	}
	b := s.Buckets[0]
	text := fmt.Sprintf(", pace %.1f/s", b.Pace)
	if b.CoolDown > 0 {
		text += fmt.Sprintf(", cool-down for %.1f s", b.CoolDown.Seconds())
	}
	return text
}
