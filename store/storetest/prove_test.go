package storetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// A recorder is a tb that collects failures instead of reporting them.
type recorder struct {
	mu     sync.Mutex
	failed bool
	log    []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// fails runs a rule and returns what it printed if it failed.
func fails(name string, h Harness, f store.Features) (log string, failed bool, err error) {
	for _, r := range rules() {
		if r.name != name {
			continue
		}
		if missing := r.needs.missing(f, h); missing != "" {
			return "", false, fmt.Errorf("rule %q does not concern the store: %s", name, missing)
		}
		rec := &recorder{}
		done := make(chan struct{})
		go func() { // a recorder's Fatalf ends it
			defer close(done)
			p := r.place(nil, h)
			p.wait = time.Second
			r.run(rec, 1, p, func() store.Store { return p.open(nil) })
		}()
		<-done
		return strings.Join(rec.log, "\n"), rec.Failed(), nil
	}
	return "", false, fmt.Errorf("there is no rule %q", name)
}

// A broken store is a good one with methods replaced.
type broken struct {
	store.Store
	load     func(ctx context.Context, reads []store.Read) ([]store.Record, error)
	commit   func(ctx context.Context, groups []store.Group) []store.Result
	expired  func(ctx context.Context, now time.Time, limit int) ([]store.Record, error)
	list     func(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error)
	watch    func(ctx context.Context, announce func([]store.Change, bool)) error
	features func() store.Features
	close    func() error
}

func (b *broken) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if b.load != nil {
		return b.load(ctx, reads)
	}
	return b.Store.Load(ctx, reads)
}

func (b *broken) Commit(ctx context.Context, groups []store.Group) []store.Result {
	if b.commit != nil {
		return b.commit(ctx, groups)
	}
	return b.Store.Commit(ctx, groups)
}

func (b *broken) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	if b.expired != nil {
		return b.expired(ctx, now, limit)
	}
	return b.Store.Expired(ctx, now, limit)
}

func (b *broken) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if b.list != nil {
		return b.list(ctx, now, prefix, after, limit)
	}
	return b.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}

func (b *broken) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	if b.watch != nil {
		return b.watch(ctx, announce)
	}
	return b.Store.(store.Watcher).Watch(ctx, announce)
}

func (b *broken) Features() store.Features {
	if b.features != nil {
		return b.features()
	}
	return b.Store.Features()
}

func (b *broken) Close() error {
	if b.close != nil {
		return b.close()
	}
	return b.Store.Close()
}

// editWrites breaks a store by changing writes on their way in.
func editWrites(edit func(*store.Write)) func(*broken) {
	return func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			edited := make([]store.Group, len(groups))
			for i, g := range groups {
				edited[i] = slices.Clone(g)
				for j := range edited[i] {
					edit(&edited[i][j])
				}
			}
			return b.Store.Commit(ctx, edited)
		}
	}
}

// editResults breaks a store by changing results on their way out.
func editResults(edit func(store.Group, *store.Result)) func(*broken) {
	return func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			results := b.Store.Commit(ctx, groups)
			for i := range results {
				edit(groups[i], &results[i])
			}
			return results
		}
	}
}

// editRecords breaks a store by changing records on their way out.
func editRecords(edit func(store.Read, *store.Record)) func(*broken) {
	return func(b *broken) {
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			recs, err := b.Store.Load(ctx, reads)
			for i := range recs {
				edit(reads[i], &recs[i])
			}
			return recs, err
		}
	}
}

// editTime breaks a store by changing the time of its calls.
func editTime(edit func(time.Time) time.Time) func(*broken) {
	return func(b *broken) {
		b.expired = func(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
			return b.Store.Expired(ctx, edit(now), limit)
		}
		b.list = func(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
			return b.Store.(store.Lister).List(ctx, edit(now), prefix, after, limit)
		}
	}
}

// A breakage is a way to break one thing about a store, and the rules that
// must say so.
type breakage struct {
	name   string
	how    func(*broken)
	caught []string
}

// The suite has to catch every breakage.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestSuiteCatches(t *testing.T) {
	for _, c := range slices.Concat(breakages, moreBreakages, watchBreakages) {
		t.Run(c.name, func(t *testing.T) {
			wantCaught(t, c.caught, Harness{New: func(*testing.T) func(*testing.T) store.Store {
				return func(*testing.T) store.Store { return breakStore(memstore.New(), c.how) }
			}})
		})
	}
}

