package redispacer_test

import (
	"testing"

	"github.com/twilio-pacer/pacer/internal/doctest"
)

// The blocks of Go in all documents that use redispacer.
func TestCodeInDocumentsCompiles(t *testing.T) {
	doctest.Go(t, 1, "redispacer.NoSuchThing()\n")
}
