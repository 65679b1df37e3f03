package nodes_test

import (
	"context"
	"errors"
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

const trip = 10 * time.Millisecond

// A far node is one whose store is a trip away. It counts its calls.
type far struct {
	app            *stay.App
	st             *storefault.Store
	loads, commits atomic.Int64
}

func newFar(t *testing.T, s store.Store, opts *stay.Options) *far {
	f := &far{}
	f.st = storefault.Wrap(s, &storefault.Options{Hook: func(c storefault.Call) {
		switch {
		case c.Op == storefault.Load:
			f.loads.Add(1)
		case c.Op == storefault.Commit && testkit.StoresNoList(c):
			f.commits.Add(1)
		}
	}})
	for _, op := range []storefault.Op{storefault.Load, storefault.Commit} {
		f.st.Add(storefault.Rule{Op: op, Fault: storefault.Delay(trip/2, trip/2)})
	}
	f.app = testkit.NewApp(t, f.st, opts)
	return f
}

// took checks what fn costs.
func (f *far) took(t *testing.T, what string, loads, commits int64, fn func()) {
	t.Helper()
	f.loads.Store(0)
	f.commits.Store(0)
	began := time.Now()
	fn()
	d, l, c := time.Since(began), f.loads.Load(), f.commits.Load()
	if l != loads || c != commits || d != time.Duration(loads+commits)*trip {
		t.Errorf("%s took %v, %d loads and %d commits, want %d and %d", what, d, l, c, loads, commits)
	}
}

// A change of a state that is in memory waits for one round trip to the store,
// whomever the state belongs to. So does one that changes nothing, or fails:
// it asks the store instead, and its function has run once.
//
// Proves N1.
func TestAChangeWaitsForOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, memstore.Shared(1)[0], nil)
		p, _ := testkit.UserModules(f.app)
		k := stay.Register(f.app, testkit.TodosModule())
		s := stay.Register(f.app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		g := stay.Register(f.app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
		b := testkit.NewBrowser(f.app)
		testkit.Login(t, b, "ann")
		testkit.Change(t, b.Ctx(), k, testkit.Become("ann"))
		no := errors.New("no")
		n := 0
		for name, update := range map[string]func(do int) error{
			"PerUser": func(do int) error {
				_, err := p.Update(b.Ctx(), func(p *testkit.Profile) error { n++; p.Name += strings.Repeat("x", do); return fails(do, no) })
				return err
			},
			"WithKey": func(do int) error {
				_, err := k.Update(b.Ctx(), func(k *testkit.Todos) error { n++; k.Theme += strings.Repeat("x", do); return fails(do, no) })
				return err
			},
			"At": func(do int) error {
				_, err := k.At("ann").Update(context.Background(), func(k *testkit.Todos) error { n++; k.Theme += strings.Repeat("x", do); return fails(do, no) })
				return err
			},
			"PerSession": func(do int) error {
				_, err := s.Update(b.Ctx(), func(c *testkit.Counter) error { n++; c.Count += do; return fails(do, no) })
				return err
			},
			"Global": func(do int) error {
				_, err := g.Update(context.Background(), func(c *testkit.Counter) error { n++; c.Count += do; return fails(do, no) })
				return err
			},
		} {
			testkit.NoError(t, update(1)) // it is created
			testkit.NoError(t, update(1)) // and what its commit has dropped from memory is read again
			for what, c := range map[string]struct {
				do             int
				loads, commits int64
				err            error
			}{"change": {1, 0, 1, nil}, "no-op": {0, 1, 0, nil}, "error": {2, 1, 0, no}} {
				n = 0
				f.took(t, name+", "+what, c.loads, c.commits, func() {
					if err := update(c.do); !errors.Is(err, c.err) {
						t.Errorf("%s, %s: %v", name, what, err)
					}
				})
				if n != 1 {
					t.Errorf("%s, %s: the function has run %d times", name, what, n)
				}
			}
		}
	})
}

func fails(do int, err error) error {
	if do == 2 {
		return err
	}
	return nil
}

