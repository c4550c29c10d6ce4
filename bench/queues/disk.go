package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/output"
)

// A disk is what the files are on.
type disk struct {
	Dir string  `json:"dir"`
	P50 float64 `json:"fsyncP50Millis"`
	P99 float64 `json:"fsyncP99Millis"`
}

// leastFsync is what an fsync costs at least where it reaches a device. Memory that
// looks like a disk takes a microsecond or two.
const leastFsync = 20 * time.Microsecond

// newDisk makes a directory in $TMPDIR, or, as /tmp is often in memory, in the working
// directory. Remove it.
func newDisk() (disk, error) {
	parent := os.Getenv("TMPDIR")
	if parent == "" {
		parent = "."
	}
	dir, err := os.MkdirTemp(parent, "bench-queues-")
	if err != nil {
		return disk{}, err
	}
	d := disk{Dir: dir}
	p50, p99, err := fsyncs(dir)
	if err != nil {
		return disk{}, errors.Join(err, d.remove())
	}
	d.P50, d.P99 = millis(p50), millis(p99)
	return d, nil
}

func (d disk) remove() error { return os.RemoveAll(d.Dir) }

// check reports a disk on which the figures would mean nothing.
func (d disk) check(least time.Duration) error {
	if d.P50 < millis(least) {
		return fmt.Errorf("an fsync in %s takes %.4f ms: expected a disk, on which it takes at least %v; say where one is with TMPDIR", d.Dir, d.P50, least)
	}
	return nil
}

// fsyncs measures what it costs to append a page to a file and have it on the disk, the
// least that a commit can cost.
func fsyncs(dir string) (p50, p99 time.Duration, err error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	took := make([]time.Duration, 200)
	page := make([]byte, 4096)
	for i := range took {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		took[i] = time.Since(start)
	}
	return output.Percentile(took, 50), output.Percentile(took, 99), nil
}

func millis(d time.Duration) float64 { return d.Seconds() * 1e3 }
func micros(d time.Duration) float64 { return d.Seconds() * 1e6 }
