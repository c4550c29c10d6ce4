package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
	"github.com/twilio-pacer/pacer/redispacer"
)

// An app is one run of the command: its streams, and the flags that all commands have.
type app struct {
	in        io.Reader
	out, errs io.Writer

	queueAddress string
	account      string // SID; "": TWILIO_ACCOUNT_SID
	baseURL      string
	limitsFile   string
	share        string

	credentialsFile string // "": that of PACER_CREDENTIALS_FILE, or none
	json, reveal    bool
}

// log returns where engines and clients log: the standard error, as text.
func (a *app) log() *slog.Logger { return slog.New(slog.NewTextHandler(a.errs, nil)) }

// openQueue opens the queue of --queue or PACER_QUEUE. With existing a file that is not there is an error.
func (a *app) openQueue(ctx context.Context, existing bool, log *slog.Logger) (*queue.Queue, error) {
	text := cmp.Or(a.queueAddress, os.Getenv("PACER_QUEUE"))
	if text == "" {
		return nil, usage("no queue: expected --queue, or PACER_QUEUE in the environment, with an address such as sqlite:queue.db")
	}
	address, err := engineurl.Parse(text)
	if err != nil {
		return nil, usageError{err}
	}
	if file := address.Path(); file != "" && existing {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: no queue at %s: a worker, pacer send or pacer campaign start makes one", errNothing, address)
		}
	}
	engine, err := address.Open(ctx, engineurl.WithLogger(log))
	if err != nil {
		return nil, err
	}
	q, err := queue.Open(engine, a.queueOptions()...)
	if err != nil {
		return nil, usageError{errors.Join(err, engine.Close())}
	}
	return q, nil
}

// queueOptions returns what the flags say about a queue.
func (a *app) queueOptions() (opts []queue.Option) {
	if a.account != "" {
		opts = append(opts, queue.WithAccount(a.account))
	}
	return opts
}

// withQueue runs f with the queue, and closes it. The queue has to be there: a wrong path must not look like an empty queue.
func (a *app) withQueue(ctx context.Context, f func(*queue.Queue) error) error {
	return a.use(ctx, true, f)
}

// withNewQueue is withQueue for what enqueues. It makes the queue if it is not there.
func (a *app) withNewQueue(ctx context.Context, f func(*queue.Queue) error) error {
	return a.use(ctx, false, f)
}

func (a *app) use(ctx context.Context, existing bool, f func(*queue.Queue) error) (err error) {
	q, err := a.openQueue(ctx, existing, a.log())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	return f(q)
}

// newClient makes a client from the flags and the environment. stop ends what the client uses.
func (a *app) newClient(log *slog.Logger, more ...pacer.Option) (c *pacer.Client, stop func() error, err error) {
	opts := append([]pacer.Option{pacer.WithLogger(log)}, more...)
	if base := cmp.Or(a.baseURL, os.Getenv("PACER_BASE_URL")); base != "" {
		opts = append(opts, pacer.WithBaseURL(base))
	}
	var limits pacer.Limits
	if a.limitsFile != "" {
		if limits, err = pacer.LoadLimits(a.limitsFile); err != nil {
			return nil, nil, usageError{err}
		}
	}
	stop = func() error { return nil }
	if share := cmp.Or(a.share, os.Getenv("PACER_SHARE")); share != "" {
		limiter, err := shared(share, limits, log)
		if err != nil {
			return nil, nil, err
		}
		stop = limiter.Close
		opts = append(opts, pacer.WithLimiter(limiter))
	} else if limits != nil {
		opts = append(opts, pacer.WithLimits(limits))
	}
	params, err := a.params()
	if err == nil {
		c, err = pacer.New(params, opts...)
	}
	if err != nil {
		return nil, nil, usageError{errors.Join(err, stop())}
	}
	return c, stop, nil
}

// shared makes a limiter whose pace processes share.
func shared(address string, limits pacer.Limits, log *slog.Logger) (*redispacer.Limiter, error) {
	a, err := engineurl.Parse(address)
	if err != nil {
		return nil, usage("--share: %w", err)
	}
	opts := a.Redis()
	if opts == nil {
		return nil, usage("--share: %s is no Redis: expected an address such as redis://host:6379/0", a)
	}
	return redispacer.New(opts, limits, redispacer.WithLogger(log))
}

// escapeC1 escapes the control characters that package json leaves as they are.
var escapeC1 = func() *strings.Replacer {
	var pairs []string
	for r := rune(0x7f); r < 0xa0; r++ {
		pairs = append(pairs, string(r), fmt.Sprintf(`\u%04x`, r))
	}
	return strings.NewReplacer(pairs...)
}()

// printJSON prints v as one JSON value. A control character of a text is printed as an escape such as \u009b.
func (a *app) printJSON(v any) error { return a.printIndented(v, "  ") }

// printLine prints JSON in one line.
func (a *app) printLine(v any) error { return a.printIndented(v, "") }

func (a *app) printIndented(v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(a.out, escapeC1.Replace(b.String()))
	return err
}

// printRows prints what was found: as JSON, or its rows in columns. Where there is nothing, none says of what.
func (a *app) printRows(all any, none string, head []string, rows [][]string) error {
	switch {
	case a.json:
		return a.printJSON(all)
	case len(rows) == 0:
		return fmt.Errorf("no %s: %w", none, errNothing)
	}
	return a.table(head, rows)
}

// table prints rows in columns. No cell has a control character.
func (a *app) table(head []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		for i, c := range row {
			row[i] = cmp.Or(plain(c), "-")
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// say prints a line, unless JSON is wanted.
func (a *app) say(format string, args ...any) {
	if !a.json {
		fmt.Fprintln(a.out, lines(fmt.Sprintf(format, args...)))
	}
}

// plain returns text without control characters, which a name or an answer of Twilio's may have.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// lines is plain for a text of several lines.
func lines(text string) string {
	all := strings.Split(text, "\n")
	for i := range all {
		all[i] = plain(all[i])
	}
	return strings.Join(all, "\n")
}

// rulesOf returns how many rules there are, for people.
func rulesOf(n int) string {
	if n == 1 {
		return "1 rule"
	}
	return strconv.Itoa(n) + " rules"
}

// number returns a phone number as it is printed.
func (a *app) number(text string) string {
	if a.reveal {
		return text
	}
	return pacer.MaskNumbers(text)
}

// moment returns a time as it is printed; "": the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
