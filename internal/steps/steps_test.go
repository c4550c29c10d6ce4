package steps

import (
	"testing"
	"time"
)

func TestStepsDoubleUpToTheLast(t *testing.T) {
	step := time.Duration(0)
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 16} {
		want *= time.Second
		if step = Next(step); step != want {
			t.Errorf("step %d is %v, want %v", n+1, step, want)
		}
		if got := After(n + 1); got != want {
			t.Errorf("after %d throttled answers the step is %v, want %v", n+1, got, want)
		}
	}
	if After(0) != First || After(1<<40) != Last {
		t.Errorf("after none and very many: %v and %v, want %v and %v", After(0), After(1<<40), First, Last)
	}
}
