package sqlitequeue_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
)

func TestOpenMakesPrivateFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no modes")
	}
	path := filepath.Join(t.TempDir(), "queue.db")
	e, err := sqlitequeue.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Add(t.Context(), []queue.Job{job(1, 0)}); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("queue.db%s has mode %o: expected 600", suffix, mode)
		}
	}
}

func TestOpenMakesAFilePrivateThatWasThereBefore(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no modes")
	}
	for name, make := range map[string]func(path string) error{
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a queue":     func(path string) error { filled(t, path, 3); return nil },
		"with a -wal": func(path string) error { filled(t, path, 3); return os.WriteFile(path+"-wal", nil, 0o644) },
	} {
		for _, mode := range []os.FileMode{0o644, 0o660, 0o604, 0o777} {
			t.Run(fmt.Sprintf("%s, %o", name, mode), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "queue.db")
				if err := errors.Join(make(path), os.Chmod(path, mode)); err != nil {
					t.Fatal(err)
				}
				e, err := sqlitequeue.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				if _, err := e.Add(t.Context(), []queue.Job{job(100, 0)}); err != nil {
					t.Fatal(err)
				}
				for _, suffix := range []string{"", "-wal", "-shm"} {
					if info, err := os.Stat(path + suffix); err != nil || info.Mode().Perm()&0o077 != 0 {
						t.Errorf("queue.db%s: %v, %v: expected that others have no rights", suffix, info.Mode(), err)
					}
				}
			})
		}
	}
}

// A file of somebody else's, which others may read, cannot be made private: nothing is
// written to it.
func TestOpenRefusesAFileThatItCannotMakePrivate(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() != 0 {
		t.Skip("another user's file is needed: run as root")
	}
	dir := t.TempDir()
	for parent := dir; parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		os.Chmod(parent, 0o777)
	}
	path := filepath.Join(dir, "queue.db")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "program") // where another user may read it
	if err := errors.Join(os.WriteFile(copied, program, 0o755), os.Chmod(copied, 0o755)); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(copied, path)
	child.Env = append(os.Environ(), childRole+"=add")
	child.Dir = dir
	asNobody(child)
	out, err := child.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("the test program cannot be run as another user: %v", err)
	}
	if err == nil || !strings.Contains(string(out), "others may read") || !strings.Contains(string(out), "chmod 600") {
		t.Fatalf("%v: %s: expected that it says what to do", err, out)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Fatalf("%v, %v: expected that nothing was written", info, err)
	}
}

func TestOpenFollowsLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need rights there")
	}
	for name, there := range map[string]bool{"to a file": true, "to a file that is not there yet": false} {
		for kind, link := range map[string]func(dir string) error{
			"absolute": func(dir string) error {
				return os.Symlink(filepath.Join(dir, "data", "queue.db"), filepath.Join(dir, "link"))
			},
			"relative": func(dir string) error { return os.Symlink("data/queue.db", filepath.Join(dir, "link")) },
			"twice": func(dir string) error {
				return errors.Join(os.Symlink("second", filepath.Join(dir, "link")), os.Symlink("data/queue.db", filepath.Join(dir, "second")))
			},
			"a directory": func(dir string) error {
				return errors.Join(os.Symlink("data", filepath.Join(dir, "d")), os.Symlink("d/queue.db", filepath.Join(dir, "link")))
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				file := filepath.Join(dir, "data", "queue.db")
				if err := errors.Join(os.Mkdir(filepath.Join(dir, "data"), 0o700), link(dir)); err != nil {
					t.Fatal(err)
				}
				n := 0
				if there {
					filled(t, file, 3)
					n = 3
				}
				e, err := sqlitequeue.Open(filepath.Join(dir, "link"))
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				if _, err := e.Add(t.Context(), []queue.Job{job(100, 0)}); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(file + "-wal"); err != nil {
					t.Errorf("the -wal is not beside the file: %v", err)
				}
				other, err := sqlitequeue.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
				if jobs, err := other.List(t.Context(), queue.Filter{}, "", 10); err != nil || len(jobs) != n+1 {
					t.Errorf("%d jobs, %v: expected %d in the same file", len(jobs), err, n+1)
				}
				// What is written to a file that the name does not mean any more would be missed.
				if err := os.Remove(filepath.Join(dir, "link")); err != nil {
					t.Fatal(err)
				}
				if _, err := e.Add(t.Context(), []queue.Job{job(101, 0)}); !errors.Is(err, queue.ErrGone) {
					t.Errorf("the link is gone: got %v: expected ErrGone", err)
				}
			})
		}
	}
}

