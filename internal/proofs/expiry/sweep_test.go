package expiry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Ten thousand sessions go in one sweep, a bounded number at a time.
//
// Proves A15, E6.
func TestSweepGoesInBatches(t *testing.T) {
	const sessions = 10_000
	mem := memstore.New()
	var sweeping atomic.Bool
	var commits, asked atomic.Int32
	f := storefault.Wrap(testkit.Unclosed{Store: mem}, &storefault.Options{Hook: func(c storefault.Call) {
		if !sweeping.Load() {
			return
		}
		switch c.Op {
		case storefault.Commit:
			commits.Add(1)
			if len(c.Groups) > 256 {
				t.Errorf("%d groups in one call", len(c.Groups))
			}
		case storefault.Load:
			if len(c.Keys) > 1024 {
				t.Errorf("%d reads in one call", len(c.Keys))
			}
		case storefault.Expired:
			asked.Add(1)
		}
	}})
	app := testkit.NewExpiring(t, f, testkit.NewClock())
	var expired, destroyed atomic.Int32
	hooked := stay.Register(app.App, stay.Module[testkit.Counter]{
		Name: "hooked", Persist: stay.PerSession,
		OnExpire:    func(*stay.Call, *testkit.Counter) { expired.Add(1) },
		OnDestroyed: func(*stay.Call, *testkit.Counter) { destroyed.Add(1) },
	})
	plain := stay.Register(app.App, stay.Module[testkit.Counter]{Name: "plain", Persist: stay.PerSession})
	for i := range sessions {
		b := testkit.NewBrowser(app.App)
		testkit.MustUpdate(t, b.Ctx(), plain)
		if i%10 == 0 {
			testkit.MustUpdate(t, b.Ctx(), hooked)
		}
	}
	sweeping.Store(true)
	app.Clock.Advance(2 * time.Hour)
	testkit.Sweep(app.App)
	sweeping.Store(false)
	if left := testkit.AllRows(t, mem); len(left) > 0 {
		t.Errorf("%d records are left", len(left))
	}
	if err := app.Close(t.Context()); err != nil { // now all hooks have been called
		t.Error(err)
	}
	if e, d := expired.Load(), destroyed.Load(); e != sessions/10 || d != sessions/10 {
		t.Errorf("OnExpire ran %d times, OnDestroyed %d times, want %d", e, d, sessions/10)
	}
	if a, c := asked.Load(), commits.Load(); a > sessions/256+2 || c > 400 {
		t.Errorf("%d looks for expired records and %d commits for %d sessions", a, c, sessions)
	}
}

// A measuringStore notes the most that one call has returned, in bytes.
type measuringStore struct {
	store.Store
	looks int
	most  int
}

func (s *measuringStore) note(recs []store.Record) {
	size := 0
	for i := range recs {
		size += len(recs[i].Value)
	}
	s.most = max(s.most, size)
}

func (s *measuringStore) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	recs, err := s.Store.Expired(ctx, now, limit)
	s.looks++
	s.note(recs)
	return recs, err
}

func (s *measuringStore) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	recs, err := s.Store.Load(ctx, reads)
	s.note(recs)
	return recs, err
}

