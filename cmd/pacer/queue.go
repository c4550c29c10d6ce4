package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer/queue"
)

// jobInfo is a request as --json prints it. Numbers are masked, unless --reveal is given. Texts are not shown.
type jobInfo struct {
	ID        queue.ID    `json:"id"`
	State     queue.State `json:"state"`
	Resource  string      `json:"resource"` // such as api/Messages:create
	Campaign  string      `json:"campaign"`
	Sender    string      `json:"sender"`
	Recipient string      `json:"recipient"`
	Key       string      `json:"key"`
	Attempts  int         `json:"attempts"`
	Created   string      `json:"created"`
	Began     string      `json:"began"` // when its last attempt did
	Due       string      `json:"due"`
	Deadline  string      `json:"deadline"`
	Finished  string      `json:"finished"`
	SID       string      `json:"sid"`
	Status    int         `json:"status"` // of Twilio's last answer
	Code      int         `json:"code"`
	Reason    string      `json:"reason"`
	Decide    bool        `json:"decide"` // a person must decide
}

func (a *app) info(j queue.Job) jobInfo {
	return jobInfo{
		j.ID, j.State, j.Lane.Resource.String(), j.Lane.Campaign, a.number(j.Lane.Resource.Sender), a.number(j.Recipient()), a.number(j.Key()),
		j.Attempts, moment(j.Created), moment(j.Began), moment(j.Due), moment(j.Deadline), moment(j.Finished),
		j.Outcome.SID, j.Outcome.Status, j.Outcome.Code, a.number(j.Outcome.Reason), parked(j),
	}
}

// parked reports whether a request in doubt waits for a person.
func parked(j queue.Job) bool { return j.State == queue.InDoubt && j.Look.IsZero() }

func (a *app) queue() *cobra.Command {
	return group("queue", "Show what waits, and change it", "  pacer queue stats\n  pacer queue failures",
		a.queueStats(), a.queueList(), a.queueFailures(), a.queueShow(),
		a.jobDo("queue", "cancel", "Keep a request from being sent", "It is not sent any more.", (*queue.Queue).Cancel),
		a.jobDo("queue", "requeue", "Send a request once more that has failed or was cancelled", "It is sent once more.", (*queue.Queue).Requeue),
	)
}

// depth is what waits in a lane, as "queue stats --json" prints it.
type depth struct {
	Resource  string  `json:"resource"` // "": all lanes
	Campaign  string  `json:"campaign"`
	Sender    string  `json:"sender"`
	Ready     int64   `json:"ready"`
	Delayed   int64   `json:"delayed"`
	Sending   int64   `json:"sending"`
	InDoubt   int64   `json:"inDoubt"`
	Sent      int64   `json:"sent"`
	Failed    int64   `json:"failed"`
	Cancelled int64   `json:"cancelled"`
	OldestAge float64 `json:"oldestAgeSeconds"` // of the ready ones
	HeldUntil string  `json:"heldUntil"`        // until when the bucket is held
}

type depths struct {
	Time  string  `json:"time"`
	Total depth   `json:"total"`
	Lanes []depth `json:"lanes"`
}

func (a *app) depthOf(l queue.LaneDepth, now time.Time) depth {
	held := ""
	if l.Parked.After(now) {
		held = moment(l.Parked)
	}
	return depth{
		named(l.Lane.Resource), l.Lane.Campaign, a.number(l.Lane.Resource.Sender), l.Ready, l.Delayed, l.Sending, l.InDoubt, l.Sent, l.Failed, l.Cancelled,
		l.OldestAge.Seconds(), held,
	}
}

func (d *depth) row() []string {
	return []string{d.Resource, d.Campaign, d.Sender, count(d.Ready), count(d.Delayed), count(d.Sending), count(d.InDoubt), count(d.Sent), count(d.Failed),
		time.Duration(d.OldestAge * float64(time.Second)).Round(time.Second).String(), d.HeldUntil}
}

func (a *app) queueStats() *cobra.Command {
	return &cobra.Command{
		Use: "stats", Short: "Count what waits, by lane", Example: "  pacer queue stats --json", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				s, err := q.Stats(cmd.Context())
				if err != nil {
					return err
				}
				all := depths{moment(s.Time), a.depthOf(s.Total, s.Time), []depth{}}
				rows := [][]string{}
				for _, l := range s.Lanes {
					d := a.depthOf(l, s.Time)
					all.Lanes = append(all.Lanes, d)
					rows = append(rows, d.row())
				}
				if a.json {
					return a.printJSON(all)
				}
				total := all.Total.row()
				total[0] = "all"
				return a.table([]string{"RESOURCE", "CAMPAIGN", "SENDER", "READY", "DELAYED", "SENDING", "IN DOUBT", "SENT", "FAILED", "OLDEST", "HELD UNTIL"}, append(rows, total))
			})
		},
	}
}

// states are the words for --state.
var states = []queue.State{queue.Ready, queue.Delayed, queue.Sending, queue.Sent, queue.Failed, queue.InDoubt, queue.Cancelled}

