//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/engineurl"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// siege holds so many connections with slow clients, until the function that it returns is called. Whoever is cut off
// comes again.
func siege(t *testing.T, address string, clients int) (end func()) {
	t.Helper()
	over := make(chan struct{})
	var attacking sync.WaitGroup
	var connected sync.WaitGroup
	for i := range clients {
		connected.Add(1)
		attacking.Go(func() {
			for first := true; ; first = false {
				c, err := net.Dial("tcp", address)
				if first {
					connected.Done()
				}
				if err != nil {
					t.Error(err)
					return
				}
				slows[i%len(slows)].attack(c, over)
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	connected.Wait()
	return func() { close(over); attacking.Wait() }
}

// usageOf returns the memory and the files of a process; 0, where there is no /proc.
func usageOf(pid int) (kilobytes, files int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text); found != nil {
		kilobytes, _ = strconv.Atoi(string(found[1]))
	}
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return kilobytes, len(all)
}

// The daemon in a process of its own sends the same number of requests by turns with a thousand slow clients and without.
// Its memory and files are bounded, and it answers. How much longer it takes with them is logged, and no more than that,
// as it hangs on what else the machine does. TestSlowClientsTakeNothingFromTheWorker asserts the rate, in virtual time.
func TestSlowClientsOfTheDaemon(t *testing.T) {
	if testing.Short() {
		t.Skip("it holds a thousand connections, and measures")
	}
	const clients, jobs, pairs = 1000, 3000, 5
	fake, url := server(t, twiliotest.Config{})
	address, limits := freeAddress(t), written(t, "limits.json", `[{"resource": "*", "rate": "unlimited"}]`)
	where := file(t)
	e, err := engineurl.Open(t.Context(), where)
	must(t, err)
	q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
	must(t, err)
	defer q.Close()
	cmd, log := daemon(t, "--queue", where, "--base-url", url, "--listen", address, "--limits", limits)
	eventually(t, "ready", func() bool { code, _ := get(t, "http://"+address+"/readyz"); return code == http.StatusOK })

	want := 0
	all := queue.Park{Resource: pacer.Resource{Account: twiliotest.AccountSid}, For: time.Hour, Reason: queue.HoldByPerson}
	round := func() time.Duration { // how long some requests take
		_, err := q.Engine().Park(t.Context(), all)
		must(t, err)
		enqueueMany(t, q, jobs)
		want += jobs
		began := time.Now()
		_, err = q.Engine().Park(t.Context(), queue.Park{Resource: all.Resource})
		must(t, err)
		eventually(t, "all is sent", func() bool { return fake.Stats().Accepted >= want })
		return time.Since(began)
	}
	round() // to warm up
	memory, files := usageOf(cmd.Process.Pid)
	var ratios []float64
	var slowest time.Duration
	most := 0
	besieged := func() time.Duration {
		end := siege(t, address, clients)
		defer end()
		took := round()
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/dashboard/api/overview"} {
			began := time.Now()
			if code, text := get(t, "http://"+address+path); code != http.StatusOK {
				t.Errorf("%s: %d: %s", path, code, text)
			}
			slowest = max(slowest, time.Since(began))
		}
		kilobytes, _ := usageOf(cmd.Process.Pid)
		most = max(most, kilobytes)
		return took
	}
	for i := range pairs {
		var alone, with time.Duration
		if i%2 == 0 {
			alone, with = round(), besieged()
		} else {
			with, alone = besieged(), round()
		}
		ratios = append(ratios, with.Seconds()/alone.Seconds())
	}
	slices.Sort(ratios)
	t.Logf("with %d slow clients %d requests take %.2f times as long (of %.2f)", clients, jobs, ratios[pairs/2], ratios)
	t.Logf("the slowest answer has taken %v; memory %d KB before, %d at most", slowest, memory, most)
	if most > memory+clients*100 {
		t.Errorf("%d KB before, %d with slow clients", memory, most)
	}
	eventually(t, "its files are closed", func() bool { _, now := usageOf(cmd.Process.Pid); return now <= files+10 })
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil || strings.Contains(log.String(), receiver) {
		t.Error(err, log.String())
	}
	if n := fake.Stats().Accepted; n != want {
		t.Errorf("%d requests were sent, expected %d", n, want)
	}
}
