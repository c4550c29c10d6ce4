package sqlitequeue_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

// childRole is set in processes that TestProcesses starts: what they are to do.
const childRole = "SQLITEQUEUE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := child(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, role, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child adds, or works on, jobs of a file, and says so on its output after it is done,
// until its input ends.
func child(role, path string) error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var e *sqlitequeue.Engine
	if err := untilFree(func() (err error) { e, err = sqlitequeue.Open(path); return err }); err != nil {
		return err
	}
	defer e.Close()
	for n := 0; ctx.Err() == nil; n++ {
		if role == "add" {
			j := job(n, n%3)
			j.ID = queue.ID(fmt.Sprintf("%d-%06d", os.Getpid(), n))
			j.Unique = string(j.ID)
			if err := untilFree(func() error { _, err := e.Add(context.Background(), []queue.Job{j}); return err }); err != nil {
				return err
			}
			fmt.Println("added", j.ID)
			continue
		}
		var jobs []queue.Job
		if err := untilFree(func() (err error) {
			jobs, err = e.Claim(context.Background(), queue.Claim{Lane: job(0, n%3).Lane, Max: 4, Lease: time.Hour})
			return err
		}); err != nil {
			return err
		}
		for _, j := range jobs {
			fmt.Println("claimed", j.ID, j.Claim)
			if err := untilFree(func() error {
				return e.Move(context.Background(), queue.Move{ID: j.ID, From: []queue.State{queue.Sending}, Claim: j.Claim, To: queue.Sent})
			}); err != nil {
				return err
			}
			fmt.Println("sent", j.ID)
		}
		if len(jobs) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// untilFree does something again while other processes have the file locked for longer than an
// engine waits. On a busy machine, with a slow disk, that is no fault.
func untilFree(do func() error) error {
	for {
		if err := do(); err == nil || !strings.Contains(err.Error(), "another process has kept it locked") {
			return err
		}
	}
}

// A process is a child under way.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	mu    sync.Mutex
	lines []string
	ended chan struct{} // its output has
}

func start(t *testing.T, role, path string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], path), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childRole+"="+role)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			p.mu.Unlock()
		}
	}()
	return p
}

// said returns the words after the first of all lines that begin with it.
func (p *process) said(word string) (said []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if rest, ok := strings.CutPrefix(l, word+" "); ok {
			said = append(said, rest)
		}
	}
	return said
}

// until waits until a child has said a word n times.
func (p *process) until(t *testing.T, word string, n int) {
	t.Helper()
	for len(p.said(word)) < n {
		select {
		case <-p.ended:
			t.Fatalf("a child has ended, having said %q %d times", word, len(p.said(word)))
		case <-time.After(time.Millisecond):
		}
	}
}

// Processes that begin at the same time, on a file that is not there yet; a producer and
// a worker are killed in the middle.
func TestProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	killed, producer := start(t, "add", path), start(t, "add", path)
	workers := []*process{start(t, "work", path), start(t, "work", path), start(t, "work", path)}
	killed.until(t, "added", 50)
	killed.cmd.Process.Kill()
	workers[0].until(t, "sent", 20)
	workers[0].cmd.Process.Kill()
	producer.until(t, "added", 100)
	producer.stdin.Close()
	for _, p := range []*process{killed, workers[0], producer} {
		<-p.ended
	}

	var e *sqlitequeue.Engine
	if err := untilFree(func() (err error) { e, err = sqlitequeue.Open(path); return err }); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for {
		var lanes []queue.ReadyLane
		if err := untilFree(func() (err error) { lanes, _, err = e.Work(t.Context()); return err }); err != nil {
			t.Fatal(err)
		}
		if len(lanes) == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for _, w := range workers[1:] {
		w.stdin.Close()
		<-w.ended
		if err := w.cmd.Wait(); err != nil {
			t.Fatalf("a worker has failed: %v", err)
		}
	}
	added := slices.Concat(killed.said("added"), producer.said("added"))
	sent := map[string]bool{}
	claims := map[string]bool{}
	for _, w := range workers {
		for _, c := range w.said("claimed") {
			if claims[c] {
				t.Errorf("claim %q was given twice", c)
			}
			claims[c] = true
		}
		for _, id := range w.said("sent") {
			if sent[id] {
				t.Errorf("job %s was sent twice", id)
			}
			sent[id] = true
		}
	}
	for _, id := range added {
		if _, err := e.Get(t.Context(), queue.ID(id)); err != nil {
			t.Errorf("an acknowledged job is not there: %v", err)
		}
	}
	for id := range sent {
		if j, err := e.Get(t.Context(), queue.ID(id)); err != nil || j.State != queue.Sent || j.Claim != 1 {
			t.Errorf("a job that was sent: %s, claim %d, %v", j.State, j.Claim, err)
		}
	}
	// What the killed worker held stays Sending, for its lease to end.
	stats, err := e.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sending, arrived int64
	for _, s := range stats {
		sending += s.Sending
		arrived += s.Arrived
	}
	if sending > 4 || arrived < int64(len(added)) || arrived > int64(len(added))+1 {
		t.Errorf("%d are Sending, %d have arrived: expected at most 4, and the %d acknowledged ones and perhaps another", sending, arrived, len(added))
	}
	if err := e.Check(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d added, %d sent, %d left Sending", len(added), len(sent), sending)
}

// raw opens a file past the engine.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
