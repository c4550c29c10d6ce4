package pacer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
	"weak"
)

// The environment variables that limits come from where the program sets none.
const (
	envLimits     = "PACER_LIMITS"      // JSON
	envLimitsFile = "PACER_LIMITS_FILE" // the path of a file with it
)

const (
	maxLimitsText = 1 << 20 // bytes; some 10,000 rules
	lookEvery     = time.Second
)

// LoadLimits reads a file as [ParseLimits] does. A file of more than 1 MiB is an error,
// and so is what is not a regular file. Errors name the path and, where they are about
// the contents, what ParseLimits says. errors.Is finds that of the operating system in
// them, such as fs.ErrNotExist.
func LoadLimits(path string) (Limits, error) {
	_, limits, err := loadLimits(path)
	if err != nil {
		return nil, fmt.Errorf("pacer: %w", err)
	}
	return limits, nil
}

// loadLimits also returns the text, for a watch that goes on from there.
func loadLimits(path string) (text string, limits Limits, err error) {
	text, err = readLimits(path)
	if err != nil {
		return "", nil, err
	}
	limits, err = parseFile(path, text)
	return text, limits, err
}

func parseFile(path, text string) (Limits, error) {
	limits, err := parseLimits([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("limits file %s, %w", path, err)
	}
	return limits, nil
}

var errTooLarge = errors.New("too large")

func readLimits(path string) (string, error) {
	info, err := os.Stat(path) // before it is opened: to open a pipe can take for ever
	if err != nil {
		return "", fmt.Errorf("limits file: %w: expected a file that can be read", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("limits file %s: %v: expected a regular file", path, info.Mode())
	}
	tooLarge := func(n int64) error {
		return fmt.Errorf("limits file %s: %w: %d bytes, expected at most %d", path, errTooLarge, n, maxLimitsText)
	}
	if info.Size() > maxLimitsText {
		return "", tooLarge(info.Size())
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("limits file: %w: expected a file that can be read", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxLimitsText+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("limits file: %w: expected a file that can be read", err)
	case len(text) > maxLimitsText: // it has grown since, or is of a kind that has no size
		return "", tooLarge(int64(len(text)))
	}
	return string(text), nil
}

// Limits returns the limits in force, without pacer's defaults; the slice is the
// caller's own. With [WithLimiter] it calls the limiter's method Limits() Limits, and
// returns nil if there is none.
func (c *Client) Limits() Limits {
	limits, _ := c.limits()
	return limits
}

// limits returns false if the limiter does not tell them.
func (c *Client) limits() (Limits, bool) {
	l, ok := c.cfg.limiter.(LimitsLimiter)
	if !ok {
		return nil, false
	}
	return l.Limits(), true
}

// WatchLimits sets the limits from a file, see [LoadLimits], and sets them again whenever the file
// changes. It does so until ctx ends or the client is garbage collected. If the first reading fails
// it returns the error, changes nothing and does not watch. It does the same if ctx has ended, or if
// the limiter of [WithLimiter] has no method SetLimits(Limits) error.
//
// It looks at the file once a second. It takes what it has found in the same state twice, so that
// half a file is not taken. A change is in force within about two seconds. How the file is changed
// does not matter: written in place, replaced, or behind a symbolic link, as Kubernetes does with a
// ConfigMap.
//
// If the file is gone, cannot be read or is not valid, the limits that are in force stay so. One
// [AlertLimitsRejected] says why. The next valid state is taken. Limits that were set otherwise
// meanwhile, as by [Client.SetLimits], stay until the file changes.
//
// Alerts come from a goroutine of their own. It runs only while the file is being looked
// at; between looks there is only a timer. Several files can be watched, in which case
// the last one that changed counts.
func (c *Client) WatchLimits(ctx context.Context, path string) error {
	if err := cmp.Or(c.err, ctx.Err()); err != nil {
		return err
	}
	text, limits, err := loadLimits(path)
	if err != nil {
		return fmt.Errorf("pacer: WatchLimits: %w", err)
	}
	if err := c.SetLimits(limits); err != nil {
		return err
	}
	newLimitsWatch(ctx, c, path, text).again()
	return nil
}

// A limitsWatch looks at a file from a chain of timers. It holds the client weakly:
// nobody closes a client, and it must not live on because its limits are watched.
type limitsWatch struct {
	ctx     context.Context
	client  weak.Pointer[Client]
	path    string
	last    fileState // as of the last look
	inForce fileState // that the limits are from, or that was rejected
	bad     bool      // it was rejected
}

// fileState is the text of a file, or why there is none.
type fileState struct{ text, problem string }

func newLimitsWatch(ctx context.Context, c *Client, path, text string) *limitsWatch {
	s := fileState{text: text}
	return &limitsWatch{ctx: ctx, client: weak.Make(c), path: path, last: s, inForce: s}
}

func (w *limitsWatch) again() { time.AfterFunc(lookEvery, w.look) }

func (w *limitsWatch) look() {
	if w.ctx.Err() != nil {
		return
	}
	c := w.client.Value()
	if c == nil {
		return
	}
	defer w.again()

	text, err := readLimits(w.path)
	s := fileState{text: text}
	switch {
	case errors.Is(err, errTooLarge): // whatever its size: it may be growing
		s.problem = errTooLarge.Error()
	case err != nil:
		s.problem = err.Error()
	}
	if stable := s == w.last; !stable {
		w.last = s
		return
	}
	if s == w.inForce || w.ctx.Err() != nil { // reading may have taken a while
		return
	}
	w.inForce = s
	w.take(c, text, err)
}

// take puts the file's limits in force, or says why not.
func (w *limitsWatch) take(c *Client, text string, err error) {
	var limits Limits
	if err == nil {
		limits, err = parseFile(w.path, text)
	}
	before := c.Limits()
	if err == nil {
		err = c.SetLimits(limits)
	}
	if err != nil {
		w.bad = true
		c.cfg.raise(Alert{Kind: AlertLimitsRejected, Time: time.Now(), Err: fmt.Errorf("pacer: %w", err), Advice: adviceRejected})
		return
	}
	if c.cfg.logger != nil && (w.bad || !slices.Equal(before, limits)) {
		c.cfg.logger.Info("pacer: limits changed", "path", w.path, "rules", len(limits))
	}
	w.bad = false
}

// environmentLimits returns the limits of the environment; nil: it has none. If they are those of a
// file it returns the file's path and text, too.
func environmentLimits() (limits Limits, path, text string, err error) {
	inline, path := os.Getenv(envLimits), os.Getenv(envLimitsFile)
	switch {
	case inline != "" && path != "":
		return nil, "", "", errors.New("pacer: " + envLimits + " and " + envLimitsFile + ": both are set: expected one of them")
	case inline != "":
		if limits, err = parseLimits([]byte(inline)); err != nil {
			err = fmt.Errorf("pacer: %s, %w", envLimits, err)
		}
	case path != "":
		if text, limits, err = loadLimits(path); err != nil {
			err = fmt.Errorf("pacer: %s: %w", envLimitsFile, err)
		}
	}
	return limits, path, text, err
}
