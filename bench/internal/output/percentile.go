package output

import (
	"slices"
	"time"
)

// Percentile is the smallest of the durations that at least p % are not above.
func Percentile(ds []time.Duration, p int) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(ds))
	return sorted[(len(sorted)*p+99)/100-1]
}
