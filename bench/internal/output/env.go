// Package output is what the commands' results have in common.
package output

import (
	"runtime"
	"time"
)

// Env is where figures were measured.
type Env struct {
	Go   string `json:"go"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Date string `json:"date"`
}

// Environment is that of this process.
func Environment(now time.Time) Env {
	return Env{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Date: now.UTC().Format(time.RFC3339)}
}
