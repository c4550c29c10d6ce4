package pacer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// limitsFile writes a file for an example, and returns its path and how to remove it.
func limitsFile(text string) (path string, remove func()) {
	dir, err := os.MkdirTemp("", "pacer")
	if err != nil {
		panic(err)
	}
	path = filepath.Join(dir, "limits.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path, func() { _ = os.RemoveAll(dir) }
}

func ExampleLoadLimits() {
	path, remove := limitsFile(`{
  "$schema": "https://raw.githubusercontent.com/twilio-pacer/pacer/main/limits.schema.json",
  "limits": [
    {"resource": "Messages", "rate": 20},
    {"resource": "lookups/PhoneNumbers", "rate": "10"}
  ]
}`)
	defer remove()

	_, err := pacer.LoadLimits(path)
	fmt.Println(strings.Replace(err.Error(), path, "limits.json", 1))
	// Output:
	// pacer: limits file limits.json, line 5: limits[1].rate: "10": expected a number of requests per second, or "unlimited"
}

// Limits from a file that changes while the program runs. What is not valid changes
// nothing, and is an alert.
func ExampleClient_WatchLimits() {
	path, remove := limitsFile(`[{"resource": "Messages", "rate": 20}]`)
	defer remove()

	alerts := make(chan pacer.Alert, 1)
	fake := twiliotest.New(twiliotest.Config{})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithAlert(func(a pacer.Alert) { alerts <- a }))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.WatchLimits(ctx, path); err != nil {
		fmt.Println(err)
		return
	}

	if err := os.WriteFile(path, []byte(`[{"resource": "Messages", "rate": -5}]`), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	a := <-alerts // after two seconds
	fmt.Println(strings.Replace(a.String(), path, "limits.json", 1))
	fmt.Println("in force:", c.Limits()[0].Rate)
	// Output:
	// pacer: limits rejected: pacer: limits file limits.json, line 1: limits[0].rate: -5: expected requests per second above 0, or Unlimited; mend the file; what was in force before stays so
	// in force: 20
}

// Limits by HTTP, behind a check of who asks.
func ExampleClient_LimitsHandler() {
	fake := twiliotest.New(twiliotest.Config{})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 20}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	limits := c.LimitsHandler()
	mux := http.NewServeMux()
	mux.HandleFunc("/admin/limits", func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		limits.ServeHTTP(w, r)
	})

	put := func(body string) {
		r := httptest.NewRequest(http.MethodPut, "/admin/limits", strings.NewReader(body))
		r.SetBasicAuth("operator", "secret")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	put(`[{"resource": "Messages", "rate": 5, "burst": "no"}]`)
	put(`[{"resource": "Messages", "rate": 5}]`)
	// Output:
	// 400 pacer: limits, line 1: limits[0].burst: "no": expected a whole number of requests
	// 200 [
	//   {
	//     "resource": "Messages",
	//     "rate": 5
	//   }
	// ]
}

// A Messaging Service sends at the sum of what the numbers in its pool may.
func ExampleClient_LearnMessagingService() {
	const service = "MG0123456789abcdef0123456789abcdef"
	fake := twiliotest.New(twiliotest.Config{})
	fake.AddServiceNumbers(service, "+15005550001", "+15005550002", "+18335550003") // the last one is toll-free
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}

	numbers, err := c.LearnMessagingService(context.Background(), service)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.Api.CreateMessage(message("", "hello").SetMessagingServiceSid(service)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d numbers, %v messages per second\n", numbers, c.Stats().Buckets[0].Rate)
	// Output: 3 numbers, 5 messages per second
}
