//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sqlitequeue

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks a file against other processes, and other engines of this one, if it is
// free. The lock ends with the process that has it.
func tryLock(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}

func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) } // of what is locked, it cannot fail
