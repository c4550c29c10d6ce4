package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer"
)

// limitsSchema is the JSON Schema of limits: a copy of the root module's, which no other module can embed.
//
//go:embed limits.schema.json
var limitsSchema []byte

// limitsInfo is what "limits show --json" prints.
type limitsInfo struct {
	From     string         `json:"from"` // a file, a Redis, the environment, or nothing
	Limits   pacer.Limits   `json:"limits"`
	Defaults []defaultLimit `json:"defaults"` // in force where no limit matches
}

// rulesInfo is what "limits check --json" and "limits set --json" print.
type rulesInfo struct {
	Rules int `json:"rules"`
}

// printRules says how many rules there are, and what became of them.
func (a *app) printRules(done string, limits pacer.Limits) error {
	if a.json {
		return a.printJSON(rulesInfo{len(limits)})
	}
	a.say("%s: %s", done, rulesOf(len(limits)))
	return nil
}

type defaultLimit struct {
	Limit   pacer.Limit `json:"limit"`
	Senders string      `json:"senders"` // the kind of sender that it is for; "": any
	Source  string      `json:"source"`  // where Twilio says so
}

func (a *app) limits() *cobra.Command {
	return group("limits", "Show, check and set how fast may be sent", "  pacer limits check limits.json\n  pacer limits show --limits limits.json",
		a.limitsShow(), a.limitsCheck(), a.limitsSet(),
		&cobra.Command{
			Use: "schema", Short: "Print the JSON Schema of limits", Example: "  pacer limits schema > limits.schema.json", Args: exactly(),
			RunE: func(*cobra.Command, []string) error { _, err := a.out.Write(limitsSchema); return err },
		})
}

// readLimits returns the limits that a program of these flags and this environment would have.
func (a *app) readLimits() (pacer.Limits, error) {
	switch path, text := cmp.Or(a.limitsFile, os.Getenv("PACER_LIMITS_FILE")), os.Getenv("PACER_LIMITS"); {
	case path != "":
		a.limitsFile = path
		return pacer.LoadLimits(path)
	case text != "":
		return pacer.ParseLimits([]byte(text))
	}
	return pacer.Limits{}, nil
}

// limitsNow returns the limits that a worker would have, and where they come from.
func (a *app) limitsNow(ctx context.Context) (limits pacer.Limits, from string, err error) {
	if limits, err = a.readLimits(); err != nil {
		return nil, "", err
	}
	if a.share = cmp.Or(a.share, os.Getenv("PACER_SHARE")); a.share == "" {
		return limits, a.limitsFrom(), nil
	}
	limiter, err := shared(a.share, limits, a.log())
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, limiter.Close()) }()
	there, stored, err := limiter.StoredLimits(ctx)
	if stored || err != nil {
		return there, a.limitsFrom(), err
	}
	return limits, a.ownLimitsFrom(), nil
}

func (a *app) limitsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the limits of the flags or the environment, and the defaults", Args: exactly(),
		Long: `Shows the limits that a worker with these flags and this environment has, and the defaults, which are in force where no limit
matches. With --share they are those in Redis, if there are any. Senders are masked, unless --reveal is given.`,
		Example: "  pacer limits show --limits limits.json\n  pacer limits show --share redis://host:6379/0",
		RunE: func(cmd *cobra.Command, _ []string) error {
			limits, from, err := a.limitsNow(cmd.Context())
			if err != nil {
				return err
			}
			info := limitsInfo{from, pacer.Limits{}, []defaultLimit{}}
			rows := [][]string{}
			row := func(l pacer.Limit, senders, source string) {
				flight := ""
				if l.MaxInFlight > 0 {
					flight = strconv.Itoa(l.MaxInFlight)
				}
				shown := ""
				if l.Rate == pacer.Unlimited {
					shown = "unlimited"
				} else if l.Rate > 0 {
					shown = rate(l.Rate)
				}
				rows = append(rows, []string{l.Resource, cmp.Or(l.Sender, senders), shown, flight, source})
			}
			for _, l := range limits {
				l.Sender = a.number(l.Sender)
				info.Limits = append(info.Limits, l)
				row(l, "", info.From)
			}
			for _, d := range pacer.DefaultLimits() {
				info.Defaults = append(info.Defaults, defaultLimit{d.Limit, d.Senders, d.Source})
				row(d.Limit, d.Senders, "default")
			}
			if a.json {
				return a.printJSON(info)
			}
			return a.table([]string{"RESOURCE", "SENDER", "RATE", "IN FLIGHT", "FROM"}, rows)
		},
	}
}

func (a *app) limitsCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Say whether a file of limits is valid, and if not, which line is wrong", Args: exactly("FILE"),
		Example: "  pacer limits check limits.json && kill -HUP PID    # the PID is that of pacer workers",
		RunE: func(_ *cobra.Command, args []string) error {
			limits, err := pacer.LoadLimits(args[0])
			if err != nil {
				return err
			}
			return a.printRules("valid", limits)
		},
	}
}

func (a *app) limitsSet() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "set FILE", Short: "Set the limits of all processes that share their pace", Args: exactly("FILE"),
		Long: `Sets the limits that are in the Redis of --share. All processes that use it follow within a second. A worker's own file of limits
counts only while Redis has none.`,
		Example: "  pacer limits set limits.json --share redis://host:6379/0 --yes",
		RunE: func(_ *cobra.Command, args []string) (err error) {
			share := cmp.Or(a.share, os.Getenv("PACER_SHARE"))
			if share == "" {
				return usage("no Redis: expected --share, or PACER_SHARE in the environment, with its address")
			}
			limits, err := pacer.LoadLimits(args[0])
			if err != nil {
				return err
			}
			limiter, err := shared(share, nil, a.log())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, limiter.Close()) }()
			if err := a.confirm(yes, "The limits of all processes that share them are replaced."); err != nil {
				return err
			}
			if err := limiter.SetLimits(limits); err != nil {
				return err
			}
			return a.printRules("set", limits)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
