package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"

	"github.com/twilio-pacer/pacer"
)

// A Lane is what shares one pace and keeps its order: the requests of one
// [pacer.Resource], or those of a campaign among them. It is comparable.
type Lane struct {
	Campaign string // "": of no campaign
	Resource pacer.Resource
}

// laneFields is how many a key has.
const laneFields = 7

var (
	escapeLane   = strings.NewReplacer("%", "%25", "|", "%7C")
	unescapeLane = strings.NewReplacer("%25", "%", "%7C", "|")
)

// Key returns the lane as text that engines can store, and [ParseLane] reads. It may
// hold a phone number.
func (l Lane) Key() string { return escapeLane.Replace(l.Campaign) + "|" + BucketKey(l.Resource) }

// BucketKey returns a resource as text, as [Lane.Key] does for a lane.
func BucketKey(r pacer.Resource) string {
	fields := []string{r.Account, r.Region, r.Product, r.Name, string(r.Op), r.Sender}
	for i, f := range fields {
		fields[i] = escapeLane.Replace(f)
	}
	return strings.Join(fields, "|")
}

// ID returns a short name of the lane for URLs and commands: 12 hexadecimal digits, made from the key, which
// cannot be read from them.
func (l Lane) ID() string {
	sum := sha256.Sum256([]byte(l.Key()))
	return hex.EncodeToString(sum[:6])
}

// ParseLane reads what [Lane.Key] has written.
func ParseLane(key string) (Lane, error) {
	f := strings.Split(key, "|")
	if len(f) != laneFields {
		return Lane{}, fmt.Errorf("queue: lane of %d fields: expected %d, separated by |: %w", len(f), laneFields, ErrDamaged)
	}
	for i := range f {
		f[i] = unescapeLane.Replace(f[i])
	}
	return Lane{f[0], pacer.Resource{Account: f[1], Region: f[2], Product: f[3], Name: f[4], Op: pacer.Op(f[5]), Sender: f[6]}}, nil
}

// String returns the resource and the campaign. It holds neither account nor sender and
// is safe as a metric's label.
func (l Lane) String() string {
	if l.Campaign == "" {
		return l.Resource.String()
	}
	return l.Resource.String() + " of campaign " + l.Campaign
}

// LogValue masks the sender.
func (l Lane) LogValue() slog.Value {
	attrs := l.Resource.LogValue().Group()
	if l.Campaign != "" {
		attrs = append(attrs, slog.String("campaign", l.Campaign))
	}
	return slog.GroupValue(attrs...)
}
