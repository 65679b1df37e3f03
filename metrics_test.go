package stay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// measured keeps what an App has measured.
type measured struct {
	mu     sync.Mutex
	all    []stay.Measurement
	gauges map[string]func() int64
}

func (m *measured) Measure(_ context.Context, one stay.Measurement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, one)
}

func (m *measured) Observe(name string, read func() int64) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gauges == nil {
		m.gauges = map[string]func() int64{}
	}
	m.gauges[name] = read
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.gauges, name)
	}
}

// of returns the measurements of a metric, and forgets them.
func (m *measured) of(name string) []stay.Measurement {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out, rest []stay.Measurement
	for _, one := range m.all {
		if one.Name == name {
			out = append(out, one)
		} else {
			rest = append(rest, one)
		}
	}
	m.all = rest
	return out
}

// values returns the values of a metric, of one module, and forgets them.
func (m *measured) values(name, module string) (out []float64) {
	for _, one := range m.of(name) {
		if one.Module == module {
			out = append(out, one.Value)
		}
	}
	return out
}

// sums adds up a counter by attributes, and forgets it.
func (m *measured) sums(name string) map[string]float64 {
	sums := map[string]float64{}
	for _, one := range m.of(name) {
		sums[strings.TrimRight(fmt.Sprint(one.Module, " ", one.Code, " ", one.Phase), " ")] += one.Value
	}
	return sums
}

func (m *measured) gauge(t *testing.T, name string) int64 {
	t.Helper()
	m.mu.Lock()
	read := m.gauges[name]
	m.mu.Unlock()
	if read == nil {
		t.Errorf("nobody reads %s", name)
		return -1
	}
	return read()
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// A change is measured once, from its call to its return, and so is how long it
// waited for its turn.
func TestMetricsOfChanges(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &measured{}
				s := stay.Register(newApp(t, open(), &stay.Options{Metrics: m}), stay.Module[counter]{Name: "c", Persist: stay.Global})
				running := make(chan struct{})
				var all sync.WaitGroup
				all.Go(func() {
					_, err := s.Update(t.Context(), func(c *counter) error {
						close(running)
						sleep(2 * time.Second)
						return increment(c)
					})
					if err != nil {
						t.Error(err)
					}
				})
				<-running
				all.Go(func() { mustUpdate(t, t.Context(), s) })
				all.Wait()
				wantEqual(t, "durations", slices.Sorted(slices.Values(m.values("stay.update.duration", "c"))), []float64{2, 2})
				wantEqual(t, "waiting", slices.Sorted(slices.Values(m.values("stay.update.wait_time", "c"))), []float64{0, 2})
				wantEqual(t, "reruns", m.of("stay.update.reruns"), []stay.Measurement{})
			})
		})
	}
}

// However a change ends, it is measured once, by module and code.
func TestMetricsByCode(t *testing.T) { synctest.Test(t, testMetricsByCode) }

func testMetricsByCode(t *testing.T) {
	m := &measured{}
	st := behindCommitter(memstore.New())
	app := newApp(t, st, &stay.Options{Metrics: m, OnError: quiet, MaxState: 64})
	s := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.Global})
	own := stay.Register(app, stay.Module[counter]{Name: "own", Persist: stay.PerSession})
	refuse := func(err error) func() {
		return func() { _, _ = s.Update(t.Context(), func(*counter) error { return err }) }
	}
	during := func(fault storefault.Fault) func() {
		return func() {
			rule := st.Add(storefault.Rule{Op: storefault.Commit, Match: storesNoList, Fault: fault})
			defer rule.Remove()
			_, _ = s.Update(t.Context(), increment)
		}
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for code, change := range map[stay.Code]func(){
		"":                  func() { mustUpdate(t, t.Context(), s) },
		stay.ErrInvalid:     refuse(stay.Invalid("", "no")),
		stay.ErrDenied:      refuse(fmt.Errorf("wrapped: %w", stay.ErrDenied)),
		stay.ErrInternal:    refuse(errors.New("of the program's own")),
		"mine":              refuse(stay.Code("mine")),
		stay.ErrUnavailable: during(storefault.Fail(nil)),
		stay.ErrUnknown:     during(storefault.Drop(nil)),
		stay.ErrBusy:        func() { _, _ = s.Update(late, increment) },
		stay.ErrNoSession:   func() { _, _ = own.Update(t.Context(), increment) },
		stay.ErrTooLarge: func() {
			_, _ = s.Update(t.Context(), func(c *counter) error { c.Label = strings.Repeat("x", 100); return nil })
		},
	} {
		m.of("stay.update.duration")
		change()
		var codes []stay.Code
		for _, one := range m.of("stay.update.duration") {
			codes = append(codes, one.Code)
		}
		wantEqual(t, fmt.Sprintf("codes of a change that ends with %q", code), codes, []stay.Code{code})
	}

	for name, change := range map[string]func(){
		"panic":  func() { panic("no") },
		"Goexit": runtime.Goexit,
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			_, _ = s.Update(t.Context(), func(*counter) error { change(); return nil })
		}()
		<-done
		wantEqual(t, name, slices.Collect(maps.Keys(m.sums("stay.update.duration"))), []string{"c internal"})
	}
}

