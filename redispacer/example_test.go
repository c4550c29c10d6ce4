package redispacer_test

import (
	"fmt"
	"log"

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
