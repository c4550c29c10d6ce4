//go:build unix

package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/internal/redistest"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/redisqueue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// why returns the first reason of a cause, and ends the test if there is none, or if a reason tells a number.
func (w *world) why(about queue.About, cause queue.Cause) queue.Reason {
	w.t.Helper()
	reasons, err := w.q.Why(w.t.Context(), about)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range reasons {
		if strings.Contains(r.Text+r.Do, sender) || strings.Contains(r.Text+r.Do, receiver) || !strings.HasSuffix(r.Text, ".") {
			w.t.Errorf("reason %+v: expected a sentence without numbers", r)
		}
	}
	for _, r := range reasons {
		if r.Kind == cause {
			return r
		}
	}
	w.t.Fatalf("reasons %+v: expected %q", reasons, cause)
	return queue.Reason{}
}

// The situations of a night, and what Why says in each.
var situations = map[string]struct {
	// make brings it about and returns what to ask about.
	make  func(*world) queue.About
	want  queue.Cause
	stops bool
	text  string // a part of it, or of what to do
}{
	"no worker alive": {func(w *world) queue.About {
		w.enqueue("one")
		return queue.About{}
	}, queue.CauseNoWorker, true, "No worker lives."},
	"wrong token": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003})
		w.enqueue("one")
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Second)
		return queue.About{}
	}, queue.CauseUnauthorized, true, "does not take the worker's credentials (code 20003)."},
	"wrong token in a file": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003})
		w.enqueue("one")
		w.work(w.client(unlimited), queue.WithCredentialsFrom("/etc/pacer/token", true))
		time.Sleep(10 * time.Second)
		return queue.About{}
	}, queue.CauseUnauthorized, true, "Do: write the account's present token into /etc/pacer/token on "},
	"a second wrong token in a file": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003})
		w.enqueue("one")
		first := queue.Refusal{What: "credentials", From: "/etc/pacer/token", Time: time.Now(), Why: "another"}
		second := queue.Refusal{What: "credentials", From: "/etc/pacer/token", Time: time.Date(2000, 1, 1, 0, 0, 7, 0, time.UTC), Why: "Twilio does not take them for " + receiver}
		w.work(w.client(unlimited), queue.WithCredentialsFrom("/etc/pacer/token", true), refuses(first), refuses(second))
		time.Sleep(10 * time.Second)
		return queue.About{}
	}, queue.CauseUnauthorized, true, " The new credentials of 00:00:07 UTC in /etc/pacer/token are refused, too, says process "},
	"limits that are wrong": {func(w *world) queue.About {
		w.work(w.client(unlimited), refuses(queue.Refusal{What: "limits", From: "limits.json", Why: "line 2: no rule"}))
		time.Sleep(time.Second)
		return queue.About{}
	}, queue.CauseRefused, false, ": line 2: no rule. Do: mend limits.json"},
	"wrong token in the environment": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 401, Code: 20003})
		w.enqueue("one")
		w.work(w.client(unlimited), queue.WithCredentialsFrom("TWILIO_AUTH_TOKEN", false))
		time.Sleep(10 * time.Second)
		return queue.About{}
	}, queue.CauseUnauthorized, true, "Do: set TWILIO_AUTH_TOKEN of process "},
	"account suspended": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 403, Code: 20005})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Second)
		return queue.About{ID: id}
	}, queue.CauseSuspended, true, "the account is suspended or closed (code 20005)."},
	"campaign paused": {func(w *world) queue.About {
		c := w.campaign("spring", queue.CampaignOptions{Rate: 1}, 10)
		w.work(w.client(unlimited))
		if err := c.Pause(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		return queue.About{Campaign: "spring"}
	}, queue.CausePaused, true, "Campaign spring is paused."},
	"outside its window": {func(w *world) queue.About {
		opens := time.Now().Add(2 * time.Hour).UTC()
		window := &queue.Window{From: opens.Format("15:04"), To: opens.Add(time.Hour).Format("15:04"), Zone: "UTC"}
		w.campaign("spring", queue.CampaignOptions{Rate: 1, Window: window}, 10)
		w.work(w.client(unlimited))
		time.Sleep(2 * time.Second)
		return queue.About{Campaign: "spring"}
	}, queue.CauseWindow, true, "outside its window"},
	"bucket parked by Retry-After": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: "3600"})
		id := w.enqueue("one")
		w.work(w.client(unlimited))
		time.Sleep(2 * time.Second)
		return queue.About{Lane: queue.Lane{Resource: w.of(id)}}
	}, queue.CauseHeld, true, "api/Messages:create is held: Twilio was throttling, and has asked for so long a wait (Retry-After) (code 20429)."},
	"requests of a campaign that were throttled": {func(w *world) queue.About {
		w.noise(4, "20")
		w.campaign("spring", queue.CampaignOptions{Rate: 10}, 200)
		w.work(w.client(unlimited))
		time.Sleep(35 * time.Second)
		return queue.About{Campaign: "spring"}
	}, queue.CauseDelayed, false, "were throttled, and are tried again."},
	"a limit that Twilio has shown": {func(w *world) queue.About {
		for range 2000 {
			w.enqueue("one")
		}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 20}))
		time.Sleep(60 * time.Second)
		return queue.About{}
	}, queue.CauseLimit, false, " a second: set the limit to that, or ask Twilio for more"},
	"limit far too low": {func(w *world) queue.About {
		for range 50 {
			w.enqueue("one")
		}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 0.1}))
		time.Sleep(11 * time.Second)
		return queue.About{}
	}, queue.CauseLimit, false, "api/Messages:create may send 0.1 a second, by the limit in force, 0.1: "},
	"job in doubt parked": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1, Match: isMessage})
		w.enqueue("one")
		w.work(w.client(unlimited), queue.WithInDoubt(queue.ParkInDoubt))
		time.Sleep(2 * time.Second)
		return queue.About{}
	}, queue.CauseInDoubt, true, "A request may have been sent, and a person has to decide."},
	"a connection that has ended": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1, Match: isMessage})
		id := w.enqueue("one")
		w.work(w.client(unlimited), queue.WithInDoubt(queue.ParkInDoubt))
		time.Sleep(2 * time.Second)
		return queue.About{ID: id}
	}, queue.CauseInDoubt, true, "It may have been sent (the connection ended before an answer), and a person has to decide."},
	"everything expired": {func(w *world) queue.About {
		w.campaign("spring", queue.CampaignOptions{Rate: 0.001, Expires: time.Now().Add(time.Minute)}, 10)
		w.work(w.client(unlimited))
		time.Sleep(2 * time.Minute)
		return queue.About{Campaign: "spring"}
	}, queue.CauseExpired, false, "Campaign spring has expired: 9 of 10 were not sent."},
	"everything expired, and a worker that lives": {func(w *world) queue.About {
		w.campaign("spring", queue.CampaignOptions{Rate: 1, Expires: time.Now().Add(time.Minute)}, 10)
		time.Sleep(2 * time.Minute)
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Second)
		return queue.About{}
	}, queue.CauseExpired, false, "Campaign spring has expired: 10 of 10 were not sent. Do: enqueue them in another campaign"},
	"requests past their deadlines, and a worker that lives": {func(w *world) queue.About {
		w.expires(30*time.Second, "late")
		w.expires(30*time.Second, "too late")
		time.Sleep(2 * time.Minute)
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Second)
		return queue.About{}
	}, queue.CauseExpired, false, "2 requests were not sent before their deadlines. Do: requeue those"},
	"a campaign that Twilio refuses": {func(w *world) queue.About {
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21211, Match: isMessage})
		w.campaign("spring", queue.CampaignOptions{Rate: 10}, 10)
		w.work(w.client(unlimited))
		time.Sleep(10 * time.Second)
		return queue.About{}
	}, queue.CauseFailed, false, "10 of 10 requests of campaign spring have failed. The first one (code 21211): "},
	"a request past its deadline": {func(w *world) queue.About {
		id := w.expires(30*time.Second, "late")
		w.work(w.client(unlimited))
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RefuseConnection})
		time.Sleep(2 * time.Minute)
		return queue.About{ID: id}
	}, queue.CauseExpired, false, "It was not sent before its deadline."},
	"a campaign at its rate": {func(w *world) queue.About {
		w.campaign("spring", queue.CampaignOptions{Rate: 1}, 100)
		w.work(w.client(unlimited))
		time.Sleep(40 * time.Second)
		return queue.About{Campaign: "spring"}
	}, queue.CauseRate, false, "Campaign spring sends at its rate, 1 a second."},
	"all workers busy": {func(w *world) queue.About {
		for range 5 {
			w.enqueue("one")
		}
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Delay: 30 * time.Second})
		w.work(w.client(unlimited), queue.WithConcurrency(1))
		time.Sleep(6 * time.Second)
		return queue.About{}
	}, queue.CauseBusy, false, "All workers have as many requests on the wire as they may."},
}

