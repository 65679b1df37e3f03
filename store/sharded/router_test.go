package sharded_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/storefault"
)

// names gives stores their names.
func named(stores ...store.Store) map[string]store.Store {
	all := map[string]store.Store{}
	for i, s := range stores {
		all[[]string{"one", "two", "three", "four"}[i]] = s
	}
	return all
}

// Where a home is follows from the names of the stores, for good, and homes spread
// evenly. A store more takes its share and moves no other home.
//
// Proves A17, C5.
func TestHomesHaveOnePlace(t *testing.T) {
	three, err := sharded.OpenRouter(t.Context(), named(memstore.New(), memstore.New(), memstore.New()))
	if err != nil {
		t.Fatal(err)
	}
	four, err := sharded.OpenRouter(t.Context(), named(memstore.New(), memstore.New(), memstore.New(), memstore.New()))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"session/cart/s1": "one", "stay/session/s1": "one", "guest/x/s1.3": "one",
		"user/cart/ann": "one", "stay/user/ann": "one", "stay/claim/user/x/ann": "one",
		"global/counter/": "one", "stay/keys": "two",
	} {
		if got := three.Place(key); got != want {
			t.Errorf("%q is in %q, want %q", key, got, want)
		}
	}
	const n = 30_000
	count := map[string]int{}
	for i := range n {
		key := fmt.Sprintf("session/cart/%d", i)
		before, after := three.Place(key), four.Place(key)
		count[before]++
		count["four of "+after]++
		if after != before && after != "four" {
			t.Fatalf("%q has moved from %q to %q because there is a fourth store", key, before, after)
		}
	}
	for _, name := range []string{"one", "two", "three"} {
		if got := count[name]; got < n/3*95/100 || got > n/3*105/100 {
			t.Errorf("%d of %d homes are in %q of three", got, n, name)
		}
	}
	if got := count["four of four"]; got < n/4*95/100 || got > n/4*105/100 {
		t.Errorf("%d of %d homes are in the fourth store", got, n)
	}
}

// A layout that is not the one of the first time is refused, and nothing is
// written: a store that is missing, new, empty, another one, or under another name.
//
// Proves C5.
func TestLayoutIsCompared(t *testing.T) {
	a, b, c := memstore.New(), memstore.New(), memstore.New()
	open := func(stores map[string]store.Store) error {
		_, err := sharded.OpenRouter(t.Context(), stores)
		return err
	}
	if err := open(named(a, b)); err != nil {
		t.Fatal(err)
	}
	if err := open(named(a, b)); err != nil {
		t.Errorf("the same stores again: %v", err)
	}
	x, y := memstore.New(), memstore.New()
	if err := open(named(x, y)); err != nil {
		t.Fatal(err)
	}
	full := memstore.New()
	full.Commit(t.Context(), []store.Group{{{Key: "session/cart/s1", Value: []byte("{}")}}})
	for what, c := range map[string]struct {
		stores map[string]store.Store
		want   string
	}{
		"one is missing":          {named(a), `belongs to the stores "one", "two"`},
		"one is new":              {named(a, b, c), `belongs to the stores "one", "two"`},
		"one has another name":    {map[string]store.Store{"one": a, "zwei": b}, `belongs to the stores "one", "two"`},
		"they are interchanged":   {named(b, a), "interchanged"},
		"the second is empty":     {named(a, c), `"two" is empty or another one`},
		"the first is empty":      {named(c, b), `"one" is empty or another one`},
		"the second is of others": {named(a, y), "do not belong together"},
		"a new one has records":   {named(full, memstore.New()), "has records"},
		"none":                    {nil, "needs a store"},
		"no name":                 {map[string]store.Store{"": c}, "name"},
	} {
		if err := open(c.stores); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", what, err, c.want)
		}
	}
	if keys, err := c.List(t.Context(), time.Now(), "", "", 1); err != nil || len(keys) != 0 {
		t.Errorf("a store that was refused has %q (%v)", keys, err)
	}
}

// Programs that open new stores at the same time agree, and one that is stopped
// while it does so leaves what the next one finishes.
//
// Proves C5.
func TestLayoutIsMadeOnce(t *testing.T) {
	for stop := range 12 {
		places := [][]*memstore.Store{memstore.Shared(8), memstore.Shared(8), memstore.Shared(8)}
		stores := func(i int) []store.Store {
			return []store.Store{places[0][i], places[1][i], places[2][i]}
		}
		left := &budget{left: stop}
		_, err := sharded.OpenRouter(t.Context(), named(left.all(stores(0)...)...))
		if err == nil && stop < 6 {
			t.Errorf("opened although only %d calls were done", stop)
		}
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				if _, err := sharded.OpenRouter(t.Context(), named(stores(i+1)...)); err != nil {
					t.Errorf("opened by one of six after %d calls of one that stopped: %v", stop, err)
				}
			})
		}
		wg.Wait()
	}
}

