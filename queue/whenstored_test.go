package queue_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
)

// stored checks how many requests wait.
func (w *world) stored(n int64) {
	w.t.Helper()
	if s, err := w.q.Stats(w.t.Context()); err != nil || s.Total.Ready != n {
		w.t.Errorf("%d are stored (%v), expected %d", s.Total.Ready, err, n)
	}
}

// queueOn opens a queue on a file.
func queueOn(path string) (*queue.Queue, error) {
	e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		return nil, err
	}
	return queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
}

// What happens to the store, to clocks, and to what is enqueued.
var whenStored = map[string]row{
	"power loss": {shown: []string{"killtest TestKill", "sqlitequeue TestProcesses"}},
	"disk full":  {shown: []string{"TestResultIsRecordedWhenTheStoreWorksAgain", "sqlitequeue TestDiskFull"}},

	"file deleted or replaced while open": {shown: []string{"TestRunEndsWithTheStore", "sqlitequeue TestFileIsGone"}, test: alone(func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queue.db")
		e, err := sqlitequeue.Open(path) // with WithoutSync it does not look whether the file is there
		if err != nil {
			t.Fatal(err)
		}
		q, err := queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = q.Close() }()
		w := &world{t: t, q: q, fake: twiliotest.New(twiliotest.Config{}), start: time.Now()}
		w.enqueue("one")
		ended := make(chan error, 1)
		worker, err := queue.NewWorker(q, w.client(unlimited), queue.WithAlert(func(queue.Alert) {}))
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- worker.Run(t.Context()) }()
		time.Sleep(time.Second)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Enqueue(t.Context(), message(sender, receiver, "two")); !errors.Is(err, queue.ErrGone) {
			t.Errorf("Enqueue: %v", err)
		}
		if err := <-ended; !errors.Is(err, queue.ErrGone) {
			t.Errorf("Run: %v", err)
		}
	})},

	"file damaged": {shown: []string{"TestRunEndsWithTheStore", "sqlitequeue TestFlippedBytes"}},
	"one row of the file damaged": {shown: []string{
		"sqlitequeue TestADamagedJobIsCondemnedAndStopsNobody", "sqlitequeue TestADamagedLaneIsCondemnedAndStopsNobody", "sqlitequeue TestADamagedDocumentHasNoValue"}},
	"clock jumps forward":                         {shown: []string{"TestClockJumpsAhead", "killtest TestKillWithClockAhead"}},
	"clock jumps back":                            {shown: []string{"TestClockSetBackDoesNotDouble", "killtest TestKillWithClockBehind"}},
	"the store's clock and a worker's differ":     {shown: []string{"TestEngineClockDiffersFromThisMachines", "redisqueue TestEngineWithAnotherClock"}},
	"two processes on one file, one of them busy": {shown: []string{"sqlitequeue TestAQuietProcessGetsItsShareOfTheCommits"}},
	"a process is stopped while it has the turn":  {shown: []string{"sqlitequeue TestAProcessStoppedInTheTurnstileIsPassedOver", "sqlitequeue TestAProcessStoppedInACommitIsAnError"}},
	"two workers on one file": {shown: []string{"TestWorkersShareTheWork", "sqlitequeue TestProcesses"}, test: alone(func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		for i := range 20 {
			w.enqueue(fmt.Sprint(i))
		}
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
		w.work(w.client(pacer.Limit{Resource: "*", Rate: 1}))
		time.Sleep(11 * time.Second) // each at its own pace: two a second
		w.once(20)
	})},
	"two machines on one file (NFS)": {untested: "it is not supported"},
	"file of a newer version":        {shown: []string{"sqlitequeue TestOpenRefuses"}},
	"a newer version opens the file while this program has it open": {shown: []string{
		"sqlitequeue TestWritesAfterANewerProgramHasMigratedTheFile", "TestRunEndsWithTheStore"}},
	"SQLite file of another program": {shown: []string{"sqlitequeue TestOpenRefuses"}},

	"a request whose JSON has another major version": {shown: []string{"TestRequestErrors"}, test: alone(func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queue.db")
		q, err := queueOn(path)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, q: q, fake: twiliotest.New(twiliotest.Config{}), start: time.Now()}
		newer := w.enqueue("of a newer version")
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := db.Exec(`UPDATE jobs SET request = CAST(replace(CAST(request AS TEXT), '"v":"1.0"', '"v":"2.0"') AS BLOB)`); err != nil {
			t.Fatal(err)
		} else if n, err := r.RowsAffected(); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if w.q, err = queueOn(path); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.q.Close() }()
		good := w.enqueue("of this version")
		w.work(w.client(unlimited))
		w.want(good, queue.Sent)
		if r := w.want(newer, queue.Failed); r.Err == nil || r.Err.Error() != queue.ReasonDamaged {
			t.Errorf("failed because %v", r.Err)
		}
		w.once(1)
	})},

	"the function given to Enqueue makes no request, two, or reads the answer": {shown: []string{"TestCaptureErrors"}, test: alone(func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{})
		for name, build := range map[string]func(*twilio.RestClient) error{
			"none": func(*twilio.RestClient) error { return nil },
			"two": func(tw *twilio.RestClient) error {
				return errors.Join(message(sender, receiver, "one")(tw), message(sender, receiver, "two")(tw))
			},
			"reads": func(tw *twilio.RestClient) error {
				_, err := tw.LookupsV2.FetchPhoneNumber(receiver, nil)
				if err == nil {
					_ = message(sender, receiver, "depends on it")(tw)
				}
				return err
			},
		} {
			if _, err := w.q.Enqueue(t.Context(), build); err == nil {
				t.Errorf("%s: expected an error", name)
			}
		}
		w.stored(0)
	})},

	"a request that could only fail later: [what is refused](#what-is-refused)": {shown: []string{
		"TestEveryDoorRefusesWhatCanOnlyFailLater", "TestEveryDoorRefusesTextThatIsNotUTF8", "TestADeadlineMustLieAfterTheDueTime",
		"TestTimesAreTakenUpToTheYear9999", "TestAnAccountIsCheckedWhereverItComesFrom"}},
}
