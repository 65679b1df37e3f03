package presence_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

type storefaultStore = storefault.Store

// The hooks hear of the first page of a session, of ten seconds without one, and
// of its coming back. They get a copy of the state as it is, and the session.
//
// Proves A20, L25.
func TestHooksOfPages(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, st store.Store) {
		app := testkit.NewApp(t, st, nil)
		var d diary
		tasks := stay.Register(app, d.module("tasks", stay.PerUser))
		ann, phone := newVisitor(t, app, "ann"), newVisitor(t, app, "ann")
		testkit.MustUpdate(t, ann.Ctx(), tasks)
		a := open(t, ann.Ctx(), tasks)
		d.want(t, "connect ann 1")
		b := open(t, ann.Ctx(), tasks)
		a.close()
		testkit.Sleep(gone)
		d.want(t)
		p := open(t, phone.Ctx(), tasks)
		d.want(t, "connect ann 1") // another session of the same user
		p.close()
		b.close()
		testkit.MustUpdate(t, ann.Ctx(), tasks)
		testkit.Sleep(9 * time.Second)
		d.want(t)
		b = open(t, ann.Ctx(), tasks) // loaded again
		testkit.Sleep(time.Hour)
		d.want(t, "disconnect ann 2")
		b.close()
		testkit.Sleep(gone)
		d.want(t, "disconnect ann 2")
		open(t, ann.Ctx(), tasks)
		d.want(t, "reconnect ann 2")
		testkit.NoError(t, app.Close(t.Context()))
		testkit.Sleep(time.Hour)
		d.want(t) // the process ends, and the pages go elsewhere
	})
}

// The context of a hook ends after a minute, so hooks that wait for ever do not
// keep those of others from being called.
//
// Proves A20, L25.
func TestHooksOfPagesThatWaitHoldNobodyUpForLong(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefaultStore, _ store.Store) {
		var mu sync.Mutex
		begun := 0
		rooms := stay.Register(app, stay.Module[counter]{
			Name: "rooms", Persist: stay.PerSession,
			OnConnect: func(c *stay.Call, _ *counter) {
				mu.Lock()
				begun++
				mu.Unlock()
				<-c.Context().Done()
			},
		})
		want := func(n int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if begun != n {
				t.Errorf("%d hooks have begun, want %d", begun, n)
			}
		}
		for i := range 9 {
			open(t, newVisitor(t, app, string(rune('a'+i))).Ctx(), rooms)
		}
		testkit.Sleep(59 * time.Second)
		want(8)
		testkit.Sleep(2 * time.Second)
		want(9)
	})
}

// The state may be gone when OnDisconnect is called, and the user too: the hook
// gets the initial state, and the user who was there.
//
// Proves L25.
func TestOnDisconnectAfterTheEnd(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefaultStore, _ store.Store) {
		var d diary
		own := stay.Register(app, d.module("own", stay.PerSession))
		news := stay.Register(app, d.module("news", stay.Global))
		ann := newVisitor(t, app, "ann")
		testkit.MustUpdate(t, ann.Ctx(), own)
		p, q := open(t, ann.Ctx(), own), open(t, ann.Ctx(), news)
		d.want(t, "connect ann 1", "connect ann 0")
		testkit.NoError(t, stay.SessionFrom(ann.Ctx()).Destroy(ann.Ctx()))
		p.close()
		testkit.Sleep(time.Second)
		q.close()
		testkit.Sleep(gone)
		d.want(t, "disconnect ann 0", "disconnect ann 0")

		bob := newVisitor(t, app, "bob")
		p = open(t, bob.Ctx(), news)
		d.want(t, "connect bob 0")
		testkit.Logout(t, bob.Browser)
		p.close()
		testkit.Sleep(gone)
		d.want(t, "disconnect bob 0")
	})
}

// A hook may change state, its own module's included, with the context of its Call.
// What it does to the copy changes nothing.
//
// Proves L25.
func TestHooksOfPagesMayChangeState(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefaultStore, _ store.Store) {
		var news *stay.State[counter]
		change := func(c *stay.Call, s *counter) {
			s.Count = 100
			_, err := news.Update(c.Context(), testkit.Increment)
			testkit.NoError(t, err)
		}
		news = stay.Register(app, stay.Module[counter]{Name: "news", Persist: stay.Global, OnConnect: change, OnDisconnect: change})
		p := open(t, newVisitor(t, app, "ann").Ctx(), news)
		testkit.WantCount(t, t.Context(), news, 1)
		p.close()
		testkit.Sleep(gone)
		testkit.WantCount(t, t.Context(), news, 2)
		open(t, newVisitor(t, app, "bob").Ctx(), news)
		testkit.WantCount(t, t.Context(), news, 3)
	})
}