// Runs beyond the first are counted: here another process is quicker.
func TestMetricsOfReruns(t *testing.T) {
	m := &measured{}
	handles := memstore.Shared(2)
	module := stay.Module[counter]{Name: "c", Persist: stay.Global}
	s := stay.Register(newApp(t, handles[0], &stay.Options{Metrics: m}), module)
	other := stay.Register(newApp(t, handles[1], nil), module)
	quicker := 3
	if _, err := s.Update(t.Context(), func(c *counter) error {
		if quicker--; quicker >= 0 {
			mustUpdate(t, context.Background(), other)
		}
		return increment(c)
	}); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, t.Context(), s)
	wantEqual(t, "reruns", m.values("stay.update.reruns", "c"), []float64{3})
	wantEqual(t, "changes", len(m.of("stay.update.duration")), 2)
}

// The size of a batch is how many changes one write of a record stores, that of
// a commit how many records go to the store at once.
func TestMetricsOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &measured{}
		st := behindCommitter(memstore.New())
		app := newApp(t, st, &stay.Options{Metrics: m})
		hot := stay.Register(app, stay.Module[counter]{Name: "hot", Persist: stay.Global})
		users := stay.Register(app, stay.Module[counter]{Name: "users", Persist: stay.PerUser})
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Stop(gate)})
		var all sync.WaitGroup
		update := func(s *stay.State[counter]) { all.Go(func() { mustUpdate(t, t.Context(), s) }) }
		update(hot)
		synctest.Wait() // it is at the store, alone
		for i := range 5 {
			update(hot)
			update(users.At(fmt.Sprint("u", i)))
		}
		synctest.Wait()
		rule.Remove()
		gate.Open()
		all.Wait()
		wantEqual(t, "batches of a hot state", m.values("stay.batch.size", "hot"), []float64{1, 5})
		sizes := m.values("stay.store.commit.size", "")
		if len(sizes) < 2 || sizes[0] != 1 || slices.Max(sizes) < 5 {
			t.Errorf("sizes of commits %v, want 1 and then 5 or 6 at once", sizes)
		}
		wantEqual(t, "as many durations as sizes", len(m.of("stay.store.commit.duration")), len(sizes))
	})
}

// With Debounce a batch is what one save stores, and what waits is a gauge.
func TestMetricsOfDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &measured{}
		s := stay.Register(newApp(t, memstore.New(), &stay.Options{Metrics: m}), stay.Module[counter]{Name: "c", Persist: stay.Global, Debounce: time.Second})
		for range 3 {
			mustUpdate(t, t.Context(), s)
		}
		wantEqual(t, "unsaved", m.gauge(t, "stay.cache.unsaved"), 1)
		wantEqual(t, "batches before the save", m.values("stay.batch.size", "c"), []float64{})
		sleep(2 * time.Second)
		wantEqual(t, "unsaved after the save", m.gauge(t, "stay.cache.unsaved"), 0)
		wantEqual(t, "batches", m.values("stay.batch.size", "c"), []float64{3})
	})
}

// Uses of stored states are hits and misses, what leaves to make room is
// counted, and gauges tell what is there.
func TestMetricsOfMemory(t *testing.T) {
	onEachStoreWith(t, func(t *testing.T, s store.Store) {
		m := &measured{}
		app := newApp(t, s, &stay.Options{Metrics: m, MaxInstances: 2})
		users := stay.Register(app, stay.Module[counter]{Name: "users", Persist: stay.PerUser})
		get := func(key string) {
			if _, err := users.At(key).Get(t.Context()); err != nil {
				t.Error(err)
			}
		}
		mustUpdate(t, t.Context(), users.At("a")) // read: nobody knows that it is absent
		get("a")
		get("a")
		wantEqual(t, "misses", m.sums("stay.cache.misses"), map[string]float64{"users": 1})
		wantEqual(t, "hits", m.sums("stay.cache.hits"), map[string]float64{"users": 2})
		wantEqual(t, "states", m.gauge(t, "stay.cache.states"), 1)
		if size := m.gauge(t, "stay.cache.size"); size < 200 || size > 1000 {
			t.Errorf("one state takes %d bytes", size)
		}
		for _, key := range []string{"b", "c", "d"} {
			mustUpdate(t, t.Context(), users.At(key))
		}
		get("a")
		wantEqual(t, "misses", m.sums("stay.cache.misses"), map[string]float64{"users": 4})
		wantEqual(t, "hits", m.sums("stay.cache.hits"), map[string]float64{})
		wantEqual(t, "evictions", m.sums("stay.cache.evictions"), map[string]float64{"users": 3})
		wantEqual(t, "states", m.gauge(t, "stay.cache.states"), 2)
		wantEqual(t, "ephemeral", m.gauge(t, "stay.ephemeral.states"), 0)
	})
}

