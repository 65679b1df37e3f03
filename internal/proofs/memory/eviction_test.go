package memory_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// States that grow are counted with their new size: those beyond MaxBytes leave
// memory although nothing new was loaded.
//
// Proves E6.
func TestMaxBytesCountsGrowth(t *testing.T) {
	const n = 30
	st := storefault.Wrap(memstore.New(), nil)
	app := testkit.NewApp(t, st, &stay.Options{MaxBytes: 1 << 20})
	s := stay.Register(app, stay.Module[testkit.Text]{Name: "text", Persist: stay.PerSession})
	write := func(b *testkit.Browser, value string) {
		if _, err := s.Update(b.Ctx(), func(x *testkit.Text) error { x.Text = value; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	var browsers []*testkit.Browser
	for range n {
		b := testkit.NewBrowser(app)
		write(b, "x")
		browsers = append(browsers, b)
	}
	large := strings.Repeat("y", 100_000)
	for _, b := range browsers {
		write(b, large)
	}
	before := st.Count(storefault.Load)
	for _, b := range browsers {
		if got, err := s.Get(b.Ctx()); err != nil || got.Text != large {
			t.Fatalf("an evicted state reads wrong: %v", err)
		}
	}
	// At twice their size, about five of them fit.
	if loads := st.Count(storefault.Load) - before; loads < n-10 {
		t.Errorf("only %d of %d states of 100 kB were loaded again: the others were kept beyond 1 MiB", loads, n)
	}
}

// States in use are passed over when room is made, however many stand first in
// the order of use, and keep their change.
//
// Proves E6.
func TestEvictionPassesOverWhatIsInUse(t *testing.T) {
	const inUse, others, limit = 150, 600, 400
	app := testkit.NewApp(t, testkit.BehindCommitter(memstore.New()), &stay.Options{MaxInstances: limit})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
	goOn := make(chan struct{})
	var running, over sync.WaitGroup
	var browsers []*testkit.Browser
	for range inUse {
		b := testkit.NewBrowser(app)
		ctx := b.Ctx()
		testkit.WantCount(t, ctx, s, 0)
		browsers = append(browsers, b)
		running.Add(1)
		over.Go(func() {
			var once sync.Once
			_, err := s.Update(ctx, func(c *testkit.Counter) error {
				once.Do(running.Done)
				<-goOn
				return testkit.Increment(c)
			})
			if err != nil {
				t.Errorf("a change of a state in use: %v", err)
			}
		})
	}
	running.Wait()
	for i := range others {
		if _, err := s.Update(testkit.NewBrowser(app).Ctx(), testkit.Increment); err != nil {
			t.Errorf("after %d others: %v", i, err)
			break
		}
	}
	close(goOn)
	over.Wait()
	for _, b := range browsers {
		testkit.WantCount(t, b.Ctx(), s, 1)
	}
}

// Ephemeral states are dropped in the order of use: the one used latest stays,
// the one used first goes, and not before there are too many.
//
// Proves A12, E6.
func TestEphemeralStatesGoInTheOrderOfUse(t *testing.T) {
	const limit = 24
	app := testkit.NewApp(t, memstore.New(), &stay.Options{MaxGuests: limit, Logger: slog.New(slog.DiscardHandler)})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s"})
	used, unused, full := testkit.NewBrowser(app), testkit.NewBrowser(app), testkit.NewBrowser(app)
	testkit.MustUpdate(t, full.Ctx(), s)
	testkit.MustUpdate(t, used.Ctx(), s)
	testkit.MustUpdate(t, unused.Ctx(), s)
	for i := range 300 {
		testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), s)
		if got, err := s.Get(used.Ctx()); err != nil || got.Count != 1 {
			t.Fatalf("after %d others the latest used reads %+v, %v", i, got, err)
		}
		if i == limit-4 { // the limit is reached
			testkit.WantCount(t, full.Ctx(), s, 1)
		}
	}
	testkit.WantCount(t, unused.Ctx(), s, 0)
}

// A Global state that is read all the time stays in memory, though reading it
// does not move it to the front; one that is not read makes room.
//
// Proves E6.
func TestGlobalStatesThatAreReadStay(t *testing.T) {
	const limit = 20
	st := storefault.Wrap(memstore.New(), nil)
	app := testkit.NewApp(t, st, &stay.Options{MaxInstances: limit})
	global := stay.Register(app, stay.Module[testkit.Counter]{Name: "global", Persist: stay.Global})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
	if _, err := global.Update(t.Context(), testkit.Increment); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(testkit.NewBrowser(app).Ctx(), testkit.Increment); err != nil { // loads the signing keys
		t.Fatal(err)
	}
	for _, c := range []struct {
		read  bool
		loads int
	}{{true, 0}, {false, 1}} {
		before := st.Count(storefault.Load)
		for range 5 * limit {
			if c.read {
				testkit.WantCount(t, t.Context(), global, 1)
			}
			if _, err := s.Update(testkit.NewBrowser(app).Ctx(), testkit.Increment); err != nil {
				t.Fatal(err)
			}
		}
		testkit.WantCount(t, t.Context(), global, 1)
		if loads := st.Count(storefault.Load) - before; loads != c.loads {
			t.Errorf("read meanwhile: %t: loaded %d times, want %d", c.read, loads, c.loads)
		}
	}
}
