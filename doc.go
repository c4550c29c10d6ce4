// Package pacer stands between a Go program and Twilio's REST API.
package pacer
