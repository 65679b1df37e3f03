package nodes_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/storefault"
)

// Two are two databases, one and two, with a router above them.
type two struct {
	*sharded.Store
	router *sharded.Router
	below  map[string]*storefault.Store
}

func newTwo(t *testing.T) *two {
	s := &two{below: map[string]*storefault.Store{}}
	stores := map[string]store.Store{}
	for _, name := range []string{"one", "two"} {
		s.below[name] = storefault.Wrap(memstore.Shared(1)[0], nil)
		stores[name] = s.below[name]
	}
	var err error
	s.router, err = sharded.OpenRouter(t.Context(), stores)
	testkit.NoError(t, err)
	s.Store, err = sharded.New(s.router)
	testkit.NoError(t, err)
	return s
}

// down makes a database refuse all calls, or answer none.
func (s *two) down(name string, fault storefault.Fault) (up func()) {
	var rules []*storefault.Added
	for _, op := range []storefault.Op{storefault.Load, storefault.Commit, storefault.Expired} {
		rules = append(rules, s.below[name].Add(storefault.Rule{Op: op, Fault: fault}))
	}
	return func() {
		for _, r := range rules {
			r.Remove()
		}
	}
}

// other is the name of the other database.
func other(name string) string {
	if name == "one" {
		return "two"
	}
	return "one"
}

// visitors are browsers whose sessions are in one database.
func (s *two) visitors(t *testing.T, app *stay.App, state *stay.State[testkit.Counter], in string, n int) (all []*testkit.Browser) {
	t.Helper()
	for len(all) < n {
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), state)
		ctx := b.Ctx()
		testkit.WantCount(t, ctx, state, 1)
		if s.router.Place("stay/session/"+stay.SessionFrom(ctx).ID()) == in {
			all = append(all, b)
		}
	}
	return all
}

// refused and silent are the ways in which a database is down.
var downs = map[string]func() storefault.Fault{
	"refused": func() storefault.Fault { return storefault.Fail(nil) },
	"silent":  storefault.Hang,
}

// When one of several databases is down, what the others hold is read and changed
// as ever, at once, also while many ask for what is down, and in a request that
// asks for both. What is down is refused until it is back.
//
// Proves C5, E6, E8, N1.
func TestADatabaseThatIsDownHoldsUpNothingElse(t *testing.T) {
	for how, fault := range downs {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newTwo(t)
				app := testkit.NewApp(t, st, &stay.Options{OnError: func(*stay.Call, *stay.Error) {}})
				s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
				g := stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
				testkit.MustUpdate(t, t.Context(), g)
				bad := st.router.Place("global/g/")
				well := st.visitors(t, app, s, other(bad), 10)
				ill := st.visitors(t, app, s, bad, 10)
				up := st.down(bad, fault())

				const rounds = 40
				ctx, end := context.WithCancel(t.Context())
				var load sync.WaitGroup
				for _, b := range ill {
					load.Go(func() {
						for ctx.Err() == nil {
							if _, err := s.Get(b.Ctx()); err == nil {
								t.Error("a state was read from a database that is down")
							}
							_, err := s.Update(b.Ctx(), testkit.Increment)
							if code := stay.CodeOf(err); code != stay.ErrUnavailable && code != stay.ErrUnknown {
								t.Errorf("a change in a database that is down: %v", err)
							}
							testkit.SleepAlone(20 * time.Millisecond)
						}
					})
				}
				var work sync.WaitGroup
				for _, b := range well {
					work.Go(func() {
						for i := range rounds {
							began := time.Now()
							request := b.Ctx()
							testkit.WantCount(t, request, s, i+1)
							testkit.MustUpdate(t, request, s)
							if took := time.Since(began); took > 100*time.Millisecond {
								t.Errorf("a read and a change in a database that is well took %v", took)
								return
							}
							if i%20 == 0 { // a database that is silent is waited for
								if _, err := g.Get(request); stay.CodeOf(err) != stay.ErrUnavailable {
									t.Errorf("a state in a database that is down: %v", err)
								}
								testkit.WantCount(t, request, s, i+2)
							}
							testkit.SleepAlone(100 * time.Millisecond)
						}
					})
				}
				work.Wait()
				testkit.NoError(t, app.Check(t.Context()))
				end()
				load.Wait()

				up()
				testkit.Sleep(20 * time.Second) // probes have their pauses
				testkit.WantCount(t, t.Context(), g, 1)
				testkit.MustUpdate(t, t.Context(), g)
				for _, b := range append(well, ill...) {
					testkit.MustUpdate(t, b.Ctx(), s)
				}
				for _, b := range well {
					testkit.WantCount(t, b.Ctx(), s, rounds+2)
				}
			})
		})
	}
}

