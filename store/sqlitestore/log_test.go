package sqlitestore_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// TestLogIsBounded proves that the log is moved into the database while
// writers and readers never pause, and at Close.
func TestLogIsBounded(t *testing.T) {
	const writers, keys = 4, 8
	const limit = (sqlitestore.MaxLogPages + 64) * sqlitestore.PageSize
	path := filepath.Join(t.TempDir(), "app.db")
	s := open(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var readers, writing sync.WaitGroup
	readers.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.List(context.Background(), time.Now(), "", "", 1000); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for w := range writers {
		writing.Go(func() {
			// Six times the log's length altogether.
			const size = 256 << 10
			revisions := [keys]store.Revision{}
			for i := range 6 * sqlitestore.LogPages * sqlitestore.PageSize / size / writers {
				key := i % keys
				// SQLite does not write pages whose bytes stay.
				value := bytes.Repeat([]byte{byte(i / keys)}, size)
				r := one(s, store.Write{Key: fmt.Sprint(w, "/", key), Base: revisions[key], Value: value})
				if r.Outcome != store.Applied {
					t.Errorf("%v, %v", r.Outcome, r.Err)
					return
				}
				revisions[key] = r.Revisions[0]
				info, err := os.Stat(path + "-wal")
				if err != nil || info.Size() > limit {
					t.Errorf("the log has more than %d bytes: %v, %v", limit, info, err)
					return
				}
			}
		})
	}
	writing.Wait()
	cancel()
	readers.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() != 0 {
		t.Errorf("%d bytes of log after Close", info.Size())
	}
	if r := load(t, open(t, path), "0/0"); len(r.Value) == 0 {
		t.Error("a record is gone")
	}
}

// TestExpiredUsesItsIndex proves that finding expired records does not read
// the others.
func TestExpiredUsesItsIndex(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "app.db"))
	plan, err := s.ExpiredPlan()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(plan, "USING INDEX records_expires") || strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("plan: %s", plan)
	}
}
