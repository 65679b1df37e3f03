package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

var watchRules = []rule{
	{
		name: "Watch announces changes",
		why: "What is applied once announcements have begun is announced: a put with its revision or a later one, or none; " +
			"or it is said that announcements are lost. Their beginning says so too.",
		needs: needs{watch: true},
		check: func(e *env) {
			w := e.watch(e.store)
			rev := e.put1("key", 0, "first")
			w.want("key", rev)
			rev = e.put1("key", rev, "second")
			w.want("key", rev)
			w.forget()
			e.apply(del("key", rev))
			w.want("key", 0)
			e.commit(store.Group{put("any\x00\xff key", 0, "x")}, store.Group{put("other", 0, "x")})
			w.want("any\x00\xff key", e.load("any\x00\xff key").Revision)
			w.want("other", e.load("other").Revision)
			w.stop(e)
		},
	},
	{
		name:  "Watch announces all writes of a group",
		why:   "Each record that a group changes may be shown somewhere.",
		needs: needs{watch: true, groups: true},
		check: func(e *env) {
			w := e.watch(e.store)
			for i, rev := range e.apply(put("a", 0, "x"), check("none", 0), put("b", 0, "x")) {
				if i != 1 {
					w.want([]string{"a", "none", "b"}[i], rev)
				}
			}
			w.stop(e)
		},
	},
	{
		name:  "Watch announces many changes",
		why:   "However many changes one call has, and however long their keys are, each is announced or is part of what is lost.",
		needs: needs{watch: true},
		check: func(e *env) {
			w := e.watch(e.store)
			groups := make([]store.Group, 1000)
			for i := range groups {
				groups[i] = store.Group{put(fmt.Sprintf("%0*d", 1+i, i), 0, "x")}
			}
			for i, res := range e.commit(groups...) {
				if res.Outcome != store.Applied {
					e.t.Fatalf("%s, want applied", resultText(res))
				}
				w.want(groups[i][0].Key, res.Revisions[0])
			}
			w.stop(e)
		},
	},
	{
		name:  "Watch announces what others change",
		why:   "A page that shows a record is to change when another process changes the record.",
		needs: needs{watch: true, shared: true},
		check: func(e *env) {
			first, second := e.watch(e.store), e.watch(e.handle())
			e.store = e.handle()
			rev := e.put1("key", 0, "x")
			first.want("key", rev)
			second.want("key", rev)
			second.stop(e)
			rev = e.put1("key", rev, "y")
			first.want("key", rev)
			first.forget()
			e.apply(del("key", rev))
			first.want("key", 0)
			first.forget()
			rev = e.put1("last", 0, "a handle that closes has announced, or does")
			if err := e.store.Close(); err != nil {
				e.t.Errorf("Close: %v", err)
			}
			first.want("last", rev)
			first.stop(e)
		},
	},
	{
		name: "Watch lets a reader follow",
		why: "Whoever reads what is announced, once it is announced, and everything when announcements are lost, ends with what is stored: " +
			"an announcement comes after the change that it is about, and so does one of what is lost.",
		needs: needs{watch: true, noStaleReads: true},
		check: func(e *env) { checkFollowing(e, e.store, e.store) },
	},
	{
		name:  "Watch lets a reader follow others",
		why:   "The same holds for what others change.",
		needs: needs{watch: true, shared: true, noStaleReads: true},
		check: func(e *env) { checkFollowing(e, e.store, e.handle(), e.handle()) },
	},
	{
		name: "Watch does not hold up commits",
		why: "Whoever is told of changes may take long. Nobody's change waits for that, and nothing is kept without a bound: " +
			"changes that come meanwhile are announced afterwards, or it is said that announcements are lost.",
		needs: needs{watch: true},
		check: func(e *env) {
			w := e.watch(e.store)
			release := w.hold()
			defer release()
			e.put1("first", 0, "x")
			w.wait("a first change", func() bool { return w.calls > 0 })
			done := make(chan store.Revision, 1)
			go func() {
				var rev store.Revision
				for i := range 200 {
					res := e.store.Commit(e.ctx, []store.Group{{put("key", rev, fmt.Sprint(i))}})[0]
					if res.Outcome != store.Applied {
						e.t.Errorf("a key that nobody else writes: %s", resultText(res))
						break
					}
					rev = res.Revisions[0]
				}
				done <- rev
			}()
			timer := time.NewTimer(e.wait())
			defer timer.Stop()
			select {
			case rev := <-done:
				release()
				w.want("key", rev)
			case <-timer.C:
				e.t.Errorf("commits have waited for announce for %v", e.wait())
				release()
				<-done
			}
			w.stop(e)
		},
	},
	{
		name:  "Watch ends with its context",
		why:   "Watch returns when nobody needs it any more, and says why.",
		needs: needs{watch: true},
		check: func(e *env) {
			e.watch(e.store).stop(e)
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			err := e.store.(store.Watcher).Watch(ctx, func([]store.Change, bool) {})
			if !errors.Is(err, context.Canceled) {
				e.t.Errorf("Watch with a cancelled context: %v, want it to wrap %v", err, context.Canceled)
			}
			e.put1("key", 0, "x")
		},
	},
	{
		name:  "Watch ends with Close",
		why:   "Close ends what goes on by itself, says so, and leaves nobody behind; a call that begins later is answered with ErrClosed.",
		needs: needs{watch: true},
		check: func(e *env) {
			w := e.watch(e.store)
			if err := e.store.Close(); err != nil {
				e.t.Errorf("Close: %v", err)
			}
			if err := w.end(); !errors.Is(err, store.ErrClosed) {
				e.t.Errorf("Watch ended with %v when the store was closed, want ErrClosed", err)
			}
			if err := e.store.(store.Watcher).Watch(e.ctx, func([]store.Change, bool) {}); !errors.Is(err, store.ErrClosed) {
				e.t.Errorf("Watch after Close: %v, want ErrClosed", err)
			}
		},
	},
}

