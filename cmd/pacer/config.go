package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// workerSchema is the JSON Schema of the worker's configuration file.
//
//go:embed worker.schema.json
var workerSchema []byte

// A workerConfig is what the worker's configuration file says. Flags and the environment go before it.
type workerConfig struct {
	Queue      string // the queue's address
	Account    string // SID
	BaseURL    string // "": Twilio
	LimitsFile string
	Share      string // address of a Redis; "": the pace is this process's own

	CredentialsFile string // "": the token is in the environment
	file            string // that all this was read from; "": none

	Listen    string // address of /healthz, /readyz and /metrics; "off": none
	Dashboard string // "auto", "off", or an address of its own
	LogFormat string // "text" or "json"
	LogLevel  string // "debug", "info", "warn" or "error"

	Grace          time.Duration
	AttemptTimeout time.Duration
	Settle         time.Duration
	Retention      time.Duration // 0: for ever
	Concurrency    int
	InDoubt        map[string]queue.Policy // by operation; "*" is all others
}

func defaultWorkerConfig() workerConfig {
	return workerConfig{
		Listen: "127.0.0.1:9465", Dashboard: "auto", LogFormat: "text", LogLevel: "info",
		Grace: 35 * time.Second, AttemptTimeout: 35 * time.Second, Settle: time.Minute, Retention: 7 * 24 * time.Hour, Concurrency: 200,
	}
}

// fields returns where each field of the file goes.
func (c *workerConfig) fields() map[string]any {
	return map[string]any{
		"$schema": new(string), "queue": &c.Queue, "account": &c.Account, "baseURL": &c.BaseURL, "limitsFile": &c.LimitsFile, "share": &c.Share,
		"credentialsFile": &c.CredentialsFile,
		"listen":          &c.Listen, "dashboard": &c.Dashboard, "logFormat": &c.LogFormat, "logLevel": &c.LogLevel,
		"grace": &c.Grace, "attemptTimeout": &c.AttemptTimeout, "settle": &c.Settle, "retention": &c.Retention,
		"concurrency": &c.Concurrency, "inDoubt": &c.InDoubt,
	}
}

const maxConfig = 1 << 20

// loadWorkerConfig reads a configuration file. The error has every line that is wrong.
func loadWorkerConfig(path string) (workerConfig, error) {
	c := defaultWorkerConfig()
	if path == "" {
		return c, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return c, err
	}
	if len(data) > maxConfig {
		return c, fmt.Errorf("%s: more than %d bytes: expected a configuration file of the worker", path, maxConfig)
	}
	if err := c.parse(data); err != nil {
		return c, usage("%s: %w", path, err)
	}
	c.file = path
	return c, nil
}

func (c *workerConfig) parse(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	line := func() int { return 1 + bytes.Count(data[:d.InputOffset()], []byte("\n")) }
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("line %d: expected an object, {...}", line())
	}
	fields, seen := c.fields(), map[string]bool{}
	var errs []error
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("line %d: no valid JSON: %w", line(), err))...)
		}
		key, at := name.(string), line()
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return errors.Join(append(errs, fmt.Errorf("line %d: %s: no valid JSON: %w", at, key, err))...)
		}
		into := fields[key]
		switch {
		case into == nil:
			err = fmt.Errorf("not known: expected one of %s", strings.Join(names(fields), ", "))
		case seen[key]:
			err = errors.New("given twice")
		default:
			err = set(into, raw)
		}
		if seen[key] = true; err != nil {
			errs = append(errs, fmt.Errorf("line %d: %s: %w", at, key, err))
		} else if err := c.check(key); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %s: %w", at, key, err))
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.Join(append(errs, fmt.Errorf("line %d: the object does not end", line()))...)
	}
	if _, err := d.Token(); err != io.EOF {
		errs = append(errs, fmt.Errorf("line %d: something follows the object", line()))
	}
	return errors.Join(errs...)
}

func names(fields map[string]any) (all []string) {
	for name := range fields {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// set puts one value of the file where it belongs.
func set(into any, raw json.RawMessage) error {
	if string(raw) == "null" {
		return errors.New("null: expected a value, or that the field is left out")
	}
	expected := "text"
	switch into := into.(type) {
	case *string:
		if json.Unmarshal(raw, into) == nil {
			return nil
		}
	case *time.Duration:
		expected = `a duration of 0 or more, such as "35s"`
		var text string
		if json.Unmarshal(raw, &text) == nil {
			if d, err := time.ParseDuration(text); err == nil && d >= 0 {
				*into = d
				return nil
			}
		}
	case *int:
		expected = "a whole number from 1 to 100000"
		if json.Unmarshal(raw, into) == nil && *into >= 1 && *into <= 100000 {
			return nil
		}
	case *map[string]queue.Policy:
		expected = `an object such as {"*": "park"}`
		if json.Unmarshal(raw, into) == nil {
			return nil
		}
	}
	return errors.New("expected " + expected)
}

// check checks a field's value beyond its type. The queue's packages check the rest.
func (c *workerConfig) check(name string) error {
	switch name {
	case "logFormat":
		if c.LogFormat != "text" && c.LogFormat != "json" {
			return errors.New("expected text or json")
		}
	case "logLevel":
		if _, err := level(c.LogLevel); err != nil {
			return err
		}
	case "inDoubt":
		return checkPolicies(c.InDoubt)
	}
	return nil
}

// checkPolicies asks the queue's package whether there are such policies and operations.
func checkPolicies(policies map[string]queue.Policy) error {
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken}, pacer.WithLimits(nil))
	if err != nil {
		return err
	}
	c := workerConfig{InDoubt: policies}
	_, err = queue.NewWorker(&queue.Queue{}, client, c.policies()...)
	return err
}

// override gives each setting the value of its flag, else that of the environment, else that of the file.
func (a *app) override(c *workerConfig) {
	a.queueAddress = cmp.Or(a.queueAddress, os.Getenv("PACER_QUEUE"), c.Queue)
	a.account = cmp.Or(a.account, os.Getenv("TWILIO_ACCOUNT_SID"), c.Account)
	a.baseURL = cmp.Or(a.baseURL, os.Getenv("PACER_BASE_URL"), c.BaseURL)
	a.share = cmp.Or(a.share, os.Getenv("PACER_SHARE"), c.Share)
	a.credentialsFile = cmp.Or(os.Getenv("PACER_CREDENTIALS_FILE"), c.CredentialsFile)
	if os.Getenv("PACER_LIMITS") == "" {
		a.limitsFile = cmp.Or(a.limitsFile, os.Getenv("PACER_LIMITS_FILE"), c.LimitsFile)
	}
}