// slowEviction takes a second for each eviction that it is told of.
type slowEviction struct {
	measured
	told func()
}

func (s *slowEviction) Measure(ctx context.Context, one stay.Measurement) {
	s.measured.Measure(ctx, one)
	if one.Name == "stay.cache.evictions" {
		sleep(time.Second)
		s.told()
	}
}

// A state that was loaded is counted, and room is made for it, before its
// reader goes on (E6).
func TestE6LoadedStatesAreCountedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var returned atomic.Bool
		m := &slowEviction{}
		evicted := 0
		m.told = func() {
			if evicted++; returned.Load() {
				t.Error("the reader went on before the state was counted")
			}
		}
		app := newApp(t, behindCommitter(memstore.New()), &stay.Options{Metrics: m, MaxBytes: 100 << 10})
		users := stay.Register(app, stay.Module[counter]{Name: "users", Persist: stay.PerUser})
		for _, key := range []string{"a", "b"} { // each takes 64 KiB
			_, err := users.At(key).Update(t.Context(), func(c *counter) error {
				c.Label = strings.Repeat("x", 60<<10)
				return nil
			})
			noError(t, err)
		}
		_, err := users.At("a").Get(t.Context())
		returned.Store(true)
		noError(t, err)
		synctest.Wait()
		sleep(2 * time.Second)
		wantEqual(t, "evictions", evicted, 2)
	})
}

// One read of the store serves all who wait for it, and is one miss.
func TestMetricsOfSharedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, st := &measured{}, storefault.Wrap(memstore.New(), nil)
		app := newApp(t, st, &stay.Options{Metrics: m})
		users := stay.Register(app, stay.Module[counter]{Name: "users", Persist: stay.PerUser})
		gate := storefault.NewGate()
		st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Stop(gate)})
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { mustUpdate(t, t.Context(), users.At("a")) })
		}
		synctest.Wait()
		gate.Open()
		all.Wait()
		mustUpdate(t, t.Context(), users.At("a"))
		wantEqual(t, "misses", m.sums("stay.cache.misses"), map[string]float64{"users": 1})
		wantEqual(t, "hits", m.sums("stay.cache.hits"), map[string]float64{"users": 1})
	})
}

// onEachStoreWith is onEachStore for options of the test's own.
func onEachStoreWith(t *testing.T, test func(t *testing.T, s store.Store)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, open()) })
	}
}

// Ephemeral states are counted apart: neither hits nor misses, and what is
// dropped is lost.
func TestMetricsOfEphemeralStates(t *testing.T) {
	m := &measured{}
	app := newApp(t, memstore.New(), &stay.Options{Metrics: m, MaxGuests: 2})
	s := stay.Register(app, stay.Module[counter]{Name: "e"})
	for range 5 {
		mustUpdate(t, newBrowser(app).ctx(), s)
	}
	wantEqual(t, "states", m.gauge(t, "stay.ephemeral.states"), 2)
	wantEqual(t, "dropped", m.sums("stay.ephemeral.dropped"), map[string]float64{"e": 3})
	for _, one := range slices.Concat(m.of("stay.cache.hits"), m.of("stay.cache.misses"), m.of("stay.cache.evictions"), m.of("stay.batch.size")) {
		if one.Module == "e" {
			t.Errorf("an ephemeral state counts as %+v", one)
		}
	}
}

