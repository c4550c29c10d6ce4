// Package compat shows that pacer is a drop-in for twilio-go. It holds tests
// only, in a module of its own, so that what they need does not become a
// dependency of pacer.
//
// Each program in twilio-go's README compiles with the import swapped, and runs
// against twiliotest as it does with twilio-go, or better: a throttled request
// does not become an error (TestReadmePrograms). Twilio-go's own tests of its
// package client pass when requests go through pacer (TestClientTests). Both are
// taken from the module cache at test time, so that an update of twilio-go is
// noticed.
//
// The JSON Schema of pacer's limits and pacer agree on what is valid (TestLimitsSchema).
package compat
