package sqlitestore_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/store/sqlitestore"
)

// A power cut while the first page of a new database is written leaves garbage,
// and a rollback journal that says that there was nothing before: Open begins
// anew. Without a journal the file may be anybody's and is refused.
//
// Proves C5.
func TestOpenAfterAPowerCutInTheFirstWrite(t *testing.T) {
	var journal bytes.Buffer
	for _, field := range []any{
		uint64(0xd9d505f920a163d7), // magic
		uint32(0xffffffff),         // as many pages as the journal has
		uint32(7),                  // of the checksums
		uint32(0),                  // pages that the database had
		uint32(512), uint32(4096),  // sector and page
	} {
		if err := binary.Write(&journal, binary.BigEndian, field); err != nil {
			t.Fatal(err)
		}
	}
	header := append(journal.Bytes(), make([]byte, 512-journal.Len())...)
	for _, test := range []struct {
		name    string
		journal []byte
		refused bool
	}{
		{"with the journal", header, false},
		{"with a journal that was never written", make([]byte, 512), true},
		{"without a journal", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			if err := os.WriteFile(path, bytes.Repeat([]byte{0xa5}, 4096), 0o600); err != nil {
				t.Fatal(err)
			}
			if test.journal != nil {
				if err := os.WriteFile(path+"-journal", test.journal, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := sqlitestore.Open(path)
			if test.refused {
				if err == nil || !strings.Contains(err.Error(), "not a SQLite database") {
					t.Errorf("Open: %v", err)
				}
				if err == nil {
					_ = s.Close()
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
