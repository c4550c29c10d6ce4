package pacer

import (
	"context"
	"errors"
	"time"

	"github.com/twilio-pacer/pacer/internal/token"
)

// A BucketStore keeps the tokens of buckets that several processes share. Package
// redispacer has one, on Redis; one of your own is for [NewSharedLimiter]. It must be
// safe for concurrent use.
type BucketStore interface {
	// Take takes up to d.N tokens out of r's bucket, and tells the bucket what else d
	// says. It is to return within a fraction of a second, with an error if the store
	// does not answer: calls wait for it.
	Take(ctx context.Context, r Resource, d Demand) (Grant, error)
}

// A Demand is what a process wants of a shared bucket, and has to say about it.
type Demand struct {
	N     int     // tokens wanted; 0: none
	Rate  float64 // tokens that come into being per second, by this process's limits; [Unlimited]: as many as wanted, unless the bucket has learned otherwise
	Burst int     // the most that the bucket holds

	// Unused tokens of the grant numbered Last go back, if it is the bucket's last one.
	// Of an earlier grant they are lost: what came after it has been given out by then.
	Unused int
	Last   int64

	// Back: the store has not answered for a while, and the process goes on by itself until the time
	// that [Grant].Again says. A bucket of which no tokens were taken for a second, or about which
	// nothing is known, opens for all a second later. By then all have noticed. Those that noticed
	// first would else have the whole rate beside the others' shares.
	Back bool

	// CoolDownFor is how long the bucket's cool-down must last from now on, for all processes: a
	// request was throttled. 0: none was.
	CoolDownFor time.Duration
	TooLong     bool // see [Outcome]; the cool-down lasts for a part of CoolDownFor then, see [Grant].RetryAt

	// Accepted and Throttled are how many answers this process has had since its last demand,
	// if the store heeds them ([Grant].Heeded). Throttled answers that may be about the number of
	// requests in progress are left out, and so are all if nothing is to be learned.
	Accepted, Throttled int
	// Learn: this process may learn for all. It may not after SetLearning(false), nor if the program
	// said that the resource is not to be paced.
	Learn bool
	// Pace and Learned are what the process has learned for all, if it is the learner
	// ([Grant].Learner). Pace is the requests/s at which the bucket is to send ([Unlimited]: none was
	// learned). Learned is the limit as far as throttling has shown it (0: it has not). Pace is below
	// 0 in a process that is not the learner, as far as it knows.
	Pace, Learned float64
}

// A Grant is what a [BucketStore] has given out. Its i-th token, from 0, may be used at
// From + i*Every, or at once if that has passed.
type Grant struct {
	N      int // tokens; 0: none now
	Number int64
	From   time.Time // in the process's own clock, as time.Now has it
	Every  time.Duration
	// Again is when to ask again if N is 0, or for [Demand].Back when to begin to.
	Again time.Time
	// CoolDownUntil is when the bucket's cool-down ends; zero or past: there is none.
	CoolDownUntil time.Time
	// RetryAt is until when Twilio asked to wait, if that is too long. Calls then fail at once and do
	// not wait for CoolDownUntil, until that has passed. Zero: calls wait.
	RetryAt time.Time
	// Pace is how many tokens per second the bucket gives out now, to all, at most; [Unlimited].
	Pace float64
	// Learned is the limit as far as throttling has shown it; 0: it has not.
	Learned float64
	// Processes is how many have asked for tokens of this bucket recently, this one included.
	Processes int
	// Heeded: the store wants to know how many requests are accepted and throttled. The reason is
	// that some were throttled within the last minute, or that a pace was learned.
	Heeded bool
	// Learner: this process learns for all. One does at a time, as long as it asks.
	Learner bool
	// Accepted and Throttled are the answers that other processes have had, since the learner was
	// last told.
	Accepted, Throttled int
}

// ErrBucketOnly says of an error of [BucketStore].Take that the store answers, and that only this
// bucket is in disorder. All others of the limiter stay shared. Without it, and if the store
// has answered no other demand meanwhile, all buckets go on by themselves.
var ErrBucketOnly = errors.New("pacer: only this bucket is concerned")

// A storeLink is what a limiter knows about its store.
type storeLink struct {
	store  BucketStore
	link   token.Link
	alerts map[*func(Alert)]struct{} // who wants to hear of outages
}
