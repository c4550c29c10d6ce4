package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer/queue"
)

// A top is one run of "pacer top".
type top struct {
	app    *app
	q      *queue.Queue // for changes
	looker *looker
	every  time.Duration // between two looks at the store
	once   bool
}

const (
	redrawEvery  = time.Second // so that ages go on, and a change of the terminal's size is seen
	screenEvery  = time.Second
	linesEvery   = 10 * time.Second
	atLeastEvery = time.Second
	lineHeight   = 24 // lines of a block in a pipe
)

func (a *app) top() *cobra.Command {
	var every time.Duration
	var once bool
	cmd := &cobra.Command{
		Use: "top", Short: "Watch the queue live in the terminal", Args: exactly(),
		Long: `Shows what happens in the queue, and goes on until q or Ctrl-C: the sums, what stands in the way and what to do, campaigns,
the lanes where most waits, workers, and holds. What has no room is counted, beside the command that lists it.

In a terminal j and k, or the arrows, choose a campaign. p pauses it, and resumes it again. r asks for another rate, which Enter
sets and Escape leaves as it was. ? shows the keys. Nothing else is changed.

If the store does not answer, the first line says so, and it goes on trying. Looking takes about ten queries each time. Colours
are off if NO_COLOR is set.

In a pipe or a file it prints a short block of plain lines each time. With --json it prints one JSON value in one line each time.`,
		Example: "  pacer top\n  pacer top --once\n  pacer top --every 1m >> queue.log\n  pacer top --json | jq .total.ready",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("every") && every < atLeastEvery {
				return usage("--every %v: expected %v or more", every, atLeastEvery)
			}
			return a.runTop(cmd.Context(), every, once)
		},
	}
	cmd.Flags().DurationVar(&every, "every", 0, "`time` between two looks; default: 1s in a terminal, 10s elsewhere and with --json")
	cmd.Flags().BoolVar(&once, "once", false, "look once, and end")
	return cmd
}

func (a *app) runTop(ctx context.Context, every time.Duration, once bool) (err error) {
	t := top{app: a, every: every, once: once}
	on := a.screen()
	drawn := on != nil && !a.json && !once
	log := a.log()
	if drawn {
		log = slog.New(slog.DiscardHandler) // it would be written across the screen, whose first line says what is wrong
	}
	if t.every == 0 {
		if t.every = linesEvery; drawn {
			t.every = screenEvery
		}
	}
	q, err := a.openQueue(ctx, true, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	t.q = q
	if t.looker, err = newLooker(q.Engine(), a.queueOptions()...); err != nil {
		return usageError{err}
	}
	if drawn {
		return t.watch(ctx, on)
	}
	p := paper{width: unlimited, height: lineHeight, number: a.number}
	if on != nil {
		p.width, p.height = on.size()
		p.colour = on.colour
	}
	return t.print(ctx, &p)
}

// print prints what each look finds, until ctx ends.
func (t *top) print(ctx context.Context, p *paper) error {
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for first := true; ; first = false {
		s, err := t.looker.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case t.once && err != nil:
			return err
		}
		if t.app.json {
			err = t.app.printLine(t.app.topOf(&s))
		} else {
			p.now = time.Now()
			text := draw(&s, p) + "\n"
			if !first {
				text = "\n" + text
			}
			_, err = io.WriteString(t.app.out, text)
		}
		if err != nil || t.once {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watch draws on the screen what each look finds, until a key or ctx ends it.
func (t *top) watch(ctx context.Context, on *screen) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	if err := on.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, on.close()) }() // before the last look ends, which may take long

	sights := make(chan *sight)
	looking.Go(func() { t.look(ctx, sights) })
	var h hand
	var doing chan string // says what became of a change; nil: none is under way
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	keys := on.keys()
	p := paper{colour: on.colour, screen: true, number: t.app.number, late: t.every + screenEvery + lookTakes/3}
	for s := new(sight); ; {
		p.now = time.Now()
		p.width, p.height = on.size()
		p.chosen, p.said = h.chosen, h.line(s, p.now)
		if err := on.show(draw(s, &p), p.width, p.height); err != nil {
			return err
		}
		for drawn := false; !drawn; {
			select {
			case <-ctx.Done():
				return nil
			case key := <-keys:
				if quits(key, h.typing) {
					return nil
				}
				drawn = true
				switch d := h.key(key, s, time.Now()); {
				case d == nil:
				case doing != nil:
					h.say(time.Now(), "Not done: the change before is still under way.")
				default:
					done := make(chan string, 1)
					doing = done
					looking.Go(func() { done <- t.do(ctx, d) })
				}
			case said := <-doing:
				doing, drawn = nil, true
				h.say(time.Now(), "%s", said)
			case s = <-sights:
				drawn = true
			case <-tick.C:
				drawn = true
			}
		}
	}
}

// do changes a campaign, and returns what became of it.
func (t *top) do(ctx context.Context, d *deed) string {
	ctx, cancel := context.WithTimeout(ctx, lookTakes)
	defer cancel()
	c, err := t.q.FindCampaign(ctx, d.campaign)
	if err == nil {
		err = d.do(c, ctx)
	}
	if err != nil {
		return "Not done: " + oneLine(err)
	}
	return d.done
}

// look looks at the store until ctx ends.
func (t *top) look(ctx context.Context, sights chan<- *sight) {
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for {
		s, _ := t.looker.look(ctx) // whose error is in it
		select {
		case <-ctx.Done():
			return
		case sights <- &s:
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// noColour reports whether the environment wants no colours: https://no-color.org.
func noColour() bool { return os.Getenv("NO_COLOR") != "" }
