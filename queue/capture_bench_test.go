package queue

import (
	"testing"

	"github.com/twilio/twilio-go"
)

// What it costs to make a job of a function, before it is stored.
func BenchmarkCapture(b *testing.B) {
	b.ReportAllocs()
	q := &Queue{account: account}
	rec, build := newRecorder(account), creation("hello")
	for b.Loop() {
		if _, err := q.job(rec, build, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// Of which so much is twilio-go's, whose client is made once for each Enqueue or EnqueueMany.
func BenchmarkRestClient(b *testing.B) {
	b.ReportAllocs()
	c := &capture{account: account, take: func(Request) (string, error) { return "{}", nil }}
	for b.Loop() {
		sink = restClient(c)
	}
}

var sink *twilio.RestClient
