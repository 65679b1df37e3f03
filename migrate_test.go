package stay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// A settings is in its third version: the first had "color" beside a list of
// tags in one string, the second had "theme" in its place.
type settings struct {
	Look struct {
		Theme string `json:"theme"`
		Size  int    `json:"size"`
	} `json:"look"`
	Tags []string `json:"tags"`
}

// edit makes a step of a function that changes the members of the state.
func edit(fn func(m map[string]any) error) testkit.Step {
	return func(old json.RawMessage) (json.RawMessage, error) {
		var m map[string]any
		if err := json.Unmarshal(old, &m); err != nil {
			return nil, err
		}
		if err := fn(m); err != nil {
			return nil, err
		}
		return json.Marshal(m)
	}
}

func colorToTheme(m map[string]any) error {
	m["theme"] = m["color"]
	delete(m, "color")
	return nil
}

func themeToLook(m map[string]any) error {
	m["look"] = map[string]any{"theme": m["theme"], "grain": "fine"}
	delete(m, "theme")
	return nil
}

// third is the module of the third version.
func third(migrate testkit.Steps) stay.Module[settings] {
	m := stay.Module[settings]{Name: "settings", Persist: stay.PerSession, Version: 3, Migrate: migrate}
	m.Initial.Look.Size = 12
	return m
}

// onEachKind runs the test on a store that Apps may use one after the other.
func onEachKind(t *testing.T, test func(t *testing.T, s store.Store)) {
	for name, s := range map[string]store.Store{
		"memstore":  memstore.New(),
		"committer": testkit.BehindCommitter(memstore.New()),
		"simple":    store.FromSimple(testkit.NewSimple()),
	} {
		t.Run(name, func(t *testing.T) {
			defer s.Close()
			test(t, testkit.Unclosed{Store: s})
		})
	}
}

// seed gives a new browser a session and a stored state of that version.
func seed(t *testing.T, s store.Store, version int, value string) *testkit.Browser {
	t.Helper()
	app := testkit.NewApp(t, s, nil)
	first := stay.Register(app, stay.Module[testkit.Text]{Name: "settings", Persist: stay.PerSession})
	b := testkit.NewBrowser(app)
	if _, err := first.Update(b.Ctx(), func(x *testkit.Text) error { x.Text = "x"; return nil }); err != nil {
		t.Fatal(err)
	}
	rec := testkit.RecordOf(t, s, stateKey(b))
	w := store.Write{Key: rec.Key, Base: rec.Revision, Value: []byte(value), Version: version, Expires: rec.Expires}
	if res := s.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
		t.Fatal(res[0])
	}
	return b
}

func stateKey(b *testkit.Browser) string {
	return "session/settings/" + stay.SessionFrom(b.Ctx()).ID()
}

// wantRecord checks what is stored: an untouched record keeps its revision.
func wantRecord(t *testing.T, s store.Store, want store.Record) {
	t.Helper()
	got := testkit.RecordOf(t, s, want.Key)
	if got.Revision != want.Revision || got.Version != want.Version || !bytes.Equal(got.Value, want.Value) || !bytes.Equal(got.Meta, want.Meta) {
		t.Errorf("the record became version %d, revision %d: %s\nfrom version %d, revision %d: %s",
			got.Version, got.Revision, got.Value, want.Version, want.Revision, want.Value)
	}
}