// Proves C5.
func TestSuiteCatchesDurable(t *testing.T) {
	for _, c := range durableBreakages {
		t.Run(c.name, func(t *testing.T) {
			wantCaught(t, c.caught, Harness{New: func(*testing.T) func(*testing.T) store.Store { return c.place() }})
		})
	}
}

func TestSuiteCatchesShared(t *testing.T) {
	for _, c := range sharedBreakages {
		t.Run(c.name, func(t *testing.T) {
			h := Harness{Shared: func(*testing.T) func(*testing.T) store.Store { return c.place() }}
			h.New = h.Shared
			wantCaught(t, c.caught, h)
		})
	}
}

func breakStore(s store.Store, how func(*broken)) store.Store {
	b := &broken{Store: s}
	how(b)
	return b
}

func wantCaught(t *testing.T, rules []string, h Harness) {
	t.Helper()
	s := h.New(nil)(nil)
	f := s.Features()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range rules {
		switch log, failed, err := fails(name, h, f); {
		case err != nil:
			t.Error(err)
		case !failed:
			t.Errorf("rule %q did not catch it", name)
		case !strings.Contains(log, name+": "):
			t.Errorf("rule %q failed without its explanation: %s", name, log)
		case strings.HasPrefix(name, "Model") && !strings.Contains(log, "STORETEST_SEED=1"):
			t.Errorf("rule %q failed without its seed: %s", name, log)
		}
	}
}

// A seed repeats the calls that led to a failure, to the last detail.
func TestSeedRepeats(t *testing.T) {
	h := Harness{New: func(*testing.T) func(*testing.T) store.Store {
		return func(*testing.T) store.Store {
			return breakStore(memstore.New(), editTime(func(now time.Time) time.Time { return now.Add(-time.Hour) }))
		}
	}}
	first, failed, err := fails("Model", h, memstore.New().Features())
	second, _, _ := fails("Model", h, memstore.New().Features())
	if err != nil || !failed || first != second {
		t.Errorf("failed: %v, %v; first:\n%s\nsecond:\n%s", failed, err, first, second)
	}
}

// The same stores unbroken pass, so it is the breakage that is caught.
func TestSuitePasses(t *testing.T) {
	none := func(*broken) {}
	Run(t, Harness{
		New: func(*testing.T) func(*testing.T) store.Store { return kept(none) },
		Shared: func(*testing.T) func(*testing.T) store.Store {
			handles := memstore.Shared(8)
			return func(*testing.T) store.Store {
				s := breakStore(handles[0], none)
				handles = handles[1:]
				return s
			}
		},
	})
}

// A store with groups at one home only, which does not break the rule about
// them, passes.
func TestSuitePassesGroupsAtHome(t *testing.T) {
	Run(t, Harness{New: func(*testing.T) func(*testing.T) store.Store {
		return func(*testing.T) store.Store {
			return breakStore(memstore.New(), atHome(func(b *broken) {
				b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
					results := make([]store.Result, len(groups))
					bad := store.CheckGroups(groups, b.Features())
					for i := range groups {
						if bad != nil && bad[i] != nil {
							results[i] = store.Result{Outcome: store.Rejected, Err: bad[i]}
							continue
						}
						results[i] = b.Store.Commit(ctx, groups[i:i+1])[0]
					}
					return results
				}
			}))
		}
	}})
}

// No rule is there for nothing: each is needed by a broken store.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestEveryRuleIsNeeded(t *testing.T) {
	needed := map[string]bool{}
	for _, c := range slices.Concat(breakages, moreBreakages, watchBreakages) {
		for _, name := range c.caught {
			needed[name] = true
		}
	}
	for _, name := range slices.Concat(remoteCaught, rewindCaught) {
		needed[name] = true
	}
	for _, c := range slices.Concat(durableBreakages, sharedBreakages) {
		for _, name := range c.caught {
			needed[name] = true
		}
	}
	for _, c := range overBreakages {
		for _, name := range c.caught {
			needed[name] = true
		}
	}
	known := map[string]bool{}
	for _, r := range rules() {
		if known[r.name] {
			t.Errorf("two rules are named %q", r.name)
		}
		known[r.name] = true
		if !needed[r.name] {
			t.Errorf("no broken store needs rule %q", r.name)
		}
		if !strings.HasSuffix(r.why, ".") {
			t.Errorf("rule %q is not explained in a sentence", r.name)
		}
	}
}
