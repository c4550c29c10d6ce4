//go:build unix

// Package redistest starts Redis servers for tests, benchmarks and examples. They are real ones, from
// the machine's redis-server, on loopback, each with a directory and a free port.
package redistest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Installed returns an error that says what to install if there is no redis-server.
func Installed() error {
	for _, name := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not installed: apt-get install redis-server", name)
		}
	}
	return nil
}

// Need skips a test, or with CI=true fails it, where there is no redis-server.
func Need(t testing.TB) {
	t.Helper()
	err := Installed()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%v; CI skips nothing", err)
	default:
		t.Skipf("SKIP: %v", err)
	}
}

// A Server is a Redis server process. Its methods are for one goroutine at a time.
type Server struct {
	Addr string // host:port
	Port int
	Dir  string // where its files are

	args    []string
	cmd     *exec.Cmd
	sentry  bool
	stopped chan struct{}
}

// For starts a server for a test, and stops it when the test ends. args are as on
// redis-server's command line: "--appendfsync", "always".
func For(t testing.TB, args ...string) *Server {
	t.Helper()
	Need(t)
	s, err := Start(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	return s
}

// Start starts a server in dir and waits until it answers. It keeps nothing on the disk
// unless args say so. The caller is to Stop or Kill it.
func Start(dir string, args ...string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: address(port), Port: port, Dir: dir}
	s.args = append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no"}, args...)
	return s, s.Restart()
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("redistest: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

const patience = time.Minute

// Restart starts a server that was stopped or killed again, with the same port, directory and
// arguments. It waits until the server answers and has loaded its data.
func (s *Server) Restart() error {
	args := s.args
	if s.sentry {
		args = []string{filepath.Join(s.Dir, "sentinel.conf"), "--sentinel"}
	}
	log := new(bytes.Buffer)
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = dieWithParent()
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("redistest: %w", err)
	}
	stopped := make(chan struct{})
	s.stopped = stopped
	go func(c *exec.Cmd) {
		_ = c.Wait() // that it was killed is no news
		close(stopped)
	}(s.cmd)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if out, err := s.CLI("PING"); err == nil && out == "PONG" {
			return nil
		}
		select {
		case <-stopped:
			return fmt.Errorf("redistest: redis-server has ended: %s", log)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.Join(fmt.Errorf("redistest: redis-server does not answer within %v", patience), s.Kill())
}

// CLI runs a command through redis-cli and returns what it prints.
func (s *Server) CLI(args ...string) (string, error) {
	out, err := exec.Command("redis-cli", append([]string{"-p", strconv.Itoa(s.Port)}, args...)...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("redistest: redis-cli %s: %w: %s", args[0], err, text)
	}
	return text, nil
}

// Stop ends the server in good order, Kill without.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server as a crash does.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) error {
	if err := s.signal(sig); err != nil {
		return err
	}
	<-s.stopped
	return nil
}

// Freeze makes the server keep its connections and answer nothing; Thaw ends it.
func (s *Server) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw makes a frozen server go on.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("redistest: %w", err)
	}
	return nil
}

// A Failover is a master, its replica, and three sentinels that watch them.
type Failover struct {
	Master, Replica *Server
	Sentinels       []*Server
	Name            string // of the master, as sentinels know it
}

// Addrs returns the sentinels' addresses.
func (f *Failover) Addrs() []string { return addrs(f.Sentinels) }

func addrs(servers []*Server) (all []string) {
	for _, s := range servers {
		all = append(all, s.Addr)
	}
	return all
}

// FailoverFor starts a pair with sentinels for a test. A master that does not answer for
// a second is replaced. args are for master and replica.
func FailoverFor(t testing.TB, args ...string) *Failover {
	t.Helper()
	master := For(t, args...)
	f := &Failover{Name: "pacer", Master: master, Replica: For(t, append(args, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port), "--repl-diskless-sync-delay", "0")...)}
	eventually(t, "the replica is in sync", func() bool {
		out, err := f.Replica.CLI("INFO", "replication")
		return err == nil && strings.Contains(out, "master_link_status:up")
	})
	for range 3 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{Addr: address(port), Port: port, Dir: t.TempDir(), sentry: true}
		conf := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %d 2\nsentinel down-after-milliseconds %s 1000\nsentinel failover-timeout %s 3000\n",
			port, s.Dir, f.Name, master.Port, f.Name, f.Name)
		if err := os.WriteFile(filepath.Join(s.Dir, "sentinel.conf"), []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Kill() })
		f.Sentinels = append(f.Sentinels, s)
	}
	for _, s := range f.Sentinels {
		eventually(t, "the sentinels know each other and the replica", func() bool {
			out, err := s.CLI("SENTINEL", "CKQUORUM", f.Name)
			if err != nil || !strings.HasPrefix(out, "OK 3") {
				return false
			}
			out, err = s.CLI("SENTINEL", "REPLICAS", f.Name)
			return err == nil && strings.Contains(out, strconv.Itoa(f.Replica.Port))
		})
	}
	return f
}

// ClusterFor starts a Redis Cluster of three masters for a test.
func ClusterFor(t testing.TB, args ...string) []*Server {
	t.Helper()
	var nodes []*Server
	for range 3 {
		// The bus's port is to be free as well, and is by default the port plus 10,000.
		bus, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, For(t, append([]string{"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "2000"}, args...)...))
	}
	create := append([]string{"--cluster", "create"}, addrs(nodes)...)
	out, err := exec.Command("redis-cli", append(create, "--cluster-replicas", "0", "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("redistest: %v: %s", err, out)
	}
	for _, s := range nodes {
		eventually(t, "the cluster is whole", func() bool {
			out, err := s.CLI("CLUSTER", "INFO")
			return err == nil && strings.Contains(out, "cluster_state:ok")
		})
	}
	return nodes
}

// Addrs returns the addresses of a cluster's nodes.
func Addrs(nodes []*Server) []string { return addrs(nodes) }

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("redistest: expected within %v that %s", 2*patience, what)
		}
	}
}
