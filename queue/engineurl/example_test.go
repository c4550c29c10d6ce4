package engineurl_test

import (
	"fmt"

	"github.com/twilio-pacer/pacer/queue/engineurl"
)

func ExampleParse() {
	a, err := engineurl.Parse("rediss://worker:secret@redis.example.com/1?name=sms")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a) // safe to log

	_, err = engineurl.Parse("redis://redis.example.com/1?queue=sms")
	fmt.Println(err)
	// Output:
	// rediss://xxxxx@redis.example.com:6379/1?name=sms
	// engineurl: redis: an option is not known: expected name, replicas, replicas-timeout
}
