package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// texts is a Type whose states are strings.
type texts struct{ created func(key string) }

func (texts) Clone(v any) any                 { return v }
func (texts) Encode(v, _ any) ([]byte, error) { return []byte(v.(string)), nil }

func (texts) Settle(v, _, _ any, b []byte) (settled, result any, bytes int, err error) {
	return v, v, len(b), nil
}

func (t texts) Load(_ context.Context, key string, rec *store.Record) (Loaded, error) {
	if t.created != nil {
		t.created(key)
	}
	if string(rec.Value) == "bad" {
		return Loaded{}, errors.New("cannot be read")
	}
	return Loaded{Value: string(rec.Value), Encoded: rec.Value, Bytes: len(rec.Value)}, nil
}

// prefetching is an engine on a store that holds a record for each key.
type prefetching struct {
	*Engine
	store   *storefault.Store
	kind    *Kind
	reports atomic.Int64
}

func newPrefetching(t *testing.T, immediate bool, maxInstances int, created func(string), records map[string]string) *prefetching {
	t.Helper()
	st := storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
		f.Immediate = immediate
		return f
	}})
	return newPrefetchingOn(t, st, maxInstances, created, records)
}

func newPrefetchingOn(t testing.TB, st *storefault.Store, maxInstances int, created func(string), records map[string]string) *prefetching {
	t.Helper()
	p := &prefetching{store: st}
	p.Engine = New(Config{
		Now: time.Now, Logger: slog.New(slog.DiscardHandler), MaxInstances: maxInstances, MaxBytes: 1 << 20,
		MaxGuests: 10, MaxState: 1 << 10, MaxWaiters: 10, MaxWait: 5 * time.Second, CommitTimeout: time.Second,
		Report: func(*Kind, string, string, error) { p.reports.Add(1) },
	})
	p.kind = p.Kind(Kind{Name: "k", Prefix: "k/", Backend: p.Backend(p.store), Type: texts{created}, Version: 1, RunsUserCode: created != nil})
	for key, value := range records {
		commit(t, p.store, store.Write{Op: store.Put, Key: "k/" + key, Value: []byte(value), Version: 1})
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func commit(t testing.TB, st store.Store, w store.Write) {
	t.Helper()
	if res := st.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
		t.Fatal(res[0].Err)
	}
}

func (p *prefetching) refs(keys ...string) []Ref {
	out := make([]Ref, len(keys))
	for i, key := range keys {
		out[i] = Ref{Kind: p.kind, Key: key}
	}
	return out
}

func (p *prefetching) want(t *testing.T, key, value string) {
	t.Helper()
	if v, err := p.Get(t.Context(), &Ref{Kind: p.kind, Key: key}); err != nil || v.Value != value {
		t.Errorf("%s: %+v, %v, want %q", key, v, err, value)
	}
}

// both runs a test on a store that never waits and on one that may.
func both(t *testing.T, test func(t *testing.T, immediate bool)) {
	for _, immediate := range []bool{true, false} {
		t.Run(fmt.Sprintf("immediate=%t", immediate), func(t *testing.T) { test(t, immediate) })
	}
}

// Missing states are loaded in one call; states in memory, or that cannot be
// stored, are not; loaded states are served from memory afterwards.
func TestPrefetchLoadsWhatIsMissingInOneCall(t *testing.T) {
	both(t, func(t *testing.T, immediate bool) {
		p := newPrefetching(t, immediate, 100, nil, map[string]string{"a": "1", "b": "2", "c": "3"})
		p.want(t, "a", "1")
		refs := append(p.refs("a", "b", "c", "absent"),
			Ref{Kind: p.kind, Key: "new", New: true}, Ref{Kind: p.Kind(Kind{Type: texts{}}), Key: "ephemeral"})
		before := p.store.Count(storefault.Load)
		errs, release := p.Prefetch(t.Context(), refs)
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		p.want(t, "b", "2")
		p.want(t, "c", "3")
		p.want(t, "absent", "")
		release()
		p.want(t, "b", "2")
		if n := p.store.Count(storefault.Load) - before; n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
		if errs, release := p.Prefetch(t.Context(), refs); errors.Join(errs...) != nil {
			t.Error(errs)
		} else {
			release()
		}
		if n := p.store.Count(storefault.Load) - before; n != 1 {
			t.Errorf("%d loads after a second prefetch, want 1", n)
		}
	})
}

// Loaded states stay until release, even if the engine keeps no unused states.
func TestPrefetchHoldsUntilRelease(t *testing.T) {
	both(t, func(t *testing.T, immediate bool) {
		p := newPrefetching(t, immediate, 100, nil, map[string]string{"a": "1", "b": "2"})
		p.EvictAll(true)
		_, release := p.Prefetch(t.Context(), p.refs("a", "b", "b"))
		p.want(t, "a", "1")
		p.want(t, "b", "2")
		if n := p.store.Count(storefault.Load); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
		release()
		if n := len(p.instances.all()); n != 0 {
			t.Errorf("%d instances are still there", n)
		}
	})
}

// Each failure stays with its state: one that cannot be decoded, a hook that
// panics or ends its goroutine. Those of the call are everybody's. Each is
// reported once, nothing of it stays, and the next caller tries again.
func TestPrefetchFailures(t *testing.T) {
	both(t, func(t *testing.T, immediate bool) {
		var broken atomic.Bool
		broken.Store(true)
		p := newPrefetching(t, immediate, 100, func(key string) {
			switch {
			case key == "panics" && broken.Load():
				panic("hook")
			case key == "exits" && broken.Load():
				runtime.Goexit()
			}
		}, map[string]string{"good": "1", "bad": "bad", "panics": "2", "exits": "3"})
		refs := p.refs("good", "bad", "panics", "exits")
		errs, release := p.Prefetch(t.Context(), refs)
		release()
		if errs[0] != nil || errs[1] == nil || errs[2] == nil || errs[3] == nil {
			t.Errorf("errors: %v", errs)
		}
		if n := p.reports.Load(); n != 3 {
			t.Errorf("%d failures were reported, want 3", n)
		}
		broken.Store(false)
		p.want(t, "panics", "2")
		p.want(t, "exits", "3")

		p.EvictAll(false)
		rule := p.store.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
		errs, release = p.Prefetch(t.Context(), refs)
		release()
		for i, err := range errs {
			if !errors.Is(err, storefault.ErrInjected) {
				t.Errorf("%s: %v", refs[i].Key, err)
			}
		}
		rule.Remove()
		p.want(t, "good", "1")
	})
}

// A store that ends the goroutine of a call, as t.FailNow does in a test's own store,
// fails that load and no later one.
//
// Proves E1.
func TestLoadsGoOnAfterAStoreEndsTheirGoroutine(t *testing.T) {
	p := newPrefetching(t, false, 100, nil, map[string]string{"a": "1"})
	rule := p.store.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Corrupt(func(*store.Record) { runtime.Goexit() })})
	for range 3 * maxLoads {
		if v, err := p.Get(t.Context(), &Ref{Kind: p.kind, Key: "a"}); !errors.Is(err, errEnded) {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	rule.Remove()
	p.want(t, "a", "1")
}

// A caller that leaves does not end the load for other callers, and callers
// that come meanwhile wait for the same load.
//
// Proves E1.
func TestPrefetchIsEverybodysLoad(t *testing.T) {
	p := newPrefetching(t, false, 100, nil, map[string]string{"a": "1", "b": "2"})
	gate := storefault.NewGate()
	defer gate.Open()
	p.store.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Stop(gate)})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		errs, release := p.Prefetch(ctx, p.refs("a", "b"))
		release()
		left <- errors.Join(errs...)
	}()
	if _, err := gate.Arrived(t.Context()); err != nil {
		t.Fatal(err)
	}
	var others sync.WaitGroup
	others.Go(func() { p.want(t, "a", "1") })
	others.Go(func() {
		errs, release := p.Prefetch(t.Context(), p.refs("b", "a"))
		defer release()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
	leave()
	if err := <-left; err == nil || !strings.Contains(err.Error(), "gave up waiting") {
		t.Errorf("who left got %v", err)
	}
	gate.Open()
	others.Wait()
	if n := p.store.Count(storefault.Load); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
	p.EvictAll(false)
	if n := len(p.instances.all()); n != 0 {
		t.Errorf("%d instances are still pinned", n)
	}
}

// More than fits is ErrBusy for what does not, and leaves no pin behind.
//
// Proves E6.
func TestPrefetchBeyondTheBoundsIsBusy(t *testing.T) {
	both(t, func(t *testing.T, immediate bool) {
		p := newPrefetching(t, immediate, 2, nil, map[string]string{"a": "1", "b": "2", "c": "3"})
		errs, release := p.Prefetch(t.Context(), p.refs("a", "b", "c"))
		var busy *Error
		if errs[0] != nil || errs[1] != nil || !errors.As(errs[2], &busy) || busy.Class != Busy {
			t.Errorf("errors: %v", errs)
		}
		release()
		p.want(t, "c", "3")
		p.want(t, "a", "1")
	})
}

// After Close nothing is loaded.
//
// Proves E7.
func TestPrefetchAfterClose(t *testing.T) {
	p := newPrefetching(t, false, 10, nil, map[string]string{"a": "1"})
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	errs, release := p.Prefetch(t.Context(), p.refs("a"))
	release()
	var closed *Error
	if !errors.As(errs[0], &closed) || closed.Class != Closed {
		t.Errorf("error: %v", errs[0])
	}
}

// changing has op's change done by the store and returns before it is answered,
// which pass does.
func (p *prefetching) changing(t *testing.T, op Op) (pass func()) {
	t.Helper()
	gate := storefault.NewGate()
	rule := p.store.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.StopAfter(gate)})
	done := make(chan error, 1)
	go func() {
		_, err := p.Update(context.Background(), op)
		done <- err
	}()
	if _, err := gate.Arrived(t.Context()); err != nil {
		t.Fatal(err)
	}
	rule.Remove()
	return func() {
		gate.Open()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// remove deletes a record as another owner of the store does.
func remove(t *testing.T, st store.Store, key string) {
	t.Helper()
	recs, err := st.Load(t.Context(), []store.Read{{Key: "k/" + key}})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, st, store.Write{Op: store.Delete, Key: "k/" + key, Base: recs[0].Revision})
}