// A newer program changes a file that this one has open.
func TestWritesAfterANewerProgramHasMigratedTheFile(t *testing.T) {
	for name, test := range map[string]struct {
		change string
		want   error
	}{
		"a newer version":      {"PRAGMA user_version = 1000", queue.ErrOutdated},
		"the version before":   {"PRAGMA user_version = 2", queue.ErrGone},
		"another change of it": {"CREATE TABLE more(a)", nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t, filepath.Join(t.TempDir(), "queue.db"), 3)
			e, err := sqlitequeue.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			ctx := t.Context()
			claimed, err := e.Claim(ctx, queue.Claim{Lane: job(0, 0).Lane, Max: 1, Lease: time.Hour})
			if err != nil || len(claimed) != 1 {
				t.Fatal(claimed, err)
			}
			if _, err := raw(t, path).Exec(test.change); err != nil {
				t.Fatal(err)
			}
			errs := map[string]error{}
			_, errs["Add"] = e.Add(ctx, []queue.Job{job(100, 0)})
			_, errs["Claim"] = e.Claim(ctx, queue.Claim{Lane: job(1, 1).Lane, Max: 1, Lease: time.Hour})
			errs["Move"] = e.Move(ctx, queue.Move{ID: claimed[0].ID, From: []queue.State{queue.Sending}, To: queue.Sent})
			_, errs["Sweep"] = e.Sweep(ctx, queue.Sweep{Max: 1})
			for call, err := range errs {
				if !errors.Is(err, test.want) || test.want == queue.ErrOutdated && !strings.Contains(err.Error(), "a newer one: update this one") {
					t.Errorf("%s: got %v: expected %v", call, err, test.want)
				}
			}
		})
	}
}

