//go:build race

package queue_test

func init() { slower = 5 }