// A reader that has compared reads the store's version or a later one,
// whichever answer comes first: never a state that another owner deleted before
// the reader came.
//
// Proves E3, N1.
func TestPrefetchedStaysDeleted(t *testing.T) {
	for what, records := range map[string]map[string]string{"created": nil, "changed": {"a": "old"}} {
		t.Run(what, func(t *testing.T) {
			shared := memstore.Shared(2)
			p := newPrefetchingOn(t, storefault.Wrap(shared[0], nil), 100, nil, records)
			p.want(t, "a", records["a"])
			in := p.instances.peek(p.kind, "a")
			answer := p.changing(t, oneOp{says: "new", ref: p.refs("a")[0]})
			remove(t, shared[1], "a")
			errs, release := p.Prefetch(t.Context(), p.refs("a"))
			defer release()
			if errs[0] != nil {
				t.Fatal(errs[0])
			}
			answer()
			p.want(t, "a", "")
			if v := in.snapshot.Load(); v.Value != "" {
				t.Errorf("who has found the instance before reads %q", v.Value)
			}
		})
	}
}

// withRecord is the guard of an instance whose record is created together with
// another one.
type withRecord struct{ Companion }

func (withRecord) Valid(*Version) bool            { return true }
func (g withRecord) Create() ([]Companion, error) { return []Companion{g.Companion}, nil }
func (withRecord) Stands(*Version) bool           { return true }
func (withRecord) Checks() ([]Companion, bool)    { return nil, false }
func (withRecord) Later() (Later, error)          { return nil, nil }