// A sweep reads fewer records at a time if they or their sessions' states are
// large, and many again if they are small.
//
// Proves A15, E6.
func TestSweepOfLargeStatesLooksAtFewer(t *testing.T) {
	for name, withSession := range map[string]bool{"expired": false, "of expired sessions": true} {
		t.Run(name, func(t *testing.T) {
			mem, c := memstore.New(), testkit.NewClock()
			s := &measuringStore{Store: testkit.Unclosed{Store: mem}}
			app := testkit.NewExpiring(t, s, c)
			stay.Register(app.App, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
			put := func(n, size int) {
				t.Helper()
				value := make([]byte, size)
				var puts []store.Group
				for i := range n {
					id := fmt.Sprintf("%032d", i)
					state := store.Write{Key: "session/s/" + id, Value: value, Expires: c.Now().Add(time.Minute)}
					g := store.Group{state}
					if withSession {
						g[0].Expires = c.Now().Add(48 * time.Hour)
						g = append(g, store.Write{Key: "stay/session/" + id, Value: []byte("{}"), Expires: state.Expires})
					}
					puts = append(puts, g)
				}
				for _, res := range mem.Commit(t.Context(), puts) {
					if res.Outcome != store.Applied {
						t.Fatal(res)
					}
				}
				s.looks, s.most = 0, 0
				c.Advance(5 * time.Minute)
				testkit.Sweep(app.App)
				app.Events.Want(t)
				if left := testkit.AllRows(t, mem); len(left) > 0 {
					t.Errorf("%d records are left", len(left))
				}
			}
			for range 2 {
				put(200, 1<<20)
				if s.most > 33<<20 {
					t.Errorf("one call has brought %d MiB", s.most>>20)
				}
			}
			put(40, 4<<20)
			put(40, 4<<20)
			if s.most > 33<<20 {
				t.Errorf("one call has brought %d MiB", s.most>>20)
			}
			put(2000, 10)
			put(2000, 10)
			if s.looks > 2000/256+2 {
				t.Errorf("it looked %d times", s.looks)
			}
		})
	}
}

// Records that cannot be removed do not keep the others from going, are
// reported once in a sweep, and are tried again by the next one.
//
// Proves A15, A21.
func TestSweepGoesOnAfterAFailure(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		f := storefault.Wrap(testkit.Unclosed{Store: s}, nil)
		app := testkit.NewExpiring(t, f, testkit.NewClock())
		plain := stay.Register(app.App, stay.Module[testkit.Counter]{Name: "plain", Persist: stay.PerSession})
		cart := stay.Register(app.App, testkit.Watched("cart", stay.PerSession, &testkit.Events{}))
		var bad []string
		want := 0
		for i := range 600 {
			b := testkit.NewBrowser(app.App)
			testkit.MustUpdate(t, b.Ctx(), plain)
			if i%2 == 0 {
				testkit.MustUpdate(t, b.Ctx(), cart)
			}
			if i < 300 { // more than fit into a batch, and the first to expire
				bad = append(bad, "session/plain/"+stay.SessionFrom(b.Ctx()).ID())
				want += 2
				if i%2 == 0 {
					want += 2 // the cart and the claim
				}
			}
			if i == 300 {
				app.Clock.Advance(2 * time.Minute)
			}
		}
		rule := f.Add(storefault.Rule{
			Op: storefault.Commit, Fault: storefault.Fail(nil),
			Match: func(c storefault.Call) bool {
				return slices.ContainsFunc(c.Keys, func(key string) bool { return slices.Contains(bad, key) })
			},
		})
		looks := f.Count(storefault.Expired)
		app.Sweep(2 * time.Hour)
		app.Events.Want(t, "error expire unavailable")
		if n := f.Count(storefault.Expired) - looks; n > 10 {
			t.Errorf("it looked %d times", n)
		}
		if n := len(testkit.AllRows(t, s)); n != want {
			t.Errorf("%d records are left, want the %d that cannot go", n, want)
		}
		rule.Remove()
		app.Sweep(3 * time.Minute)
		app.Events.Want(t)
		app.Sweep(3 * time.Minute)
		if left := testkit.AllRows(t, s); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// A store that is down makes a sweep give up at once, and is reported once.
//
// Proves A21.
func TestSweepOfAStoreThatIsDownGivesUp(t *testing.T) {
	for _, op := range []storefault.Op{storefault.Expired, storefault.Load, storefault.Commit} {
		t.Run(op.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := storefault.Wrap(testkit.Unclosed{Store: memstore.New()}, nil)
				app := testkit.NewExpiring(t, f, testkit.NewClock())
				cart := stay.Register(app.App, testkit.Watched("cart", stay.PerSession, &testkit.Events{}))
				for range 1000 {
					testkit.MustUpdate(t, testkit.NewBrowser(app.App).Ctx(), cart)
				}
				// Reads of the signing keys do not count.
				down := f.Add(storefault.Rule{Op: op, Fault: storefault.Fail(nil), Match: func(c storefault.Call) bool {
					return !slices.Contains(c.Keys, "stay/keys")
				}})
				before := f.Count(storefault.Any)
				app.Sweep(2 * time.Hour)
				app.Events.Want(t, "error expire unavailable")
				if n := f.Count(storefault.Any) - before; n > 25 {
					t.Errorf("it made %d calls", n)
				}
				down.Remove()
				app.Sweep(5 * time.Minute)
				app.Events.Want(t)
				if left := testkit.AllRows(t, f); len(left) > 0 {
					t.Errorf("%d records are left", len(left))
				}
			})
		})
	}
}

