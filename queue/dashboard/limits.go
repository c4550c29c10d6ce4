package dashboard

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twilio-pacer/pacer"
)

// This file shows limits with masked senders, and takes them back.

type limits struct {
	of   Limits
	kept string
	file string     // that the limits come from; "": not known
	mu   sync.Mutex // of changes
}

// errOutdated is for limits that somebody else has changed while a person edited them.
var errOutdated = errors.New("dashboard: somebody else has changed the limits meanwhile: expected that you read them again")

// A limitsPage is what the page of limits shows.
type limitsPage struct {
	Text     string         `json:"text"`    // JSON, with masked senders
	Version  string         `json:"version"` // of these limits
	Kept     string         `json:"kept"`
	Where    string         `json:"where"` // they are in force
	Defaults []defaultLimit `json:"defaults"`
	File     *limitsFile    `json:"file,omitempty"` // nil: there is none
}

// A limitsFile is the file that limits come from, beside those in force.
type limitsFile struct {
	Path    string   `json:"path"`
	Changed string   `json:"changed,omitempty"` // when it was; "": it is gone
	Error   string   `json:"error,omitempty"`   // why it is not taken; "": it is
	Changes []string `json:"changes"`           // what is different in force from the file
}

// besideFile compares the limits in force with their file.
func (l *limits) besideFile(now pacer.Limits) *limitsFile {
	if l.file == "" {
		return nil
	}
	f := &limitsFile{Path: l.file, Changes: []string{}}
	if info, err := os.Stat(l.file); err == nil {
		f.Changed = moment(info.ModTime())
	}
	if of, err := pacer.LoadLimits(l.file); err != nil {
		f.Error = pacer.MaskNumbers(strings.TrimPrefix(err.Error(), "pacer: "))
	} else {
		f.Changes = changes(of, now)
	}
	return f
}

type defaultLimit struct {
	Limit   pacer.Limit `json:"limit"`
	Senders string      `json:"senders,omitempty"`
	Source  string      `json:"source"`
}

// A limitsCheck is what a person's limits would change.
type limitsCheck struct {
	Error   string   `json:"error,omitempty"` // "": they are valid
	Changes []string `json:"changes"`
	Applied bool     `json:"applied"`
	Where   string   `json:"where,omitempty"` // they are in force now
}

func (l *limits) page() (limitsPage, error) {
	now := l.of.Limits()
	text, err := masked(now)
	p := limitsPage{Text: text, Version: version(now), Kept: l.kept, File: l.besideFile(now)}
	for _, d := range pacer.DefaultLimits() {
		p.Defaults = append(p.Defaults, defaultLimit{d.Limit, d.Senders, d.Source})
	}
	return p, err
}