// A state that a group stores beside its own instance is not put into memory
// when the answer comes: another owner may have replaced or deleted it before,
// and a reader that has asked the store already would take it for the store's
// version.
//
// Proves N1.
func TestLateAnswerBringsNoOlderCompanion(t *testing.T) {
	for _, asked := range []bool{false, true} {
		for what, other := range map[string]string{"replaced": "other", "deleted": ""} {
			t.Run(fmt.Sprintf("%s, asked before %t", what, asked), func(t *testing.T) {
				shared := memstore.Shared(2)
				p := newPrefetchingOn(t, storefault.Wrap(shared[0], nil), 100, nil, nil)
				ref := p.refs("a")[0]
				ref.Guard = withRecord{Companion{Kind: p.kind, Key: "s", Base: &Version{}, Value: "new"}}
				answer := p.changing(t, oneOp{says: "new", ref: ref})
				remove(t, shared[1], "s")
				if other != "" {
					commit(t, shared[1], store.Write{Op: store.Put, Key: "k/s", Value: []byte(other), Version: 1})
				}
				if asked {
					errs, release := p.Prefetch(t.Context(), p.refs("s"))
					defer release()
					if errs[0] != nil {
						t.Fatal(errs[0])
					}
				}
				answer()
				p.want(t, "s", other)
			})
		}
	}
}
