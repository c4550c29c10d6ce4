package main

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// clocks are those that -clock shifts against this machine's, by which the workers live.
type clocks struct {
	by     time.Duration             // how much the engine's clock is ahead of Twilio's
	twilio func(time.Duration)       // sets how much Twilio's clock is ahead
	engine func(time.Duration) error // sets how much the engine's is; nil: it is this machine's

	mu     sync.Mutex // guards counts
	counts map[string]int64
}

// What is counted.
const (
	countTwilio = "times that Twilio's clock was shifted"
	countEngine = "times that the engine's clock was shifted"
	countRight  = "times that no clock was shifted"
)

// What can be set. An engine whose clock is this machine's cannot be in the last state.
var clockStates = []string{countRight, countTwilio, countEngine}

// states returns how many states can be set. The last of them shows most.
func (c *clocks) states() int {
	if c.engine == nil {
		return len(clockStates) - 1
	}
	return len(clockStates)
}

// set sets the clocks to state n.
func (c *clocks) set(n int) error {
	what := clockStates[n]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
	var twilio, engine time.Duration
	switch what {
	case countTwilio:
		twilio = -c.by
	case countEngine:
		engine = c.by
	}
	c.twilio(twilio)
	if c.engine == nil {
		return nil
	}
	return c.engine(engine)
}

// longestClock is how long a clock stays as it is, at most. It is longer than most requests
// take, so that some are decided by one clock and some by two.
const longestClock = 4 * time.Second

// trouble sets the clocks anew again and again.
func (c *clocks) trouble(d *deck) trouble {
	set := func() error { return c.set(d.next()) }
	return trouble{begin: set, end: set, longestRight: longestClock, longestWrong: longestClock}
}

// A shim shifts the clock of programs that are started while it is in the PATH.
type shim struct {
	offset *os.File
	path   string // as it was
}

//go:embed shim/clock.c
var shimSource []byte

// newShim puts a program into dir, and dir into the PATH, that runs the program of that name
// with another clock. The caller must close the shim.
func newShim(dir, program string) (*shim, error) {
	real, err := exec.LookPath(program)
	if err != nil {
		return nil, err
	}
	const mine, executable = 0o600, 0o700
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	if err := os.WriteFile(source, shimSource, mine); err != nil {
		return nil, err
	}
	out, err := exec.Command("cc", "-shared", "-fPIC", "-O2", "-o", library, source).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("-clock shifts the clock of %s through a library: it needs Linux and a C compiler (apt-get install gcc libc6-dev): %w: %s", program, err, out)
	}
	offset := filepath.Join(dir, "offset")
	script := fmt.Sprintf("#!/bin/sh\nPACER_CLOCK_OFFSET='%s' LD_PRELOAD='%s' exec '%s' \"$@\"\n", offset, library, real)
	if err := os.WriteFile(filepath.Join(dir, program), []byte(script), executable); err != nil {
		return nil, err
	}
	s := &shim{path: os.Getenv("PATH")}
	if s.offset, err = os.OpenFile(offset, os.O_RDWR|os.O_CREATE, mine); err != nil {
		return nil, err
	}
	if err := errors.Join(s.set(0), os.Setenv("PATH", dir+string(os.PathListSeparator)+s.path)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// set sets how much the clock is ahead of this machine's. It works at once, also for
// programs that run.
func (s *shim) set(ahead time.Duration) error {
	_, err := s.offset.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(ahead)), 0)
	return err
}

func (s *shim) close() error { return errors.Join(os.Setenv("PATH", s.path), s.offset.Close()) }
