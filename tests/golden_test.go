package tests_test

import (
	"path/filepath"
	"testing"

	"github.com/stay-go/stay/internal/golden"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// The conformance cases hold on a store that lasts, in real time.
func TestGolden(t *testing.T) {
	golden.Run(t, filepath.Join(root, "testdata/golden"), golden.Harness{
		Open: func(t testing.TB) store.Store {
			s, err := sqlitestore.Open(filepath.Join(t.TempDir(), "golden.db"))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	})
}