// Without OnReconnect, OnConnect is called each time, so that it and OnDisconnect
// are called in turn.
//
// Proves L25.
func TestOnConnectStandsInForOnReconnect(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefaultStore, _ store.Store) {
		var d diary
		m := d.module("news", stay.Global)
		m.OnReconnect = nil
		news := stay.Register(app, m)
		ann := newVisitor(t, app, "ann")
		for range 2 {
			p := open(t, ann.Ctx(), news)
			d.want(t, "connect ann 0")
			p.close()
			testkit.Sleep(gone)
			d.want(t, "disconnect ann 0")
		}
	})
}

// A hook that panics or ends its goroutine is told to OnError, and later hooks are
// called.
//
// Proves A21, L25.
func TestHooksOfPagesThatFail(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, st *storefaultStore, _ store.Store) {
		var mu sync.Mutex
		var failed []*stay.Error
		hooked := stay.Module[Room]{
			Name: "rooms", Persist: stay.WithKey(func(r *Room) string { return r.Name }),
			OnConnect:    func(*stay.Call, *Room) { panic(errors.New("broken")) },
			OnDisconnect: func(*stay.Call, *Room) { runtime.Goexit() },
			OnError: func(_ *stay.Call, e *stay.Error) {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, e)
			},
		}
		rooms := stay.Register(app, hooked)
		want := func(code stay.Code, phase string) {
			t.Helper()
			testkit.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			if len(failed) != 1 || failed[0].Code != code || failed[0].Phase != phase || failed[0].Module != "rooms" || failed[0].KeyHash == "" {
				t.Fatalf("OnError got %v, want %s in %s", failed, code, phase)
			}
			failed = nil
		}
		ann := newVisitor(t, app, "ann")
		follow := func() (stop func()) {
			ctx, cancel := context.WithCancel(ann.Ctx())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for _, err := range rooms.At("tea").Watch(ctx) {
					testkit.NoError(t, err)
				}
			}()
			return func() { cancel(); <-ended }
		}
		stop := follow()
		want(stay.ErrInternal, "onConnect")
		stop()
		testkit.Sleep(10 * time.Second)
		want(stay.ErrInternal, "onDisconnect")
	})
}

// A hook of pages whose state cannot be read is called when the store is back. If
// that takes more than a minute, or the state is damaged, it is missed, and OnError
// is told once.
//
// Proves A20, L25.
func TestHooksOfPagesWithoutTheirState(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, st *storefaultStore, _ store.Store) {
		var d diary
		var mu sync.Mutex
		var missed []string
		m := d.module("tasks", stay.PerUser)
		m.OnError = func(_ *stay.Call, e *stay.Error) {
			mu.Lock()
			defer mu.Unlock()
			if e.Phase != "load" && e.Phase != "decode" { // the reads that have failed
				missed = append(missed, fmt.Sprint(e.Code, " ", e.Phase, " ", e.Module, " ", e.KeyHash != ""))
			}
		}
		tasks := stay.Register(app, m)
		ann := newVisitor(t, app, "ann")
		testkit.MustUpdate(t, ann.Ctx(), tasks)
		fails := func(f storefault.Fault) (remove func()) {
			access.AppOf(app).Evict(false)
			return st.Add(storefault.Rule{Op: storefault.Load, Fault: f}).Remove
		}
		want := func(all ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(missed, all) {
				t.Fatalf("OnError got %q, want %q", missed, all)
			}
			missed = nil
		}
		unavailable := storefault.Fail(errors.New("no network"))

		p := open(t, ann.Ctx(), tasks)
		d.want(t, "connect ann 1")
		p.close()
		back := fails(unavailable)
		testkit.Sleep(30 * time.Second)
		d.want(t)
		back()
		testkit.Sleep(30 * time.Second)
		d.want(t, "disconnect ann 1")
		want()

		p = open(t, ann.Ctx(), tasks)
		d.want(t, "reconnect ann 1")
		p.close()
		back = fails(unavailable)
		testkit.Sleep(2 * time.Minute)
		back()
		testkit.Sleep(time.Hour)
		d.want(t)
		want("unavailable onDisconnect tasks true")

		p = open(t, ann.Ctx(), tasks)
		d.want(t, "reconnect ann 1") // the one that was missed counts as one that was called
		p.close()
		back = fails(storefault.Fail(store.ErrCorrupt))
		testkit.Sleep(gone)
		want("corrupt onDisconnect tasks true") // that does not pass
		back()
		testkit.Sleep(time.Hour)
		d.want(t)
	})
}

// Room is a state with a key.
type Room struct {
	Name string `json:"name" stay:"key"`
}