// After retention has deleted what was sent, and the file has taken in its -wal, it holds
// neither the texts nor the numbers.
func TestWhatIsDeletedIsNotLeftInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	e, err := sqlitequeue.Open(path, sqlitequeue.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	const n = 2000
	var jobs []queue.Job
	for i := range n {
		j := job(i, i%3)
		j.Request.Form = map[string][]string{"To": {fmt.Sprintf("+1777%07d", i)}, "Body": {strings.Repeat("SECRETTEXT ", 1+i%200)}} // some on pages of their own
		j.Labels = map[string]string{"name": "SECRETTEXT"}
		j.Unique = "SECRETTEXT" + j.Unique
		jobs = append(jobs, j)
	}
	if _, err := e.Add(ctx, jobs); err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		m := queue.Move{ID: j.ID, From: []queue.State{queue.Ready}, To: queue.Sent, Outcome: &queue.Outcome{SID: "SM1", Reason: "SECRETTEXT", Response: []byte("SECRETTEXT +1777")}}
		if err := e.Move(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint := func() {
		t.Helper()
		db := raw(t, path)
		if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	read := func() (texts, numbers int) {
		t.Helper()
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(file), "SECRETTEXT"), strings.Count(string(file), "+1777")
	}
	checkpoint()
	if texts, numbers := read(); texts < n || numbers < n {
		t.Fatalf("the file holds %d texts and %d numbers: expected all", texts, numbers)
	}
	time.Sleep(2 * time.Millisecond)
	for left := n; left > 0; {
		s, err := e.Sweep(ctx, queue.Sweep{Keep: time.Millisecond, Max: 500})
		if err != nil || s.Deleted == 0 {
			t.Fatal(s, err)
		}
		left -= s.Deleted
	}
	checkpoint()
	if texts, numbers := read(); texts+numbers > 0 {
		t.Errorf("the file holds %d texts and %d numbers after the checkpoint: expected none", texts, numbers)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if texts, numbers := read(); texts+numbers > 0 {
		t.Errorf("the file holds %d texts and %d numbers: expected none", texts, numbers)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); err == nil {
			t.Errorf("%s is left", suffix)
		}
	}
}

func TestOpenOddPaths(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b", "a?b=c", "100%", "%41", "a#b", "ü", "a&mode=memory", ":memory:", "file:x", "a'b", "a+b"} {
		path := filepath.Join(dir, name)
		for range 2 { // made, then opened
			e, err := sqlitequeue.Open(path)
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			if _, err := e.Add(t.Context(), []queue.Job{job(1, 0)}); err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			if jobs, err := e.List(t.Context(), queue.Filter{}, "", 10); err != nil || len(jobs) != 1 {
				t.Fatalf("%q: %d jobs, %v: expected the same file again", name, len(jobs), err)
			}
			if err := e.Close(); err != nil {
				t.Fatalf("%q: %v", name, err)
			}
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%q: the file has another name: %v", name, err)
		}
		if _, err := os.Stat(path + "-wal"); err == nil {
			t.Errorf("%q: the last engine has left a WAL", name)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	made := func(name string, statements ...string) string {
		path := filepath.Join(dir, name)
		db := raw(t, path)
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(dir, "newer")
	e, err := sqlitequeue.Open(newer)
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	made("newer", "PRAGMA user_version = 1000")
	torn := filled(t, filepath.Join(dir, "torn"), 100)
	if err := os.Truncate(torn, 20_000); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{"", "expected the path of a file"},
		{"a\x00b", "expected the path of a file"},
		{dir, "not a regular file"},
		{filepath.Join(dir, "no", "queue.db"), "create it"},
		{":memory:", "expected the path of a file"},
		{"file::memory:", "expected the path of a file and not a URI"},
		{"file::memory:?cache=shared", "expected the path of a file and not a URI"},
		{"file:queue.db?_pragma=x", "write ./file:"},
		{filepath.Join(file("text", "hello"), "queue.db"), "not a directory"},
		{file("text", strings.Repeat("This is not a queue. ", 1000)), "cannot read it"},
		{made("other", "CREATE TABLE t(a)"), "name another file"},
		{made("theirs", "PRAGMA application_id = 7"), "name another file"},
		{newer, "update this one"},
		{torn, "the store is damaged"},
		{"/proc/x.db", "takes no new files"},
	} {
		if test.path == "/proc/x.db" && runtime.GOOS != "linux" {
			continue
		}
		before, _ := os.ReadFile(test.path)
		e, err := sqlitequeue.Open(test.path)
		if err == nil {
			e.Close()
			t.Errorf("%q was opened: expected an error with %q", filepath.Base(test.path), test.want)
			continue
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %q: expected one with %q", filepath.Base(test.path), err, test.want)
		}
		if after, _ := os.ReadFile(test.path); string(after) != string(before) {
			t.Errorf("%q was changed", filepath.Base(test.path))
		}
	}
}

func TestOpenEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := sqlitequeue.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Add(t.Context(), []queue.Job{job(1, 0)}); err != nil {
		t.Fatal(err)
	}
}

func TestOpenReadOnly(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("root may write everything")
	}
	dir := t.TempDir()
	path := filled(t, filepath.Join(dir, "queue.db"), 3)
	for _, mode := range []struct{ file, dir os.FileMode }{{0o400, 0o700}, {0o600, 0o500}} {
		os.Chmod(path, mode.file)
		os.Chmod(dir, mode.dir)
		e, err := sqlitequeue.Open(path)
		if err == nil {
			_, err = e.Add(t.Context(), []queue.Job{job(100, 0)})
			e.Close()
		}
		os.Chmod(dir, 0o700)
		if err == nil || !strings.Contains(err.Error(), "cannot be written") {
			t.Errorf("file %o, directory %o: error %v", mode.file, mode.dir, err)
		}
	}
}

