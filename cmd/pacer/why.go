package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

// reason is one answer of "pacer why --json".
type reason struct {
	Kind     queue.Cause `json:"kind"`
	Stops    bool        `json:"stops"` // nothing goes on before that is over
	Resource string      `json:"resource"`
	Campaign string      `json:"campaign"`
	Sender   string      `json:"sender"`
	Waiting  int64       `json:"waiting"`
	ID       queue.ID    `json:"id"`
	Since    string      `json:"since"`
	Until    string      `json:"until"`
	Text     string      `json:"text"`
	Do       string      `json:"do"`  // "": it ends by itself
	Run      string      `json:"run"` // the command for that; "": there is none, or more than one
}

func (a *app) why() *cobra.Command {
	return &cobra.Command{
		Use: "why [CAMPAIGN | ID]", Short: "Say why something does not go on, or is slow",
		Long: `Says why the queue, a campaign or a request does not go on, or is slow, and what to do about it. It also says what was not
sent before its deadline within the last hour, and which worker has vanished. If a person can end what stops it, or has to
decide about something else that it says, the exit code is 4.`,
		Example: "  pacer why\n  pacer why spring\n  pacer why 01938c5e-6f1a-7c2d-9d4e-0123456789ab --json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("%d arguments: expected the name of a campaign, the ID of a request, or nothing", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opened := false
			err := a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				opened = true
				about := queue.About{}
				if len(args) == 1 {
					if _, err := q.FindCampaign(cmd.Context(), args[0]); err == nil {
						about.Campaign = args[0]
					} else {
						about.ID = queue.ID(args[0])
					}
				}
				reasons, err := q.Why(cmd.Context(), about)
				if errors.Is(err, queue.ErrNotFound) {
					return fmt.Errorf("%w: expected the name of a campaign or the ID of a request, not %q", errNothing, a.number(args[0]))
				}
				if err != nil {
					return err
				}
				return a.printReasons(reasons, about.ID == "")
			})
			if network := (*net.OpError)(nil); !opened && errors.As(err, &network) {
				return a.printReasons([]queue.Reason{{
					Kind: queue.CauseStore, Stops: true, Text: fmt.Sprintf("The store cannot be reached: %s.", pacer.MaskNumbers(network.Error())),
					Do: "start its server, or correct the address of the queue; workers go on by themselves then, and nothing is lost",
				}}, true)
			}
			return err
		},
	}
}

func (a *app) reasonOf(r *queue.Reason) reason {
	return reason{
		r.Kind, r.Stops, named(r.Lane.Resource), r.Campaign, a.number(r.Lane.Resource.Sender), r.Waiting, r.ID,
		moment(r.Since), moment(r.Until), r.Text, r.Do, commandFor(r),
	}
}

// named returns a resource as it is printed; "": one that stands for an account as a whole, or for nothing.
func named(r pacer.Resource) string {
	if r.Name == "" {
		return ""
	}
	return r.String()
}

// nonetheless are causes that stop nothing, any more or yet, and about which a person decides all the same.
var nonetheless = []queue.Cause{queue.CauseExpired, queue.CauseFailed, queue.CauseRefused, queue.CauseSilent}

// forPerson reports whether a person has something to do. many: the reason is not about one request.
func forPerson(r *queue.Reason, many bool) bool {
	return r.Do != "" && (r.Stops || many && slices.Contains(nonetheless, r.Kind))
}

// printReasons prints reasons. many: they are not about one request.
func (a *app) printReasons(reasons []queue.Reason, many bool) error {
	all, person := []reason{}, false
	for _, r := range reasons {
		person = person || forPerson(&r, many)
		all = append(all, a.reasonOf(&r))
	}
	if a.json {
		if err := a.printJSON(all); err != nil {
			return err
		}
	} else {
		for _, r := range all {
			a.say("%s: %s", r.Kind, plain(r.Text))
			if r.Resource != "" {
				a.say("  of:    %s %s", r.Resource, r.Sender)
			}
			for _, line := range [][2]string{{"since", r.Since}, {"until", r.Until}, {"do", r.Do}, {"run", r.Run}} {
				if line[1] != "" {
					a.say("  %-6s %s", line[0]+":", plain(line[1]))
				}
			}
		}
		if len(all) == 0 {
			a.say("nothing stands in the way")
		}
	}
	if person {
		return errPerson
	}
	return nil
}

// commandFor returns the command by which a person ends a reason; "": there is none.
func commandFor(r *queue.Reason) string {
	switch {
	case r.Watched, r.Held.Reason == queue.HoldThrottled: // a mended file ends the hold; to ask Twilio sooner is no cure
		return ""
	case r.Held != queue.Hold{}:
		return "pacer hold end " + r.Held.Name()
	case r.Kind == queue.CausePaused:
		return "pacer campaign resume " + r.Campaign
	case r.Kind == queue.CauseWindow && r.Do != "":
		return fmt.Sprintf("pacer campaign window %s always", r.Campaign)
	case r.Kind == queue.CauseInDoubt && r.Do != "":
		return "pacer doubt list"
	case r.Kind == queue.CauseFailed && r.ID == "", r.Kind == queue.CauseExpired && r.Campaign != "":
		return "pacer campaign failures " + r.Campaign
	case r.Kind == queue.CauseExpired && r.ID == "":
		return "pacer queue failures"
	case r.Over:
		return ""
	case r.Kind == queue.CauseExpired, r.Kind == queue.CauseFailed:
		return "pacer queue requeue " + string(r.ID)
	case r.Kind == queue.CauseNoWorker:
		return "pacer worker"
	case r.Kind == queue.CauseSilent && r.Do != "":
		return "pacer workers"
	}
	return ""
}

