package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

func TestSendNow(t *testing.T) {
	fake, url := server(t, twiliotest.Config{})
	args := []string{"send", "--now", "--base-url", url, "--to", receiver, "--from", "+15005550006"}
	if s := decode[sent](t, ok(t, append(args, "--json", "--body", text)...)); s.SID == "" || s.State != queue.Sent || s.ID != "" {
		t.Error(s)
	}
	if p := doIn(t.Context(), t, text+" from a pipe", append(args, "--body", "-")...); p.code != exitDone || !strings.HasPrefix(p.out, "sent SM") {
		t.Error(p)
	}
	if m := fake.Messages(); len(m) != 2 {
		t.Errorf("%d messages", len(m))
	}
	fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1})
	fails(t, exitPerson, "may have been sent", append(args, "--body", text)...)
}

func TestSendThroughTheQueue(t *testing.T) {
	q := file(t)
	args := []string{"send", "--queue", q, "--to", receiver, "--from", "+15005550006", "--body", text, "--key", "order-17"}
	first := decode[sent](t, ok(t, append(args, "--json")...))
	if first.ID == "" || first.State != queue.Ready || first.Known {
		t.Error(first)
	}
	if again := decode[sent](t, ok(t, append(args, "--json")...)); again.ID != first.ID || !again.Known {
		t.Error(again)
	}
	if out := ok(t, args...); !strings.Contains(out, "was there already") {
		t.Error(out)
	}
	if shown := decode[jobInfo](t, ok(t, "queue", "show", string(first.ID), "--queue", q, "--json")); shown.Key != "order-17" || shown.Recipient != pacer.MaskNumbers(receiver) {
		t.Errorf("%+v", shown)
	}
	late := decode[sent](t, ok(t, "send", "--json", "--queue", q, "--to", receiver, "--from", "+15005550006", "--body", text, "--in", "1h", "--priority", "high"))
	if late.State != queue.Delayed {
		t.Error(late)
	}
}

// A stopper ends a context when a word has been written for the second time.
type stopper struct {
	word string
	stop func()
	buffer
}

func (s *stopper) Write(p []byte) (int, error) {
	n, err := s.buffer.Write(p)
	if strings.Count(s.String(), s.word) >= 2 {
		s.stop()
	}
	return n, err
}

// The demonstration is ended in the middle, and goes on: nothing is lost and nothing is sent twice.
func TestDemoGoesOn(t *testing.T) {
	args := []string{"demo", "--dir", t.TempDir(), "--n", "120", "--rate", "60"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var errs buffer
	out := &stopper{word: " wait, ", stop: cancel}
	if code := run(ctx, args, nil, out, &errs); code != exitDone {
		t.Fatal(code, errs.String())
	}
	var total, sent, waiting, accepted, twice int
	said := out.String()
	before, after, _ := strings.Cut(said, "The fake has")
	end := before[strings.LastIndex(before, "\n")+1:] + "The fake has" + after
	if _, err := fmt.Sscanf(end, "%d of %d sent, %d wait. The fake has accepted %d in this run, %d of them twice.", &sent, &total, &waiting, &accepted, &twice); err != nil {
		t.Fatal(err, end)
	}
	if total != 120 || sent != accepted || twice != 0 {
		t.Error(end)
	}
	if last := decode[demoEnd](t, ok(t, append(args, "--json")...)); last.Sent != 120 || last.Waiting != 0 || last.Twice != 0 || accepted+last.Accepted != 120 {
		t.Errorf("%+v, and before %s", last, end)
	}
	fails(t, exitUsage, "at least one recipient", "demo", "--n", "0")
}

func TestFakeServesOtherProcesses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan printed)
	go func() {
		ended <- doIn(ctx, t, "", "fake", "--json", "--listen", address, "--latency", "0s", "--per-sender", "1")
	}()
	for range 200 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	ok(t, "send", "--now", "--base-url", "http://"+address, "--to", receiver, "--from", "+15005550006", "--body", text)
	cancel()
	p := <-ended
	var stats fakeStats
	if err := json.Unmarshal([]byte(p.out), &stats); err != nil || p.code != exitDone || stats.Accepted != 1 {
		t.Error(p, err)
	}
}
