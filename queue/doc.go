// Package queue keeps requests to Twilio durably and sends them at the account's pace.
package queue