// A watch is a call of Watch and what it has announced.
type watch struct {
	t      tb
	bound  time.Duration // of a wait
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once ended
	gate   sync.Mutex

	mu      sync.Mutex
	changes map[string]map[store.Revision]bool
	lost    int
	calls   int           // under way
	more    chan struct{} // has room for one
}

// wait is how long a rule waits for an announcement.
func (e *env) wait() time.Duration {
	if e.place.wait != 0 {
		return e.place.wait
	}
	return patience
}

// watch calls Watch and waits until announcements have begun.
func (e *env) watch(s store.Store) *watch {
	e.t.Helper()
	watcher, ok := s.(store.Watcher)
	if !ok {
		e.t.Fatalf("Features.Watch is true, but the store has no Watch method")
	}
	ctx, cancel := context.WithCancel(e.ctx)
	w := &watch{
		t: e.t, bound: e.wait(), cancel: cancel, ended: make(chan struct{}), more: make(chan struct{}, 1), changes: map[string]map[store.Revision]bool{},
	}
	go func() {
		defer close(w.ended)
		w.err = watcher.Watch(ctx, w.announce)
	}()
	w.wait("the first announcement, which says lost", func() bool { return w.lost > 0 })
	w.forget()
	return w
}

func (w *watch) announce(changes []store.Change, lost bool) {
	w.mu.Lock()
	if w.calls++; w.calls > 1 {
		w.t.Errorf("announce is called while a call is under way")
	}
	w.signal()
	w.mu.Unlock()
	w.gate.Lock()
	w.gate.Unlock() //nolint:staticcheck // only to wait
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	if lost {
		w.lost++
	}
	for _, c := range changes {
		if w.changes[c.Key] == nil {
			w.changes[c.Key] = map[store.Revision]bool{}
		}
		w.changes[c.Key][c.Revision] = true
	}
	w.signal()
}

func (w *watch) signal() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// hold makes calls of announce wait until release is called.
func (w *watch) hold() (release func()) {
	w.gate.Lock()
	return sync.OnceFunc(w.gate.Unlock)
}

// forget forgets what was announced.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = 0
	clear(w.changes)
}

// want waits until a change of the key is announced, or that announcements are
// lost: that it has the revision, a later one, or one that the store does not say.
func (w *watch) want(key string, rev store.Revision) {
	w.t.Helper()
	w.wait(fmt.Sprintf("%q at revision %d", key, rev), func() bool {
		if w.lost > 0 {
			return true
		}
		for got := range w.changes[key] {
			if got >= rev || got == 0 {
				return true
			}
		}
		return false
	})
}

// wait waits until holds, which is called with the lock taken, is true.
func (w *watch) wait(what string, holds func() bool) {
	w.t.Helper()
	timer := time.NewTimer(w.bound)
	defer timer.Stop()
	for {
		w.mu.Lock()
		ok := holds()
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-w.more:
		case <-w.ended:
			w.t.Fatalf("Watch ended with %v before it announced %s", w.err, what)
		case <-timer.C:
			w.cancel()
			w.t.Fatalf("not announced within %v: %s", w.bound, what)
		}
	}
}

// stop ends the call by its context.
func (w *watch) stop(e *env) {
	e.t.Helper()
	w.cancel()
	if err := w.end(); !errors.Is(err, context.Canceled) {
		e.t.Errorf("Watch ended with %v when its context was cancelled, want it to wrap %v", err, context.Canceled)
	}
}

// end waits until Watch has returned.
func (w *watch) end() error {
	w.t.Helper()
	timer := time.NewTimer(w.bound)
	defer timer.Stop()
	select {
	case <-w.ended:
		return w.err
	case <-timer.C:
		w.t.Fatalf("Watch has not returned within %v", w.bound)
		return nil
	}
}
