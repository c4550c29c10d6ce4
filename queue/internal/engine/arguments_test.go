package engine

import (
	"math"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
)

func TestArgumentsThatNoEngineTakes(t *testing.T) {
	const p Package = "x"
	late := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	for want, err := range map[string]error{
		"x: adding a job without an ID: give it one":                                              p.CheckID(queue.Job{}),
		"x: job 1 cannot be stored: its Due lies in the year 10000: expected one up to 9999":      p.CheckTimes(queue.Job{ID: "1", Due: late, Deadline: late}),
		"x: job 1 cannot be stored: its Deadline lies in the year 10000: expected one up to 9999": p.CheckTimes(queue.Job{ID: "1", Deadline: late}),
		`x: moving job 1 to state "lost": there is no such state`:                                 p.CheckMove(queue.Move{ID: "1", To: "lost"}),
		`x: listing jobs of state "lost": there is no such state`:                                 p.CheckFilter(queue.Filter{States: []queue.State{queue.Sent, "lost"}}),
		"x: cancelling a campaign: its name is empty: that would be all jobs of no campaign":      p.CheckCampaign(""),
		"x: reserving 0 places at 1 a second: expected at least one, and a rate above 0":          p.CheckPlaces(1, 0),
		"x: reserving 1 places at 0 a second: expected at least one, and a rate above 0":          p.CheckPlaces(0, 1),
		"x: reserving 1 places at NaN a second: expected at least one, and a rate above 0":        p.CheckPlaces(math.NaN(), 1),
		"x: reserving 1 places at +Inf a second: expected at least one, and a rate above 0":       p.CheckPlaces(math.Inf(1), 1),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v, expected %s", err, want)
		}
	}
	for what, err := range map[string]error{
		"an ID": p.CheckID(queue.Job{ID: "1"}), "no times": p.CheckTimes(queue.Job{}), "the last year": p.CheckTimes(queue.Job{Due: late.Add(-1)}),
		"a state": p.CheckMove(queue.Move{To: queue.InDoubt}), "no states": p.CheckFilter(queue.Filter{}), "a campaign": p.CheckCampaign("may"), "a place": p.CheckPlaces(0.1, 1),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTimesAreStoredInMicroseconds(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	for _, c := range []struct {
		at   time.Time
		us   int64
		read time.Time
	}{
		{time.Time{}, 0, time.Time{}},
		{time.Unix(-1, 0), 1, time.UnixMicro(1)},
		{time.Unix(0, 0), 1, time.UnixMicro(1)},
		{time.Unix(0, 999), 1, time.UnixMicro(1)},
		{time.Date(2026, 11, 24, 1, 2, 3, 456_789_999, time.FixedZone("x", 3600)), 1_795_478_523_456_789, time.Date(2026, 11, 24, 0, 2, 3, 456_789_000, time.UTC)},
		{last, lastMicro, last},
		{time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC), lastMicro, last},
	} {
		us := Micros(c.at)
		if read := FromMicros(us); us != c.us || !read.Equal(c.read) || !read.IsZero() && read.Location() != time.UTC {
			t.Errorf("%v is stored as %d and read as %v: expected %d and %v", c.at, us, read, c.us, c.read)
		}
	}
	if read := FromMicros(lastMicro + 1000); !read.Equal(last) {
		t.Errorf("a number beyond the last one is read as %v, expected %v", read, last)
	}
}

func TestLaneIsHeldByItsBucketOrItsAccount(t *testing.T) {
	now := time.Now()
	r := pacer.Resource{Account: "AC1", Product: "api", Name: "Messages", Op: pacer.Create, Sender: "+15005550006"}
	bucket, account := queue.BucketKey(r), queue.BucketKey(pacer.Resource{Account: "AC1"})
	for name, c := range map[string]struct {
		holds map[string]time.Time
		want  time.Time
	}{
		"no holds":           {nil, time.Time{}},
		"another bucket":     {map[string]time.Time{queue.BucketKey(pacer.Resource{Account: "AC2"}): now}, time.Time{}},
		"its bucket":         {map[string]time.Time{bucket: now}, now},
		"its account":        {map[string]time.Time{account: now}, now},
		"both, the bucket's": {map[string]time.Time{bucket: now.Add(1), account: now}, now.Add(1)},
		"both, the account":  {map[string]time.Time{bucket: now, account: now.Add(1)}, now.Add(1)},
	} {
		if got := HeldUntil(c.holds, queue.Lane{Campaign: "may", Resource: r}); !got.Equal(c.want) {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
}
