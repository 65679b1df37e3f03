package natsstore_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
)

// TestLargeCalls proves that a call may have more groups and a read more keys than a
// server takes at once, that a group may have as many writes as a batch, and that an
// answer which is longer than a server gives in one piece comes whole.
//
// Proves C1, C2.
func TestLargeCalls(t *testing.T) {
	st := open(t, theServer(t), place(), natsstore.Attempt(20*time.Second))
	large := storekit.Large{Singles: 600, Together: 1000, Big: 12, Bytes: 1_000_000}
	together := large.Commit(t, st)[large.Singles]
	if r := storekit.One(st, append(together, store.Write{Key: "one too many"})...); r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrTooLarge) {
		t.Error(r.Outcome, r.Err)
	}
}

// TestTwoApps proves that changes by two programs that share servers do not get lost.
//
// Proves C1, C2.
func TestTwoApps(t *testing.T) {
	name := place()
	o := &stay.Options{MaxState: 1 << 16, Logger: slog.New(slog.DiscardHandler)}
	storekit.Apps(t, o, open(t, theCluster(t), name), open(t, theCluster(t), name))
}
