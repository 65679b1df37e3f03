package stay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Concurrent changes of one state are all kept.
//
// Proves A5, A19, B11.
func TestNoUpdateIsLost(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		states := []*stay.State[testkit.Counter]{
			stay.Register(app, stay.Module[testkit.Counter]{Name: "global", Persist: stay.Global}),
			stay.Register(app, stay.Module[testkit.Counter]{Name: "session", Persist: stay.PerSession}),
			stay.Register(app, stay.Module[testkit.Counter]{Name: "ephemeral"}),
		}
		ctx := testkit.NewBrowser(app).Ctx()
		for _, s := range states {
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					for range 50 {
						if _, err := s.Update(ctx, testkit.Increment); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			testkit.WantCount(t, ctx, s, 32*50)
		}
	})
}

// Each session has its own state, each module its own key.
//
// Proves A4, B4, B10.
func TestEachSessionHasItsOwnState(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
		other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.PerSession})
		a, b := testkit.NewBrowser(app), testkit.NewBrowser(app)
		for range 3 {
			testkit.MustUpdate(t, a.Ctx(), clicks)
		}
		testkit.WantCount(t, a.Ctx(), clicks, 3)
		testkit.WantCount(t, b.Ctx(), clicks, 0)
		testkit.MustUpdate(t, b.Ctx(), clicks)
		testkit.WantCount(t, b.Ctx(), clicks, 1)
		testkit.WantCount(t, a.Ctx(), other, 0)
	})
}

// State outlives the App that wrote it; sessions too.
//
// Proves A3.
func TestStateOutlivesItsApp(t *testing.T) {
	keep := memstore.New()
	module := stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession}
	app := stay.New(testkit.Unclosed{Store: keep}, nil)
	b := testkit.NewBrowser(app)
	testkit.MustUpdate(t, b.Ctx(), stay.Register(app, module))
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	app = testkit.NewApp(t, keep, nil)
	again := testkit.NewBrowser(app)
	again.Token = b.Token
	testkit.WantCount(t, again.Ctx(), stay.Register(app, module), 1)
}

// A failed, panicking or ending change leaves nothing behind, and the key goes
// on working.
//
// Proves A19, E10.
func TestChangeIsAllOrNothing(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		var reported []*stay.Error
		var mu sync.Mutex
		s := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "c", Persist: stay.Global,
			OnError: func(_ *stay.Call, e *stay.Error) {
				mu.Lock()
				defer mu.Unlock()
				reported = append(reported, e)
			},
		})
		ctx := t.Context()
		boom := errors.New("boom")
		_, err := s.Update(ctx, func(c *testkit.Counter) error { c.Count = 99; return boom })
		if err != boom { //nolint:errorlint // it must be the very same
			t.Errorf("the error of the action is %v, want it as it is", err)
		}
		if len(reported) != 0 {
			t.Errorf("an error that an action returns goes to its caller only, not to OnError: %v", reported[0])
		}
		func() {
			defer func() {
				if p := recover(); p != "crash" {
					t.Errorf("recovered %v, want the panic of the action", p)
				}
			}()
			_, _ = s.Update(ctx, func(c *testkit.Counter) error { c.Count = 99; panic("crash") })
		}()
		if len(reported) != 1 || reported[0].Module != "c" || reported[0].Phase != "run" || reported[0].Code != stay.ErrInternal {
			t.Errorf("OnError was told %v of the panic (A21)", reported)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = s.Update(ctx, func(c *testkit.Counter) error {
				c.Count = 99
				testkit.Goexit()
				return nil
			})
		}()
		<-done
		testkit.WantCount(t, ctx, s, 0)
		testkit.MustUpdate(t, ctx, s)
		testkit.WantCount(t, ctx, s, 1)
	})
}

