//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package sqlitequeue

import (
	"errors"
	"os"
)

// tryLock fails: processes do not wait for one another on this system.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }

func unlock(*os.File) {}
