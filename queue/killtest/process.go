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
	stdin  io.Closer
	stderr bytes.Buffer
	says   chan string // closed when it has nothing more to say
	gone   chan struct{}
	err    error // how it ended; to be read after gone is closed
}

// start starts a child, this program anew. It dies with ctx, and ends with this process:
// its standard input does.
func start(ctx context.Context, t task) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("which program is this? %w", err)
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self), says: make(chan string, 100), gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = time.Second
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	go func() {
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.says <- s.Text()
		}
		p.err = p.cmd.Wait()
		close(p.says)
		close(p.gone)
	}()
	return p, nil
}

// kill kills it as the kernel does that is out of memory: SIGKILL, no warning.
// What it had said before counts: hear gets it.
func (p *process) kill(hear func(string)) {
	_ = p.cmd.Process.Kill() // an error: it is gone
	p.reap(hear)
}

// end asks it to stop, and waits.
func (p *process) end(hear func(string)) error {
	_ = p.stdin.Close()
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
