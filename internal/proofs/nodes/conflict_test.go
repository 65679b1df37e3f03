package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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

// journal is a state that names the changes that made it, in their order.
type journal struct{ Names []string }

func note(name string) func(*journal) error {
	return func(j *journal) error { j.Names = append(j.Names, name); return nil }
}

// A pair is two nodes with one state. The first one's calls of the
// store can be held up.
type pair struct {
	st          *storefault.Store
	raw         store.Store
	here, there *stay.State[journal]

	loads, commits atomic.Int64 // calls of here that are about the state
}

const journalKey = "global/g/"

func newPair(t *testing.T, m stay.Module[journal]) *pair {
	shared := memstore.Shared(2)
	p := &pair{raw: shared[1]}
	p.st = storefault.Wrap(shared[0], &storefault.Options{Hook: func(c storefault.Call) {
		if !slices.Contains(c.Keys, journalKey) {
			return
		}
		switch c.Op {
		case storefault.Load:
			p.loads.Add(1)
		case storefault.Commit:
			p.commits.Add(1)
		}
	}})
	m.Name, m.Persist = "g", stay.Global
	p.here = stay.Register(testkit.NewApp(t, p.st, &stay.Options{OnError: testkit.Quiet, MaxWait: time.Second}), m)
	p.there = stay.Register(testkit.NewApp(t, shared[1], nil), m)
	return p
}

// hold stops the next commit of the state before or after the store's work, and
// returns what lets it go on.
func (p *pair) hold(t *testing.T, after bool) (arrived, pass func()) {
	gate := testkit.StopAt(p.st, storefault.Commit, journalKey, after)
	return func() {
		if _, err := gate.Arrived(t.Context()); err != nil {
			t.Fatal(err)
		}
	}, gate.Open
}

// crowd has all changes run in one batch, in their order, and returns when the
// batch is about to be stored.
func (p *pair) crowd(t *testing.T, changes ...func(context.Context)) (pass, wait func()) {
	testkit.Change(t, t.Context(), p.here, note("zero"))
	arrived, first := p.hold(t, false)
	done := make(chan struct{}, len(changes)+1)
	go func() { testkit.Change(t, t.Context(), p.here, note("first")); done <- struct{}{} }()
	arrived()
	for _, change := range changes {
		go func() { defer func() { done <- struct{}{} }(); change(t.Context()) }()
		synctest.Wait() // now it waits for its turn
	}
	arrived, pass = p.hold(t, false)
	first()
	arrived()
	p.loads.Store(0)
	p.commits.Store(0)
	return pass, func() {
		for range len(changes) + 1 {
			<-done
		}
	}
}

func (p *pair) want(t *testing.T, names ...string) {
	t.Helper()
	for _, s := range []*stay.State[journal]{p.here, p.there} {
		got, err := s.Get(t.Context())
		if err != nil || !slices.Equal(got.Names, names) {
			t.Errorf("the state is %v, %v, want %v", got, err, names)
		}
	}
}

// A conflict costs one round trip, however many changes are in the batch: they
// run again on the record that came with the answer, in their order, and are
// committed together. Nothing is read.
//
// Proves E4.
func TestConflictCostsOneCommit(t *testing.T) {
	for what, m := range map[string]stay.Module[journal]{
		"plain":     {},
		"with hook": {OnCreated: func(*stay.Call, *journal) error { return nil }}, // it runs when a record is read
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, m)
				var changes []func(context.Context)
				for _, name := range []string{"a", "b", "c", "d"} {
					changes = append(changes, func(ctx context.Context) {
						got, err := p.here.Update(ctx, note(name))
						if err != nil || got.Names[len(got.Names)-1] != name || got.Names[2] != "other" {
							t.Errorf("the change returned %v, %v", got, err)
						}
					})
				}
				pass, wait := p.crowd(t, changes...)
				testkit.Change(t, t.Context(), p.there, note("other"))
				pass()
				wait()
				if n, m := p.commits.Load(), p.loads.Load(); n != 1 || m != 0 {
					t.Errorf("%d more commits and %d loads after a conflict, want 1 and 0", n, m)
				}
				p.want(t, "zero", "first", "other", "a", "b", "c", "d")
			})
		})
	}
}