// A budget is a number of calls, after which all fail.
type budget struct {
	mu   sync.Mutex
	left int
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left--
	return b.left >= 0
}

// all returns the stores as one reaches them who has the budget.
func (b *budget) all(stores ...store.Store) []store.Store {
	wrapped := make([]store.Store, len(stores))
	for i, s := range stores {
		wrapped[i] = budgeted{s, b}
	}
	return wrapped
}

type budgeted struct {
	store.Store
	b *budget
}

func (s budgeted) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if !s.b.spend() {
		return nil, errLost
	}
	return s.Store.Load(ctx, reads)
}

func (s budgeted) Commit(ctx context.Context, groups []store.Group) []store.Result {
	if !s.b.spend() {
		results := make([]store.Result, len(groups))
		for i := range results {
			results[i] = store.Result{Outcome: store.Unknown, Err: errLost}
		}
		return results
	}
	return s.Store.Commit(ctx, groups)
}

func (s budgeted) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return s.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}

// keysIn returns a key in each of the stores, by its name.
func keysIn(r *sharded.Router, names ...string) map[string]string {
	keys := map[string]string{}
	for i := 0; len(keys) < len(names); i++ {
		if key := fmt.Sprint("key/m/", i); slices.Contains(names, r.Place(key)) && keys[r.Place(key)] == "" {
			keys[r.Place(key)] = key
		}
	}
	return keys
}

// A store that fails fails what it holds, and says which one it is. What others
// hold goes on.
//
// Proves C1, C2, C5.
func TestAStoreFailsAlone(t *testing.T) {
	bad := storefault.Wrap(memstore.New(), nil)
	r, err := sharded.OpenRouter(t.Context(), named(memstore.New(), bad))
	if err != nil {
		t.Fatal(err)
	}
	s := over(t, r)
	defer s.Close()
	keys := keysIn(r, "one", "two")
	down := errors.New("down")
	bad.Add(storefault.Rule{Fault: storefault.Fail(fmt.Errorf("%w: %w", store.ErrUnavailable, down)), Op: storefault.Load})
	bad.Add(storefault.Rule{Fault: storefault.Fail(fmt.Errorf("%w: %w", store.ErrUnavailable, down)), Op: storefault.Commit})
	bad.Add(storefault.Rule{Fault: storefault.Fail(fmt.Errorf("%w: %w", store.ErrUnavailable, down)), Op: storefault.Expired})
	results := s.Commit(t.Context(), []store.Group{
		{{Key: keys["one"], Expires: time.Now().Add(-time.Hour)}}, {{Key: keys["two"]}}, {{Key: keys["one"] + "x"}, {Key: keys["two"] + "x"}},
	})
	if results[0].Outcome != store.Applied {
		t.Errorf("a group in the store that works: %v (%v)", results[0].Outcome, results[0].Err)
	}
	for _, res := range results[1:2] {
		if res.Outcome != store.Rejected || !errors.Is(res.Err, down) {
			t.Errorf("a group in the store that fails: %v (%v)", res.Outcome, res.Err)
		}
	}
	if _, err := s.Load(t.Context(), []store.Read{{Key: keys["one"]}}); err != nil {
		t.Errorf("a record in the store that works: %v", err)
	}
	_, err = s.Load(t.Context(), []store.Read{{Key: keys["one"]}, {Key: keys["two"]}})
	if !errors.Is(err, down) || !strings.Contains(err.Error(), `"two"`) {
		t.Errorf("a record in the store that fails: %v", err)
	}
	recs, err := r.Expired(t.Context(), time.Now(), 10)
	if err != nil || len(recs) != 1 {
		t.Errorf("Expired found %d records in the store that works (%v)", len(recs), err)
	}
}