// No caller shares memory with the committed state.
//
// Proves M1, E3.
func TestNobodySharesMemoryWithTheCommittedState(t *testing.T) {
	type lists struct {
		Items []string          `json:"items"`
		Names map[string]string `json:"names"`
	}
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		initial := lists{Items: []string{"a"}, Names: map[string]string{"k": "v"}}
		s := stay.Register(app, stay.Module[lists]{Name: "l", Persist: stay.Global, Initial: initial})
		ctx := t.Context()
		initial.Items[0] = "changed"
		var leaked *lists
		got, err := s.Update(ctx, func(l *lists) error { l.Items = append(l.Items, "b"); leaked = l; return nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []*lists{got, leaked} {
			l.Items[0], l.Names["k"] = "scribble", "scribble"
		}
		if got, err = s.Get(ctx); err != nil || !slices.Equal(got.Items, []string{"a", "b"}) || got.Names["k"] != "v" {
			t.Errorf("somebody else's change shows: %+v, %v", got, err)
		}
		got.Items[0], got.Names["k"] = "scribble", "scribble"
		if got, err = s.Get(ctx); err != nil || got.Items[0] != "a" || got.Names["k"] != "v" {
			t.Errorf("what was read is the state itself: %+v, %v", got, err)
		}
		if _, err := s.ResetAll(ctx); err != nil {
			t.Fatal(err)
		}
		if got, err = s.Get(ctx); err != nil || !slices.Equal(got.Items, []string{"a"}) {
			t.Errorf("the initial value was changed: %+v, %v", got, err)
		}
	})
}

// A change that changes nothing writes nothing.
//
// Proves A16.
func TestUnchangedStateIsNotSaved(t *testing.T) {
	st := testkit.BehindCommitter(memstore.New())
	app := testkit.NewApp(t, st, nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	testkit.MustUpdate(t, t.Context(), s)
	before := st.Count(storefault.Commit)
	for range 10 {
		if _, err := s.Update(t.Context(), func(*testkit.Counter) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := st.Count(storefault.Commit); n != before {
		t.Errorf("%d commits for changes that change nothing", n-before)
	}
}

// Reset keeps preserved fields, ResetAll none.
//
// Proves B7.
func TestResetKeepsPreservedFields(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession, Initial: testkit.Counter{Count: 5, Label: "initial"}})
		ctx := testkit.NewBrowser(app).Ctx()
		if _, err := s.Update(ctx, func(c *testkit.Counter) error { c.Count, c.Label = 9, "mine"; return nil }); err != nil {
			t.Fatal(err)
		}
		got, err := s.Reset(ctx)
		if err != nil || *got != (testkit.Counter{Count: 5, Label: "mine"}) {
			t.Errorf("Reset gives %+v, %v", got, err)
		}
		got, err = s.ResetAll(ctx)
		if err != nil || *got != (testkit.Counter{Count: 5, Label: "initial"}) {
			t.Errorf("ResetAll gives %+v, %v", got, err)
		}
	})
}

// Delete removes the record; the state is initial again and can be stored
// again.
func TestDelete(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		for _, s := range []*stay.State[testkit.Counter]{
			stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global}),
			stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession}),
			stay.Register(app, stay.Module[testkit.Counter]{Name: "e"}),
		} {
			ctx := testkit.NewBrowser(app).Ctx()
			if err := s.Delete(ctx); err != nil {
				t.Errorf("%s: deleting what is not there: %v", s.Name(), err)
			}
			testkit.MustUpdate(t, ctx, s)
			if err := s.Delete(ctx); err != nil {
				t.Fatal(err)
			}
			testkit.WantCount(t, ctx, s, 0)
			testkit.MustUpdate(t, ctx, s)
			testkit.WantCount(t, ctx, s, 1)
		}
	})
}

