package staytest_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
)

type part struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

type whole struct {
	Text  string          `json:"text"`
	Big   int64           `json:"big"`
	Ratio float64         `json:"ratio"`
	List  []part          `json:"list"`
	Map   map[string]part `json:"map"`
	Next  *part           `json:"next"`
	Any   any             `json:"any"`
	part  `json:"inner"`
}

// A difference is named by its path in JSON, and what is the same to JSON is
// none: times are compared as instants, numbers digit by digit.
func TestWantNamesTheDifference(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	elsewhere := noon.In(time.FixedZone("", 3600))
	for name, c := range map[string]struct {
		got, want whole
		lines     []string
	}{
		"same":          {whole{Text: "a"}, whole{Text: "a"}, nil},
		"text":          {whole{Text: "a"}, whole{Text: "b"}, []string{`text: got "a", want "b"`}},
		"digits":        {whole{Big: math.MaxInt64}, whole{Big: math.MaxInt64 - 1}, []string{"big: got 9223372036854775807, want 9223372036854775806"}},
		"ratio":         {whole{Ratio: 0.1}, whole{Ratio: 1e-1}, nil},
		"null and list": {whole{}, whole{List: []part{}}, []string{"list: got null, want []"}},
		"item":          {whole{List: []part{{Name: "a"}, {Name: "b"}}}, whole{List: []part{{Name: "a"}, {Name: "c"}}}, []string{`list[1].name: got "b", want "c"`}},
		"longer":        {whole{List: []part{{}, {Name: "b"}}}, whole{List: []part{{}}}, []string{`list[1]: got {"at":"0001-01-01T00:00:00Z","name":"b"}, want nothing`}},
		"shorter":       {whole{List: []part{}}, whole{List: []part{{}}}, []string{"list[0]: got nothing"}},
		"entry":         {whole{Map: map[string]part{"a": {}}}, whole{Map: map[string]part{"b": {}}}, []string{"map.a: got {", "map.b: got nothing"}},
		"nil":           {whole{Next: &part{Name: "a"}}, whole{}, []string{"next: got {", "want null"}},
		"instants": {
			whole{List: []part{{At: noon}}, Map: map[string]part{"a": {At: noon}}, Next: &part{At: noon}, part: part{At: noon}},
			whole{List: []part{{At: elsewhere}}, Map: map[string]part{"a": {At: elsewhere}}, Next: &part{At: elsewhere}, part: part{At: elsewhere}},
			nil,
		},
		"texts that look like times": {
			whole{Text: noon.Format(time.RFC3339)}, whole{Text: elsewhere.Format(time.RFC3339)}, []string{"text: got "},
		},
		"any":          {whole{Any: 1}, whole{Any: 1.0}, nil},
		"another type": {whole{Any: "1"}, whole{Any: 1}, []string{`any: got "1", want 1`}},
		"an object":    {whole{Any: map[string]any{"a": 1}}, whole{Any: true}, []string{`any: got {"a":1}, want true`}},
		"several":      {whole{Text: "a", Big: 1}, whole{}, []string{"  big: got 1, want 0\n  text: got"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := failure(func(t testing.TB) {
				s := stay.Register(staytest.App(t, nil), stay.Module[whole]{Name: "whole", Persist: stay.Global})
				if _, err := s.Update(t.Context(), func(w *whole) error { *w = c.got; return nil }); err != nil {
					t.Errorf("%v", err)
				}
				staytest.Want(t, t.Context(), s, c.want)
			})
			if (text == "") != (len(c.lines) == 0) {
				t.Errorf("it said %q", text)
			}
			for _, line := range c.lines {
				if !strings.Contains(text, line) {
					t.Errorf("it said %q, want %q", text, line)
				}
			}
		})
	}
}

// What is long is cut short, and what cannot be compared is a failure.
func TestWantIsBounded(t *testing.T) {
	app := staytest.App(t, nil)
	s := stay.Register(app, stay.Module[whole]{Name: "whole", Persist: stay.PerSession})
	ctx := staytest.Session(t, app)
	many := whole{Text: strings.Repeat("é", 10_000), Map: map[string]part{}}
	for i := range 1000 {
		many.Map[fmt.Sprint(i)] = part{Name: "x"}
	}
	text := failure(func(t testing.TB) { staytest.Want(t, ctx, s, many) })
	if text == "" || len(text) > 5000 {
		t.Errorf("%d bytes", len(text))
	}
	many.Any = map[string]any{"a": []any{1}}
	if _, err := s.Update(ctx, func(w *whole) error { *w = many; return nil }); err != nil {
		t.Fatal(err)
	}
	many.Map["one"] = part{}
	for i := range 1000 {
		many.Map[fmt.Sprint(i)] = part{}
	}
	if text := failure(func(t testing.TB) { staytest.Want(t, ctx, s, many) }); !strings.Contains(text, "and 981 more") || len(text) > 5000 {
		t.Errorf("it said %q", text)
	}
	if text := failure(func(t testing.TB) { staytest.Want(t, ctx, s, whole{Ratio: math.NaN()}) }); !strings.Contains(text, "is not a valid state") {
		t.Errorf("it said %q", text)
	}
	if text := failure(func(t testing.TB) { staytest.Want(t, context.Background(), s, whole{}) }); !strings.Contains(text, "no_session") {
		t.Errorf("it said %q", text)
	}
}
