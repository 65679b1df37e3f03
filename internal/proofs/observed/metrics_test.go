package observed_test

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

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A change is measured once, from its call to its return, and so is how long it
// waited for its turn.
func TestMetricsOfChanges(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &testkit.Measured{}
				s := stay.Register(testkit.NewApp(t, open(), &stay.Options{Metrics: m}), stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
				running := make(chan struct{})
				var all sync.WaitGroup
				all.Go(func() {
					_, err := s.Update(t.Context(), func(c *testkit.Counter) error {
						close(running)
						testkit.Sleep(2 * time.Second)
						return testkit.Increment(c)
					})
					if err != nil {
						t.Error(err)
					}
				})
				<-running
				all.Go(func() { testkit.MustUpdate(t, t.Context(), s) })
				all.Wait()
				testkit.WantEqual(t, "durations", slices.Sorted(slices.Values(m.Values("stay.update.duration", "c"))), []float64{2, 2})
				testkit.WantEqual(t, "waiting", slices.Sorted(slices.Values(m.Values("stay.update.wait_time", "c"))), []float64{0, 2})
				testkit.WantEqual(t, "reruns", m.Of("stay.update.reruns"), []stay.Measurement{})
			})
		})
	}
}

// However a change ends, it is measured once, by module and code.
func TestMetricsByCode(t *testing.T) { synctest.Test(t, testMetricsByCode) }

func testMetricsByCode(t *testing.T) {
	m := &testkit.Measured{}
	st := testkit.BehindCommitter(memstore.New())
	app := testkit.NewApp(t, st, &stay.Options{Metrics: m, OnError: testkit.Quiet, MaxState: 64})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
	refuse := func(err error) func() {
		return func() { _, _ = s.Update(t.Context(), func(*testkit.Counter) error { return err }) }
	}
	during := func(fault storefault.Fault) func() {
		return func() {
			rule := st.Add(storefault.Rule{Op: storefault.Commit, Match: testkit.StoresNoList, Fault: fault})
			defer rule.Remove()
			_, _ = s.Update(t.Context(), testkit.Increment)
		}
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for code, change := range map[stay.Code]func(){
		"":                  func() { testkit.MustUpdate(t, t.Context(), s) },
		stay.ErrInvalid:     refuse(stay.Invalid("", "no")),
		stay.ErrDenied:      refuse(fmt.Errorf("wrapped: %w", stay.ErrDenied)),
		stay.ErrInternal:    refuse(errors.New("of the program's own")),
		"mine":              refuse(stay.Code("mine")),
		stay.ErrUnavailable: during(storefault.Fail(nil)),
		stay.ErrUnknown:     during(storefault.Drop(nil)),
		stay.ErrBusy:        func() { _, _ = s.Update(late, testkit.Increment) },
		stay.ErrNoSession:   func() { _, _ = own.Update(t.Context(), testkit.Increment) },
		stay.ErrTooLarge: func() {
			_, _ = s.Update(t.Context(), func(c *testkit.Counter) error { c.Label = strings.Repeat("x", 100); return nil })
		},
	} {
		m.Of("stay.update.duration")
		change()
		var codes []stay.Code
		for _, one := range m.Of("stay.update.duration") {
			codes = append(codes, one.Code)
		}
		testkit.WantEqual(t, fmt.Sprintf("codes of a change that ends with %q", code), codes, []stay.Code{code})
	}

	for name, change := range map[string]func(){
		"panic":  func() { panic("no") },
		"Goexit": runtime.Goexit,
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			_, _ = s.Update(t.Context(), func(*testkit.Counter) error { change(); return nil })
		}()
		<-done
		testkit.WantEqual(t, name, slices.Collect(maps.Keys(m.Sums("stay.update.duration"))), []string{"c internal"})
	}
}

