package main

// A row is what came of one client in one scenario.
type row struct {
	Scenario  string `json:"scenario"`
	Client    string `json:"client"`
	Messages  int    `json:"messages"`
	Delivered int    `json:"delivered"` // calls that returned no error
	Lost      int    `json:"lost"`      // calls that returned one
	Doubled   *int   `json:"doubled"`   // messages accepted again, by the server's count; null: not known
	Throttled int    `json:"throttled"` // answers 429
	Requests  int    `json:"requests"`  // sent, by all attempts together

	Seconds  float64 `json:"seconds"`         // from the first call's start to the last one's end
	Possible float64 `json:"possible"`        // messages in that time: see scenario.possible
	P99      float64 `json:"p99Seconds"`      // of all calls, lost ones too
	Error    string  `json:"error,omitempty"` // of the first call that was lost
}

// share is the share of the limit that was used.
func (r row) share() float64 {
	if r.Possible == 0 {
		return 0
	}
	return float64(r.Delivered) / r.Possible
}

// throttledShare is the share of the requests that were throttled.
func (r row) throttledShare() float64 {
	if r.Requests == 0 {
		return 0
	}
	return float64(r.Throttled) / float64(r.Requests)
}
