package main

import "fmt"

const checked = `at least 2,000 messages enqueued per second one by one and 40,000 batched, 800
worked off per second, a claim with many waiting costs at most 2 times one with few,
and a worker's heap and its number of goroutines do not grow with what waits in as
many lanes (by 20 % and 2 MB, or 1 % and 20 goroutines, at most)`

const subject = "pacer"

const (
	leastEnqueue = 2000
	leastBatched = 40_000
	leastWork    = 800
	mostClaim    = 2.0

	// What a worker may need more with many waiting: a lane or two more in its hands,
	// another state of its caches.
	growth           = 1.2
	growthBytes      = 2 << 20
	growthGoroutines = 20 // and 1 %: a lane that is just empty, or was drained, has none
)

// missed says which of its figures pacer missed, among those that were measured.
func missed(rows []row, a amounts) []string {
	var out []string
	miss := func(format string, args ...any) { out = append(out, subject+": "+fmt.Sprintf(format, args...)) }
	least := func(what string, got rounds, want float64) {
		if got != nil && got.most() < want {
			miss("%s: %s/s, expected at least %s/s", what, count(got.most()), count(want))
		}
	}
	for _, r := range rows {
		if r.Engine != subject {
			continue
		}
		least("enqueue", r.Enqueue, leastEnqueue)
		least("batched", r.Batched, leastBatched)
		least("work", r.Work, leastWork)
		if x := ratio(r.ClaimMany.least(), r.ClaimFew.least()); x > mostClaim {
			miss("claim: %.0f µs with %s waiting, %.1f times that with %s, expected at most %g times", r.ClaimMany.least(), count(a.Many.Waiting), x, count(a.Few.Waiting), mostClaim)
		}
		if n := len(r.Memory); n > 1 {
			compareMemory(r.Memory[n-2], r.Memory[n-1], miss)
		}
	}
	return out
}

// compareMemory compares workers with few and many waiting in as many lanes.
func compareMemory(few, many memory, miss func(string, ...any)) {
	if most := growth*float64(few.Heap) + growthBytes; float64(many.Heap) > most {
		miss("memory: a heap of %.1f MB with %s waiting, %.1f MB with %s in as many lanes, expected at most %.1f MB",
			megabytes(many.Heap), count(many.Waiting), megabytes(few.Heap), count(few.Waiting), most/(1<<20))
	}
	if most := few.Goroutines + few.Goroutines/100 + growthGoroutines; many.Goroutines > most {
		miss("memory: %d goroutines with %s waiting, %d with %s in as many lanes, expected at most %d",
			many.Goroutines, count(many.Waiting), few.Goroutines, count(few.Waiting), most)
	}
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