// Runs beyond the first are counted: here another process is quicker.
func TestMetricsOfReruns(t *testing.T) {
	m := &testkit.Measured{}
	handles := memstore.Shared(2)
	module := stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global}
	s := stay.Register(testkit.NewApp(t, handles[0], &stay.Options{Metrics: m}), module)
	other := stay.Register(testkit.NewApp(t, handles[1], nil), module)
	quicker := 3
	if _, err := s.Update(t.Context(), func(c *testkit.Counter) error {
		if quicker--; quicker >= 0 {
			testkit.MustUpdate(t, context.Background(), other)
		}
		return testkit.Increment(c)
	}); err != nil {
		t.Fatal(err)
	}
	testkit.MustUpdate(t, t.Context(), s)
	testkit.WantEqual(t, "reruns", m.Values("stay.update.reruns", "c"), []float64{3})
	testkit.WantEqual(t, "changes", len(m.Of("stay.update.duration")), 2)
}

// The size of a batch is the number of changes that one write of a record
// stores, the size of a commit the number of records that go to the store at
// once.
func TestMetricsOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &testkit.Measured{}
		st := testkit.BehindCommitter(memstore.New())
		app := testkit.NewApp(t, st, &stay.Options{Metrics: m})
		hot := stay.Register(app, stay.Module[testkit.Counter]{Name: "hot", Persist: stay.Global})
		users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
		gate := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Stop(gate)})
		var all sync.WaitGroup
		update := func(s *stay.State[testkit.Counter]) { all.Go(func() { testkit.MustUpdate(t, t.Context(), s) }) }
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
		testkit.WantEqual(t, "batches of a hot state", m.Values("stay.batch.size", "hot"), []float64{1, 5})
		sizes := m.Values("stay.store.commit.size", "")
		if len(sizes) < 2 || sizes[0] != 1 || slices.Max(sizes) < 5 {
			t.Errorf("sizes of commits %v, want 1 and then 5 or 6 at once", sizes)
		}
		testkit.WantEqual(t, "as many durations as sizes", len(m.Of("stay.store.commit.duration")), len(sizes))
	})
}

// With Debounce a batch has the changes that one save stores, and a gauge has
// the waiting ones.
func TestMetricsOfDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &testkit.Measured{}
		s := stay.Register(testkit.NewApp(t, memstore.New(), &stay.Options{Metrics: m}), stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Debounce: time.Second})
		for range 3 {
			testkit.MustUpdate(t, t.Context(), s)
		}
		testkit.WantEqual(t, "unsaved", m.Gauge(t, "stay.cache.unsaved"), 1)
		testkit.WantEqual(t, "batches before the save", m.Values("stay.batch.size", "c"), []float64{})
		testkit.Sleep(2 * time.Second)
		testkit.WantEqual(t, "unsaved after the save", m.Gauge(t, "stay.cache.unsaved"), 0)
		testkit.WantEqual(t, "batches", m.Values("stay.batch.size", "c"), []float64{3})
	})
}

// Uses of stored states are hits and misses, evictions are counted, and gauges
// have the number of states.
func TestMetricsOfMemory(t *testing.T) {
	testkit.OnEachStore(t, func(t *testing.T, s store.Store) {
		m := &testkit.Measured{}
		app := testkit.NewApp(t, s, &stay.Options{Metrics: m, MaxInstances: 2})
		users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
		get := func(key string) {
			if _, err := users.At(key).Get(t.Context()); err != nil {
				t.Error(err)
			}
		}
		testkit.MustUpdate(t, t.Context(), users.At("a")) // read: nobody knows that it is absent
		get("a")
		get("a")
		testkit.WantEqual(t, "misses", m.Sums("stay.cache.misses"), map[string]float64{"users": 1})
		testkit.WantEqual(t, "hits", m.Sums("stay.cache.hits"), map[string]float64{"users": 2})
		testkit.WantEqual(t, "states", m.Gauge(t, "stay.cache.states"), 1)
		if size := m.Gauge(t, "stay.cache.size"); size < 200 || size > 1000 {
			t.Errorf("one state takes %d bytes", size)
		}
		for _, key := range []string{"b", "c", "d"} {
			testkit.MustUpdate(t, t.Context(), users.At(key))
		}
		get("a")
		testkit.WantEqual(t, "misses", m.Sums("stay.cache.misses"), map[string]float64{"users": 4})
		testkit.WantEqual(t, "hits", m.Sums("stay.cache.hits"), map[string]float64{})
		testkit.WantEqual(t, "evictions", m.Sums("stay.cache.evictions"), map[string]float64{"users": 3})
		testkit.WantEqual(t, "states", m.Gauge(t, "stay.cache.states"), 2)
		testkit.WantEqual(t, "ephemeral", m.Gauge(t, "stay.ephemeral.states"), 0)
	})
}

