package sqstest

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestServer(t *testing.T) {
	s := For(t)
	url, _, err := s.Queue(t.Context(), "a", 3)
	if err != nil {
		t.Fatal(err)
	}
	c := Client(s.URL, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	if _, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url}); err != nil {
		t.Fatal(err)
	}
	was := s.URL
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ListQueues(t.Context(), nil); err == nil {
		t.Fatal("a killed emulator answers")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if l, err := c.ListQueues(t.Context(), nil); err != nil || len(l.QueueUrls) != 0 || s.URL != was {
		t.Errorf("after a restart at %s: %v, %v: expected no queue at %s", s.URL, l, err, was)
	}
}
