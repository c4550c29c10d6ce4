// Package learn decides what throttled answers mean: who must pause, and how fast requests
// may leave from then on. It knows nothing of Twilio, and takes the time as an argument.
//
// # Theory
//
// A throttled answer can mean a limit of the rate, or a limit of the requests in progress. It can
// mean an outage in which nothing is accepted, or nothing at all (noise). One answer cannot tell
// which. What tells it is what becomes of other requests.
//
//   - A single throttled answer is taken at its word: the whole bucket pauses. For a hundred
//     times as long after that, further single ones hold only the call that they answer. So
//     noise can cost at most one part in a hundred.
//   - If most of the last requests are throttled, the bucket pauses again.
//   - If nothing at all is accepted for longer than a window lasts, that is an outage. Nothing is
//     learned from nothing: the last pace that was proven stays.
//   - If a part of the requests is throttled again and again, a trial tells a limit from noise. A
//     little less is sent. If the throttled answers vanish it was a limit, and the lower pace is
//     kept. If they do not, it is noise, and the pace goes back to what it was.
//   - A limit of requests in progress throttles most of those above a number and few of those
//     below. A rate throttles whatever the number is. See [InFlight].
//
// A limit that was found is kept for some time. Then more is asked for, a little more each second
// in which requests wait, until one is throttled. One that is far below what was accepted before
// is kept for a few seconds only. The clock drives this, and not the number of departures. No
// pace is below one request in 30 seconds, so that no trouble can last.
//
// A limit below 4/s is met by bursts if its cool-downs are short: some requests leave at once,
// until one is throttled. A pace would waste more there. If 3/s or more turn out to be accepted, it wastes
// less, and follows.
//
// # Evidence
//
// go -C bench run ./storms compares this with the limiter that learns nothing, in virtual time.
// Share of the possible, learning on and off, on 2026-11-26:
//
//	1 % of all requests throttled at random, 20/s configured        97 and 81 %
//	the same at 100/s                                               97 and 48 %
//	the same, no limit known, 1,200/s possible                     100 and 18 %
//	an unknown limit of 20/s                                        98 and 90 %
//	that falls to a half                                            97 and 90 %
//	10 requests in progress                                         99 and 18 %
//
// # What was given up
//
// In noise a few more requests are throttled than if the bucket kept still at each answer. Bursts
// cost throttled answers: about half of all at 2/s. A configured pace below 4/s has no trial, which
// would take minutes. The property tests of bench/storms compose scenes at random. In about 1 of 100
// of them clearly less is accepted than without learning, or more calls are lost. In 3 or 4 of 100
// the mean of some runs is lower by more than a point. Most of these have a limit below 5/s, or a
// strict window, which counts what it refuses: there it can be a third. docs/learning.md lists the
// kinds, and what to do: configure the limit.
package learn
