package token

import "time"

// A usage estimates how many tokens a second are used.
type usage struct {
	began       time.Time // the present half second
	now, before int
}

const usageTime = 500 * time.Millisecond

func (u *usage) add(now time.Time) {
	u.age(now)
	u.now++
}

func (u *usage) age(now time.Time) {
	switch age := now.Sub(u.began); {
	case age >= 2*usageTime:
		u.began, u.now, u.before = now, 0, 0
	case age >= usageTime:
		u.began, u.now, u.before = u.began.Add(usageTime), 0, u.now
	}
}

func (u *usage) perSecond(now time.Time) float64 {
	u.age(now)
	past := now.Sub(u.began).Seconds() / usageTime.Seconds()
	return (float64(u.before)*(1-past) + float64(u.now)) / usageTime.Seconds()
}
