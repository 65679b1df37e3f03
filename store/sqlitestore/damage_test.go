package sqlitestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// damagedStore opens a store in whose file the page with the record "damaged"
// is destroyed. The record "whole" is on another page.
func damagedStore(t *testing.T, path string) *sqlitestore.Store {
	t.Helper()
	s := open(t, path)
	value := func(key string) []byte { return bytes.Repeat([]byte(key+"."), 300) }
	for i := range 40 {
		key := fmt.Sprint("k", i)
		apply(t, s, store.Write{Key: key, Value: value(key)})
	}
	apply(t, s, store.Write{Key: "damaged", Value: value("damaged")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, value("damaged")[:200])
	if at < 0 {
		t.Fatal("the record is not in the file")
	}
	page := content[at/sqlitestore.PageSize*sqlitestore.PageSize:][:sqlitestore.PageSize]
	for i := range page {
		page[i] = 0xff
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// TestDamagedPagesAreTold proves that reads and writes of records on a damaged
// page fail with an error that says what to do, and that all else goes on.
func TestDamagedPagesAreTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	s := damagedStore(t, path)
	_, loadErr := s.Load(context.Background(), []store.Read{{Key: "damaged"}})
	r := storekit.One(s, store.Write{Key: "damaged", Base: 1, Value: []byte("v")})
	if r.Outcome != store.Rejected {
		t.Errorf("%v", r.Outcome)
	}
	for call, err := range map[string]error{"Load": loadErr, "Commit": r.Err} {
		if err == nil {
			t.Errorf("%s succeeded", call)
			continue
		}
		if !errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v does not say that the store is damaged for good", call, err)
		}
		for _, word := range []string{path, "damaged", "restore it from a backup"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v\ndoes not say %q", call, err, word)
			}
		}
	}
	if r := storekit.Load(t, s, "k0"); len(r.Value) == 0 {
		t.Error("a whole page cannot be read")
	}
	apply(t, s, store.Write{Key: "k0", Base: storekit.Load(t, s, "k0").Revision, Value: []byte("v")})
}

// TestDamagedSchemaIsTold proves that Open refuses a file that is damaged where
// everything begins, and does not claim that it may open later.
func TestDamagedSchemaIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range content[100:sqlitestore.PageSize] {
		content[100+i] = 0xff
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, []string{path, "damaged", "restore it from a backup"})
	if err := openError(t, path); errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v claims that it may work later", err)
	}
}
