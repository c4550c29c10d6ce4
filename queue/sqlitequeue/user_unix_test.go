//go:build unix

package sqlitequeue_test

import (
	"os/exec"
	"syscall"
)

// asNobody has a child run as a user who owns nothing.
func asNobody(c *exec.Cmd) {
	const nobody = 65534
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}
