//go:build !unix

package sqlitequeue_test

import "os/exec"

func asNobody(*exec.Cmd) {}