func (a *app) queueList() *cobra.Command {
	var f queue.Filter
	var state string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List requests", Example: "  pacer queue list --state ready --limit 20\n  pacer queue list --campaign spring", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" {
				s := queue.State(strings.ReplaceAll(state, "-", " "))
				if !slices.Contains(states, s) {
					return usage("--state %q: expected one of ready, delayed, sending, sent, failed, in-doubt, cancelled", state)
				}
				f.States = []queue.State{s}
			}
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				_, err := a.list(cmd.Context(), q, f, limit)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only of that `state`: ready, delayed, sending, sent, failed, in-doubt or cancelled")
	cmd.Flags().StringVar(&f.Campaign, "campaign", "", "only of the campaign of that `name`")
	cmd.Flags().StringVar(&f.SID, "sid", "", "only what has that `SID` at Twilio")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most; 0: all")
	return cmd
}

func (a *app) queueFailures() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "failures", Short: "List requests that will not be sent, and why", Example: "  pacer queue failures", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				_, err := a.list(cmd.Context(), q, queue.Filter{States: []queue.State{queue.Failed}}, limit)
				return err
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most; 0: all")
	return cmd
}

// list prints the requests that f matches. decide reports that a person must decide about one of them.
func (a *app) list(ctx context.Context, q *queue.Queue, f queue.Filter, limit int) (decide bool, err error) {
	if limit < 0 {
		return false, usage("--limit %d: expected 0 or more", limit)
	}
	none := "such request"
	if len(f.States) == 1 && f.Campaign == "" && f.SID == "" {
		none = "request that is " + string(f.States[0])
	}
	all, rows := []jobInfo{}, [][]string{}
	for j, err := range q.List(ctx, f) {
		if err != nil {
			return false, err
		}
		if limit > 0 && len(all) == limit {
			fmt.Fprintf(a.errs, "pacer: there are more than %d: see --limit\n", limit)
			break
		}
		i := a.info(j)
		decide = decide || i.Decide
		all = append(all, i)
		rows = append(rows, []string{string(i.ID), string(i.State), i.Resource, i.Campaign, i.Recipient, i.Created, code(i.Code), i.SID, i.Reason})
	}
	return decide, a.printRows(all, none, []string{"ID", "STATE", "RESOURCE", "CAMPAIGN", "RECIPIENT", "CREATED", "CODE", "SID", "REASON"}, rows)
}

func (a *app) queueShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one request", Example: "  pacer queue show 01938c5e-6f1a-7c2d-9d4e-0123456789ab", Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error { return a.show(cmd.Context(), q, queue.ID(args[0])) })
		},
	}
}

func (a *app) show(ctx context.Context, q *queue.Queue, id queue.ID) error {
	j, err := q.Engine().Get(ctx, id)
	if err != nil {
		return err
	}
	i := a.info(j)
	if a.json {
		return a.printJSON(i)
	}
	status := ""
	if i.Status != 0 {
		status = strconv.Itoa(i.Status)
	}
	return a.table([]string{"request", string(i.ID)}, [][]string{
		{"state", string(i.State)}, {"resource", i.Resource}, {"campaign", i.Campaign}, {"sender", i.Sender}, {"recipient", i.Recipient}, {"key", i.Key},
		{"attempts", strconv.Itoa(i.Attempts)}, {"created", i.Created}, {"last attempt", i.Began}, {"due", i.Due}, {"deadline", i.Deadline}, {"finished", i.Finished},
		{"SID", i.SID}, {"status", status}, {"code", code(i.Code)}, {"reason", i.Reason},
	})
}

// decidable says which command to take for a request in doubt, and for one that is not. doubt: the command is for those in
// doubt. nil: it is the right one, or the request is past deciding.
func decidable(r queue.Result, doubt bool) error {
	switch {
	case !doubt && r.State == queue.InDoubt:
		return fmt.Errorf("it may have been sent: look whether Twilio has it, then pacer doubt confirm, resend or cancel %s", r.ID)
	case doubt && (r.State == queue.Failed || r.State == queue.Cancelled):
		return fmt.Errorf("it is %s and not in doubt: to send it once more is pacer queue requeue %s", r.State, r.ID)
	case doubt && (r.State == queue.Ready || r.State == queue.Delayed):
		return fmt.Errorf("it is %s and not in doubt: to keep it from being sent is pacer queue cancel %s", r.State, r.ID)
	}
	return nil
}

// jobDo is a command that changes one request, and asks before.
func (a *app) jobDo(parent, name, short, what string, do func(*queue.Queue, context.Context, queue.ID) error) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: name + " ID", Short: short, Example: "  pacer " + parent + " " + name + " 01938c5e-6f1a-7c2d-9d4e-0123456789ab --yes", Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				id := queue.ID(args[0])
				r, err := q.Result(cmd.Context(), id)
				if err != nil {
					return err
				}
				if err := decidable(r, parent == "doubt"); err != nil {
					return err
				}
				if err := a.confirm(yes, what); err != nil {
					return err
				}
				if err := do(q, cmd.Context(), id); err != nil {
					return err
				}
				return a.show(cmd.Context(), q, id)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
