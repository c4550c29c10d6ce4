//go:build unix

package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

// failover adds and sends while Sentinel makes the replica the master, because the master
// was killed, or because it is told to: then the old master goes on acknowledging until it
// is told. It returns how much was acknowledged, and what of that the new master lacks.
func failover(t *testing.T, kill bool, opts ...redisqueue.Option) (added, lost, moved, forgotten int) {
	t.Helper()
	if testing.Short() {
		t.Skip("it waits for Sentinel")
	}
	t.Parallel()
	f := redistest.FailoverFor(t)
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: f.Name, SentinelAddrs: f.Addrs(), ReadTimeout: time.Second, MaxRetries: 1})
	defer rdb.Close()
	e := open(t, rdb, append(opts, redisqueue.Name("q"))...)
	var mu sync.Mutex
	acked, done := map[queue.ID]bool{}, map[queue.ID]bool{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				j := job(w*100_000 + i)
				if _, err := e.Add(ctx, []queue.Job{j}); err == nil {
					mu.Lock()
					acked[j.ID] = true
					mu.Unlock()
				}
				jobs, err := e.Claim(ctx, queue.Claim{Lane: lane(0), Max: 1, Lease: time.Hour})
				if err != nil || i%2 == 0 {
					continue
				}
				for _, j := range jobs {
					if e.Move(ctx, sent(j)) == nil {
						mu.Lock()
						done[j.ID] = true
						mu.Unlock()
					}
				}
			}
		})
	}
	for some := false; !some; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		some = len(acked) >= 20 && len(done) >= 5
		mu.Unlock()
	}
	if kill {
		if err := f.Master.Kill(); err != nil {
			t.Fatal(err)
		}
	} else if out, err := f.Sentinels[0].CLI("SENTINEL", "FAILOVER", f.Name); out != "OK" {
		t.Fatal(out, err)
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if out, err := f.Replica.CLI("ROLE"); err == nil && strings.HasPrefix(out, "master") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no failover within two minutes")
		}
	}
	time.Sleep(time.Second)
	stop()
	group.Wait()
	check := open(t, client(t, f.Replica), redisqueue.Name("q"))
	for id := range acked {
		if _, err := check.Get(t.Context(), id); errors.Is(err, queue.ErrNotFound) {
			lost++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for id := range done {
		if j, err := check.Get(t.Context(), id); err != nil || j.State != queue.Sent {
			forgotten++
		}
	}
	t.Logf("%d added, %d of them lost; %d sent, %d of them forgotten", len(acked), lost, len(done), forgotten)
	return len(acked), lost, len(done), forgotten
}

// With Replicas(1) a failover loses nothing that was acknowledged.
func TestFailoverOfADeadMaster(t *testing.T) {
	added, lost, moved, forgotten := failover(t, true, redisqueue.Replicas(1, 500*time.Millisecond))
	if added < 20 || moved < 5 || lost > 0 || forgotten > 0 {
		t.Errorf("expected at least 20 and 5, and none lost or forgotten")
	}
}

func TestFailoverOfALivingMaster(t *testing.T) {
	added, lost, moved, forgotten := failover(t, false, redisqueue.Replicas(1, 500*time.Millisecond))
	if added < 20 || moved < 5 || lost > 0 || forgotten > 0 {
		t.Errorf("expected at least 20 and 5, and none lost or forgotten")
	}
}

// Without, what the old master has acknowledged last may be lost: docs/redis.md says so,
// and this says how much.
func TestFailoverWithoutReplicas(t *testing.T) { failover(t, false) }

// Where no replica is, Replicas says so, and nothing is sent that a failover could send
// again.
func TestReplicasAreMissing(t *testing.T) {
	rdb := shared(t)
	name := freshName()
	plain := open(t, rdb, redisqueue.Name(name))
	e := open(t, rdb, redisqueue.Name(name), redisqueue.Replicas(1, 20*time.Millisecond))
	_, err := e.Add(t.Context(), []queue.Job{job(1)})
	says(t, err, nil, "0 of 1 replicas", fmt.Sprint(20*time.Millisecond))
	state(t, plain, job(1).ID, queue.Ready)
	jobs, err := e.Claim(t.Context(), queue.Claim{Lane: lane(0), Max: 1, Lease: time.Hour})
	says(t, err, nil, "0 of 1 replicas")
	if len(jobs) != 0 {
		t.Errorf("claimed %v", jobs)
	}
	state(t, plain, job(1).ID, queue.Ready)
}
