package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer/queue"
)

// campaignInfo is a campaign as --json prints it. docs/json.md describes all shapes. No field is ever left out.
type campaignInfo struct {
	Name      string              `json:"name"`
	State     queue.CampaignState `json:"state"`
	Rate      float64             `json:"rate"` // requests per second
	Window    string              `json:"window"`
	Start     string              `json:"start"`
	Expires   string              `json:"expires"`
	Total     int64               `json:"total"` // recipients: the sum of the following
	Sent      int64               `json:"sent"`
	Failed    int64               `json:"failed"`
	InDoubt   int64               `json:"inDoubt"`
	Cancelled int64               `json:"cancelled"`
	Waiting   int64               `json:"waiting"`
	Sending   int64               `json:"sending"`
	Pace      float64             `json:"pace"`     // requests per second over the last 30 s
	ETA       string              `json:"eta"`      // when the last one will have been sent, at the pace that is kept
	NextOpen  string              `json:"nextOpen"` // when it may send next

	LimitedBy    queue.CampaignLimit `json:"limitedBy"`
	LimitedUntil string              `json:"limitedUntil"`
}

// startedInfo is what "campaign start --json" prints.
type startedInfo struct {
	New      int          `json:"new"`   // recipients of the file that this start has added
	Known    int          `json:"known"` // recipients of the file that the campaign had already
	Campaign campaignInfo `json:"campaign"`
}

func infoOf(p queue.Progress) campaignInfo {
	window := ""
	if p.Options.Window != nil {
		window = p.Options.Window.String()
	}
	if p.NobodySends() {
		p.ETA = time.Time{}
	}
	return campaignInfo{
		p.Name, p.State, p.Options.Rate, window, moment(p.Options.Start), moment(p.Options.Expires),
		p.Total, p.Sent, p.Failed, p.InDoubt, p.Cancelled, p.Waiting, p.Sending, p.Pace, moment(p.ETA), moment(p.NextOpen),
		p.LimitedBy, moment(p.LimitedUntil),
	}
}

func (a *app) campaign() *cobra.Command {
	return group("campaign", "Start, watch and steer campaigns", "  pacer campaign list\n  pacer campaign show spring",
		a.campaignStart(), a.campaignList(), a.campaignShow(), a.campaignRate(), a.campaignWindow(), a.campaignCancel(), a.campaignFailures(),
		a.campaignDo("pause", "Stop sending until it is resumed", "paused", (*queue.Campaign).Pause),
		a.campaignDo("resume", "Go on after a pause", "resumed", (*queue.Campaign).Resume),
	)
}

// withCampaign runs f with the campaign of a name.
func (a *app) withCampaign(ctx context.Context, name string, f func(*queue.Campaign) error) error {
	return a.withQueue(ctx, func(q *queue.Queue) error {
		c, err := q.FindCampaign(ctx, name)
		if err != nil {
			return err
		}
		return f(c)
	})
}

func (a *app) campaignStart() *cobra.Command {
	var m message
	var path, window string
	var opts queue.CampaignOptions
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "start NAME", Short: "Send a message to each row of a CSV file", Args: exactly("NAME"),
		Long: `Enqueues a message for each row of a CSV file, whose first line names the columns. The column "to" is
the recipient. The text is a template over the row's columns. Nothing is enqueued unless every row is good.
To run it again enqueues only whom the campaign does not know yet.`,
		Example: "  pacer campaign start spring --csv list.csv --from +15005550006 --rate 20 \\\n" +
			"    --body \"Hello {{.name}}, the season begins.\" --window \"mon-fri 09:00-20:00 Europe/Berlin\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			switch {
			case path == "":
				return usage("no recipients: expected --csv with a file")
			case (m.from == "") == (m.service == ""):
				return usage("the sender: expected one of --from and --messaging-service")
			case m.body == "":
				return usage("no text: expected --body")
			}
			if window != "" {
				opts.Window = new(queue.Window)
				if err := opts.Window.UnmarshalText([]byte(window)); err != nil {
					return usage("--window: %w", err)
				}
			}
			if expires > 0 {
				opts.Expires = time.Now().Add(expires)
			}
			list, err := os.Open(path)
			if err != nil {
				return err
			}
			defer list.Close() //nolint:errcheck // it was only read
			return a.withNewQueue(ctx, func(q *queue.Queue) error {
				_, err := q.FindCampaign(ctx, args[0])
				known := err == nil
				c, err := q.Campaign(ctx, args[0], opts)
				if err != nil {
					return err
				}
				if f := cmd.Flags(); known && (f.Changed("rate") || f.Changed("window") || f.Changed("expires")) {
					fmt.Fprintf(a.errs, "pacer: campaign %s is there already and keeps its rate, window and end: pacer campaign rate and window change them\n", c.Name())
				}
				p := m.params()
				p.To = nil
				done, err := c.EnqueueCSV(ctx, list, p)
				if err != nil {
					return err
				}
				if !a.json {
					a.say("%d enqueued, %d were known already", done.New, done.Known)
					return a.showCampaign(ctx, c)
				}
				now, err := c.Progress(ctx)
				if err != nil {
					return err
				}
				return a.printJSON(startedInfo{done.New, done.Known, infoOf(now)})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "csv", "", "the `file` of recipients")
	f.StringVar(&m.from, "from", "", "the sender's `number`")
	f.StringVar(&m.service, "messaging-service", "", "the `SID` of a Messaging Service, in place of --from")
	f.StringVar(&m.body, "body", "", "the `text`, a template such as \"Hello {{.name}}\"")
	f.Float64Var(&opts.Rate, "rate", 1, "messages a `second`")
	f.StringVar(&window, "window", "", "when it may send, such as \"mon-fri 09:00-20:00 Europe/Berlin\"; default: at any time")
	f.DurationVar(&expires, "expires", 0, "send nothing later than that long from now; 0: no end")
	return cmd
}

