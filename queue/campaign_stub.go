package queue

import (
	"context"
	"time"
)

type campaignDoc struct {
	Rate    float64
	version int64
}

func (c *campaignDoc) schedule() string                         { return "" }
func (c *campaignDoc) sendable(now time.Time) (bool, time.Time) { return true, time.Time{} }
func loadCampaigns(ctx context.Context, e Engine) (map[string]*campaignDoc, error) {
	return nil, nil
}