// Keys lists what is stored, At reaches it by key.
func TestKeysAndAt(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		g := stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
		e := stay.Register(app, stay.Module[testkit.Counter]{Name: "e"})
		var want []string
		for range 300 {
			ctx := testkit.NewBrowser(app).Ctx()
			testkit.MustUpdate(t, ctx, s)
			want = append(want, stay.SessionFrom(ctx).ID())
		}
		slices.Sort(want)
		var got []string
		for key, err := range s.Keys(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Keys yields %d keys, want the %d sessions in order", len(got), len(want))
		}
		for key, err := range g.Keys(t.Context()) {
			t.Errorf("a Global state that is not stored has the key %q, %v", key, err)
		}
		testkit.MustUpdate(t, t.Context(), g)
		for key, err := range g.Keys(t.Context()) {
			if key != "" || err != nil {
				t.Errorf("the key of a Global state is %q, %v", key, err)
			}
		}
		for _, err := range e.Keys(t.Context()) {
			testkit.WantCode(t, err, stay.ErrInvalid)
		}

		testkit.MustUpdate(t, t.Context(), s.At(want[7]))
		testkit.WantCount(t, t.Context(), s.At(want[7]), 2)
		for _, key := range []string{"", "nobody", want[0][1:] + "0"} {
			_, err := s.At(key).Get(t.Context())
			testkit.WantCode(t, err, stay.ErrNotFound)
			_, err = s.At(key).Update(t.Context(), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrNotFound)
		}
		for _, state := range []*stay.State[testkit.Counter]{g, e} {
			_, err := state.At("x").Get(t.Context())
			testkit.WantCode(t, err, stay.ErrInvalid)
		}
	})
}

// A value that JSON cannot hold is refused or normalized at the change, never
// at the next load.
//
// Proves M5.
func TestValuesThatJSONWouldChange(t *testing.T) {
	type loose struct {
		F    float64 `json:"f"`
		Text string  `json:"text"`
		Any  any     `json:"any"`
	}
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[loose]{Name: "l", Persist: stay.Global})
		nan := 0.0
		_, err := s.Update(t.Context(), func(l *loose) error { l.F = nan / nan; return nil })
		testkit.WantCode(t, err, stay.ErrInvalid)
		got, err := s.Update(t.Context(), func(l *loose) error { l.Text, l.Any = "a\xffb", 3; return nil })
		if err != nil {
			t.Fatal(err)
		}
		read, err := s.Get(t.Context())
		if err != nil || *read != *got || read.Text != "a\ufffdb" || read.Any != 3.0 {
			t.Errorf("the change returned %+v, and %+v is read (%v): want the JSON form both times", got, read, err)
		}
	})
}

// A record that cannot be read is an error, stays as it is, and concerns its
// key only.
//
// Proves A21, M3.
func TestCorruptRecordStays(t *testing.T) {
	st := memstore.New()
	var mu sync.Mutex
	var told []*stay.Error
	app := testkit.NewApp(t, st, &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, e)
	}})
	put := func(key, value string, version int) {
		res := st.Commit(t.Context(), []store.Group{{{Key: key, Value: []byte(value), Version: version}}})
		if res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
	}
	for i, c := range []struct {
		value   string
		version int
	}{{`{"count":`, 1}, {`{"count":"three"}`, 1}, {`[]`, 1}, {``, 1}, {`{"count":1}`, 2}} {
		name := fmt.Sprintf("bad%d", i)
		put("global/"+name+"/", c.value, c.version)
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: name, Persist: stay.Global})
		_, err := s.Get(t.Context())
		testkit.WantCode(t, err, stay.ErrCorrupt)
		_, err = s.Update(t.Context(), testkit.Increment)
		testkit.WantCode(t, err, stay.ErrCorrupt)
		testkit.WantCode(t, s.Delete(t.Context()), stay.ErrCorrupt)
		recs, err := st.Load(t.Context(), []store.Read{{Key: "global/" + name + "/"}})
		if err != nil || string(recs[0].Value) != c.value {
			t.Errorf("the record was changed to %q (%v)", recs[0].Value, err)
		}
	}
	if len(told) == 0 || told[0].Module != "bad0" || told[0].Phase != "decode" || told[0].Code != stay.ErrCorrupt || told[0].Err == nil {
		t.Errorf("OnError was told %+v (A21)", told)
	}
	good := stay.Register(app, stay.Module[testkit.Counter]{Name: "good", Persist: stay.Global})
	testkit.MustUpdate(t, t.Context(), good)
}

