//go:build unix

package redistest

import (
	"strconv"
	"strings"
	"testing"
)

func TestServer(t *testing.T) {
	s := For(t, "--appendonly", "yes", "--appendfsync", "always")
	if _, err := s.CLI("SET", "a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CLI("GET", "a"); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.CLI("GET", "a"); got != "1" || err != nil {
		t.Errorf("after a crash: %q, %v: expected what was written", got, err)
	}
}

func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for Sentinel")
	}
	f := FailoverFor(t)
	if err := f.Master.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica is the master", func() bool {
		out, err := f.Sentinels[0].CLI("SENTINEL", "GET-MASTER-ADDR-BY-NAME", f.Name)
		return err == nil && strings.Contains(out, strconv.Itoa(f.Replica.Port))
	})
}

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts three servers")
	}
	nodes := ClusterFor(t)
	if out, err := nodes[0].CLI("-c", "SET", "b", "1"); out != "OK" || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
}