// A change that did not ask first notices all the same what other nodes have
// done to the session, the user and the state.
//
// Proves S5, S7, A5, N1.
func TestAChangeNoticesOtherNodes(t *testing.T) {
	type node struct {
		app     *stay.App
		session *stay.State[testkit.Profile]
		user    *stay.State[testkit.Profile]
	}
	session := func(ctx context.Context) *stay.Session { return stay.SessionFrom(ctx) }
	for event, c := range map[string]struct {
		do   func(t *testing.T, there node, b *testkit.Browser)
		code stay.Code
		want string // of the state afterwards
	}{
		"nothing": {func(*testing.T, node, *testkit.Browser) {}, "", "Ann+"},
		"change": {func(t *testing.T, there node, b *testkit.Browser) {
			testkit.Change(t, b.Ctx(), there.session, testkit.Name("Bea"))
			testkit.Change(t, b.Ctx(), there.user, testkit.Name("Bea"))
		}, "", "Bea+"},
		"deletion": {func(t *testing.T, there node, b *testkit.Browser) {
			testkit.NoError(t, there.session.Delete(b.Ctx()))
			testkit.NoError(t, there.user.Delete(b.Ctx()))
		}, "", "guest+"},
		"destroy": {func(t *testing.T, _ node, b *testkit.Browser) {
			ctx := b.Ctx()
			testkit.NoError(t, session(ctx).Destroy(ctx))
		}, stay.ErrEnded, ""},
		"renew": {func(t *testing.T, _ node, b *testkit.Browser) {
			ctx := b.Ctx()
			testkit.NoError(t, session(ctx).Renew(ctx))
		}, stay.ErrEnded, "Ann"},
		"logout": {func(t *testing.T, _ node, b *testkit.Browser) { testkit.Logout(t, b) }, stay.ErrEnded, ""},
		"revoke": {func(t *testing.T, there node, _ *testkit.Browser) {
			testkit.NoError(t, there.app.Revoke(t.Context(), "ann"))
		}, stay.ErrEnded, ""},
	} {
		for _, what := range []string{"change", "no-op", "error"} {
			t.Run(event+", "+what, func(t *testing.T) {
				var nodes [2]node
				for i, app := range testkit.Nodes(t, 2, nil) {
					nodes[i].app = app
					nodes[i].user, _ = testkit.UserModules(app)
					nodes[i].session = stay.Register(app, stay.Module[testkit.Profile]{Name: "mine", Persist: stay.PerSession, Initial: testkit.Profile{Name: "guest"}})
				}
				here, there := nodes[0], nodes[1]
				b := testkit.NewBrowser(here.app)
				testkit.Login(t, b, "ann")
				for _, name := range []string{"Eve", "Ann"} { // the second one finds all in memory
					testkit.Change(t, b.Ctx(), here.session, testkit.Name(name))
					testkit.Change(t, b.Ctx(), here.user, testkit.Name(name))
				}
				other := b.On(there.app)
				c.do(t, there, other)
				no := errors.New("no")
				for s, theirs := range map[*stay.State[testkit.Profile]]*stay.State[testkit.Profile]{here.session: there.session, here.user: there.user} {
					saw := ""
					got, err := s.Update(b.Ctx(), func(p *testkit.Profile) error {
						saw = p.Name
						switch what {
						case "change":
							p.Name += "+"
						case "error":
							return no
						}
						return nil
					})
					wanted := strings.TrimSuffix(c.want, "+")
					switch {
					case c.code != "":
						testkit.WantCode(t, err, c.code)
						continue
					case what == "error":
						if !errors.Is(err, no) || saw != wanted {
							t.Errorf("%v after %s, want %s", err, saw, wanted)
						}
						continue
					case what == "change":
						wanted = c.want
					}
					if err != nil || got.Name != wanted {
						t.Errorf("it returned %v, %v, want %s", got, err, wanted)
					}
					testkit.WantState(t, other.Ctx(), theirs, `{"name":"`+wanted+`"}`)
				}
			})
		}
	}
}