func version(limits pacer.Limits) string {
	text, _ := json.Marshal(limits) // they were JSON, or are refused below
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// masked returns limits as text, a line for each.
func masked(limits pacer.Limits) (string, error) {
	names := masks(limits)
	var b strings.Builder
	b.WriteString("[")
	for i, l := range limits {
		l.Sender = names[l.Sender]
		text, err := json.Marshal(l)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  ")
		b.Write(text)
	}
	b.WriteString("\n]\n")
	return b.String(), nil
}

// masks returns a name for each sender of limits. Two senders that look alike when masked have different names.
func masks(limits pacer.Limits) map[string]string {
	names, taken := map[string]string{"": ""}, map[string]int{}
	senders := make([]string, 0, len(limits))
	for _, l := range limits {
		senders = append(senders, l.Sender)
	}
	slices.Sort(senders)
	for _, sender := range slices.Compact(senders) {
		name := pacer.MaskNumbers(sender)
		if taken[name]++; name != sender && taken[name] > 1 {
			name += " (" + strconv.Itoa(taken[name]) + ")"
		}
		names[sender] = name
	}
	return names
}

// unmasked returns text with the senders of limits in the place of their names. Lines stay where they are.
func unmasked(text string, limits pacer.Limits) (string, error) {
	for sender, name := range masks(limits) {
		if sender != name {
			text = strings.ReplaceAll(text, strconv.Quote(name), strconv.Quote(sender))
		}
	}
	if before, _, found := strings.Cut(text, "•••"); found {
		return "", fmt.Errorf("line %d: a masked sender that no limit in force has: expected the whole number", 1+strings.Count(before, "\n"))
	}
	return text, nil
}

// check says what text would change, and sets it if apply is true. was is the version that the person has edited.
func (l *limits) check(text, was string, apply bool) (c limitsCheck, wanted pacer.Limits, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.of.Limits()
	if version(now) != was {
		return c, nil, errOutdated
	}
	text, err = unmasked(text, now)
	if err == nil {
		wanted, err = pacer.ParseLimits([]byte(text))
	}
	c.Changes = []string{}
	if err != nil {
		c.Error = pacer.MaskNumbers(err.Error())
		return c, nil, nil
	}
	c.Changes = changes(now, wanted)
	if apply {
		if err := l.of.SetLimits(wanted); err != nil {
			return c, nil, err
		}
		c.Applied = true
	}
	return c, wanted, nil
}

// changes lists in words what is different.
func changes(before, after pacer.Limits) []string {
	type of struct{ resource, sender, account, op string }
	key := func(l pacer.Limit) of { return of{l.Resource, l.Sender, l.Account, string(l.Op)} }
	name := func(l pacer.Limit) string {
		return strings.Join(strings.Fields(l.Resource+" "+string(l.Op)+" "+pacer.MaskNumbers(l.Sender)+" "+l.Account), " ")
	}
	was, is := make(map[of]pacer.Limit), make(map[of]bool)
	for _, l := range before {
		was[key(l)] = l
	}
	said := []string{}
	for _, l := range after {
		is[key(l)] = true
		switch old, known := was[key(l)]; {
		case !known:
			said = append(said, "new: "+name(l)+", "+words(l))
		case old != l:
			said = append(said, name(l)+": "+words(old)+" becomes "+words(l))
		}
	}
	for _, l := range before {
		if !is[key(l)] {
			said = append(said, "no longer: "+name(l)+", "+words(l))
		}
	}
	return said
}

// words says what a limit allows.
func words(l pacer.Limit) string {
	var all []string
	switch {
	case l.Rate == pacer.Unlimited:
		all = append(all, "not paced")
	case l.Rate > 0:
		all = append(all, strconv.FormatFloat(l.Rate, 'g', 4, 64)+"/s")
	}
	if l.Burst > 1 {
		all = append(all, fmt.Sprintf("burst %d", l.Burst))
	}
	if l.MaxInFlight > 0 {
		all = append(all, fmt.Sprintf("%d in flight", l.MaxInFlight))
	}
	return cmp.Or(strings.Join(all, ", "), "no limit")
}

// whereLimits says for which processes the limits hold.
func (d *Dashboard) whereLimits(r *http.Request) (string, error) {
	if d.sharedLimits {
		return "in all processes that share them", nil
	}
	s, _, err := d.view.get(r.Context())
	if err != nil {
		return "", err
	}
	others := 0
	for i := range s.workers {
		if w := &s.workers[i]; w.Alive && !d.view.server.is(w) {
			others++
		}
	}
	where := "only in this process (" + d.view.server.String() + ")"
	switch others {
	case 0:
		return where, nil
	case 1:
		return where + "; 1 other worker has limits of its own", nil
	}
	return fmt.Sprintf("%s; %d other workers have limits of their own", where, others), nil
}

func (d *Dashboard) showLimits(w http.ResponseWriter, r *http.Request) {
	if d.limits == nil {
		http.Error(w, "dashboard: limits are not shown here", http.StatusNotFound)
		return
	}
	p, err := d.limits.page()
	if err == nil {
		p.Where, err = d.whereLimits(r)
	}
	answer(w, &p, err)
}

func (d *Dashboard) setLimits(w http.ResponseWriter, r *http.Request) {
	if d.limits == nil {
		http.Error(w, "dashboard: limits are not shown here", http.StatusNotFound)
		return
	}
	var asked struct {
		Text    string `json:"text"`
		Version string `json:"version"`
		Apply   bool   `json:"apply"`
	}
	if err := read(w, r, &asked); err != nil {
		answer(w, nil, err)
		return
	}
	c, wanted, err := d.limits.check(asked.Text, asked.Version, asked.Apply)
	if c.Applied {
		d.changed(r, "limits", "rules", len(wanted), "changes", len(c.Changes))
		c.Where, err = d.whereLimits(r)
	}
	answer(w, &c, err)
}