// filled makes a file with n jobs.
func filled(t *testing.T, path string, n int) string {
	t.Helper()
	e, err := sqlitequeue.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	jobs := make([]queue.Job, n)
	for i := range jobs {
		jobs[i] = job(i, i%3)
	}
	if _, err := e.Add(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileIsGone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be deleted")
	}
	for name, remove := range map[string]func(path string) error{
		"deleted": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			other := filled(t, path+".other", 2)
			return os.Rename(other, path)
		},
		"without its WAL": func(path string) error { return os.Remove(path + "-wal") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queue.db")
			e, err := sqlitequeue.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, err := e.Add(t.Context(), []queue.Job{job(1000, 0)}); err != nil {
				t.Fatal(err)
			}
			if err := remove(path); err != nil {
				t.Fatal(err)
			}
			for n := range 2 {
				if _, err := e.Add(t.Context(), []queue.Job{job(1001+n, 0)}); !errors.Is(err, queue.ErrGone) {
					t.Errorf("Add: got %v: expected ErrGone", err)
				}
			}
			if _, err := e.Stats(t.Context()); !errors.Is(err, queue.ErrGone) {
				t.Errorf("Stats: got %v: expected ErrGone", err)
			}
		})
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", dir).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a small file system cannot be mounted: %v: %s", err, out)
		}
		t.Skipf("a small file system cannot be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 500_000), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "queue.db")
	e, err := sqlitequeue.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := map[queue.ID]bool{}
	n := 0
	fill := func() (err error) {
		for range 100_000 {
			j := job(n, 0)
			n++
			if _, err = e.Add(t.Context(), []queue.Job{j}); err != nil {
				return err
			}
			acknowledged[j.ID] = true
		}
		return nil
	}
	for range 3 { // and again, while it is full
		if err := fill(); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("after %d jobs: got %v: expected ErrFull", n, err)
		}
	}
	before := len(acknowledged)
	if before == 0 {
		t.Fatal("no job was stored")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := fill(); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("got %v: expected ErrFull", err)
	}
	if len(acknowledged) == before {
		t.Fatal("no job was stored after room was made")
	}
	check := func() {
		t.Helper()
		jobs, err := e.List(t.Context(), queue.Filter{}, "", n)
		if err != nil {
			t.Fatal(err)
		}
		if len(jobs) != len(acknowledged) {
			t.Errorf("%d jobs: expected the %d acknowledged ones", len(jobs), len(acknowledged))
		}
		for _, j := range jobs {
			if !acknowledged[j.ID] {
				t.Errorf("job %s is there, and was not acknowledged", j.ID)
			}
		}
	}
	check()
	if err := e.Close(); err != nil {
		t.Logf("Close: %v", err)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=16m", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if e, err = sqlitequeue.Open(path); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	check()
	if err := e.Check(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d jobs", len(acknowledged))
}

// Locks of POSIX belong to the process, and closing any descriptor drops them all.
func TestSeveralEnginesOfOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	engines := make(chan *sqlitequeue.Engine, 8)
	errs := make(chan error, 8)
	for range cap(engines) {
		go func() {
			e, err := sqlitequeue.Open(path)
			engines <- e
			errs <- err
		}()
	}
	for n := range cap(engines) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		e := <-engines
		if _, err := e.Add(t.Context(), []queue.Job{job(n, 0)}); err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			defer e.Close()
		}
	}
	worker := start(t, "work", path)
	worker.until(t, "sent", cap(engines))
}

func TestMessagesHoldNoContent(t *testing.T) {
	e := open(t)
	j := job(1, 0)
	if _, err := e.Add(t.Context(), []queue.Job{j}); err != nil {
		t.Fatal(err)
	}
	bad := j
	bad.Unique = "other"
	_, again := e.Add(t.Context(), []queue.Job{bad})
	moved := e.Move(t.Context(), queue.Move{ID: j.ID, From: []queue.State{queue.Sent}, To: queue.Sent})
	for _, err := range []error{again, moved} {
		if err == nil {
			t.Fatal("expected an error")
		}
		for _, secret := range []string{"+1555", "xxx", "key-1", "other"} {
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("error %q holds %q", err, secret)
			}
		}
	}
}
