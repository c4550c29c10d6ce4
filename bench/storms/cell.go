package main

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

// A cell is what came of one client in one row.
type cell struct {
	Row, Client string
	Seeds       int // so many runs are summed

	storm.Result
	Others float64 // mean wait of the others, by that without the trouble; 0: not asked in this row

	row *row
}

// cells runs every client in every row, as many at a time as there are processors.
func (o *options) cells(t *testing.T, p *progress) []cell {
	var cells []cell
	for _, r := range o.rows {
		for _, c := range o.clients {
			if r.takes(c) {
				cells = append(cells, cell{Row: r.name, Client: c.name, row: r})
			}
		}
	}
	p.begin(len(cells))
	next := make(chan *cell)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(cells)) {
		wg.Go(func() {
			for c := range next {
				p.started(c)
				late := time.AfterFunc(aLongRun, func() { p.hangs(c) })
				c.measure(t, o)
				late.Stop()
				p.done(c)
			}
		})
	}
	for i := range cells {
		next <- &cells[i]
	}
	close(next)
	wg.Wait()
	return cells
}

// aLongRun is in real time. A client that waits for 0 s again and again lets no virtual time pass, and never ends.
const aLongRun = 3 * time.Minute

func (c *cell) measure(t *testing.T, o *options) {
	client := clientNamed(c.Client)
	c.Seeds = 1
	if !o.Short {
		c.Seeds = max(1, c.row.seeds)
	}
	var all, quiet []storm.Result
	for i := range c.Seeds {
		seed := o.seed + uint64(i)
		all = append(all, virtual(t, c, c.row.scene(o.Short), seed, client))
		if c.row.others {
			scene := c.row.scene(o.Short)
			scene.Calm()
			quiet = append(quiet, virtual(t, c, scene, seed, client))
		}
	}
	c.Result = storm.Merge(all)
	if c.row.others {
		c.Others = float64(c.Mean) / float64(max(storm.Merge(quiet).Mean, time.Microsecond))
	}
}

// virtual runs one client in one scene, in a bubble of virtual time.
func virtual(t *testing.T, c *cell, scene *storm.Scene, seed uint64, client *client) (res storm.Result) {
	t.Run(c.Row+"/"+c.Client, func(t *testing.T) {
		synctest.Test(t, func(*testing.T) {
			res = storm.Run(scene, seed, client.dial)
			time.Sleep(time.Second) // until the store of a fleet has answered what it was still asked
		})
	})
	return res
}

// share is what was accepted of the possible.
func (c cell) share() float64 { return ratio(float64(c.Accepted), c.Possible) }

// throttledShare is the share of the requests that were throttled.
func (c cell) throttledShare() float64 {
	return ratio(float64(c.Throttled), float64(c.Accepted+c.Throttled))
}

// ownShare is the share of the requests that were throttled but for what was refused at random, which no client can avoid.
func (c cell) ownShare() float64 {
	return ratio(float64(c.Throttled-c.Noise), float64(c.Accepted+c.Throttled))
}

// lostShare is the share of the calls that were lost.
func (c cell) lostShare() float64 { return ratio(float64(c.Lost), float64(c.Calls)) }

func ratio(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}
