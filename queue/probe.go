package queue

import (
	"context"
	"errors"
)

// This file finds out whether a store takes something new.

// probeSize is how many bytes Probe writes: more than a full store finds room for between what it has.
const probeSize = 32 << 10

// Probe reports why a store takes nothing new, such as [ErrFull]; nil: it does. A store that is full still answers
// those who read. Probe takes three queries, of which one writes a document of 32 KB and one deletes it. So ask at
// most every few seconds. Any process may ask.
func Probe(ctx context.Context, e Engine) error {
	const name = HeartbeatPrefix + "probe" // which wakes nobody
	docs, err := e.Documents(ctx, name)
	if err != nil {
		return err
	}
	version := int64(0)
	if len(docs) > 0 {
		version = docs[0].Version
	}
	err = e.Put(ctx, name, make([]byte, probeSize), version)
	if err == nil {
		err = e.Put(ctx, name, nil, version+1)
	}
	if errors.Is(err, ErrConflict) { // of somebody else who asks
		return nil
	}
	return err
}
