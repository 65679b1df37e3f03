package sqlitestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// TestLogIsBounded proves that the log is moved into the database while
// writers and readers never pause, and at Close.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	const writers, keys = 4, 8
	const size = 256 << 10
	// What one commit wrote comes on top; each page in the log has a header.
	const limit = (sqlitestore.MaxLogPages + 2*size/sqlitestore.PageSize) * (sqlitestore.PageSize + 24)
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
			revisions := [keys]store.Revision{}
			for i := range 6 * sqlitestore.LogPages * sqlitestore.PageSize / size / writers {
				key := i % keys
				// SQLite does not write pages whose bytes stay.
				value := bytes.Repeat([]byte{byte(i / keys)}, size)
				r := storekit.One(s, store.Write{Key: fmt.Sprint(w, "/", key), Base: revisions[key], Value: value})
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
	if r := storekit.Load(t, open(t, path), "0/0"); len(r.Value) == 0 {
		t.Error("a record is gone")
	}
}

// TestWritersWaitForTheLog proves that writers wait, as long as their
// contexts allow, rather than let the log grow faster than it can be moved.
func TestWritersWaitForTheLog(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	const most = sqlitestore.MaxLogPages*sqlitestore.PageSize/size + 1
	s := open(t, filepath.Join(t.TempDir(), "app.db"))
	release, err := s.HoldCheckpoints()
	if err != nil {
		t.Fatal(err)
	}
	write := func(n int, wait time.Duration) store.Result {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		return s.Commit(ctx, []store.Group{{{Key: fmt.Sprint(n), Value: make([]byte, size)}}})[0]
	}
	var written int
	for ; written <= most; written++ {
		if r := write(written, time.Second); r.Outcome == store.Rejected && errors.Is(r.Err, store.ErrUnavailable) {
			break
		} else if r.Outcome != store.Applied {
			t.Fatalf("%v: %v", r.Outcome, r.Err)
		}
	}
	if written > most {
		t.Errorf("%d MiB were written while the log could not be moved", written)
	}
	release()
	if r := write(written, time.Minute); r.Outcome != store.Applied {
		t.Errorf("%v: %v", r.Outcome, r.Err)
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
	if !strings.HasPrefix(plan, "SEARCH records USING INDEX records_expires") || strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("plan: %s", plan)
	}
}
