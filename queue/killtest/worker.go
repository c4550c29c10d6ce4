package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// This file has "pacer worker" do the work, the program that operators run, in place of the test's own worker.

// addresses are how pacer worker is told where a store is. Engines without one are tested by the test's own worker only.
var addresses = map[string]string{"sqlite": "sqlite:", "redis": "redis://"}

// startPacer starts pacer worker for a task. Its files are written into dir.
func startPacer(ctx context.Context, program, dir string, t task) (*process, error) {
	limits, err := json.Marshal(pacer.Limits{{Resource: pacer.Messages, Rate: t.Rate}, {Resource: pacer.Calls, Rate: t.Rate}})
	if err != nil {
		return nil, err
	}
	limitsFile, config := filepath.Join(dir, "limits.json"), filepath.Join(dir, "worker.json")
	settings, err := json.Marshal(map[string]any{
		"queue": addresses[t.Engine] + t.Store, "baseURL": "http://" + t.Fake, "limitsFile": limitsFile,
		"listen": "off", "dashboard": "off", "logFormat": "json", "concurrency": 50,
		"attemptTimeout": attemptTimeout.String(), "settle": settle.String(), "grace": grace.String(),
	})
	if err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{limitsFile: limits, config: settings} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return nil, err
		}
	}
	p := newProcess(exec.CommandContext(ctx, program, "worker", "--config", config))
	p.cmd.Env = append(os.Environ(), "TWILIO_ACCOUNT_SID="+twiliotest.AccountSid, "TWILIO_AUTH_TOKEN="+twiliotest.AuthToken)
	p.stop = func() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	return p, p.launch(log, func(line string) string {
		p.stderr.WriteString(line + "\n")
		return saidBy(line)
	})
}

// saidBy returns what the test's own worker would say in place of a line of pacer worker's log; "": nothing.
func saidBy(line string) string {
	var l struct{ Level, Msg string }
	if json.Unmarshal([]byte(line), &l) != nil {
		return ""
	}
	if l.Msg == "pacer worker: starts" {
		return saysUp
	}
	if kind, ok := strings.CutPrefix(l.Msg, "pacer queue: "); ok && l.Level == "ERROR" {
		return saysAlert + kind
	}
	return ""
}

// checkWorker returns an error if pacer worker cannot do what the options ask for.
func (o *options) checkWorker() error {
	if o.program == "" {
		return nil
	}
	for _, engine := range o.engines() {
		if addresses[engine] == "" {
			return fmt.Errorf("-worker: expected with -engine sqlite or redis, and not with %q", engine)
		}
	}
	if o.proxy {
		return fmt.Errorf("-worker: expected without -proxy, whose certificate only the test's own worker trusts")
	}
	if _, err := exec.LookPath(o.program); err != nil {
		return fmt.Errorf("-worker: %w: expected the program pacer, as go -C cmd/pacer build makes it", err)
	}
	return nil
}