// workerInfo is a worker as "pacer workers --json" prints it.
type workerInfo struct {
	Host        string  `json:"host"`
	PID         int     `json:"pid"`
	Version     string  `json:"version"`
	Alive       bool    `json:"alive"` // it has said so within 20 s
	Started     string  `json:"started"`
	Seen        string  `json:"seen"`
	Concurrency int     `json:"concurrency"` // requests on the wire at most
	OnWire      int     `json:"onWire"`
	Pace        float64 `json:"pace"` // requests a second that it sends
}

func workerOf(w *queue.WorkerStatus) workerInfo {
	return workerInfo{w.Host, w.PID, w.Version, w.Alive, moment(w.Started), moment(w.Seen), w.Concurrency, w.OnWire, w.Pace}
}

func (a *app) workers() *cobra.Command {
	return &cobra.Command{
		Use: "workers", Short: "List the workers that live, and those that have vanished", Example: "  pacer workers", Args: exactly(),
		Long: "Lists the workers that live, and those that have vanished within the last hour without saying so.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				workers, err := q.Workers(cmd.Context())
				if err != nil {
					return err
				}
				all, rows := []workerInfo{}, [][]string{}
				for _, w := range workers {
					i := workerOf(&w)
					all = append(all, i)
					state, onWire, pace := "alive", fmt.Sprintf("%d of %d", i.OnWire, i.Concurrency), fmt.Sprintf("%.1f/s", i.Pace)
					if !i.Alive {
						state, onWire, pace = "vanished", "", ""
					}
					rows = append(rows, []string{i.Host, strconv.Itoa(i.PID), state, i.Started, i.Seen, onWire, pace, i.Version})
				}
				return a.printRows(all, "worker", []string{"HOST", "PID", "STATE", "SINCE", "SEEN", "ON THE WIRE", "PACE", "VERSION"}, rows)
			})
		},
	}
}

// holdInfo is a hold as "pacer hold list --json" prints it.
type holdInfo struct {
	Name     string           `json:"name"`     // its name, for "pacer hold end"
	Resource string           `json:"resource"` // "": the account as a whole
	Sender   string           `json:"sender"`
	Reason   queue.HoldReason `json:"reason"`
	Code     int              `json:"code"`
	Since    string           `json:"since"`
	Until    string           `json:"until"`
}

// wholeAccount is printed in place of the resource of a hold that has none.
const wholeAccount = "all of the account"

func (a *app) holdOf(h *queue.Hold) holdInfo {
	return holdInfo{h.Name(), named(h.Resource), a.number(h.Resource.Sender), h.Reason, h.Code, moment(h.Since), moment(h.Until)}
}

func (a *app) hold() *cobra.Command {
	return group("hold", "Show what is held, and end it", "  pacer hold list\n  pacer hold end 3f2a91bc --yes", a.holdList(), a.holdEnd())
}

func (a *app) holdList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the buckets and accounts of which nothing is sent, and why", Example: "  pacer hold list --json", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error { return a.printHolds(cmd.Context(), q) })
		},
	}
}

func (a *app) printHolds(ctx context.Context, q *queue.Queue) error {
	holds, err := q.Holds(ctx)
	if err != nil {
		return err
	}
	all, rows := []holdInfo{}, [][]string{}
	for _, h := range holds {
		i := a.holdOf(&h)
		all = append(all, i)
		why := string(i.Reason)
		if h.Suspended() {
			why = "suspended"
		}
		rows = append(rows, []string{i.Name, cmp.Or(i.Resource, wholeAccount), i.Sender, why, code(i.Code), i.Since, i.Until})
	}
	return a.printRows(all, "hold", []string{"HOLD", "RESOURCE", "SENDER", "REASON", "CODE", "SINCE", "UNTIL"}, rows)
}

func (a *app) holdEnd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "end HOLD", Short: "End a hold: workers send again at once", Example: "  pacer hold end 3f2a91bc --yes", Args: exactly("HOLD"),
		Long: "Ends a hold, whose name pacer hold list prints. Workers send again at once. If Twilio throttles again, there is a new hold.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				holds, err := q.Holds(cmd.Context())
				if err != nil {
					return err
				}
				n := slices.IndexFunc(holds, func(h queue.Hold) bool { return h.Name() == args[0] })
				if n < 0 {
					return fmt.Errorf("no hold of that name: %w", errNothing)
				}
				h := holds[n]
				if err := a.confirm(yes, fmt.Sprintf("It is held until %s (%s), and is sent again at once.", h.Until.UTC().Format(time.TimeOnly), h.Reason)); err != nil {
					return err
				}
				if err := q.EndHold(cmd.Context(), h.Resource); errors.Is(err, queue.ErrNotHeld) {
					return fmt.Errorf("%w: %w", errNothing, err)
				} else if err != nil {
					return err
				}
				a.say("ended")
				if a.json {
					return a.printHolds(cmd.Context(), q)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