// Sweeps remove what has expired in the databases that are well, also if the one
// that is down has the record that says who sweeps.
//
// Proves A15, C5.
func TestSweepsGoOnBesideADatabaseThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTwo(t)
		bad := st.router.Place("stay/sweep")
		if st.router.Place("stay/modules") == bad {
			t.Fatal("the list of modules, without which nobody sweeps, is in the same database: the names have to be others")
		}
		c := testkit.NewClock()
		app := testkit.NewExpiring(t, st, c)
		expired := 0
		s := stay.Register(app.App, stay.Module[testkit.Counter]{
			Name: "s", Persist: stay.PerSession, OnExpire: func(*stay.Call, *testkit.Counter) { expired++ },
		})
		const n = 5
		st.visitors(t, app.App, s, other(bad), n)
		_, well, err := count(t, st.below[other(bad)])
		testkit.NoError(t, err)
		c.Advance(2 * time.Hour)
		up := st.down(bad, storefault.Fail(nil))
		testkit.Sweep(app.App)
		if expired < n || expired != well {
			t.Errorf("OnExpire ran for %d of %d states", expired, well)
		}
		if rows, _, err := count(t, st.below[other(bad)]); err != nil || len(rows) > 0 {
			t.Errorf("left: %q (%v)", rows, err)
		}
		up()
		testkit.Sweep(app.App)
		if rows, _, err := count(t, st.below[bad]); err != nil || len(rows) > 0 {
			t.Errorf("left: %q (%v)", rows, err)
		}
	})
}

// count returns the records of sessions in a database, and the number of states.
func count(t *testing.T, s store.Lister) (rows []string, states int, err error) {
	rows, err = s.List(t.Context(), time.Time{}, "", "", 1000)
	rows = slices.DeleteFunc(rows, func(key string) bool {
		return testkit.OfAllPrograms(key) || key == "stay/layout"
	})
	for _, key := range rows {
		if strings.HasPrefix(key, "session/s/") {
			states++
		}
	}
	return rows, states, err
}

// A day begins while the database that has the list of modules is down: what the
// others hold is changed nevertheless.
//
// Proves C5.
func TestADayBeginsWhileTheListOfModulesIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTwo(t)
		bad := st.router.Place("stay/modules")
		c := testkit.NewClock()
		app := testkit.NewExpiring(t, st, c)
		s := stay.Register(app.App, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		now := c.Now().UTC()
		c.Advance(now.Truncate(24 * time.Hour).Add(47 * time.Hour).Sub(now)) // an hour before midnight
		b := st.visitors(t, app.App, s, other(bad), 1)[0]
		st.down(bad, storefault.Fail(nil))
		for range 5 {
			c.Advance(50 * time.Minute)
			testkit.Sweep(app.App)
			testkit.MustUpdate(t, b.Ctx(), s)
		}
	})
}

// A group of two databases that was cut short leaves a record about which the
// other database would have to be asked. Whoever reads it is refused while that
// one is down, and nobody else.
//
// Proves C1, C5.
func TestARecordInDoubtHoldsUpNoOther(t *testing.T) {
	for how, fault := range downs {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newTwo(t)
				app := testkit.NewApp(t, st, &stay.Options{OnError: func(*stay.Call, *stay.Error) {}})
				m := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
				bad := "two" // which decides: it is the last
				well := st.visitors(t, app, m, other(bad), 20)
				doubtful := well[0]
				id := idOf(t, doubtful, m)
				key := "session/s/" + id
				there := "user/x/"
				for st.router.Place(there) != bad {
					there += "x"
				}
				rec := testkit.RecordOf(t, st, key)
				gate := storefault.NewGate()
				st.below[bad].Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.StopAfter(gate)})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan store.Result, 1)
				go func() {
					done <- st.Commit(ctx, []store.Group{{
						{Op: store.Put, Key: key, Base: rec.Revision, Value: rec.Value, Meta: rec.Meta, Version: rec.Version, Expires: rec.Expires},
						{Op: store.Put, Key: there, Value: []byte("{}"), Version: 1},
					}})[0]
				}()
				_, err := gate.Arrived(t.Context())
				testkit.NoError(t, err)
				st.down(bad, fault())
				cancel()
				if res := <-done; res.Outcome != store.Unknown {
					t.Fatalf("%+v", res)
				}

				var wrong error
				var mu sync.Mutex
				var work sync.WaitGroup
				for range 5 {
					for _, b := range well {
						work.Go(func() {
							began := time.Now()
							_, err := m.Get(b.Ctx())
							mu.Lock()
							defer mu.Unlock()
							switch took := time.Since(began); {
							case b == doubtful && stay.CodeOf(err) != stay.ErrUnavailable:
								wrong = errors.Join(wrong, errors.New("a record in doubt was read"), err)
							case b != doubtful && (err != nil || took > 3*time.Second):
								wrong = errors.Join(wrong, errors.New(took.String()), err)
							}
						})
					}
					work.Wait()
				}
				testkit.NoError(t, wrong)
			})
		})
	}
}

func idOf(t *testing.T, b *testkit.Browser, s *stay.State[testkit.Counter]) string {
	t.Helper()
	ctx := b.Ctx()
	testkit.WantCount(t, ctx, s, 1)
	return stay.SessionFrom(ctx).ID()
}