// slowEviction takes a second for each eviction that it measures.
type slowEviction struct {
	testkit.Measured
	told func()
}

func (s *slowEviction) Measure(ctx context.Context, one stay.Measurement) {
	s.Measured.Measure(ctx, one)
	if one.Name == "stay.cache.evictions" {
		testkit.Sleep(time.Second)
		s.told()
	}
}

// A state that was loaded is counted, and room is made for it, before its
// reader goes on.
//
// Proves E6.
func TestLoadedStatesAreCountedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var returned atomic.Bool
		m := &slowEviction{}
		evicted := 0
		m.told = func() {
			if evicted++; returned.Load() {
				t.Error("the reader went on before the state was counted")
			}
		}
		app := testkit.NewApp(t, testkit.BehindCommitter(memstore.New()), &stay.Options{Metrics: m, MaxBytes: 100 << 10})
		users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
		for _, key := range []string{"a", "b"} { // each takes 64 KiB
			_, err := users.At(key).Update(t.Context(), func(c *testkit.Counter) error {
				c.Label = strings.Repeat("x", 60<<10)
				return nil
			})
			testkit.NoError(t, err)
		}
		_, err := users.At("a").Get(t.Context())
		returned.Store(true)
		testkit.NoError(t, err)
		synctest.Wait()
		testkit.Sleep(2 * time.Second)
		testkit.WantEqual(t, "evictions", evicted, 2)
	})
}

// One read of the store serves all who wait for it, and is one miss.
func TestMetricsOfSharedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, st := &testkit.Measured{}, storefault.Wrap(memstore.New(), nil)
		app := testkit.NewApp(t, st, &stay.Options{Metrics: m})
		users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
		gate := storefault.NewGate()
		st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Stop(gate)})
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { testkit.MustUpdate(t, t.Context(), users.At("a")) })
		}
		synctest.Wait()
		gate.Open()
		all.Wait()
		testkit.MustUpdate(t, t.Context(), users.At("a"))
		testkit.WantEqual(t, "misses", m.Sums("stay.cache.misses"), map[string]float64{"users": 1})
		testkit.WantEqual(t, "hits", m.Sums("stay.cache.hits"), map[string]float64{"users": 1})
	})
}

// Ephemeral states are counted separately: they are neither hits nor misses,
// and dropped ones are lost.
func TestMetricsOfEphemeralStates(t *testing.T) {
	m := &testkit.Measured{}
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Metrics: m, MaxGuests: 2})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "e"})
	for range 5 {
		testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), s)
	}
	testkit.WantEqual(t, "states", m.Gauge(t, "stay.ephemeral.states"), 2)
	testkit.WantEqual(t, "dropped", m.Sums("stay.ephemeral.dropped"), map[string]float64{"e": 3})
	for _, one := range slices.Concat(m.Of("stay.cache.hits"), m.Of("stay.cache.misses"), m.Of("stay.cache.evictions"), m.Of("stay.batch.size")) {
		if one.Module == "e" {
			t.Errorf("an ephemeral state counts as %+v", one)
		}
	}
}

