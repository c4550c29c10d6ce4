//go:build linux

package redistest

import "syscall"

// dieWithParent has the kernel end a server whose program has been killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
