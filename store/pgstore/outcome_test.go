package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// warmUp makes the store send each kind of statement once, so that they are known
// to the server on the connection that the store has. What is sent next is the
// transaction itself.
func warmUp(t *testing.T, s store.Store) {
	t.Helper()
	key := "warm up " + t.Name()
	rev := storekit.Put(t, s, key, storekit.Put(t, s, key, 0, "x"), "y")
	other := storekit.Put(t, s, key+" too", 0, "x")
	for _, g := range []store.Group{
		{{Key: key + " too", Base: other, Value: []byte("y")}, {Op: store.Check, Key: key, Base: rev}},
		{{Op: store.Delete, Key: key, Base: rev}},
	} {
		if r := storekit.One(s, g...); r.Outcome != store.Applied {
			t.Fatalf("%v: %v", r.Outcome, r.Err)
		}
	}
}

// TestLostAnswerIsUnknown proves that groups whose answer is lost are Unknown and
// not Rejected, and that the same write is answered with the truth when it is
// sent again.
//
// Proves C2, C6.
func TestLostAnswerIsUnknown(t *testing.T) {
	s := theServer(t)
	url := s.URL("search_path", s.schema(t))
	other := open(t, url)
	rev := storekit.Put(t, other, "kept", 0, "first")
	for name, g := range map[string]store.Group{
		"create":  {{Key: "new", Value: []byte("x")}},
		"replace": {{Key: "kept", Base: rev, Value: []byte("second")}},
		"group":   {{Key: "a", Value: []byte("x")}, {Key: "b", Value: []byte("x")}},
	} {
		t.Run(name, func(t *testing.T) {
			w, st := wired(t, url, pgstore.Attempt(time.Second))
			warmUp(t, st)
			w.deafen()
			if r := storekit.One(st, g...); r.Outcome != store.Unknown || !errors.Is(r.Err, store.ErrUnavailable) {
				t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
			}
			for _, write := range g {
				if got := storekit.Load(t, other, write.Key); string(got.Value) != string(write.Value) {
					t.Errorf("%q is %q: the write has not arrived", write.Key, got.Value)
				}
			}
			r := storekit.One(st, g...)
			if r.Outcome != store.Conflict || string(r.Current[0].Value) != string(g[0].Value) {
				t.Errorf("again: %v: %v %+v, want a conflict with itself", r.Outcome, r.Err, r.Current)
			}
		})
	}
}

