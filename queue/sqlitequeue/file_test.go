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
		{filepath.Join(file("text", "hello"), "queue.db"), "not a directory"},
		{file("text", strings.Repeat("This is not a queue. ", 1000)), "cannot read it"},
		{made("other", "CREATE TABLE t(a)"), "name another file"},
		{made("theirs", "PRAGMA application_id = 7"), "name another file"},
		{newer, "update this one"},
		{torn, "the store is damaged"},
	} {
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