// Records of every version are read as the present one: a record without a
// version counts as version 1, each runs its missing steps in order, and the
// result is merged over the initial value. Reading and changes that change
// nothing write nothing; the next change stores the whole with the present
// version, unknown fields included. Then no step runs any more.
//
// Proves M1, M2, M4.
func TestRecordsMigrateOnLoad(t *testing.T) {
	for name, c := range map[string]struct {
		version int
		value   string
		ran     string
	}{
		"none":    {0, `{"color":"dark","tags":["a"],"note":1}`, "12"},
		"first":   {1, `{"color":"dark","tags":["a"],"note":1}`, "12"},
		"second":  {2, `{"theme":"dark","tags":["a"],"note":1}`, "2"},
		"present": {3, `{"look":{"theme":"dark","grain":"fine"},"tags":["a"],"note":1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onEachKind(t, func(t *testing.T, s store.Store) {
				b := seed(t, s, c.version, c.value)
				before := testkit.RecordOf(t, s, stateKey(b))
				var ran string
				migrate := testkit.Steps{
					1: edit(func(m map[string]any) error { ran += "1"; return colorToTheme(m) }),
					2: edit(func(m map[string]any) error { ran += "2"; return themeToLook(m) }),
				}
				app := testkit.NewApp(t, s, nil)
				state := stay.Register(app, third(migrate))
				b = b.On(app)
				got, err := state.Get(b.Ctx())
				if err != nil {
					t.Fatal(err)
				}
				if got.Look.Theme != "dark" || got.Look.Size != 12 || len(got.Tags) != 1 || ran != c.ran {
					t.Errorf("got %+v after the steps %q, want the steps %q", got, ran, c.ran)
				}
				if _, err := state.Update(b.Ctx(), func(*settings) error { return nil }); err != nil {
					t.Error(err)
				}
				wantRecord(t, s, before)

				if _, err := state.Update(b.Ctx(), func(v *settings) error { v.Look.Size++; return nil }); err != nil {
					t.Fatal(err)
				}
				after := testkit.RecordOf(t, s, before.Key)
				want := `{"look":{"theme":"dark","size":13,"grain":"fine"},"tags":["a"],"note":1}`
				if string(after.Value) != want || after.Version != 3 {
					t.Errorf("stored version %d: %s\nwant version 3: %s", after.Version, after.Value, want)
				}
				ran = ""
				again := testkit.NewApp(t, s, nil)
				state = stay.Register(again, third(migrate))
				if got, err := state.Get(b.On(again).Ctx()); err != nil || got.Look.Size != 13 || ran != "" {
					t.Errorf("got %+v, %v after the steps %q", got, err, ran)
				}
			})
		})
	}
}

// A record that is too old or too new, or whose step fails, is ErrCorrupt and
// stays byte for byte, whatever is tried with it; the hook gets the error, and
// every other key works. A program that can read it reads it.
//
// Proves M3, M4.
func TestUnreadableVersionsStay(t *testing.T) {
	const second = `{"theme":"dark","tags":[]}`
	bad := errors.New("bad")
	good := edit(themeToLook)
	broken := func(out string) testkit.Step {
		return func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage(out), nil }
	}
	for name, c := range map[string]struct {
		version int
		value   string
		step    testkit.Step // from version 2
		cause   error
	}{
		"older than the first step":   {1, `{"color":"dark"}`, good, nil},
		"without a version":           {0, `{"color":"dark"}`, good, nil},
		"a negative version":          {-1, second, good, nil},
		"a higher version":            {4, second, good, nil},
		"no JSON":                     {2, `{"theme"`, good, nil},
		"a step fails":                {2, second, func(json.RawMessage) (json.RawMessage, error) { return nil, bad }, bad},
		"a step panics":               {2, second, func(json.RawMessage) (json.RawMessage, error) { panic(bad) }, bad},
		"a step returns nil":          {2, second, func(json.RawMessage) (json.RawMessage, error) { return nil, nil }, nil},
		"a step returns no JSON":      {2, second, broken(`{"look":`), nil},
		"a step returns two values":   {2, second, broken(`{} {}`), nil},
		"a step returns no object":    {2, second, broken(`null`), nil},
		"a step returns a wrong type": {2, second, broken(`{"tags":1}`), nil},
		"a step returns a name twice": {2, second, broken(`{"tags":[],"tags":[]}`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			onEachKind(t, func(t *testing.T, s store.Store) {
				victim, other := seed(t, s, c.version, c.value), seed(t, s, 3, `{"tags":["a"]}`)
				damaged := testkit.RecordOf(t, s, stateKey(victim))
				var mu sync.Mutex
				var told []*stay.Error
				app := testkit.NewApp(t, s, &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, e)
				}})
				state := stay.Register(app, third(testkit.Steps{2: c.step}))
				victim, other = victim.On(app), other.On(app)
				ctx := victim.Ctx()
				for try, do := range map[string]func() error{
					"Get":      func() error { _, err := state.Get(ctx); return err },
					"Reset":    func() error { _, err := state.Reset(ctx); return err },
					"ResetAll": func() error { _, err := state.ResetAll(ctx); return err },
					"Delete":   func() error { return state.Delete(ctx) },
					"Update": func() error {
						_, err := state.Update(ctx, func(v *settings) error { v.Tags = nil; return nil })
						return err
					},
				} {
					err := do()
					var e *stay.Error
					if stay.CodeOf(err) != stay.ErrCorrupt || !errors.As(err, &e) || e.Phase != "decode" || c.cause != nil && !errors.Is(err, c.cause) {
						t.Errorf("%s: %v, want ErrCorrupt while decoding", try, err)
					}
				}
				wantRecord(t, s, damaged)
				mu.Lock()
				if len(told) != 5 || told[0].Code != stay.ErrCorrupt || told[0].Phase != "decode" || told[0].Module != "settings" || told[0].KeyHash == "" {
					t.Errorf("OnError was told %v", told)
				}
				mu.Unlock()
				for _, b := range []*testkit.Browser{other, testkit.NewBrowser(app)} {
					if _, err := state.Update(b.Ctx(), func(v *settings) error { v.Tags = append(v.Tags, "b"); return nil }); err != nil {
						t.Errorf("another key: %v", err)
					}
				}
				if c.version != 2 || c.cause == nil {
					return
				}
				repaired := testkit.NewApp(t, s, nil)
				state = stay.Register(repaired, third(testkit.Steps{2: good}))
				if got, err := state.Get(victim.On(repaired).Ctx()); err != nil || got.Look.Theme != "dark" {
					t.Errorf("with a step that works: %+v, %v", got, err)
				}
			})
		})
	}
}

// A step that ends its goroutine does not end its callers' goroutines, and
// changes nothing.
//
// Proves M3.
func TestStepMayEndItsGoroutine(t *testing.T) {
	onEachKind(t, func(t *testing.T, s store.Store) {
		b := seed(t, s, 2, `{}`)
		damaged := testkit.RecordOf(t, s, stateKey(b))
		app := testkit.NewApp(t, s, &stay.Options{OnError: testkit.Quiet})
		state := stay.Register(app, third(testkit.Steps{2: func(json.RawMessage) (json.RawMessage, error) {
			runtime.Goexit()
			return nil, nil
		}}))
		if _, err := state.Update(b.On(app).Ctx(), func(*settings) error { return nil }); err == nil {
			t.Error("no error")
		}
		wantRecord(t, s, damaged)
	})
}

// A step owns its argument, and its result may be shared: the store and later
// loads do not see what it changes in place.
//
// Proves M1, M3.
func TestStepMayChangeItsInput(t *testing.T) {
	onEachKind(t, func(t *testing.T, s store.Store) {
		b := seed(t, s, 1, `{"tags":["a"]}`)
		before := testkit.RecordOf(t, s, stateKey(b))
		before.Value = bytes.Clone(before.Value)
		shared := json.RawMessage(`{"tags":["b"]}`)
		scribble := func(old json.RawMessage) { copy(old, bytes.Repeat([]byte("#"), len(old))) }
		var runs atomic.Int64
		app := testkit.NewApp(t, s, nil)
		state := stay.Register(app, third(testkit.Steps{
			1: func(old json.RawMessage) (json.RawMessage, error) { scribble(old); return shared, nil },
			2: func(old json.RawMessage) (json.RawMessage, error) {
				runs.Add(1)
				out := bytes.Clone(old)
				scribble(old)
				return out, nil
			},
		}))
		for n := 0; runs.Load() < 2 && n < 1000; n++ { // the loader may hold the state for another moment
			if got, err := state.Get(b.On(app).Ctx()); err != nil || !reflect.DeepEqual(got.Tags, []string{"b"}) {
				t.Fatalf("got %+v, %v", got, err)
			}
			access.AppOf(app).Evict(true)
		}
		if runs.Load() < 2 {
			t.Error("the state was not loaded twice")
		}
		wantRecord(t, s, before)
	})
}

// Steps with a gap or beyond the version are mistakes; the panic names the
// module and the fix.
//
// Proves M4, C5.
func TestRegisterRefusesSteps(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	keep := func(old json.RawMessage) (json.RawMessage, error) { return old, nil }
	for name, c := range map[string]struct {
		version int
		migrate testkit.Steps
		words   []string
	}{
		"negative":        {-1, nil, []string{"negative"}},
		"gap":             {4, testkit.Steps{1: keep, 3: keep}, []string{"no step 2", "remove the earlier ones"}},
		"gap at the end":  {4, testkit.Steps{1: keep, 2: keep}, []string{"no step 3"}},
		"nil":             {3, testkit.Steps{1: keep, 2: nil}, []string{"step 2", "nil", "function"}},
		"beyond":          {2, testkit.Steps{1: keep, 2: keep}, []string{"step 2", "version 3", "raise Version"}},
		"without Version": {0, testkit.Steps{1: keep}, []string{"step 1", "Version is 1", "raise Version"}},
		"zero":            {2, testkit.Steps{0: keep, 1: keep}, []string{"step 0", "first version is 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.WantPanic(t, func() {
				stay.Register(app, stay.Module[settings]{Name: "x", Version: c.version, Migrate: c.migrate})
			}, append(c.words, `"x"`)...)
		})
	}
	for i, m := range []stay.Module[settings]{
		{Version: 0}, {Version: 1, Migrate: testkit.Steps{}}, {Version: 3}, {Version: 3, Migrate: testkit.Steps{2: keep}}, {Version: 4, Migrate: testkit.Steps{2: keep, 3: keep}},
	} {
		m.Name = fmt.Sprint("ok", i)
		stay.Register(app, m)
	}
}

// A definition's steps are copied when it is registered.
//
// Proves A1.
func TestRegisterCopiesSteps(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	migrate := testkit.Steps{2: edit(themeToLook)}
	state := stay.Register(app, third(migrate))
	delete(migrate, 2)
	v, err := access.StateOf(state).Decode(2, []byte(`{"theme":"dark"}`))
	if err != nil || v.(*settings).Look.Theme != "dark" {
		t.Errorf("got %+v, %v", v, err)
	}
}
