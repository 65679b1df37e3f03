package nodes_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// onSQLite returns stores on one file, as several processes have them.
func onSQLite(t *testing.T, n int) (stores []store.Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	for range n {
		s, err := sqlitestore.Open(path, sqlitestore.Shared())
		check(t, err)
		t.Cleanup(func() { _ = s.Close() })
		stores = append(stores, s)
	}
	return stores
}

// A step is what a loop over Watch has got.
type step struct {
	count int
	err   error
}

// watching has a loop over Watch send what it gets, until the test ends.
func watching(t *testing.T, ctx context.Context, s *stay.State[testkit.Counter]) <-chan step {
	ctx, cancel := context.WithCancel(ctx)
	steps, ended := make(chan step), make(chan struct{})
	go func() {
		defer close(ended)
		for now, err := range s.Watch(ctx) {
			next := step{err: err}
			if err == nil {
				next.count = now.Count
			}
			select {
			case steps <- next:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return steps
}

// next waits until holds is true of what a loop has got.
func next(t *testing.T, steps <-chan step, what string, holds func(step) bool) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case got := <-steps:
			if holds(got) {
				return
			}
		case <-late:
			t.Fatalf("not seen: %s", what)
		}
	}
}

// Who watches at one node sees what another does as it happens: fifty changes one
// after the other, and the end of the session. Without announcements each would
// take fifteen seconds.
//
// Proves L34, L36.
func TestAWatchFollowsOtherNodes(t *testing.T) {
	t.Parallel()
	const changes = 50
	for name, open := range map[string]func(*testing.T, int) []store.Store{"PostgreSQL": onPostgres, "Redis": onRedis, "SQLite": onSQLite} {
		t.Run(name, func(t *testing.T) {
			var apps []*stay.App
			var states []*stay.State[testkit.Counter]
			for _, s := range open(t, 2) {
				app := testkit.NewApp(t, s, nil)
				apps = append(apps, app)
				states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerUser}))
			}
			for verb, end := range map[string]func(ctx context.Context) error{
				"Logout": func(ctx context.Context) error { return stay.SessionFrom(ctx).Logout(ctx) },
				"Revoke": func(ctx context.Context) error { return apps[0].Revoke(ctx, "ann") },
			} {
				b := testkit.NewBrowser(apps[0])
				testkit.Login(t, b, "ann")
				testkit.Set(t, t.Context(), states[0].At("ann"), testkit.Counter{})
				steps := watching(t, b.On(apps[1]).Ctx(), states[1])
				next(t, steps, "the beginning", func(s step) bool { return s.err == nil && s.count == 0 })
				began := time.Now()
				for i := range changes {
					testkit.MustUpdate(t, b.Ctx(), states[0])
					next(t, steps, "a change", func(s step) bool { return s.count == i+1 })
				}
				testkit.NoError(t, end(b.Ctx()))
				next(t, steps, verb, func(s step) bool { return stay.CodeOf(s.err) == stay.ErrEnded })
				took := time.Since(began)
				t.Logf("%v for %d changes, one after the other", took, changes)
				if took > time.Minute {
					t.Errorf("%d changes, one after the other, and the end were seen after %v", changes, took)
				}
			}
		})
	}
}
