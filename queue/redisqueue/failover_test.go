//go:build unix

package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
)

// failover works while the master is frozen, replaced and comes back as a replica, and
// returns what was acknowledged, and what is there afterwards.
func failover(t *testing.T, opts ...redisqueue.Option) (added, lost, sentOnes, forgotten int) {
	f := redistest.FailoverFor(t)
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: f.Name, SentinelAddrs: f.Addrs(), ReadTimeout: time.Second, MaxRetries: 1})
	defer rdb.Close()
	e := open(t, rdb, opts...)
	var mu sync.Mutex
	acked, moved := map[queue.ID]bool{}, map[queue.ID]bool{}
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
						moved[j.ID] = true
						mu.Unlock()
					}
				}
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	if err := f.Master.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := f.Replica.CLI("ROLE")
		if err == nil && len(out) > 6 && out[:6] == "master" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no failover within 30 s")
		}
	}
	stop()
	group.Wait()
	// A client that asks the new master alone: what is there is what counts.
	again := client(t, f.Replica)
	check := open(t, again, opts[:1]...) // its name
	for id := range acked {
		if _, err := check.Get(t.Context(), id); errors.Is(err, queue.ErrNotFound) {
			lost++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for id := range moved {
		if j, err := check.Get(t.Context(), id); err != nil || j.State != queue.Sent {
			forgotten++
		}
	}
	return len(acked), lost, len(moved), forgotten
}

// With Replicas(1) a failover loses nothing that was acknowledged.
func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for Sentinel")
	}
	added, lost, moved, forgotten := failover(t, redisqueue.Name("q"), redisqueue.Replicas(1, 500*time.Millisecond))
	t.Logf("%d added, %d of them lost; %d sent, %d of them forgotten", added, lost, moved, forgotten)
	if added < 20 || moved < 5 || lost > 0 || forgotten > 0 {
		t.Errorf("expected at least 20 and 5, and none lost or forgotten")
	}
}

// Without, it may lose what the replica has not received: it is told, not promised.
func TestFailoverWithoutReplicas(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for Sentinel")
	}
	added, lost, moved, forgotten := failover(t, redisqueue.Name("q"))
	t.Logf("%d added, %d of them lost; %d sent, %d of them forgotten", added, lost, moved, forgotten)
}

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