// TestBackendEndsDuringCommit proves that a commit whose connection the server
// ends is Unknown, and that the store goes on.
//
// Proves C6.
func TestBackendEndsDuringCommit(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	st := open(t, s.URL("search_path", schema, "application_name", schema), pgstore.Attempt(30*time.Second))
	rev := storekit.Put(t, st, "key", 0, "first")

	// Somebody holds the record, so that the commit waits.
	by := s.connect(t)
	tx, err := by.Begin(storekit.Within(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(storekit.Within(t), "SELECT 1 FROM "+schema+".stay_records FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	results := storekit.Begin(st, store.Write{Key: "key", Base: rev, Value: []byte("second")}, store.Write{Key: "new"})
	ctx, admin := storekit.Within(t), s.connect(t)
	for ended := false; !ended; {
		err := admin.QueryRow(ctx, `SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity
			WHERE application_name = $1 AND wait_event_type = 'Lock'`, schema).Scan(&ended)
		if err != nil {
			t.Fatal(err)
		}
	}
	if r := <-results; r.Outcome != store.Unknown {
		t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if got := storekit.Load(t, st, "key"); got.Revision != rev || storekit.Load(t, st, "new").Revision != 0 {
		t.Errorf("%+v, want the first value", got)
	}
	// The store itself would wait until the first one can no longer begin.
	again := open(t, s.URL("search_path", schema))
	if r := storekit.One(again, store.Write{Key: "key", Base: rev, Value: []byte("second")}, store.Write{Key: "new"}); r.Outcome != store.Applied {
		t.Errorf("again: %v: %v, want applied", r.Outcome, r.Err)
	}
}

// TestServerCrash proves that what was applied is there after a crash of the
// server, that what was rejected is not, and that the store works again without
// being reopened.
//
// Proves C5, C6.
func TestServerCrash(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	storekit.Crash(t, open(t, s.URL()), time.Minute, s.Kill, s.Start)
}

// TestErrorsOfTheServer proves what errors mean: those that a transaction can
// meet by chance are tried again, others reject its groups.
//
// Proves C2, C6.
func TestErrorsOfTheServer(t *testing.T) {
	for _, c := range []struct {
		code  string
		times int
		want  store.Outcome
		err   error
	}{
		{"40P01", 3, store.Applied, nil},
		{"40001", 3, store.Applied, nil},
		{"23505", 3, store.Applied, nil},
		{"40P01", 1000, store.Rejected, store.ErrUnavailable},
		{"53100", 1000, store.Rejected, store.ErrUnavailable},
		{"XX001", 1000, store.Rejected, store.ErrCorrupt},
	} {
		for _, foreign := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %d times, foreign=%v", c.code, c.times, foreign), func(t *testing.T) {
				s := theServer(t)
				schema := s.schema(t)
				var st store.Store
				if foreign {
					st = onPool(t, config(t, s.URL("search_path", schema)))
				} else {
					st = own(t, config(t, s.URL("search_path", schema)))
				}
				t.Cleanup(func() { _ = st.Close() })
				first := storekit.Put(t, st, "key", 0, "first")
				s.exec(t, fmt.Sprintf(`
					CREATE SEQUENCE %[1]s.fails;
					CREATE FUNCTION %[1]s.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
						IF nextval('%[1]s.fails') <= %[3]d THEN RAISE EXCEPTION 'by hand' USING ERRCODE = '%[2]s'; END IF;
						RETURN NEW;
					END $$;
					CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON %[1]s.stay_records FOR EACH ROW EXECUTE FUNCTION %[1]s.fail()`,
					schema, c.code, c.times))
				for _, g := range []store.Group{
					{{Key: "key", Base: first, Value: []byte("second")}},
					{{Key: "new", Value: []byte("x")}, {Key: "newer", Value: []byte("x")}},
				} {
					r := storekit.One(st, g...)
					if r.Outcome != c.want || !errors.Is(r.Err, c.err) {
						t.Errorf("%v: %v, want %v with %v", r.Outcome, r.Err, c.want, c.err)
					}
					if got := storekit.Load(t, st, g[0].Key); (string(got.Value) == string(g[0].Value)) != (c.want == store.Applied) {
						t.Errorf("%v, and the value is %q", r.Outcome, got.Value)
					}
					s.exec(t, "ALTER SEQUENCE "+schema+".fails RESTART")
				}
			})
		}
	}
}

// TestAttemptsAreBounded proves that a network that stands still does not hold up
// a commit for as long as its caller asks.
//
// Proves C6.
func TestAttemptsAreBounded(t *testing.T) {
	s := theServer(t)
	w, st := wired(t, s.URL("search_path", s.schema(t)), pgstore.Attempt(time.Second))
	warmUp(t, st)
	rev := storekit.Put(t, st, "key", 0, "first")
	w.hold()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	r := st.Commit(ctx, []store.Group{{{Key: "key", Base: rev, Value: []byte("second")}}})[0]
	if took := time.Since(began); r.Outcome != store.Unknown || took > 20*time.Second {
		t.Errorf("%v after %v: %v, want unknown after a second", r.Outcome, took, r.Err)
	}
	if got := storekit.Load(t, st, "key"); string(got.Value) != "first" {
		t.Errorf("%+v", got)
	}
	began = time.Now()
	if err := st.Close(); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("Close took %v: %v", time.Since(began), err)
	}
}