// A state that OnExpire cannot get because its record cannot be read stays for
// repair, byte for byte but under another key, and is reported, again each
// hour; the rest of its session goes. Once it can be read, OnExpire gets it.
//
// Proves A15, M3.
func TestStatesThatCannotBeReadStayAsideUntilTheyCan(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) {
		app := testkit.NewExpiring(t, s, testkit.NewClock())
		cart := stay.Register(app.App, testkit.Watched("cart", stay.PerSession, app.Events))
		bag := stay.Register(app.App, testkit.Watched("bag", stay.PerSession, app.Events))
		b := testkit.NewBrowser(app.App)
		testkit.MustUpdate(t, b.Ctx(), cart)
		testkit.MustUpdate(t, b.Ctx(), bag)
		key := "session/cart/" + stay.SessionFrom(b.Ctx()).ID()
		put := func(key, value string) store.Record {
			t.Helper()
			now := app.Clock.Now()
			rec := testkit.RecordAt(t, s, now, key)
			w := store.Write{Key: key, Base: rec.Revision, Value: []byte(value), Meta: rec.Meta, Version: 1, Expires: rec.Expires}
			if res := s.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
				t.Fatal(res[0])
			}
			return testkit.RecordAt(t, s, now, key)
		}
		bad := put(key, "{")
		app.Sweep(2 * time.Hour)
		got := app.Events.Take()
		slices.Sort(got)
		if want := []string{"destroyed bag 1", "destroyed cart 1", "error expire corrupt", "expired bag 1"}; !slices.Equal(got, want) {
			t.Errorf("the hooks were told %q, want %q", got, want)
		}
		rows := testkit.AllRows(t, s)
		if len(rows) != 1 || !strings.HasPrefix(rows[0], "stay/expired/") || !strings.HasSuffix(rows[0], "/"+key) {
			t.Fatalf("left: %q, want %q aside", rows, key)
		}
		grave := rows[0]
		for range 3 {
			if left := testkit.AllRows(t, s); !slices.Equal(left, rows) {
				t.Fatalf("left: %q, want %q", left, rows)
			}
			rec := testkit.RecordAt(t, s, app.Clock.Now(), grave)
			if string(rec.Value) != "{" || !bytes.Equal(rec.Meta, bad.Meta) || rec.Version != bad.Version {
				t.Errorf("put aside as %+v, want %+v", rec, bad)
			}
			app.Sweep(30 * time.Minute)
			app.Events.Want(t)
			app.Sweep(35 * time.Minute)
			app.Events.Want(t, "error expire corrupt")
		}
		put(grave, `{"count":5}`)
		app.Sweep(65 * time.Minute)
		app.Events.Want(t, "expired cart 5")
		if left := testkit.AllRows(t, s); len(left) > 0 {
			t.Errorf("left in the end: %q", left)
		}
	})
}

// However many expired records cannot be read, in one sweep the others go, and
// OnExpire of the unreadable ones waits for a program that can read them.
//
// Proves A15, M3.
func TestUnreadableRecordsKeepNoOthersFromExpiring(t *testing.T) {
	for _, unreadable := range []int{800, 5000} {
		t.Run(fmt.Sprint(unreadable), func(t *testing.T) {
			s, c := memstore.New(), testkit.NewClock()
			var puts []store.Group
			for i := range unreadable {
				puts = append(puts, store.Group{{
					Key: fmt.Sprintf("session/cart/%032d", i), Value: []byte(`{"count":2}`), Version: 2,
					Expires: c.Now().Add(time.Minute),
				}})
			}
			for _, res := range s.Commit(t.Context(), puts) {
				if res.Outcome != store.Applied {
					t.Fatal(res)
				}
			}
			f := storefault.Wrap(testkit.Unclosed{Store: testkit.OldestFirst{Store: s}}, nil)
			app := testkit.NewExpiring(t, f, c)
			m := testkit.Watched("cart", stay.PerSession, app.Events)
			m.OnDestroyed = nil
			cart := stay.Register(app.App, m)
			for range 10 {
				testkit.MustUpdate(t, testkit.NewBrowser(app.App).Ctx(), cart)
			}
			sweep := func(d time.Duration, left int, want ...string) {
				t.Helper()
				c.Advance(d)
				testkit.Sweep(app.App)
				app.Events.Want(t, want...)
				if n := len(testkit.AllRows(t, s)); n != left {
					t.Errorf("%d records are left, want %d", n, left)
				}
			}
			sweep(2*time.Hour, unreadable, append(slices.Repeat([]string{"expired cart 1"}, 10), "error expire corrupt")...)
			calls := f.Count(storefault.Commit)
			sweep(5*time.Minute, unreadable)
			if n := f.Count(storefault.Commit) - calls; n > 0 {
				t.Errorf("the next sweep made %d commits", n)
			}
			sweep(time.Hour, unreadable, "error expire corrupt")

			app = testkit.NewExpiring(t, f, c)
			m = testkit.Watched("cart", stay.PerSession, app.Events)
			m.OnDestroyed, m.Version = nil, 2
			m.Migrate = map[int]func(json.RawMessage) (json.RawMessage, error){
				1: func(old json.RawMessage) (json.RawMessage, error) { return old, nil },
			}
			stay.Register(app.App, m)
			sweep(65*time.Minute, 0, slices.Repeat([]string{"expired cart 2"}, unreadable)...)
		})
	}
}
