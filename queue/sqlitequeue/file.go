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

// maxLinks is how many symbolic links are followed, as in Linux.
const maxLinks = 40

// resolve finds out which file the given path means: SQLite has the -wal beside the file
// itself and not beside a link to it. The file need not exist.
func (e *Engine) resolve() (err error) {
	switch path := e.given; {
	case path == "" || strings.ContainsRune(path, 0):
		return fmt.Errorf("sqlitequeue: opening %q: expected the path of a file", path)
	case path == ":memory:":
		return errors.New("sqlitequeue: opening :memory:: a queue has to outlive the process: expected the path of a file; in a test, filepath.Join(t.TempDir(), \"queue.db\") with WithoutSync")
	case strings.HasPrefix(path, "file:"):
		return fmt.Errorf("sqlitequeue: opening %q: expected the path of a file and not a URI: leave out file: and what follows a question mark; for a file of that name write ./%s", path, path)
	}
	if e.given, err = filepath.Abs(e.given); err != nil {
		return fmt.Errorf("sqlitequeue: opening %s: %w", e.given, err)
	}
	e.path = e.given
	for range maxLinks {
		target, err := os.Readlink(e.path)
		if err != nil {
			break // it is none, or not there
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(e.path), target)
		}
		e.path = target
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(e.path)); err == nil {
		e.path = filepath.Join(dir, filepath.Base(e.path))
	}
	return nil
}

// create makes the file if it is not there.
func (e *Engine) create() (err error) {
	e.file, err = os.Stat(e.path)
	if errors.Is(err, os.ErrNotExist) {
		const mine = 0o600
		f, err := os.OpenFile(e.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, mine)
		switch {
		case errors.Is(err, os.ErrExist): // another process was faster
		case errors.Is(err, os.ErrNotExist) && exists(filepath.Dir(e.path)):
			return fmt.Errorf("sqlitequeue: creating %s: the file system of directory %s takes no new files: name a directory on a local disk: %w", e.path, filepath.Dir(e.path), err)
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("sqlitequeue: creating %s: there is no directory %s: create it, with mode 0700: %w", e.path, filepath.Dir(e.path), err)
		case err != nil:
			return fmt.Errorf("sqlitequeue: creating the queue's file: let this user write the directory: %w", err)
		default:
			if err := f.Close(); err != nil {
				return fmt.Errorf("sqlitequeue: creating the queue's file: %w", err)
			}
		}
		e.file, err = os.Stat(e.path)
		if err != nil {
			return fmt.Errorf("sqlitequeue: creating the queue's file: %w", err)
		}
	}
	if err != nil && e.file == nil {
		return fmt.Errorf("sqlitequeue: opening the queue's file: %w", err)
	}
	if !e.file.Mode().IsRegular() {
		return fmt.Errorf("sqlitequeue: opening %s: it is not a regular file (%s): name one in a directory of its own", e.path, e.file.Mode().Type())
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// private keeps others from reading the numbers and texts in a file that was there before.
func (e *Engine) private() error {
	const others = 0o077
	if runtime.GOOS == "windows" {
		return nil // where the directory's rights decide
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(e.path + suffix)
		if errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().Perm()&others == 0 {
			continue
		}
		if err == nil {
			err = os.Chmod(e.path+suffix, info.Mode().Perm()&^others)
		}
		if err != nil {
			return fmt.Errorf("sqlitequeue: opening %s: others may read %s%s, which holds phone numbers and texts: have its owner run chmod 600: %w", e.path, filepath.Base(e.path), suffix, err)
		}
	}
	return nil
}

// present reports whether the file, and its WAL, are still those that were opened. What
// is written to a file without a name is lost.
func (e *Engine) present() error {
	if e.nosync {
		return nil
	}
	files := []struct {
		path   string
		opened os.FileInfo
	}{{e.path, e.file}, {e.path + "-wal", e.wal}, {e.given, e.file}}
	if e.given == e.path {
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