// A router can do what all of its stores can.
//
// Proves C5.
func TestFeaturesOfRouterAreTheWeakest(t *testing.T) {
	strong := store.Features{
		Durable: true, SoleOwner: true, Groups: true, Expire: true, List: true, Watch: true, Immediate: true,
	}
	both := func(f store.Features) store.Features {
		t.Helper()
		r, err := sharded.OpenRouter(t.Context(), named(featured{memstore.New(), strong}, featured{memstore.New(), f}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Features()
	}
	want := strong
	want.Groups, want.GroupsAtHome, want.Places = false, true, true
	if got := both(strong); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	weak := store.Features{GroupsAtHome: true, MaxValue: 100, StaleReads: time.Second}
	want = weak
	want.Places = true
	if got := both(weak); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := sharded.OpenRouter(t.Context(), named(featured{memstore.New(), store.Features{}})); err == nil {
		t.Error("a store without groups was opened")
	}
}

// featured is a store that declares something else.
type featured struct {
	*memstore.Store
	f store.Features
}

func (f featured) Features() store.Features { return f.f }

// New refuses stores on which its groups would not be whole.
//
// Proves C5.
func TestNewRefuses(t *testing.T) {
	good := store.Features{GroupsAtHome: true, Expire: true, MaxValue: 1 << 20}
	s := over(t, featured{memstore.New(), good})
	if f := s.Features(); !f.Groups || f.Immediate || f.MaxValue < 1<<19-2048 || f.MaxValue > 1<<19 {
		t.Errorf("features %+v", f)
	}
	for what, change := range map[string]func(*store.Features){
		"no groups":            func(f *store.Features) { f.GroupsAtHome = false },
		"no expiry":            func(f *store.Features) { f.Expire = false },
		"stale reads":          func(f *store.Features) { f.StaleReads = time.Second },
		"no room beside locks": func(f *store.Features) { f.MaxValue = 1000 },
	} {
		f := good
		change(&f)
		if _, err := sharded.New(featured{memstore.New(), f}); err == nil {
			t.Errorf("%s: not refused", what)
		}
	}
}

// A router announces from when all of its stores do, and says so once; what one of
// them announces comes through.
//
// Proves C5.
func TestRouterAnnouncesWhenAllDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowWatch{Store: memstore.New(), begin: make(chan struct{})}
		r, err := sharded.OpenRouter(t.Context(), named(memstore.New(), slow))
		if err != nil {
			t.Fatal(err)
		}
		keys := keysIn(r, "one", "two")
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		lost, told := 0, map[string]bool{}
		ended := make(chan error)
		go func() {
			ended <- r.Watch(ctx, func(changes []store.Change, l bool) {
				mu.Lock()
				defer mu.Unlock()
				if l {
					lost++
				}
				for _, c := range changes {
					told[c.Key] = true
				}
			})
		}()
		synctest.Wait()
		r.Commit(ctx, []store.Group{{{Key: keys["one"]}}})
		synctest.Wait()
		if lost != 0 || len(told) != 0 {
			t.Errorf("announced before all stores do: lost %d, %v", lost, told)
		}
		close(slow.begin)
		synctest.Wait()
		if lost != 1 {
			t.Errorf("lost %d times when all stores announce, want once", lost)
		}
		for _, key := range keys {
			r.Commit(ctx, []store.Group{{{Key: key + "x"}}})
			synctest.Wait()
		}
		if want := []string{keys["one"] + "x", keys["two"] + "x"}; len(told) != 2 || !told[want[0]] || !told[want[1]] {
			t.Errorf("announced %q, want %q", slices.Sorted(maps.Keys(told)), want)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ended with %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A router goes on to announce what its other stores announce while one of them
// cannot, from the beginning and later, and says when changes may have been missed
// there. It ends when none of them announces any more.
//
// Proves C5.
func TestRouterAnnouncesBesideAStoreThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := storefault.Wrap(memstore.New(), nil), storefault.Wrap(memstore.New(), nil)
		down := func(s *storefault.Store) *storefault.Added {
			return s.Add(storefault.Rule{Op: storefault.Watch, Fault: storefault.Fail(nil)})
		}
		r, err := sharded.OpenRouter(t.Context(), named(one, two))
		if err != nil {
			t.Fatal(err)
		}
		keys := keysIn(r, "one", "two")
		rule := down(two)
		var mu sync.Mutex
		lost, told := 0, map[string]bool{}
		ended := make(chan error, 1)
		go func() {
			ended <- r.Watch(t.Context(), func(changes []store.Change, l bool) {
				mu.Lock()
				defer mu.Unlock()
				if l {
					lost++
				}
				for _, c := range changes {
					told[c.Key] = true
				}
			})
		}()
		synctest.Wait()
		want := func(what string, times int, names ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if lost != times {
				t.Errorf("%s: lost %d times, want %d", what, lost, times)
			}
			for _, name := range names {
				if !told[keys[name]+what] {
					t.Errorf("%s: nothing was announced by %s", what, name)
				}
			}
		}
		change := func(what string) {
			for _, key := range keys {
				r.Commit(t.Context(), []store.Group{{{Key: key + what}}})
			}
			synctest.Wait()
		}
		change("first")
		want("first", 1, "one")
		rule.Remove()
		<-time.After(time.Minute) // the bubble's time
		synctest.Wait()
		change("second")
		want("second", 2, "one", "two")
		if len(ended) > 0 {
			t.Fatalf("Watch has ended: %v", <-ended)
		}
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, store.ErrClosed) {
			t.Errorf("Watch ended with %v", err)
		}
		_ = r.Close()
	})
}

// A slowWatch begins to announce when it is told to.
type slowWatch struct {
	*memstore.Store
	begin chan struct{}
}

func (s *slowWatch) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	<-s.begin
	return s.Store.Watch(ctx, announce)
}
