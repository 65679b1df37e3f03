package values_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

func TestMain(m *testing.M) {
	time.Local = here
	os.Exit(m.Run())
}

// unclosed keeps a store usable for the next App.
type unclosed struct{ store.Store }

func (unclosed) Close() error { return nil }

// A world is one store and the machine that uses it at the moment.
type world struct {
	t     *testing.T
	store store.Store
	app   *stay.App
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: unclosed{memstore.New()}}
	w.begin()
	t.Cleanup(func() {
		w.end()
		time.Local = here
	})
	return w
}

func (w *world) begin() { w.app = stay.New(w.store, nil) }

func (w *world) end() {
	if err := w.app.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
}

// move goes on with the stored states on another machine, in another time zone.
func (w *world) move() {
	w.end()
	time.Local = there
	w.begin()
}

func get[S any](t *testing.T, ctx context.Context, s *stay.State[S]) S {
	t.Helper()
	v, err := s.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return *v
}

// A way brings a value into the state of the user ann.
type way func(t *testing.T, app *stay.App, s *stay.State[everything], v everything) (*everything, error)

func write(v everything) func(*everything) error {
	return func(e *everything) error { *e = v; return nil }
}

func by(action string, payload func(v everything) (any, error)) way {
	return func(t *testing.T, _ *stay.App, s *stay.State[everything], v everything) (*everything, error) {
		p, err := payload(v)
		if err != nil {
			t.Fatal(err)
		}
		return s.At("ann").Do(t.Context(), action, p)
	}
}

func guest(t *testing.T, app *stay.App, s *stay.State[everything], v everything) (*everything, error) {
	ctx := staytest.Session(t, app)
	if _, err := s.Update(ctx, write(v)); err != nil {
		return nil, err
	}
	if err := stay.SessionFrom(ctx).Login(ctx, "ann"); err != nil {
		return nil, err
	}
	return s.Get(ctx)
}

var ways = map[string]way{
	"update": func(t *testing.T, _ *stay.App, s *stay.State[everything], v everything) (*everything, error) {
		return s.At("ann").Update(t.Context(), write(v))
	},
	"go payload":   by("set", func(v everything) (any, error) { return v, nil }),
	"JSON payload": by("set", func(v everything) (any, error) { b, err := json.Marshal(v); return json.RawMessage(b), err }),
	"bytes":        by("set", func(v everything) (any, error) { b, err := json.Marshal(v); return b, err }),
	"guest":        guest,
	"adopt": func(t *testing.T, app *stay.App, s *stay.State[everything], v everything) (*everything, error) {
		if _, err := s.At("ann").Update(t.Context(), func(e *everything) error { e.Text = "stored"; return nil }); err != nil {
			return nil, err
		}
		return guest(t, app, s, v)
	},
}

func module(m stay.Module[everything]) stay.Module[everything] {
	m.Name, m.Persist = "all", stay.PerUser
	m.Actions = stay.Actions[everything]{"set": stay.WithPayload(func(_ *stay.Call, s *everything, in everything) error {
		*s = in
		return nil
	})}
	m.Adopt = func(stored, result *everything) error {
		*stored = *result
		if stored.Times != nil { // what a policy makes itself
			stored.Times = append(stored.Times, time.Now(), time.Unix(1, 0).In(there))
		}
		return nil
	}
	return m
}

// However a value comes about: the change returns, memory holds and another
// machine reads the same value.
//
// Proves M5.
func TestMemoryHoldsWhatAnotherMachineReads(t *testing.T) {
	const rounds = 60
	seed := testseed.New(t)
	for name, bring := range ways {
		t.Run(name, func(t *testing.T) {
			for n := range uint64(rounds) {
				t.Run("", func(t *testing.T) {
					w := newWorld(t)
					s := stay.Register(w.app, module(stay.Module[everything]{}))
					v := newMaker(seed, n).everything()
					returned, err := bring(t, w.app, s, v)
					if err != nil {
						t.Fatal(err)
					}
					held := get(t, t.Context(), s.At("ann"))
					w.move()
					s = stay.Register(w.app, module(stay.Module[everything]{}))
					read := get(t, t.Context(), s.At("ann"))
					if !same(held, read) || !same(*returned, held) {
						t.Fatalf("returned %+v\nheld     %+v\nread     %+v", *returned, held, read)
					}
					// Nothing is left to be changed by writing it once more.
					again, err := s.At("ann").Update(t.Context(), func(*everything) error { return nil })
					if err != nil || !same(*again, read) {
						t.Fatalf("%v: again %+v\nread %+v", err, again, read)
					}
				})
			}
		})
	}
}