// States that are dropped because others have grown are counted and logged as
// those are that make room for new ones (E6).
func TestMetricsOfDroppedForGrowth(t *testing.T) {
	m, log := &measured{}, &logged{}
	app := newApp(t, memstore.New(), &stay.Options{
		Metrics: m, MaxBytes: 64 << 10, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	s := stay.Register(app, stay.Module[counter]{Name: "e"})
	first, last := newBrowser(app), newBrowser(app)
	mustUpdate(t, first.ctx(), s)
	mustUpdate(t, last.ctx(), s)
	if _, err := s.Update(last.ctx(), func(c *counter) error { c.Label = strings.Repeat("x", 60<<10); return nil }); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "dropped", m.sums("stay.ephemeral.dropped"), map[string]float64{"e": 1})
	wantCount(t, first.ctx(), s, 0)
	if !strings.Contains(log.String(), "dropped_in_all=1") {
		t.Errorf("the log does not tell of it:\n%s", log)
	}
}

// What OnError is told of is counted by module, code and phase (A21).
func TestMetricsOfErrors(t *testing.T) {
	m := &measured{}
	st := storefault.Wrap(memstore.New(), nil)
	told := 0
	app := newApp(t, st, &stay.Options{Metrics: m, OnError: func(*stay.Call, *stay.Error) { told++ }})
	s := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.Global})
	fail := func(op storefault.Op) {
		rule := st.Add(storefault.Rule{Op: op, Fault: storefault.Fail(nil)})
		defer rule.Remove()
		_, err := s.Update(t.Context(), increment)
		wantCode(t, err, stay.ErrUnavailable)
	}
	fail(storefault.Load)
	fail(storefault.Commit)
	fail(storefault.Commit)
	_, err := s.Update(t.Context(), func(*counter) error { return stay.ErrDenied })
	wantCode(t, err, stay.ErrDenied) // goes to its caller only
	wantEqual(t, "commits", codesOf(m.of("stay.store.commit.duration")), []stay.Code{stay.ErrUnavailable, stay.ErrUnavailable})
	wantEqual(t, "errors", m.sums("stay.errors"), map[string]float64{"c unavailable load": 1, "c unavailable save": 2})
	wantEqual(t, "calls of OnError", told, 3)
	loads := m.sums("stay.store.load.duration")
	if len(loads) != 2 {
		t.Errorf("loads %v, want those that failed apart", loads)
	}
}

// Sessions are counted when they begin to be stored, when they are destroyed,
// and when they are removed because their time is over.
func TestMetricsOfSessions(t *testing.T) {
	onEachStoreWith(t, func(t *testing.T, st store.Store) {
		m, clk := &measured{}, newClock()
		app := newApp(t, st, &stay.Options{Metrics: m, Clock: clk.Now})
		s := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.PerSession})
		count := func() [3]float64 {
			var n [3]float64
			for i, name := range []string{"begun", "ended", "expired"} {
				n[i] = m.sums("stay.sessions." + name)[""]
			}
			return n
		}
		var browsers []*browser
		for range 4 {
			b := newBrowser(app)
			wantCount(t, b.ctx(), s, 0)
			browsers = append(browsers, b)
		}
		wantEqual(t, "readers", count(), [3]float64{})
		for _, b := range browsers {
			mustUpdate(t, b.ctx(), s)
			mustUpdate(t, b.ctx(), s)
		}
		wantEqual(t, "after changes", count(), [3]float64{4, 0, 0})
		if err := stay.SessionFrom(browsers[0].ctx()).Login(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
		ctx := browsers[0].ctx()
		for range 2 {
			if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
				t.Fatal(err)
			}
		}
		wantEqual(t, "after Destroy", count(), [3]float64{0, 1, 0})
		clk.Advance(48 * time.Hour)
		sweepNow(app)
		wantEqual(t, "after expiry", count(), [3]float64{0, 0, 3})
		if err := stay.SessionFrom(newBrowser(app).ctx()).Login(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "after a login", count(), [3]float64{1, 0, 0})
	})
}