// States that are dropped because others have grown are counted and logged as
// those are that make room for new ones.
//
// Proves E6.
func TestMetricsOfDroppedForGrowth(t *testing.T) {
	m, log := &testkit.Measured{}, &logged{}
	app := testkit.NewApp(t, memstore.New(), &stay.Options{
		Metrics: m, MaxBytes: 64 << 10, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "e"})
	first, last := testkit.NewBrowser(app), testkit.NewBrowser(app)
	testkit.MustUpdate(t, first.Ctx(), s)
	testkit.MustUpdate(t, last.Ctx(), s)
	if _, err := s.Update(last.Ctx(), func(c *testkit.Counter) error { c.Label = strings.Repeat("x", 60<<10); return nil }); err != nil {
		t.Fatal(err)
	}
	testkit.WantEqual(t, "dropped", m.Sums("stay.ephemeral.dropped"), map[string]float64{"e": 1})
	testkit.WantCount(t, first.Ctx(), s, 0)
	if !strings.Contains(log.String(), "dropped_total=1") {
		t.Errorf("the log does not tell of it:\n%s", log)
	}
}

// Failures that OnError gets are counted by module, code and phase.
//
// Proves A21.
func TestMetricsOfErrors(t *testing.T) {
	m := &testkit.Measured{}
	st := storefault.Wrap(memstore.New(), nil)
	told := 0
	app := testkit.NewApp(t, st, &stay.Options{Metrics: m, OnError: func(*stay.Call, *stay.Error) { told++ }})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	fail := func(op storefault.Op) {
		rule := st.Add(storefault.Rule{Op: op, Fault: storefault.Fail(nil)})
		defer rule.Remove()
		_, err := s.Update(t.Context(), testkit.Increment)
		testkit.WantCode(t, err, stay.ErrUnavailable)
	}
	fail(storefault.Load)
	fail(storefault.Commit)
	fail(storefault.Commit)
	_, err := s.Update(t.Context(), func(*testkit.Counter) error { return stay.ErrDenied })
	testkit.WantCode(t, err, stay.ErrDenied) // goes to its caller only
	testkit.WantEqual(t, "commits", codesOf(m.Of("stay.store.commit.duration")), []stay.Code{stay.ErrUnavailable, stay.ErrUnavailable})
	testkit.WantEqual(t, "errors", m.Sums("stay.errors"), map[string]float64{"c unavailable load": 1, "c unavailable save": 2})
	testkit.WantEqual(t, "calls of OnError", told, 3)
	loads := m.Sums("stay.store.load.duration")
	if len(loads) != 2 {
		t.Errorf("loads %v, want those that failed apart", loads)
	}
}