// refuses has a worker say that it has not taken something.
func refuses(r queue.Refusal) queue.WorkerOption {
	return func(w *queue.Worker) error {
		w.Refuse(r)
		return nil
	}
}

func TestWhy(t *testing.T) {
	for name, s := range situations {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				config := twiliotest.Config{}
				if name == "a limit that Twilio has shown" {
					config.Limits = []twiliotest.Limit{{Resource: "Messages", Rate: 10}}
				}
				w := newWorld(t, config)
				r := w.why(s.make(w), s.want)
				if watched := strings.Contains(name, "token in a file"); r.Watched != watched {
					t.Errorf("%+v: watched, expected %v", r, watched)
				}
				if (r.Kind == queue.CauseUnauthorized || r.Kind == queue.CauseSuspended) && !r.Until.IsZero() {
					t.Errorf("%+v: expected no end, as a person has to bring it about", r)
				}
				if r.Stops != s.stops || !strings.Contains(r.Text+" Do: "+r.Do, s.text) || r.Stops && r.Waiting == 0 {
					t.Errorf("%+v: expected %q, stops: %v", r, s.text, s.stops)
				}
			})
		})
	}
	t.Run("clock off by an hour", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			e, err := sqlitequeue.Open(filepath.Join(t.TempDir(), "queue.db"), sqlitequeue.WithoutSync())
			if err != nil {
				t.Fatal(err)
			}
			w := worldOn(t, &otherClock{Engine: e, ahead: time.Hour}, twiliotest.Config{})
			w.work(w.client(unlimited))
			w.want(w.enqueue("one"), queue.Sent)
			time.Sleep(6 * time.Second)
			if r := w.why(queue.About{}, queue.CauseClock); !strings.Contains(r.Text, "is 1h0m0s behind the store's.") {
				t.Errorf("%+v", r)
			}
		})
	})
	t.Run("what expired more than an hour ago", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w, log := newWorld(t, twiliotest.Config{}), &logbook{}
			w.expires(30*time.Second, "late")
			w.expires(30*time.Second, "late, too")
			w.work(w.client(unlimited), log.option())
			w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RefuseConnection})
			time.Sleep(time.Minute)
			w.why(queue.About{}, queue.CauseExpired)
			if log.count("requests were not sent before their deadlines, and have failed") != 1 || log.count("requests=2") != 1 {
				t.Error("the log does not warn once of both")
			}
			time.Sleep(time.Hour)
			if reasons, err := w.q.Why(t.Context(), queue.About{}); err != nil || len(reasons) > 0 {
				t.Errorf("reasons %+v, %v: expected none", reasons, err)
			}
		})
	})
	t.Run("nothing waits", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, twiliotest.Config{})
			if reasons, err := w.q.Why(t.Context(), queue.About{}); err != nil || len(reasons) > 0 {
				t.Errorf("reasons %+v, %v: expected none", reasons, err)
			}
			if _, err := w.q.Why(t.Context(), queue.About{ID: "x"}); !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("an ID that there is not: %v", err)
			}
			if _, err := w.q.Why(t.Context(), queue.About{Campaign: "x"}); !errors.Is(err, queue.ErrNoCampaign) {
				t.Errorf("a campaign that there is not: %v", err)
			}
		})
	})
}