// Every metric of the list is measured, under no other name, with no other
// attributes than the list says, and with names of modules that exist.
func TestMetricsAreThoseOfTheList(t *testing.T) {
	m, clk := &measured{}, newClock()
	handles := memstore.Shared(2)
	app := newApp(t, handles[0], &stay.Options{
		Metrics: m, Clock: clk.Now, OnError: quiet, MaxInstances: 4, MaxGuests: 1, Guests: stay.GuestMemory, StickySessions: true,
	})
	module := stay.Module[counter]{Name: "total", Persist: stay.Global}
	total := stay.Register(app, module)
	other := stay.Register(newApp(t, handles[1], nil), module)
	own := stay.Register(app, stay.Module[counter]{Name: "own", Persist: stay.PerSession})
	gone := stay.Register(app, stay.Module[counter]{Name: "gone"})
	quicker := true
	if _, err := total.Update(t.Context(), func(c *counter) error {
		if quicker {
			quicker = false
			mustUpdate(t, context.Background(), other)
		}
		return increment(c)
	}); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		b := newBrowser(app)
		for _, s := range []*stay.State[counter]{own, gone} {
			mustUpdate(t, b.ctx(), s)
		}
	}
	b := newBrowser(app)
	mustUpdate(t, b.ctx(), own)
	ctx := b.ctx()
	if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	clk.Advance(48 * time.Hour)
	sweepNow(app)
	func() {
		defer func() { _ = recover() }()
		_, _ = total.Update(t.Context(), func(*counter) error { panic("no") })
	}()

	seen := map[string]bool{}
	for name := range m.gauges {
		seen[name] = true
	}
	list := map[string]stay.Metric{}
	for _, metric := range stay.AllMetrics() {
		list[metric.Name] = metric
	}
	for _, one := range m.all {
		seen[one.Name] = true
		for attribute, value := range map[string]string{"stay.module": one.Module, "stay.action": one.Action, "error.type": string(one.Code), "stay.phase": one.Phase} {
			if value != "" && !slices.Contains(list[one.Name].Attributes, attribute) {
				t.Errorf("%s has %s = %q, which the list does not tell", one.Name, attribute, value)
			}
		}
		if !slices.Contains([]string{"", "total", "own", "gone"}, one.Module) {
			t.Errorf("%s names the module %q", one.Name, one.Module)
		}
		if one.Value < 0 || one.Value == 0 && list[one.Name].Kind == "counter" {
			t.Errorf("%s has the value %v", one.Name, one.Value)
		}
	}
	wantEqual(t, "names", slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(list)))
}

// The list is one that instruments can be made of.
func TestAllMetrics(t *testing.T) {
	names := map[string]bool{}
	for _, m := range stay.AllMetrics() {
		if names[m.Name] || !strings.HasPrefix(m.Name, "stay.") {
			t.Errorf("the name %q is taken or strange", m.Name)
		}
		names[m.Name] = true
		if !slices.Contains([]string{"counter", "histogram", "gauge"}, m.Kind) || m.Unit == "" || !strings.HasSuffix(m.Description, ".") {
			t.Errorf("%+v", m)
		}
		if (len(m.Buckets) > 0) != (m.Kind == "histogram") || !slices.IsSorted(m.Buckets) {
			t.Errorf("%s: buckets %v", m.Name, m.Buckets)
		}
	}
	stay.AllMetrics()[0].Buckets[0] = 7
	stay.AllMetrics()[0].Attributes[0] = "x"
	if m := stay.AllMetrics()[0]; m.Buckets[0] == 7 || m.Attributes[0] == "x" {
		t.Error("the list is shared with its callers")
	}
}

// Nobody reads the gauges of an App that is closed.
func TestMetricsEndWithTheApp(t *testing.T) {
	m := &measured{}
	app := newApp(t, memstore.New(), &stay.Options{Metrics: m})
	if len(m.gauges) == 0 {
		t.Error("no gauges")
	}
	for range 2 {
		if err := app.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.gauges) != 0 {
		t.Errorf("still read after Close: %v", slices.Collect(maps.Keys(m.gauges)))
	}
}

// A stopper counts how often it is told that nobody reads a gauge any more.
type stopper struct {
	measured
	stops map[string]int
}

func (s *stopper) Observe(name string, _ func() int64) (stop func()) {
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stops[name]++
	}
}

// What Observe returned is called once, however often the App is closed.
func TestGaugesStopOnce(t *testing.T) {
	s := &stopper{stops: map[string]int{}}
	app := stay.New(memstore.New(), &stay.Options{Metrics: s})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := app.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for name, n := range s.stops {
		if n != 1 {
			t.Errorf("%s: stopped %d times", name, n)
		}
	}
	if len(s.stops) == 0 {
		t.Error("nobody was told")
	}
}

// panicky panics at every measurement.
type panicky struct{}

func (panicky) Measure(context.Context, stay.Measurement)  { panic("metrics") }
func (panicky) Observe(string, func() int64) (stop func()) { return func() {} }

// Metrics that panic are reported, and everything goes on: the next change has
// its turn, and what was acknowledged is there.
func TestMetricsThatPanic(t *testing.T) {
	for name, st := range map[string]store.Store{"immediate": memstore.New(), "committer": behindCommitter(memstore.New())} {
		t.Run(name, func(t *testing.T) {
			log := &logged{}
			app := newApp(t, st, &stay.Options{Metrics: panicky{}, Logger: slog.New(slog.NewTextHandler(log, nil))})
			count := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.Global})
			for range 3 {
				mustUpdate(t, t.Context(), count)
			}
			wantCount(t, t.Context(), count, 3)
			if !strings.Contains(log.String(), "Metrics panicked") {
				t.Error("nothing was logged")
			}
		})
	}
}
