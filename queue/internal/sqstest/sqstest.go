// Package sqstest starts fauxqs, an emulator of AWS SQS, for tests, the kill test and the
// example: on loopback, with a free port, in memory. docs/sqs.md lists where it differs
// from AWS.
package sqstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// directory is where package.json and run.mjs are: in the source tree.
func directory() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "emulator")
}

// Installed returns an error that says what to install if there is no emulator.
func Installed() error {
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("node is not installed: apt-get install nodejs npm, 20 or later")
	}
	if _, err := os.Stat(filepath.Join(directory(), "node_modules", "fauxqs", "package.json")); err != nil {
		return errors.New("the SQS emulator is not installed: npm ci --ignore-scripts --prefix queue/internal/sqstest/emulator")
	}
	return nil
}

// Need skips a test, or with CI=true fails it, where there is no emulator.
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

// A Server is an emulator process. Its methods are for one goroutine at a time.
type Server struct {
	URL string // http://127.0.0.1:port

	port    string
	cmd     *exec.Cmd
	stopped chan struct{}
}

// For starts an emulator for a test, and stops it when the test ends.
func For(t testing.TB) *Server {
	t.Helper()
	Need(t)
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	return s
}

const patience = time.Minute

// Start starts an emulator without queues and waits until it listens. The caller is to
// Kill it; it ends with this process in any case.
func Start() (*Server, error) {
	s := &Server{port: "0"}
	return s, s.Restart()
}

// Restart starts an emulator that was killed again, on the same port. Its queues are gone.
func (s *Server) Restart() error {
	s.cmd = exec.Command("node", "run.mjs", s.port)
	s.cmd.Dir = directory()
	var stderr strings.Builder
	s.cmd.Stderr = &stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("sqstest: %w", err)
	}
	if _, err = s.cmd.StdinPipe(); err != nil { // is open for as long as this process lives
		return fmt.Errorf("sqstest: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("sqstest: %w", err)
	}
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	stopped := make(chan struct{})
	s.stopped = stopped
	go func(c *exec.Cmd) {
		_ = c.Wait() // that it was killed is no news
		close(stopped)
	}(s.cmd)
	if err != nil {
		_ = s.Kill()
		return fmt.Errorf("sqstest: the emulator does not listen within %v: %.500s", patience, stderr.String())
	}
	s.port = strings.TrimSpace(line)
	s.URL = "http://127.0.0.1:" + s.port
	return nil
}

// Kill ends the emulator; what it holds is gone.
func (s *Server) Kill() error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sqstest: %w", err)
	}
	<-s.stopped
	return nil
}

// Client returns a client of the emulator at an endpoint, a [Server]'s URL.
func Client(endpoint string, opts ...func(*sqs.Options)) *sqs.Client {
	return sqs.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "emulator", SecretAccessKey: "emulator"}, nil
		}),
	}, opts...)
}

// Queue makes a FIFO queue with a dead-letter queue, to which what was received so many
// times goes, and returns the URLs of both.
func (s *Server) Queue(ctx context.Context, name string, receives int) (url, dead string, err error) {
	c := Client(s.URL)
	d, err := c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + "-dead.fifo"), Attributes: map[string]string{"FifoQueue": "true"}})
	if err != nil {
		return "", "", fmt.Errorf("sqstest: %w", err)
	}
	a, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: d.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
	if err != nil {
		return "", "", fmt.Errorf("sqstest: %w", err)
	}
	q, err := c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + ".fifo"), Attributes: map[string]string{
		"FifoQueue":     "true",
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, a.Attributes["QueueArn"], receives),
	}})
	if err != nil {
		return "", "", fmt.Errorf("sqstest: %w", err)
	}
	return *q.QueueUrl, *d.QueueUrl, nil
}
