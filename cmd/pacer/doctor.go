package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
)

// A verdict is what the doctor says about one thing.
type verdict string

const (
	fine    verdict = "ok"
	warning verdict = "warning"
	bad     verdict = "bad"
	skipped verdict = "skipped"
)

// finding is one line of what the doctor has found.
type finding struct {
	Check  string  `json:"check"`
	Result verdict `json:"result"`
	Text   string  `json:"text"` // what was found, and what to do
}

func (a *app) doctor() *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check what pacer needs: queue, clock, limits, credentials", Args: exactly(),
		Long: `Checks the queue, its store's settings and clock, the limits, and the credentials. For these it makes one free request
to Twilio, which reads the account. If anything is bad, the exit code is 4.`,
		Example: "  pacer doctor --queue sqlite:queue.db\n  pacer doctor --offline --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := a.examine(cmd.Context(), offline)
			if a.json {
				if err := a.printJSON(findings); err != nil {
					return err
				}
			} else {
				rows := [][]string{}
				for _, f := range findings {
					rows = append(rows, []string{f.Check, string(f.Result), f.Text})
				}
				if err := a.table([]string{"CHECK", "RESULT", "FOUND"}, rows); err != nil {
					return err
				}
			}
			for _, f := range findings {
				if f.Result == bad {
					return fmt.Errorf("%s: %w", f.Check, errPerson)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "make no request to Twilio")
	return cmd
}

func (a *app) examine(ctx context.Context, offline bool) []finding {
	v := buildVersion()
	findings := []finding{{"version", fine, v.Version + ", " + v.Go + ", " + v.Platform}}
	findings = append(findings, a.examineQueue(ctx)...)
	findings = append(findings, a.examineLimits())
	return append(findings, a.examineAccount(ctx, offline))
}

// found makes a finding of an error.
func found(check string, err error, said string) finding {
	if err != nil {
		return finding{check, bad, pacer.MaskNumbers(err.Error())}
	}
	return finding{check, fine, said}
}

// heard is a log handler that keeps the warnings of an engine.
type heard struct {
	mu       sync.Mutex
	warnings []string
}

func (*heard) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h *heard) WithAttrs([]slog.Attr) slog.Handler         { return h }
func (h *heard) WithGroup(string) slog.Handler              { return h }
func (h *heard) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.warnings = append(h.warnings, r.Message)
	return nil
}

func (a *app) examineQueue(ctx context.Context) []finding {
	text := cmp.Or(a.queueAddress, os.Getenv("PACER_QUEUE"))
	if text == "" {
		return []finding{{"queue", skipped, "no queue: --queue or PACER_QUEUE names one"}}
	}
	address, err := engineurl.Parse(text)
	if err != nil {
		return []finding{found("queue", err, "")}
	}
	var findings []finding
	if path := address.Path(); path != "" {
		f := examineFile(path)
		findings = append(findings, f)
		if f.Result == bad {
			return findings
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	warnings := &heard{}
	engine, err := address.Open(ctx, engineurl.WithLogger(slog.New(warnings)))
	if err != nil {
		return append(findings, found("queue", err, ""))
	}
	before := time.Now()
	at, err := engine.Now(ctx)
	clock := err == nil
	if err == nil {
		err = queue.Probe(ctx, engine) // a full store tells the time all the same
	}
	findings = append(findings, found("queue", err, address.String()))
	if clock {
		findings = append(findings, examineClock(at.Sub(before.Add(time.Since(before)/2))))
	}
	if err := engine.Close(); err != nil {
		findings = append(findings, found("queue closes", err, ""))
	}
	warnings.mu.Lock()
	defer warnings.mu.Unlock()
	for _, w := range warnings.warnings {
		findings = append(findings, finding{"store's settings", warning, w})
	}
	return findings
}

// examineFile looks at a SQLite file before it is opened, which would make it.
func examineFile(path string) finding {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return found("file", err, "")
		}
		return finding{"file", warning, "there is none yet, and one is made now: is this the path that the worker has?"}
	case err != nil:
		return found("file", err, "")
	case !info.Mode().IsRegular():
		return finding{"file", bad, path + " is no regular file"}
	case info.Mode().Perm()&0o077 != 0:
		return finding{"file", warning, fmt.Sprintf("others than its owner may use it (mode %v): it holds phone numbers and texts; chmod 600", info.Mode().Perm())}
	}
	return finding{"file", fine, fmt.Sprintf("%d bytes, for its owner only", info.Size())}
}

// examineClock judges by how much the store's clock is ahead of this machine's.
func examineClock(ahead time.Duration) finding {
	ahead = ahead.Round(time.Millisecond)
	if ahead.Abs() < 2*time.Second {
		return finding{"clock", fine, fmt.Sprintf("the store's differs from this machine's by %v", ahead.Abs())}
	}
	return finding{"clock", bad, fmt.Sprintf("the store's is %v ahead of this machine's: windows, deadlines and the search for what is in doubt go by the clock; let NTP set both", ahead)}
}

func (a *app) examineLimits() finding {
	limits, err := a.readLimits()
	if err == nil && len(limits) == 0 {
		return finding{"limits", warning, "none are set: the defaults are in force, such as 1 message a second from a long code; pacer limits show"}
	}
	return found("limits", err, fmt.Sprintf("%s from %s", rulesOf(len(limits)), a.limitsFrom()))
}

func (a *app) examineAccount(ctx context.Context, offline bool) finding {
	if offline {
		return finding{"credentials", skipped, "--offline"}
	}
	c, stop, err := a.newClient(slog.New(&heard{}), pacer.WithMaxRetries(0))
	if err != nil {
		return found("credentials", err, "")
	}
	defer func() { _ = stop() }() // it was only looked at
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	account, err := c.WithContext(ctx).Api.FetchAccount(a.accountSID())
	if err != nil {
		return found("credentials", err, "")
	}
	status := "active"
	if account.Status != nil {
		status = strings.ToLower(*account.Status)
	}
	if status != "active" {
		return finding{"credentials", bad, "Twilio takes them, and the account is " + status}
	}
	return finding{"credentials", fine, "Twilio takes them, and the account is active"}
}