// In a batch that runs again each change has its own outcome: an error and a
// panic reach their own callers, a change that has become one without effect
// succeeds, and that of a caller who has left is not made.
//
// Proves E1, E4, E10.
func TestConflictLeavesEachChangeItsOwnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, stay.Module[journal]{})
		second := errors.New("too late")
		after := func(then func(*journal) error) func(*journal) error {
			return func(j *journal) error {
				if slices.Contains(j.Names, "other") {
					return then(j)
				}
				return note("early")(j)
			}
		}
		leaving, leave := context.WithCancel(t.Context())
		var mu sync.Mutex
		ended := make(map[string]error)
		run := func(name string, fn func(*journal) error) func(context.Context) {
			return func(ctx context.Context) {
				if name == "gone" {
					ctx = leaving
				}
				var err error
				defer func() {
					if p := recover(); p != nil {
						err = fmt.Errorf("panic: %v", p)
					}
					mu.Lock()
					defer mu.Unlock()
					ended[name] = err
				}()
				_, err = p.here.Update(ctx, fn)
			}
		}
		pass, wait := p.crowd(t,
			run("gone", note("gone")),
			run("error", after(func(*journal) error { return second })),
			run("panic", after(func(*journal) error { panic("again") })),
			run("same", after(func(*journal) error { return nil })),
			run("last", note("last")),
		)
		leave()
		synctest.Wait()
		testkit.Change(t, t.Context(), p.there, note("other"))
		pass()
		wait()
		testkit.WantCode(t, ended["gone"], stay.ErrUnknown)
		if !errors.Is(ended["error"], second) || fmt.Sprint(ended["panic"]) != "panic: again" || ended["same"] != nil || ended["last"] != nil {
			t.Errorf("the changes ended with %v", ended)
		}
		p.want(t, "zero", "first", "other", "last")
	})
}

// touch writes the state as a program that takes no turns does.
func (p *pair) touch(t *testing.T) {
	rec := testkit.RecordOf(t, p.raw, journalKey)
	testkit.Commit(t, p.raw, store.Write{Op: store.Put, Key: rec.Key, Base: rec.Revision, Version: rec.Version, Value: rec.Value, Meta: rec.Meta})
}

// A change that others overtake again and again ends with ErrConflict after
// MaxWait.
//
// Proves E4.
func TestConflictsEndAfterMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, stay.Module[journal]{})
		testkit.Change(t, t.Context(), p.there, note("first"))
		p.st.Add(storefault.Rule{Op: storefault.Commit, Key: journalKey, Fault: storefault.Delay(10*time.Millisecond, 0)})
		began, runs := time.Now(), 0
		_, err := p.here.Update(t.Context(), func(j *journal) error {
			runs++
			p.touch(t)
			return note("mine")(j)
		})
		testkit.WantCode(t, err, stay.ErrConflict)
		if d := time.Since(began); runs < 50 || d > 1100*time.Millisecond {
			t.Errorf("it was tried %d times in %v", runs, d)
		}
	})
}

// A reader who sees what others have stored does not end a batch that is under
// way, and nobody is shown an older state afterwards, whatever the store
// answers.
//
// Proves E3, E4, N1.
func TestReaderBesideAConflict(t *testing.T) {
	for what, refused := range map[string]bool{"overtaken": false, "refused": true} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, stay.Module[journal]{})
				testkit.Change(t, t.Context(), p.here, note("zero"))
				if refused {
					p.st.Add(storefault.Rule{Op: storefault.Commit, Key: journalKey, Times: 1, Fault: storefault.Fail(nil)})
				}
				arrived, pass := p.hold(t, false)
				done := make(chan struct{}, 2)
				go func() {
					defer func() { done <- struct{}{} }()
					if _, err := p.here.Update(context.Background(), note("mine")); (err != nil) != refused {
						t.Error(err)
					}
				}()
				arrived()
				want := []string{"zero", "other"}
				testkit.Change(t, t.Context(), p.there, note("other"))
				p.want(t, want...)
				p.loads.Store(0)
				if !refused {
					want = append(want, "mine")
				}
				go func() {
					defer func() { done <- struct{}{} }()
					got, err := p.here.Update(context.Background(), func(*journal) error { return nil })
					if err != nil || !slices.Equal(got.Names, want) {
						t.Errorf("the change that has waited returned %v, %v, want %v", got, err, want)
					}
				}()
				synctest.Wait()
				pass()
				<-done
				<-done
				if n := p.loads.Load(); n != 0 && !refused {
					t.Errorf("%d loads", n)
				}
				p.want(t, want...)
			})
		})
	}
}