// TestLateGroupsAreNotApplied proves that a group that was held up does not take
// effect after a later one has said what is stored, although its conditions hold
// again.
//
// Proves C6.
func TestLateGroupsAreNotApplied(t *testing.T) {
	s := theServer(t)
	for name, single := range map[string]bool{"replacement": true, "group": false} {
		t.Run(name, func(t *testing.T) {
			url := s.URL("search_path", s.schema(t))
			other := open(t, url)
			w, st := wired(t, url, pgstore.Attempt(time.Second))
			warmUp(t, st)
			rev := storekit.Put(t, st, "key", 0, "first")
			g := store.Group{{Key: "key", Base: rev, Value: []byte("late")}, {Op: store.Check, Key: "absent"}}
			late := g
			if single {
				late = g[:1]
			}
			w.hold()
			if r := storekit.One(st, late...); r.Outcome != store.Unknown {
				t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
			}
			there := storekit.Put(t, other, "absent", 0, "x")
			if r := storekit.One(st, g...); r.Outcome != store.Conflict {
				t.Fatalf("%v: %v, want a conflict", r.Outcome, r.Err)
			}
			if r := storekit.One(other, store.Write{Op: store.Delete, Key: "absent", Base: there}); r.Outcome != store.Applied {
				t.Fatalf("%v: %v", r.Outcome, r.Err)
			}
			w.deliver(t)
			if got := storekit.Load(t, other, "key"); string(got.Value) != "first" {
				t.Errorf("%q after a conflict was answered", got.Value)
			}
		})
	}
}

// TestGroupsInDoubtHoldUpOthers proves that a create waits until an earlier one
// that got no answer can no longer begin, even if its caller had no patience for
// that.
//
// Proves C6.
func TestGroupsInDoubtHoldUpOthers(t *testing.T) {
	s := theServer(t)
	w, st := wired(t, s.URL("search_path", s.schema(t)), pgstore.Attempt(time.Second))
	warmUp(t, st)
	w.deafen()
	began := time.Now()
	if r := storekit.One(st, store.Write{Key: "key"}); r.Outcome != store.Unknown {
		t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
	}
	storekit.Put(t, st, "other", 0, "x")
	if r := storekit.One(st, store.Write{Key: "key"}); r.Outcome != store.Conflict || time.Since(began) < time.Second {
		t.Errorf("%v after %v: %v, want a conflict after a second", r.Outcome, time.Since(began), r.Err)
	}
}

// TestChangesInDoubtAreSentAgainAtOnce proves that a lost connection does not hold
// up the change that was on its way, with what it checks, nor the changes after
// it: if it arrives twice, its revisions fit once.
//
// Proves C6.
func TestChangesInDoubtAreSentAgainAtOnce(t *testing.T) {
	s := theServer(t)
	for name, checks := range map[string]bool{"replacement": false, "with a check": true} {
		t.Run(name, func(t *testing.T) {
			w, st := wired(t, s.URL("search_path", s.schema(t)), pgstore.Attempt(time.Minute))
			warmUp(t, st)
			g := store.Group{{Key: "key", Base: storekit.Put(t, st, "key", 0, "first"), Value: []byte("second")}}
			if checks {
				g = append(g, store.Write{Op: store.Check, Key: "checked", Base: storekit.Put(t, st, "checked", 0, "x")})
			}
			w.deafen()
			began := time.Now()
			if r := storekit.One(st, g...); r.Outcome != store.Unknown {
				t.Fatalf("%v: %v, want unknown", r.Outcome, r.Err)
			}
			r := storekit.One(st, g...)
			if r.Outcome != store.Conflict {
				t.Fatalf("%v: %v, want a conflict with itself", r.Outcome, r.Err)
			}
			g[0].Base = r.Current[0].Revision
			if r := storekit.One(st, g...); r.Outcome != store.Applied {
				t.Errorf("the next change: %v: %v", r.Outcome, r.Err)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
