package store_test

import (
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storetest"
)

// Proves A13, C1, C2, C3, C4, C5, C6, C7.
func TestFolder(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) func(*testing.T) store.Store {
			dir := t.TempDir() // an empty place
			return func(*testing.T) store.Store {
				return store.FromSimple(folder(dir))
			}
		},
	})
}
