package pacer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	twilioApi "github.com/twilio/twilio-go/rest/api/v2010"
)

// numbered is a client whose messages have numbers as bodies. answer gets the number, and
// how often that message was sent before.
type numbered struct {
	*world
	sent    map[int][]time.Duration // when each message was sent
	order   []int
	started int
	takes   time.Duration // each answer
}

func newNumbered(t *testing.T, answer func(number, before int) *http.Response, opts ...Option) *numbered {
	var mu sync.Mutex
	n := &numbered{sent: map[int][]time.Duration{}}
	start := time.Now()
	n.world = newWorld(t, func(_ int, r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		var number int
		if _, err := fmt.Sscan(form.Get("Body"), &number); err != nil {
			t.Error(err)
		}
		defer time.Sleep(n.takes)
		mu.Lock()
		defer mu.Unlock()
		before := len(n.sent[number])
		n.sent[number] = append(n.sent[number], time.Since(start))
		n.order = append(n.order, number)
		return answer(number, before)
	}, append([]Option{quiet}, opts...)...)
	return n
}

// all sends messages of a number each, which come one after the other, and waits for all.
func (n *numbered) all(ctx context.Context, t *testing.T, count int) {
	var wg sync.WaitGroup
	for range count {
		number := n.started
		n.started++
		wg.Go(func() {
			params := (&twilioApi.CreateMessageParams{}).SetTo("+15005550009").SetFrom(sender).SetBody(fmt.Sprint(number))
			if _, err := n.c.WithContext(ctx).Api.CreateMessage(params); err != nil {
				t.Errorf("message %d: %v", number, err)
			}
		})
		time.Sleep(time.Microsecond)
	}
	wg.Wait()
}

// withAndWithoutLearning runs a test of what holds whether or not throttled answers teach
// anything.
func withAndWithoutLearning(t *testing.T, f func(t *testing.T, learning Option)) {
	for name, on := range map[string]bool{"learning": true, "no learning": false} {
		t.Run(name, func(t *testing.T) { f(t, WithLearning(on)) })
	}
}

// 500 wait at 10/s. The fifth is throttled: it waits as long as it must, and is then the
// next. With a deadline it is not refused for those that came later.
func TestThrottledCallKeepsItsPlace(t *testing.T) {
	withAndWithoutLearning(t, func(t *testing.T, learning Option) {
		for name, c := range map[string]struct {
			times  int
			header []string
			least  time.Duration // of all its waits, after which the token of the next has to be waited for
			most   time.Duration
		}{
			"with Retry-After 2":    {1, []string{"Retry-After", "2"}, 2 * time.Second, 3 * time.Second},
			"without Retry-After":   {1, nil, time.Second, time.Second},
			"three times in a row":  {3, nil, 7 * time.Second, 7 * time.Second},
			"twice for long":        {2, []string{"Retry-After", "5"}, 10 * time.Second, 12 * time.Second},
			"as often as it may be": {5, nil, 31 * time.Second, 31 * time.Second},
		} {
			for _, deadline := range []bool{false, true} {
				if testing.Short() && !deadline {
					continue
				}
				t.Run(fmt.Sprintf("%s, deadline %v", name, deadline), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						n := newNumbered(t, func(number, before int) *http.Response {
							if number == 4 && before < c.times {
								return respond(429, throttleBody, c.header...)
							}
							return ok201(1, nil)
						}, learning, WithLimits(Limits{{Resource: Messages, Rate: 10}}))
						ctx := bg
						if deadline {
							var cancel context.CancelFunc
							ctx, cancel = context.WithTimeout(bg, 2*time.Minute)
							defer cancel()
						}
						n.all(ctx, t, 500)
						at := n.sent[4]
						if len(at) != c.times+1 {
							t.Fatalf("sent at %v", at)
						}
						const token = 100 * time.Millisecond
						wait := at[c.times] - at[0]
						if wait < c.least || wait > c.most+time.Duration(c.times)*token {
							t.Errorf("throttled %d times, it was sent after another %v, expected %v to %v and a token's time for each", c.times, wait, c.least, c.most)
						}
					})
				})
			}
		}
	})
}

// The first three of 20 leave at once and are throttled together. All of them come back
// before the next token is there, in any order, and leave as they had come.
func TestThrottledCallsKeepTheirOrder(t *testing.T) {
	withAndWithoutLearning(t, func(t *testing.T, learning Option) {
		for range 10 { // their waits have a random part
			synctest.Test(t, func(t *testing.T) {
				n := newNumbered(t, func(number, before int) *http.Response {
					if number < 3 && before == 0 {
						return respond(429, throttleBody, "Retry-After", "0.1")
					}
					return ok201(1, nil)
				}, learning, WithLimits(Limits{{Resource: Messages, Rate: 0.5, Burst: 3}}))
				n.takes = 10 * time.Millisecond
				n.all(bg, t, 20)
				want := []int{0, 1, 2}
				for i := range 20 {
					want = append(want, i)
				}
				if !slices.Equal(n.order, want) {
					t.Errorf("sent in the order %v, expected %v", n.order, want)
				}
			})
		}
	})
}

// A call that waited for an access token, while others came that did not have to, is not
// the last for it.
func TestCallThatWaitedForATokenKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		l := newLimiter(t, Limit{Resource: Messages, Rate: 1})
		send := func(c *Client, body string) {
			params := (&twilioApi.CreateMessageParams{}).SetTo("+15005550009").SetFrom(sender).SetBody(body)
			if _, err := c.Api.CreateMessage(params); err != nil {
				t.Errorf("%s: %v", body, err)
			}
		}
		w := func() *Client {
			return newWorld(t, func(_ int, r *http.Request) *http.Response {
				body, _ := io.ReadAll(r.Body)
				form, _ := url.ParseQuery(string(body))
				mu.Lock()
				defer mu.Unlock()
				order = append(order, form.Get("Body"))
				return ok201(1, r)
			}, withoutLimits(l)).c
		}
		quick, slow := w(), w()
		slow.SetOauth(tokenAfter(3500 * time.Millisecond))
		var wg sync.WaitGroup
		for i := range 10 {
			c, body := quick, fmt.Sprintf("quick%d", i)
			if i == 2 {
				c, body = slow, "slow"
			}
			wg.Go(func() { send(c, body) })
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if got, want := strings.Join(order[:5], " "), "quick0 quick1 quick3 quick4 slow"; got != want {
			t.Errorf("sent: %s, expected: %s", got, want)
		}
	})
}

type tokenAfter time.Duration

func (d tokenAfter) GetAccessToken(context.Context) (string, error) {
	time.Sleep(time.Duration(d))
	return "token", nil
}
