package storetest

import (
	"testing"

	"github.com/stay-go/stay/internal/meta"
)

// Stores are tried with the longest Meta that the engine writes.
//
// Proves C6.
func TestTheLongestMetaIsTried(t *testing.T) {
	if longestMeta != meta.Max {
		t.Errorf("Meta of %d bytes is tried, the engine writes up to %d", longestMeta, meta.Max)
	}
}