func (a *app) showCampaign(ctx context.Context, c *queue.Campaign) error {
	p, err := c.Progress(ctx)
	if err != nil {
		return err
	}
	i := infoOf(p)
	if a.json {
		return a.printJSON(i)
	}
	rows := [][]string{
		{"state", string(i.State)}, {"rate", rate(i.Rate)}, {"window", i.Window}, {"starts", i.Start}, {"expires", i.Expires},
		{"recipients", count(i.Total)}, {"sent", count(i.Sent)}, {"failed", count(i.Failed)}, {"in doubt", count(i.InDoubt)},
		{"cancelled", count(i.Cancelled)}, {"waiting", count(i.Waiting)}, {"sending", count(i.Sending)},
		{"done at about", i.ETA}, {"sends again", i.NextOpen},
	}
	return a.table([]string{"campaign", i.Name}, rows)
}

// rate returns a rate as it is printed. One that is no whole number has four digits.
func rate(r float64) string {
	if r != math.Trunc(r) {
		r, _ = strconv.ParseFloat(strconv.FormatFloat(r, 'g', 4, 64), 64)
	}
	return strconv.FormatFloat(r, 'f', -1, 64) + "/s"
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

func (a *app) campaignShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show how far a campaign is", Example: "  pacer campaign show spring --json", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCampaign(cmd.Context(), args[0], func(c *queue.Campaign) error { return a.showCampaign(cmd.Context(), c) })
		},
	}
}

func (a *app) campaignList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all campaigns", Example: "  pacer campaign list", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error {
				all, err := q.Campaigns(cmd.Context())
				infos, rows := []campaignInfo{}, [][]string{}
				for _, p := range all {
					i := infoOf(p)
					infos = append(infos, i)
					rows = append(rows, []string{i.Name, string(i.State), rate(i.Rate), count(i.Total), count(i.Sent), count(i.Failed), count(i.InDoubt), count(i.Waiting), i.ETA})
				}
				head := []string{"CAMPAIGN", "STATE", "RATE", "RECIPIENTS", "SENT", "FAILED", "IN DOUBT", "WAITING", "DONE AT ABOUT"}
				return errors.Join(a.printRows(infos, "campaign", head, rows), err)
			})
		},
	}
}

// campaignDo is a command that changes a campaign and can be taken back.
func (a *app) campaignDo(name, short, done string, do func(*queue.Campaign, context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME", Short: short, Example: "  pacer campaign " + name + " spring", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCampaign(cmd.Context(), args[0], func(c *queue.Campaign) error {
				if err := do(c, cmd.Context()); err != nil {
					return err
				}
				p, err := c.Progress(cmd.Context())
				if err != nil {
					return err
				}
				a.say("%s: workers heed it within a second", done)
				if p.State == queue.CampaignClosed || p.State == queue.CampaignScheduled {
					a.say("it is %s, and sends again at %s", p.State, moment(p.NextOpen))
				}
				return a.jsonCampaign(cmd.Context(), c)
			})
		},
	}
}

