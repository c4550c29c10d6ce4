// Package twiliotest is a fake Twilio for tests, in the manner of
// net/http/httptest.
//
// A [Fake] is a Twilio account as its REST API shows it. It creates, fetches, lists and deletes
// messages and calls, looks up numbers, and issues OAuth tokens. It answers every other operation in
// a general way. What makes it useful is that it says no as Twilio does. It limits rates and
// concurrent requests, and throttles with Twilio's status, code and body. It cuts connections before
// and after it has done the work. It remembers all that it accepted, so that a test can ask whether
// anything was sent twice.
//
// # In memory
//
// [New] makes a Fake and [Fake.Client] an http.Client whose requests the Fake
// answers in the caller's goroutine, whatever their host. No socket is opened
// and no goroutine is started.
//
//	fake := twiliotest.New(twiliotest.Config{
//		Limits: []twiliotest.Limit{{Resource: "Messages", Rate: 10}},
//	})
//	c := &client.Client{
//		Credentials: client.NewCredentials(twiliotest.AccountSid, twiliotest.AuthToken),
//		HTTPClient:  fake.Client(),
//	}
//	c.SetAccountSid(twiliotest.AccountSid)
//	rest := twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
//
// The Fake reads the time and waits only through package time. Made inside a
// [testing/synctest] bubble it therefore runs in virtual time. An hour of
// paced sending takes a moment, and every instant can be asserted exactly.
//
// # Over a connection
//
// [NewServer] listens on loopback. [Server.Client] sends every request to it, under the host it was
// meant for. So the same twilio-go client can be used without any change of its addresses. Sockets do
// not run in virtual time.
//
// # What happens to a request
//
// In this order:
//
//  1. Credentials. None, or wrong ones: 401, code 20003.
//  2. Suspension. An account that is suspended: 403, code 20403, or as
//     [Fake.Suspend] says.
//  3. Concurrency. Above [Config].MaxInFlight for its account: 429, code 20429.
//  4. A fault which comes before the work: see [FaultKind].
//  5. Limits. Every [Limit] that matches must have room, or the answer is that
//     limit's, 429 and 20429 unless it says otherwise. A request refused here
//     or earlier counts towards no limit.
//  6. The work is done and recorded. This is what "accepted" means. A request
//     that is found to be invalid (400) or to name nothing (404) has been
//     accepted too: its record has that status.
//  7. A fault which comes after the work.
//  8. [Config].Latency passes, and the answer is sent.
//
// Refusals of steps 1, 2, 3 and 5 are sent at once. From step 4 on the request
// counts as in progress until it is answered.
//
// # When it is not Twilio's day
//
// A program is tested best against what goes wrong:
//
//   - Nothing is reached: RefuseConnection, RefuseProxy, RefuseTunnel and
//     TimeoutTLS, of which not a byte is written.
//   - Nobody knows whether it was done: DropBeforeAccept, DropAfterAccept,
//     AcceptThenStatus, AcceptLate.
//   - Somebody else answers, a gateway or a captive portal: [Fault].Foreign
//     with any Status, Header and Body. See the example of [Fault].
//   - An answer comes late, or breaks off: Slow, [Fault].BodyDelay and BodyErr.
//   - The account is suspended: [Fake.Suspend], and [Fake.Lift].
//   - Lists show other texts or numbers than were sent: [Alterations].
//   - Twilio's clock and this machine's differ: [Fake.SetClock].
//   - Lists show what is new late: [Config].ListLag. Faults and limits strike
//     lists as they strike other requests: match Method "GET".
//
// # Where the behaviour comes from
//
// Statuses, codes, bodies and headers follow Twilio's documentation and captured traffic as far as
// they are known. Comments give the source or say that the choice is this package's. Shapes of
// resources follow the models of twilio-go v1.31.0. Nothing is ever really sent, so messages and
// calls stay in their first status until the test changes them through the API.
package twiliotest