// A store that is full, and one that is away, are a real server's, and so in real time.
func TestWhyTheStore(t *testing.T) {
	server := redistest.For(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, DialTimeout: time.Second})
	t.Cleanup(func() { _ = rdb.Close() })
	e, err := redisqueue.Open(context.Background(), rdb, redisqueue.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, e, twiliotest.Config{})
	w.enqueue("one")
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	if r := w.why(queue.About{}, queue.CauseStoreFull); !r.Stops || r.Waiting != 1 {
		t.Errorf("%+v", r)
	}
	if reasons, err := w.q.Why(t.Context(), queue.About{}); err != nil || len(reasons) != 1 {
		t.Errorf("reasons %+v, %v: expected no word of workers, who cannot say that they live", reasons, err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if r := w.why(queue.About{}, queue.CauseStore); !r.Stops || !strings.HasPrefix(r.Text, "The store cannot be read: dial tcp ") || !strings.HasPrefix(r.Do, "start the store's server") {
		t.Errorf("%+v", r)
	}
}

// Who reads one line only must read that a campaign fails, and not how to send it faster.
func TestWhyBeginsWithWhatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		w.fake.Inject(twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: 21606, Match: isMessage})
		w.campaign("spring", queue.CampaignOptions{Rate: 10}, 300)
		w.work(w.client(unlimited))
		time.Sleep(11 * time.Second)
		reasons, err := w.q.Why(t.Context(), queue.About{})
		if err != nil || len(reasons) < 2 || reasons[0].Kind != queue.CauseFailed {
			t.Errorf("%+v, %v: expected first that the campaign fails, and then its rate", reasons, err)
		}
	})
}
