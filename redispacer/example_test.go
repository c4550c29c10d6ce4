package redispacer_test

import (
	"fmt"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/redispacer"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// All processes that do this share 20 messages a second. It needs a Redis, and so is only
// compiled here.
func ExampleNew() {
	limits := pacer.Limits{{Resource: pacer.Messages, Rate: 20}}
	limiter, err := redispacer.New(&redis.UniversalOptions{Addrs: []string{"localhost:6379"}}, limits,
		redispacer.WithAlert(func(a pacer.Alert) { log.Print(a) }))
	if err != nil {
		log.Fatal(err)
	}
	defer limiter.Close()

	client, err := pacer.New(pacer.ClientParams{}, pacer.WithLimiter(limiter))
	if err != nil {
		log.Fatal(err)
	}
	params := &api.CreateMessageParams{}
	params.SetFrom("12345").SetTo("+15555550100").SetBody("Hello")
	message, err := client.Api.CreateMessage(params)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(*message.Sid)
}

// ofReadme is the README's block: it compiles, and is what is there.
func ofReadme() error {
	limiter, err := redispacer.New(&redis.UniversalOptions{Addrs: []string{"localhost:6379"}}, pacer.Limits{
		{Resource: pacer.Messages, Sender: "12345", Rate: 100}, // of all processes together
	})
	if err != nil {
		return err
	}
	defer limiter.Close()
	client, err := pacer.New(pacer.ClientParams{}, pacer.WithLimiter(limiter))
	if err != nil {
		return err
	}
	_ = client
	return nil
}

func TestReadme(t *testing.T) {
	_ = ofReadme
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(readme), "```go\nlimiter, err := redispacer.New(")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("the README has no block that begins with redispacer.New")
	}
	for line := range strings.Lines(block) {
		if !strings.Contains(string(self), line) {
			t.Errorf("not in ofReadme: %q", line)
		}
	}
}
