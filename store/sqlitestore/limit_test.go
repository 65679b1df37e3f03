//go:build linux || darwin

package sqlitestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// platformChildren are further children.
var platformChildren = map[string]func(path string, out io.Writer) error{"limit": childLimit, "open": childOpen}

// childLimit lets the system refuse to make any file longer, which fails the
// writing of the log within COMMIT, and then allows it again.
func childLimit(path string, out io.Writer) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := sqlitestore.Open(path)
	if err != nil {
		return err
	}
	limit := func(bytes uint64) error {
		var r syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
			return err
		}
		r.Cur = min(bytes, r.Max)
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &r)
	}
	var base store.Revision
	put := func() store.Result {
		// SQLite does not write pages whose bytes stay.
		return storekit.One(s, store.Write{Key: "k", Base: base, Value: bytes.Repeat([]byte{byte(base)}, 100<<10)})
	}
	for round := range 3 {
		if err := limit(1 << 20); err != nil {
			return err
		}
		var r store.Result
		for range 100 {
			if r = put(); r.Outcome != store.Applied {
				break
			}
			base = r.Revisions[0]
		}
		if r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrUnavailable) {
			return fmt.Errorf("round %d: %v: %w", round, r.Outcome, r.Err)
		}
		if err := limit(^uint64(0)); err != nil {
			return err
		}
		r = put()
		if r.Outcome != store.Applied {
			return fmt.Errorf("round %d, with room again: %v: %w", round, r.Outcome, r.Err)
		}
		base = r.Revisions[0]
	}
	if err := s.Close(); err != nil {
		return err
	}
	fmt.Fprintln(out, base)
	return nil
}

// TestFailedWrite proves that a commit that the system refuses to write is
// rejected, and that the store works again by itself when the cause is gone.
//
// Proves C2.
func TestFailedWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	cmd, lines := start(t, "limit", path)
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, sqlitestore.OwnerWait(0))
	if got := fmt.Sprint(storekit.Load(t, s, "k").Revision); got != last {
		t.Errorf("revision %s, the last one applied was %q", got, last)
	}
}