// Sessions are counted when they begin to be stored, when they are destroyed,
// and when they are removed because their time is over.
func TestMetricsOfSessions(t *testing.T) {
	testkit.OnEachStore(t, func(t *testing.T, st store.Store) {
		m, clk := &testkit.Measured{}, testkit.NewClock()
		app := testkit.NewApp(t, st, &stay.Options{Metrics: m, Clock: clk.Now})
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
		count := func() [3]float64 {
			var n [3]float64
			for i, name := range []string{"begun", "ended", "expired"} {
				n[i] = m.Sums("stay.sessions." + name)[""]
			}
			return n
		}
		var browsers []*testkit.Browser
		for range 4 {
			b := testkit.NewBrowser(app)
			testkit.WantCount(t, b.Ctx(), s, 0)
			browsers = append(browsers, b)
		}
		testkit.WantEqual(t, "readers", count(), [3]float64{})
		for _, b := range browsers {
			testkit.MustUpdate(t, b.Ctx(), s)
			testkit.MustUpdate(t, b.Ctx(), s)
		}
		testkit.WantEqual(t, "after changes", count(), [3]float64{4, 0, 0})
		if err := stay.SessionFrom(browsers[0].Ctx()).Login(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
		ctx := browsers[0].Ctx()
		for range 2 {
			if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
				t.Fatal(err)
			}
		}
		testkit.WantEqual(t, "after Destroy", count(), [3]float64{0, 1, 0})
		clk.Advance(48 * time.Hour)
		testkit.Sweep(app)
		testkit.WantEqual(t, "after expiry", count(), [3]float64{0, 0, 3})
		if err := stay.SessionFrom(testkit.NewBrowser(app).Ctx()).Login(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
		testkit.WantEqual(t, "after a login", count(), [3]float64{1, 0, 0})
	})
}

// Every metric of the list is measured, under no other name, with no other
// attributes than the list says, and with names of modules that exist.
func TestMetricsAreThoseOfTheList(t *testing.T) {
	m, clk := &testkit.Measured{}, testkit.NewClock()
	handles := memstore.Shared(2)
	app := testkit.NewApp(t, handles[0], &stay.Options{
		Metrics: m, Clock: clk.Now, OnError: testkit.Quiet, MaxInstances: 4, MaxGuests: 1, Guests: stay.GuestMemory, StickySessions: true,
	})
	module := stay.Module[testkit.Counter]{Name: "total", Persist: stay.Global}
	total := stay.Register(app, module)
	other := stay.Register(testkit.NewApp(t, handles[1], nil), module)
	own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
	gone := stay.Register(app, stay.Module[testkit.Counter]{Name: "gone"})
	quicker := true
	if _, err := total.Update(t.Context(), func(c *testkit.Counter) error {
		if quicker {
			quicker = false
			testkit.MustUpdate(t, context.Background(), other)
		}
		return testkit.Increment(c)
	}); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		b := testkit.NewBrowser(app)
		for _, s := range []*stay.State[testkit.Counter]{own, gone} {
			testkit.MustUpdate(t, b.Ctx(), s)
		}
	}
	b := testkit.NewBrowser(app)
	testkit.MustUpdate(t, b.Ctx(), own)
	ctx := b.Ctx()
	if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	clk.Advance(48 * time.Hour)
	testkit.Sweep(app)
	func() {
		defer func() { _ = recover() }()
		_, _ = total.Update(t.Context(), func(*testkit.Counter) error { panic("no") })
	}()
	for i := range 257 { // one more than a state remembers
		testkit.MustUpdate(t, stay.Once(t.Context(), fmt.Sprint(i)), total)
	}

	seen := map[string]bool{}
	for name := range m.Gauges {
		seen[name] = true
	}
	list := map[string]stay.Metric{}
	for _, metric := range stay.AllMetrics() {
		list[metric.Name] = metric
	}
	for _, one := range m.All {
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
	testkit.WantEqual(t, "names", slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(list)))
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
	m := &testkit.Measured{}
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Metrics: m})
	if len(m.Gauges) == 0 {
		t.Error("no gauges")
	}
	for range 2 {
		if err := app.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.Gauges) != 0 {
		t.Errorf("still read after Close: %v", slices.Collect(maps.Keys(m.Gauges)))
	}
}

// A stopper counts the calls that end a gauge.
type stopper struct {
	testkit.Measured
	lock  sync.Mutex
	stops map[string]int
}

func (s *stopper) Observe(name string, _ func() int64) (stop func()) {
	return func() {
		s.lock.Lock()
		defer s.lock.Unlock()
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
// its turn, and acknowledged changes are kept.
func TestMetricsThatPanic(t *testing.T) {
	for name, st := range map[string]store.Store{"immediate": memstore.New(), "committer": testkit.BehindCommitter(memstore.New())} {
		t.Run(name, func(t *testing.T) {
			log := &logged{}
			app := testkit.NewApp(t, st, &stay.Options{Metrics: panicky{}, Logger: slog.New(slog.NewTextHandler(log, nil))})
			count := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
			for range 3 {
				testkit.MustUpdate(t, t.Context(), count)
			}
			testkit.WantCount(t, t.Context(), count, 3)
			if !strings.Contains(log.String(), "Metrics panicked") {
				t.Error("nothing was logged")
			}
		})
	}
}
