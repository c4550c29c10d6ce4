// Package output is what the commands' results have in common.
package output

import (
	"fmt"
	"runtime"
	"time"
)

// Env is where and when figures were measured.
type Env struct {
	Go   string `json:"go"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Date string `json:"date"`
}

// Environment returns that of this process, now.
func Environment() Env {
	return Env{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Date: time.Now().UTC().Format(time.RFC3339)}
}

// String returns the environment for the head of a table.
func (e Env) String() string {
	return fmt.Sprintf("%s %s/%s, %d CPUs, %s", e.Go, e.OS, e.Arch, e.CPUs, e.Date)
}
