package pgstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// replicated starts a server whose commits wait for a standby.
func replicated(t *testing.T) (primary, standby *server) {
	t.Helper()
	primary = ownServer(t)
	standby = primary.standby(t)
	if err := primary.AwaitStandby(storekit.Within(t)); err != nil {
		t.Fatal(err)
	}
	return primary, standby
}

// waiting calls a function of the server with the process that waits for the
// standby, when there is one.
func (s *server) waiting(t *testing.T, function string) {
	t.Helper()
	s.until(t, "(SELECT coalesce(bool_or("+function+"(pid)), false) FROM pg_stat_activity WHERE wait_event = 'SyncRep')")
}

// TestStoppedStandby proves that a commit whose wait for a synchronous standby ends
// without it is Unknown, however the wait ends, and that the same write is
// answered with the truth only once the standby has it.
//
// Proves C5, C6.
func TestStoppedStandby(t *testing.T) {
	t.Parallel()
	primary, standby := replicated(t)
	poolerURL := primary.pooler(t).url()
	for name, c := range map[string]struct {
		url string
		end string // what ends the wait; "": the attempt
	}{
		"the attempt is over":                {primary.URL(), ""},
		"the wait is cancelled":              {primary.URL(), "pg_cancel_backend"},
		"the wait is cancelled behind proxy": {poolerURL, "pg_cancel_backend"},
		"the connection ends":                {primary.URL(), "pg_terminate_backend"},
	} {
		for kind, single := range map[string]bool{"replacement": true, "group": false} {
			t.Run(name+" of a "+kind, func(t *testing.T) {
				attempt := time.Minute
				if c.end == "" {
					attempt = time.Second
				}
				st := open(t, c.url, pgstore.Attempt(attempt))
				again := open(t, primary.URL(), pgstore.Attempt(time.Minute))
				w := store.Write{Key: name + kind, Base: storekit.Put(t, st, name+kind, 0, "first"), Value: []byte("second")}
				writes := []store.Write{w}
				if !single {
					writes = append(writes, store.Write{Key: name + kind + " new"})
				}

				standby.Kill()
				first := storekit.Begin(st, writes...)
				if c.end != "" {
					primary.waiting(t, c.end)
				}
				if r := <-first; r.Outcome != store.Unknown || !errors.Is(r.Err, store.ErrUnavailable) {
					t.Errorf("%v: %v, want unknown", r.Outcome, r.Err)
				}
				for ctx := storekit.Within(t); string(storekit.Load(t, again, w.Key).Value) != "second"; {
					if ctx.Err() != nil {
						t.Fatal("not committed on the primary")
					}
				}
				second := storekit.Begin(again, writes...)
				primary.waiting(t, "0 < ")
				standby.start(t)
				if r := <-second; r.Outcome != store.Conflict || string(r.Current[0].Value) != "second" {
					t.Errorf("again: %v: %v %+v, want a conflict with itself", r.Outcome, r.Err, r.Current)
				}
			})
		}
	}
}