// Stored values are merged over the initial ones, and fields of another version
// are kept.
//
// Proves A10, M1, M2.
func TestStoredValuesAreLaidOverTheInitialOnes(t *testing.T) {
	type settings struct {
		Count  int    `json:"count"`
		Label  string `json:"label"`
		Nested struct {
			A int `json:"a"`
			B int `json:"b"`
		} `json:"nested"`
	}
	st := memstore.New()
	st.Commit(t.Context(), []store.Group{{{Key: "global/s/", Version: 1, Value: []byte(`{"count":5,"nested":{"a":1,"later":[1]},"new":{"x":1}}`)}}})
	app := testkit.NewApp(t, st, nil)
	initial := settings{Label: "My Counter"}
	initial.Nested.B = 7
	s := stay.Register(app, stay.Module[settings]{Name: "s", Persist: stay.Global, Initial: initial})
	got, err := s.Update(t.Context(), func(s *settings) error { s.Count++; return nil })
	if err != nil || got.Count != 6 || got.Label != "My Counter" || got.Nested.A != 1 || got.Nested.B != 7 {
		t.Fatalf("restored %+v, %v", got, err)
	}
	recs, _ := st.Load(t.Context(), []store.Read{{Key: "global/s/"}})
	const want = `{"count":6,"label":"My Counter","nested":{"a":1,"b":7,"later":[1]},"new":{"x":1}}`
	if string(recs[0].Value) != want {
		t.Errorf("stored %s, want %s", recs[0].Value, want)
	}
	if _, err := s.ResetAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	recs, _ = st.Load(t.Context(), []store.Read{{Key: "global/s/"}})
	if want := `{"count":0,"label":"My Counter","nested":{"a":0,"b":7}}`; string(recs[0].Value) != want {
		t.Errorf("after ResetAll %s is stored, want %s", recs[0].Value, want)
	}
}

// A state beyond the limit is refused and the old one stays.
//
// Proves E9.
func TestStateTooLargeIsRefused(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), &stay.Options{MaxState: 100})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	testkit.MustUpdate(t, t.Context(), s)
	_, err := s.Update(t.Context(), func(c *testkit.Counter) error { c.Label = string(make([]byte, 100)); return nil })
	testkit.WantCode(t, err, stay.ErrTooLarge)
	testkit.WantCount(t, t.Context(), s, 1)
}

// Without a session a PerSession state is an error that says so.
func TestNoSession(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	_, err := s.Get(context.Background())
	testkit.WantCode(t, err, stay.ErrNoSession)
	_, err = s.Update(context.Background(), testkit.Increment)
	testkit.WantCode(t, err, stay.ErrNoSession)
}

// A closed App refuses everything with ErrClosed and can be closed again.
//
// Proves E7.
func TestClosedAppRefusesEverything(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			app := stay.New(open(), nil)
			g := stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global})
			p := stay.Register(app, stay.Module[testkit.Counter]{Name: "p", Persist: stay.PerSession})
			e := stay.Register(app, stay.Module[testkit.Counter]{Name: "e"})
			b := testkit.NewBrowser(app)
			ctx := b.Ctx()
			for _, s := range []*stay.State[testkit.Counter]{g, p, e} {
				testkit.MustUpdate(t, ctx, s)
			}
			for range 2 {
				if err := app.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range []*stay.State[testkit.Counter]{g, p, e} {
				_, err := s.Get(ctx)
				testkit.WantCode(t, err, stay.ErrClosed)
				_, err = s.Update(ctx, testkit.Increment)
				testkit.WantCode(t, err, stay.ErrClosed)
			}
			testkit.WantCode(t, stay.SessionFrom(ctx).Destroy(ctx), stay.ErrClosed)
		})
	}
}
