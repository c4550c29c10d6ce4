package queue

type depth struct{}