// What OnCreated leaves is the same each time that a state is loaded, and stays
// as it is with the first change.
//
// Proves M5.
func TestWhatOnCreatedLeavesIsWhatIsRead(t *testing.T) {
	seed := testseed.New(t)
	for n := range uint64(60) {
		w := newWorld(t)
		v := newMaker(seed, n).everything()
		m := stay.Module[everything]{Name: "all", Persist: stay.Global, OnCreated: func(_ *stay.Call, e *everything) error {
			quoted := e.Quoted
			*e = v
			e.Quoted = quoted
			return nil
		}}
		s := stay.Register(w.app, m)
		fresh := get(t, t.Context(), s)
		changed, err := s.Update(t.Context(), func(e *everything) error { e.Quoted++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		fresh.Quoted = changed.Quoted
		w.move()
		read := get(t, t.Context(), stay.Register(w.app, m))
		if !same(fresh, read) || !same(*changed, read) {
			t.Fatalf("fresh   %+v\nchanged %+v\nread    %+v", fresh, *changed, read)
		}
		w.move()
		plain := get(t, t.Context(), stay.Register(w.app, stay.Module[everything]{Name: "all", Persist: stay.Global}))
		if !same(plain, read) {
			t.Fatalf("without the hook %+v\nwith it %+v", plain, read)
		}
	}
}

// What a step of a migration makes, or another program has stored, reads the
// same before and after it is written by a change.
//
// Proves M5.
func TestWhatAStepMakesIsWhatIsStored(t *testing.T) {
	type state struct {
		N     int
		At    time.Time
		Gone  time.Time `json:",omitzero"`
		Times map[string]*time.Time
		Stamp stamp
		F     float64 `json:",omitempty"`
		Any   any
	}
	w := newWorld(t)
	old := stay.Module[state]{Name: "s", Persist: stay.Global}
	if _, err := stay.Register(w.app, old).Update(t.Context(), func(s *state) error { s.N = 1; return nil }); err != nil {
		t.Fatal(err)
	}
	w.end()
	time.Local = here
	w.begin()
	m := old
	m.Version, m.Migrate = 2, map[int]func(json.RawMessage) (json.RawMessage, error){1: func(json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(`{"N":1,"At":"2026-07-01T00:00:00+02:00","Gone":"0001-01-01T05:30:00+05:30","Times":{"a":"2026-01-01T00:00:00+00:00",
			"b":"2026-01-01T00:00:00-05:00","c":null},"Stamp":"2026-01-01T00:00:00+01:00","F":-0,"Any":{"id":9007199254740993,"f":-0}}`), nil
	}}
	s := stay.Register(w.app, m)
	before := get(t, t.Context(), s)
	returned, err := s.Update(t.Context(), func(s *state) error { s.N++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	before.N++
	w.move()
	if read := get(t, t.Context(), stay.Register(w.app, m)); !same(before, read) || !same(*returned, read) {
		t.Errorf("before %+v\nreturned %+v\nread     %+v", before, *returned, read)
	}
}

// A calculation with a time gives the same before and after a reload, also where
// the clock was shifted in between.
//
// Proves M5.
func TestCalculationsDoNotDependOnTheMachine(t *testing.T) {
	type state struct{ At time.Time }
	w := newWorld(t)
	m := stay.Module[state]{Name: "s", Persist: stay.Global}
	s := stay.Register(w.app, m)
	returned, err := s.Update(t.Context(), func(s *state) error {
		s.At = time.Date(2026, 3, 28, 12, 0, 0, 0, here) // the day before summer time
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	inAWeek := func(s state) time.Time { return s.At.AddDate(0, 0, 7).UTC() }
	held := get(t, t.Context(), s)
	w.move()
	read := get(t, t.Context(), stay.Register(w.app, m))
	if want := inAWeek(read); inAWeek(held) != want || inAWeek(*returned) != want {
		t.Errorf("a week later: returned %v, held %v, read %v", inAWeek(*returned), inAWeek(held), want)
	}
}

// A form reads the same, too.
//
// Proves M5.
func TestFormsHoldWhatAnotherMachineReads(t *testing.T) {
	type state struct {
		At    time.Time
		P     *time.Time
		Stamp stamp
		F     float64 `json:",omitempty"`
		Any   any
		N     json.Number
		Text  string
		Bytes []byte
		Short short
	}
	w := newWorld(t)
	m := stay.Module[state]{Name: "s", Persist: stay.Global, Actions: stay.Actions[state]{"set": func(c *stay.Call, s *state) error { return c.Bind(s) }}}
	s := stay.Register(w.app, m)
	at := "2026-07-01T00:00:00+02:00"
	returned, err := s.Do(t.Context(), "set", url.Values{
		"At": {at}, "P": {at}, "Stamp": {at}, "F": {"-0"}, "Any": {"a\xff", "b"}, "N": {"1e999"}, "Text": {"\xff"}, "Bytes": {""}, "Short": {"abcdef"},
	})
	if err != nil {
		t.Fatal(err)
	}
	held := get(t, t.Context(), s)
	w.move()
	if read := get(t, t.Context(), stay.Register(w.app, m)); !same(held, read) || !same(*returned, read) {
		t.Errorf("returned %+v\nheld     %+v\nread     %+v", *returned, held, read)
	}
}

// What JSON cannot hold as it is, is an error at the change that names the
// field, and changes nothing.
//
// Proves M5.
func TestWhatCannotBeKeptNamesTheField(t *testing.T) {
	type inner struct{ List []map[string]any }
	type state struct {
		Text   string
		F      float64
		Map    map[string]float64
		At     time.Time `json:"at"`
		P      *time.Time
		Any    any
		Inner  inner
		Number json.Number
		Raw    json.RawMessage
		Keys   map[short]int
		Texts  map[string]int
		ByTime map[time.Time]int
	}
	far := time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 30*3600))
	now := time.Now().In(location("Asia/Kolkata"))
	nan := func() float64 { z := 0.0; return z / z }()
	for want, change := range map[string]func(*state){
		"F: json: unsupported value: NaN":       func(s *state) { s.F = nan },
		"Map.a: json: unsupported value: NaN":   func(s *state) { s.Map = map[string]float64{"a": nan} },
		"Any: json: unsupported value: NaN":     func(s *state) { s.Any = []any{nan} },
		"at: json: error calling":               func(s *state) { s.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"P: json: error calling":                func(s *state) { s.P = &far },
		"Any: the number 9007199254740993":      func(s *state) { s.Any = 1<<53 + 1 },
		"Any.id: the number 1844":               func(s *state) { s.Any = map[string]uint64{"id": 1<<64 - 1} },
		"Any[1]: the number 0.1234567890123":    func(s *state) { s.Any = []json.Number{"1", "0.12345678901234567890"} },
		"Any: the number 1e-400":                func(s *state) { s.Any = json.Number("1e-400") },
		"Any: the number 1e400":                 func(s *state) { s.Any = json.Number("1e400") },
		"Inner.List[0].x: the number":           func(s *state) { s.Inner.List = []map[string]any{{"x": -(1<<53 + 1)}} },
		`Any.o: the name "a" occurs twice`:      func(s *state) { s.Any = map[string]json.RawMessage{"o": json.RawMessage(`{"a":1,"a":2}`)} },
		"Any: the name \"\ufffd\" occurs twice": func(s *state) { s.Any = map[string]int{"\xfe": 1, "\xff": 2} },
		"Number: json: invalid number":          func(s *state) { s.Number = "one" },
		"Raw: json: error calling":              func(s *state) { s.Raw = json.RawMessage(`{`) },
		`Texts: two keys have the name`:         func(s *state) { s.Texts = map[string]int{"a\xfe": 1, "a\xff": 2} },
		`ByTime: two keys have the name`:        func(s *state) { s.ByTime = map[time.Time]int{now: 1, now.In(time.FixedZone("", 19800)): 2} },
	} {
		t.Run(want, func(t *testing.T) {
			w := newWorld(t)
			m := stay.Module[state]{Name: "s", Persist: stay.Global}
			s := stay.Register(w.app, m)
			before, err := s.Update(t.Context(), func(s *state) error { s.Text, s.Number = "kept", "1"; return nil })
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Update(t.Context(), func(s *state) error { s.Text = "lost"; change(s); return nil })
			var se *stay.Error
			if !errors.As(err, &se) || se.Code != stay.ErrInvalid || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			held := get(t, t.Context(), s)
			w.move()
			if read := get(t, t.Context(), stay.Register(w.app, m)); !same(*before, held) || !same(held, read) {
				t.Errorf("before %+v\nheld %+v\nread %+v", *before, held, read)
			}
		})
	}
}
