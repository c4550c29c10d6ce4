package sqlitequeue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/twilio-pacer/pacer/queue"
)

// This file finds, makes and guards the file that a queue is in.

// A location is the file of an engine, and how it was when it was opened.
type location struct {
	given  string // as the program has named it; it may be a symbolic link
	path   string // of the file itself
	nosync bool   // see WithoutSync
	file   os.FileInfo
	wal    os.FileInfo
}

// maxLinks is how many symbolic links are followed, as in Linux.
const maxLinks = 40

// resolve finds out which file the given path means: SQLite has the -wal beside the file
// itself and not beside a link to it. The file need not exist.
func (l *location) resolve() (err error) {
	switch path := l.given; {
	case path == "" || strings.ContainsRune(path, 0):
		return fmt.Errorf("sqlitequeue: opening %q: expected the path of a file", path)
	case path == ":memory:":
		return errors.New("sqlitequeue: opening :memory:: a queue has to outlive the process: expected the path of a file; in a test, filepath.Join(t.TempDir(), \"queue.db\") with WithoutSync")
	case strings.HasPrefix(path, "file:"):
		return fmt.Errorf("sqlitequeue: opening %q: expected the path of a file and not a URI: leave out file: and what follows a question mark; for a file of that name write ./%s", path, path)
	}
	if l.given, err = filepath.Abs(l.given); err != nil {
		return fmt.Errorf("sqlitequeue: opening %s: %w", l.given, err)
	}
	l.path = l.given
	for range maxLinks {
		target, err := os.Readlink(l.path)
		if err != nil {
			break // it is none, or not there
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(l.path), target)
		}
		l.path = target
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(l.path)); err == nil {
		l.path = filepath.Join(dir, filepath.Base(l.path))
	}
	return nil
}

// create makes the file if it is not there.
func (l *location) create() (err error) {
	l.file, err = os.Stat(l.path)
	if errors.Is(err, os.ErrNotExist) {
		const mine = 0o600
		f, err := os.OpenFile(l.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, mine)
		switch {
		case errors.Is(err, os.ErrExist): // another process was faster
		case errors.Is(err, os.ErrNotExist) && exists(filepath.Dir(l.path)):
			return fmt.Errorf("sqlitequeue: creating %s: the file system of directory %s takes no new files: name a directory on a local disk: %w", l.path, filepath.Dir(l.path), err)
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("sqlitequeue: creating %s: there is no directory %s: create it, with mode 0700: %w", l.path, filepath.Dir(l.path), err)
		case err != nil:
			return fmt.Errorf("sqlitequeue: creating the queue's file: let this user write the directory: %w", err)
		default:
			if err := f.Close(); err != nil {
				return fmt.Errorf("sqlitequeue: creating the queue's file: %w", err)
			}
		}
		l.file, err = os.Stat(l.path)
		if err != nil {
			return fmt.Errorf("sqlitequeue: creating the queue's file: %w", err)
		}
	}
	if err != nil && l.file == nil {
		return fmt.Errorf("sqlitequeue: opening the queue's file: %w", err)
	}
	if !l.file.Mode().IsRegular() {
		return fmt.Errorf("sqlitequeue: opening %s: it is not a regular file (%s): name one in a directory of its own", l.path, l.file.Mode().Type())
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// private keeps others from reading the numbers and texts in a file that was there before.
func (l *location) private() error {
	const others = 0o077
	if runtime.GOOS == "windows" {
		return nil // where the directory's rights decide
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(l.path + suffix)
		if errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().Perm()&others == 0 {
			continue
		}
		if err == nil {
			err = os.Chmod(l.path+suffix, info.Mode().Perm()&^others)
		}
		if err != nil {
			return fmt.Errorf("sqlitequeue: opening %s: others may read %s%s, which holds phone numbers and texts: have its owner run chmod 600: %w", l.path, filepath.Base(l.path), suffix, err)
		}
	}
	return nil
}

// present reports whether the file, and its WAL, are still those that were opened. What
// is written to a file without a name is lost.
func (l *location) present() error {
	if l.nosync {
		return nil
	}
	files := []struct {
		path   string
		opened os.FileInfo
	}{{l.path, l.file}, {l.path + "-wal", l.wal}, {l.given, l.file}}
	if l.given == l.path {
		files = files[:2]
	}
	for _, f := range files {
		is, err := os.Stat(f.path)
		if err == nil && os.SameFile(is, f.opened) {
			continue
		}
		what := "has been replaced"
		if err != nil {
			what = "cannot be found"
		}
		return fmt.Errorf("sqlitequeue: %s %s since it was opened: %w: put it back, or restart this program to begin with what is there now", f.path, what, queue.ErrGone)
	}
	return nil
}
