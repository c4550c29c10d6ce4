package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A process is a child as its parent sees it.
type process struct {
	cmd    *exec.Cmd
	stop   func() // asks it to end
	stderr bytes.Buffer
	says   chan string // closed when it has nothing more to say
	gone   chan struct{}
	err    error // how it ended; to be read after gone is closed
}

// newProcess returns a process that is still to be started. It dies with ctx of its command.
func newProcess(cmd *exec.Cmd) *process {
	cmd.WaitDelay = time.Second
	return &process{cmd: cmd, says: make(chan string, 100), gone: make(chan struct{})}
}

// startChild starts a child, this program anew. It ends with this process: its standard input does.
func startChild(ctx context.Context, t task) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("which program is this? %w", err)
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	p := newProcess(exec.CommandContext(ctx, self))
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.Stderr = &p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stop = func() { _ = stdin.Close() }
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return p, p.launch(stdout, func(line string) string { return line })
}

// launch starts the process. It says what says makes of each line of out; "": nothing.
func (p *process) launch(out io.Reader, says func(line string) string) error {
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start a child: %w", err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if said := says(s.Text()); said != "" {
				p.says <- said
			}
		}
		p.err = p.cmd.Wait()
		close(p.says)
		close(p.gone)
	}()
	return nil
}

// kill kills it as the kernel does that is out of memory: SIGKILL, no warning.
// What it had said before counts: hear gets it.
func (p *process) kill(hear func(string)) {
	_ = p.cmd.Process.Kill() // an error: it is gone
	p.reap(hear)
}

// end asks it to stop, and waits.
func (p *process) end(hear func(string)) error {
	p.stop()
	p.reap(hear)
	if p.err != nil {
		return p.failure()
	}
	return nil
}

func (p *process) reap(hear func(string)) {
	for said := range p.says {
		hear(said)
	}
	<-p.gone
}

// failure is why a child ended that should not have.
func (p *process) failure() error {
	last := p.stderr.Bytes()
	last = last[max(0, len(last)-2000):]
	if p.err == nil {
		return errors.New("a child ended by itself, as if it had nothing more to do")
	}
	return fmt.Errorf("a child ended by itself (%w): %s", p.err, masked(string(bytes.TrimSpace(last))))
}
