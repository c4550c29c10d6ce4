package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer/queue"
)

func (a *app) doubt() *cobra.Command {
	return group("doubt", "Decide about requests that may have been sent", "  pacer doubt list\n  pacer doubt show 01938c5e-6f1a-7c2d-9d4e-0123456789ab",
		a.doubtList(), a.doubtConfirm(), a.doubtShow(),
		a.jobDo("doubt", "resend", "Send a request again that may have been sent", "It is sent again. If Twilio has it already, its receiver gets it twice.", (*queue.Queue).Requeue),
		a.jobDo("doubt", "cancel", "Do not send a request again that may have been sent", "It is not sent again. If Twilio does not have it, nobody gets it.", (*queue.Queue).Cancel),
	)
}

func (a *app) doubtList() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List requests that may have been sent", Example: "  pacer doubt list --json", Args: exactly(),
		Long: `Lists requests that may have been sent. Of most of them the worker asks Twilio by itself. If a person must
decide about one, the exit code is 4.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				decide, err := a.list(cmd.Context(), q, queue.Filter{States: []queue.State{queue.InDoubt}}, limit)
				if err == nil && decide {
					return fmt.Errorf("%w: look for it at Twilio, then pacer doubt confirm, resend or cancel", errPerson)
				}
				return err
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most; 0: all")
	return cmd
}

func (a *app) doubtShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one request in doubt", Example: "  pacer doubt show 01938c5e-6f1a-7c2d-9d4e-0123456789ab --reveal", Args: exactly("ID"),
		Long: "Shows one request in doubt. To find it at Twilio, search there for its recipient, its sender and the time of its last attempt. --reveal shows the numbers.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				r, err := q.Result(cmd.Context(), queue.ID(args[0]))
				if err != nil {
					return err
				}
				err = a.show(cmd.Context(), q, r.ID)
				if err == nil && r.State != queue.InDoubt {
					fmt.Fprintf(a.errs, "pacer: it is %s, and not in doubt\n", r.State)
				}
				return err
			})
		},
	}
}

func (a *app) doubtConfirm() *cobra.Command {
	return &cobra.Command{
		Use: "confirm ID SID", Short: "Say that Twilio has it, and under which SID (unchecked)", Args: exactly("ID", "SID"),
		Long:    "Says that Twilio has it. Copy the SID from Twilio's console: Twilio is not asked whether there is one.",
		Example: "  pacer doubt confirm 01938c5e-6f1a-7c2d-9d4e-0123456789ab SM0123456789abcdef0123456789abcdef",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				if err := q.Confirm(cmd.Context(), queue.ID(args[0]), args[1]); err != nil {
					return err
				}
				return a.show(cmd.Context(), q, queue.ID(args[0]))
			})
		},
	}
}