// A change whose session was ended on another node does not take along the
// changes of other sessions that were about to be stored with it.
//
// Proves S5, E1, N1.
func TestAnEndedSessionFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		f := newFar(t, shared[0], nil)
		there := testkit.NewApp(t, shared[1], nil)
		p, _ := testkit.UserModules(f.app)
		testkit.UserModules(there)
		one, two := testkit.NewBrowser(f.app), testkit.NewBrowser(f.app)
		for _, b := range []*testkit.Browser{one, two, one, two} {
			if b.Token == "" {
				testkit.Login(t, b, "ann")
			}
			testkit.Change(t, b.Ctx(), p, testkit.Name("Ann"))
			testkit.Change(t, b.Ctx(), p, testkit.Name(""))
		}
		gate := testkit.StopAt(f.st, storefault.Commit, "user/profile/", false)
		add := func(b *testkit.Browser, x string) <-chan error {
			done := make(chan error, 1)
			go func() {
				_, err := p.Update(b.Ctx(), func(p *testkit.Profile) error { p.Name += x; return nil })
				done <- err
			}()
			synctest.Wait()
			return done
		}
		first := add(two, "a")
		if _, err := gate.Arrived(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended, stands := add(one, "b"), add(two, "c")
		ctx := one.On(there).Ctx()
		testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
		gate.Open()
		testkit.NoError(t, <-first)
		testkit.WantCode(t, <-ended, stay.ErrEnded)
		testkit.NoError(t, <-stands)
		testkit.WantState(t, two.Ctx(), p, `{"name":"ac"}`)
	})
}

// A request with the cookie of a session that has ended on another node a while
// ago begins a new session, also if this node still knows the old one.
//
// Proves S5, N1.
func TestAnOldCookieOfAnotherNodeBeginsANewSession(t *testing.T) {
	clock := testkit.NewClock()
	apps := testkit.Nodes(t, 2, &stay.Options{Clock: clock.Now})
	var s [2]*stay.State[testkit.Counter]
	for i, app := range apps {
		s[i] = stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
	}
	b := testkit.NewBrowser(apps[0])
	testkit.MustUpdate(t, b.Ctx(), s[0])
	testkit.MustUpdate(t, b.Ctx(), s[0])
	old := b.Token
	ctx := b.On(apps[1]).Ctx()
	testkit.NoError(t, stay.SessionFrom(ctx).Destroy(ctx))
	clock.Advance(2 * time.Minute)
	b = b.With(old)
	c, err := s[0].Update(b.Ctx(), testkit.Increment)
	if err != nil || c.Count != 1 || b.Token == old {
		t.Errorf("the change returned %v, %v, and the cookie is new: %v", c, err, b.Token != old)
	}
}

// A session that is only used for changes slides as any other, and its browser
// gets no cookie if it was renewed on another node.
//
// Proves S5, N1.
func TestAChangeSlidesTheSession(t *testing.T) {
	for what, renewed := range map[string]bool{"as it was": false, "renewed": true} {
		t.Run(what, func(t *testing.T) {
			clock := testkit.NewClock()
			apps := testkit.Nodes(t, 2, &stay.Options{Clock: clock.Now, IdleTimeout: time.Hour})
			s := stay.Register(apps[0], stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
			b := testkit.NewBrowser(apps[0])
			testkit.MustUpdate(t, b.Ctx(), s)
			testkit.MustUpdate(t, b.Ctx(), s)
			clock.Advance(10 * time.Minute)
			if renewed {
				ctx := b.On(apps[1]).Ctx()
				testkit.NoError(t, stay.SessionFrom(ctx).Renew(ctx))
			}
			old := b.Token
			_, err := s.Update(b.Ctx(), testkit.Increment)
			if (err != nil) != renewed || (b.Token == old) != renewed {
				t.Errorf("the change ended with %v, and the cookie is new: %v", err, b.Token != old)
			}
		})
	}
}