// jsonCampaign prints the campaign if JSON is wanted.
func (a *app) jsonCampaign(ctx context.Context, c *queue.Campaign) error {
	if !a.json {
		return nil
	}
	return a.showCampaign(ctx, c)
}

func (a *app) campaignRate() *cobra.Command {
	return &cobra.Command{
		Use: "rate NAME RATE", Short: "Change how many messages a second it sends", Example: "  pacer campaign rate spring 5", Args: exactly("NAME", "RATE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			perSecond, err := strconv.ParseFloat(strings.TrimSuffix(args[1], "/s"), 64)
			if err != nil || !(perSecond > 0) {
				return usage("rate %q: expected messages a second, such as 5; pacer campaign pause stops it", args[1])
			}
			return a.withCampaign(cmd.Context(), args[0], func(c *queue.Campaign) error {
				if err := c.SetRate(cmd.Context(), perSecond); err != nil {
					return err
				}
				a.say("%s: workers heed it within a second", rate(perSecond))
				return a.jsonCampaign(cmd.Context(), c)
			})
		},
	}
}

func (a *app) campaignWindow() *cobra.Command {
	return &cobra.Command{
		Use: "window NAME WINDOW", Short: "Change when it may send; always: at any time", Args: exactly("NAME", "WINDOW"),
		Example: "  pacer campaign window spring \"mon-sat 08:00-21:00 Europe/Berlin\"\n  pacer campaign window spring always",
		RunE: func(cmd *cobra.Command, args []string) error {
			var window *queue.Window
			if args[1] != "always" {
				window = new(queue.Window)
				if err := window.UnmarshalText([]byte(args[1])); err != nil {
					return usage("window: %w", err)
				}
			}
			return a.withCampaign(cmd.Context(), args[0], func(c *queue.Campaign) error {
				p, err := c.Progress(cmd.Context())
				if err != nil {
					return err
				}
				opts := p.Options
				opts.Window = window
				if err := c.Update(cmd.Context(), opts); err != nil {
					return err
				}
				return a.showCampaign(cmd.Context(), c)
			})
		},
	}
}

func (a *app) campaignCancel() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "cancel NAME", Short: "End a campaign for good", Example: "  pacer campaign cancel spring --yes", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCampaign(cmd.Context(), args[0], func(c *queue.Campaign) error {
				p, err := c.Progress(cmd.Context())
				if err != nil {
					return err
				}
				if err := a.confirm(yes, fmt.Sprintf("Campaign %s ends for good, and %d who wait get nothing.", c.Name(), p.Waiting)); err != nil {
					return err
				}
				if err := c.Cancel(cmd.Context()); err != nil {
					return err
				}
				a.say("cancelled")
				return a.jsonCampaign(cmd.Context(), c)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirm asks before something that cannot be taken back, unless yes is true.
func (a *app) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	fmt.Fprintf(a.errs, "%s Type yes to go on: ", plain(what))
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if strings.TrimSpace(answer) == "yes" {
		return nil
	}
	fmt.Fprintln(a.errs)
	if err != nil {
		return usage("nobody has answered, and nothing was changed: expected --yes")
	}
	return errors.New("nothing was changed")
}

// failure is a recipient as "campaign failures --json" prints it.
type failure struct {
	Recipient string      `json:"recipient"` // masked, unless --reveal is given
	State     queue.State `json:"state"`
	Code      int         `json:"code"`
	Reason    string      `json:"reason"`
	Attempts  int         `json:"attempts"`
	ID        queue.ID    `json:"id"`
}

func (a *app) campaignFailures() *cobra.Command {
	return &cobra.Command{
		Use: "failures NAME", Short: "List to whom it could not send, and why", Args: exactly("NAME"),
		Example: "  pacer campaign failures spring\n  pacer campaign failures spring --json --reveal",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCampaign(cmd.Context(), args[0], func(c *queue.Campaign) error {
				all, rows := []failure{}, [][]string{}
				for f, err := range c.Failures(cmd.Context()) {
					if err != nil {
						return err
					}
					all = append(all, failure{a.number(f.Recipient), f.State, f.Code, a.number(f.Reason), f.Attempts, f.ID})
					rows = append(rows, []string{string(f.ID), a.number(f.Recipient), string(f.State), code(f.Code), a.number(f.Reason)})
				}
				return a.printRows(all, "failure", []string{"ID", "RECIPIENT", "STATE", "CODE", "REASON"}, rows)
			})
		},
	}
}

// code returns Twilio's code as it is printed; "": none.
func code(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
