package bind_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/bind"
)

type line struct {
	Name  string `json:"name"`
	Price int    `json:"price" stay:"private"`
}

type order struct {
	ID     string          `json:"id" stay:"key"`
	Title  string          `json:"title"`
	Lines  []line          `json:"lines"`
	ByID   map[string]line `json:"byID"`
	Pair   [2]line         `json:"pair"`
	Single *line           `json:"single"`
	Main   line            `json:"main"`
	Nested struct {
		Main line   `json:"main"`
		More []line `json:"more"`
	} `json:"nested"`
	Groups [][]line         `json:"groups"`
	Named  map[string]*line `json:"named"`
	Any    any              `json:"any"`
	Tags   []string         `json:"tags"`
	Counts map[string]int   `json:"counts"`
}

func filled() order {
	gold := line{"gold", 1000}
	o := order{
		ID: "id", Title: "title", Lines: []line{{"string", 1}, gold}, ByID: map[string]line{"g": gold}, Pair: [2]line{{"string", 1}, gold},
		Single: &line{"gold", 1000}, Main: gold, Groups: [][]line{{gold}}, Named: map[string]*line{"g": {"gold", 1000}}, Any: &line{"gold", 1000},
		Tags: []string{"a", "b"}, Counts: map[string]int{"a": 1},
	}
	o.Nested.Main, o.Nested.More = gold, []line{gold}
	return o
}

// A list or a map of things that have a field of the program's own is not
// replaced: no new item is one of the old, and none of the old is lost.
func TestWhatIsNotForClientsIsNotReplaced(t *testing.T) {
	for body, field := range map[string]string{
		`{"lines":[{"name":"gold"}]}`:                "lines",
		`{"lines":[]}`:                               "lines",
		`{"lines":null}`:                             "lines",
		`{"title":"x","byID":{"g":{"name":"x"}}}`:    "byID",
		`{"byID":{"new":{"name":"x"}}}`:              "byID",
		`{"byID":null}`:                              "byID",
		`{"pair":[{"name":"gold"}]}`:                 "pair",
		`{"single":null}`:                            "single",
		`{"nested":{"more":[{"name":"gold"}]}}`:      "nested.more",
		`{"groups":[[{"name":"gold"}]]}`:             "groups",
		`{"named":{"g":{"name":"x"}}}`:               "named",
		`{"any":null}`:                               "any",
		`{"tags":["x"],"counts":{"a":2},"lines":[]}`: "lines",
	} {
		got := filled()
		others := got
		err := binder.JSON([]byte(body), &got, nil)
		var be *bind.Error
		if !errors.As(err, &be) || be.Field != field || !strings.Contains(be.Message, "cannot be replaced") {
			t.Errorf("%s: %v", body, err)
		}
		if !reflect.DeepEqual(got, filled()) || !reflect.DeepEqual(others, filled()) {
			t.Errorf("%s has changed %+v", body, got)
		}
	}
	got := filled()
	got.Any = line{"gold", 1000}
	if err := binder.Form(url.Values{"any": {"x"}}, &got, nil); err == nil {
		t.Errorf("a form replaced %+v", got.Any)
	}
	lines := []line{{"gold", 1000}}
	if err := binder.JSON([]byte(`[{"name":"gold"}]`), &lines, nil); err == nil || lines[0].Price != 1000 {
		t.Errorf("%+v, %v", lines, err)
	}
}

// While it is empty it takes what comes, and new items have nothing of what
// was in the memory before.
func TestItemsAreNew(t *testing.T) {
	got := order{Lines: []line{{"string", 1}, {"gold", 1000}}[:0], ByID: map[string]line{}, Tags: []string{"a", "b"}}
	body := `{"lines":[{"name":"a"},{"name":"b"}],"byID":{"c":{"name":"c"}},"pair":[{"name":"d"}],"single":{"name":"e"},"any":{"name":"f"},"tags":[null]}`
	if err := binder.JSON([]byte(body), &got, nil); err != nil {
		t.Fatal(err)
	}
	want := order{
		Lines: []line{{"a", 0}, {"b", 0}}, ByID: map[string]line{"c": {"c", 0}}, Pair: [2]line{{"d", 0}}, Single: &line{"e", 0},
		Any: map[string]any{"name": "f"}, Tags: []string{""},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// In structs, and behind pointers to them, what is not named stays.
func TestDefaultsStay(t *testing.T) {
	body := `{"title":"new","single":{"name":"x"},"main":{"name":"x"},"nested":{"main":{"name":"x"}},"any":{"name":"x"},"counts":{"b":2}}`
	want := filled()
	want.Title, want.Single, want.Main, want.Nested.Main, want.Any = "new", &line{"x", 1000}, line{"x", 1000}, line{"x", 1000}, &line{"x", 1000}
	for name, payload := range map[string]any{
		"json": []byte(body),
		"form": url.Values{"title": {"new"}, "single.name": {"x"}, "main.name": {"x"}, "nested.main.name": {"x"}},
		"go":   map[string]any{"title": "new", "single": map[string]any{"name": "x"}},
	} {
		got := filled()
		others := got
		if err := binder.Value(payload, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(others, filled()) {
			t.Errorf("%s: what others hold has changed: %+v", name, others)
		}
		if got.Title != "new" || got.ID != "id" || *got.Single != (line{"x", 1000}) || len(got.Lines) != 2 {
			t.Errorf("%s: %+v", name, got)
		}
		if name == "json" {
			want.Counts = map[string]int{"a": 1, "b": 2}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		}
	}
}

// What is refused has changed nothing of what the destination led to, and what
// is bound nothing of what others hold.
func TestOthersSeeNothing(t *testing.T) {
	refused := url.Values{"other.city": {"x"}, "tags": {"x"}, "zzz": {"x"}}
	for name, payload := range map[string]any{
		"json":             []byte(`{"other":{"city":"x"},"maybe":7,"nums":[7],"raw":[7],"bytes":"eA==","any":{"city":"x"}}`),
		"refused json":     []byte(`{"other":{"city":"x"},"maybe":7,"nums":[7],"raw":[7],"bytes":"eA==","any":{"city":"x"},"age":"x"}`),
		"form":             url.Values{"other.city": {"x"}, "maybe": {"7"}, "nums": {"7"}, "note": {"x"}},
		"refused form":     refused,
		"go":               map[string]any{"other": map[string]any{"city": "x"}},
		"refused go":       map[string]any{"other": map[string]any{"city": "x"}, "tags": []any{"x", 7}},
		"a value":          payload{Name: "x", Tags: []string{"x"}},
		"a deep json name": []byte(`{"other":{"city":"x"},"tags":["x",{}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			got := held()
			others := got
			err := binder.Value(payload, &got)
			if (err != nil) != strings.Contains(name, "refused") && name != "a deep json name" {
				t.Error(err)
			}
			if !reflect.DeepEqual(others, held()) {
				t.Errorf("got %+v", others)
			}
		})
	}
	inMap := map[string]string{"a": "1"}
	for _, values := range []url.Values{{"b": {"2"}}, {"b": {"2"}, "c": {"3", "4"}}} {
		got := inMap
		if err := binder.Form(values, &got, nil); (err == nil) != (len(got) == 2) || len(inMap) != 1 {
			t.Errorf("%v: %v, others see %v", got, err, inMap)
		}
	}
}

// setOf reads itself into the map that is there.
type setOf map[string]bool

func (s setOf) UnmarshalText(b []byte) error {
	s[string(b)] = true
	if string(b) == "bad" {
		return errors.New("bad")
	}
	return nil
}

// tail has a field that only its own methods can copy.
type tail struct{ last *int }

func (t *tail) UnmarshalText(b []byte) error {
	if t.last == nil {
		t.last = new(int)
	}
	*t.last = len(b)
	return nil
}

// A type that reads itself gets a copy of what is there: it may write into it.
func TestTypesThatReadThemselvesWriteToACopy(t *testing.T) {
	type into struct {
		N   big.Int  `json:"n"`
		P   *big.Int `json:"p"`
		Set setOf    `json:"set"`
	}
	fill := func() into {
		return into{*big.NewInt(1 << 60), big.NewInt(1 << 60), setOf{"a": true}}
	}
	for name, payload := range map[string]any{
		"json":         []byte(`{"n":7,"p":7,"set":"b"}`),
		"form":         url.Values{"n": {"7"}, "p": {"7"}, "set": {"b"}},
		"refused json": []byte(`{"n":7,"p":7,"set":"bad"}`),
		"refused form": url.Values{"n": {"7"}, "p": {"7"}, "set": {"bad"}},
	} {
		got := fill()
		others := got
		err := binder.Value(payload, &got)
		if refused := strings.HasPrefix(name, "refused"); (err != nil) != refused {
			t.Errorf("%s: %v", name, err)
		} else if !refused && (got.N.Int64() != 7 || got.P.Int64() != 7 || !reflect.DeepEqual(got.Set, setOf{"a": true, "b": true})) {
			t.Errorf("%s: %+v", name, got)
		}
		if !reflect.DeepEqual(others, fill()) {
			t.Errorf("%s: what others hold has changed: %+v", name, others)
		}
	}

	// A value that cannot be copied is read only into an empty destination.
	var got struct {
		T tail `json:"t"`
	}
	if err := binder.JSON([]byte(`{"t":"abc"}`), &got, nil); err != nil || *got.T.last != 3 {
		t.Fatal(err)
	}
	err := binder.JSON([]byte(`{"t":"abcd"}`), &got, nil)
	var be *bind.Error
	if err == nil || errors.As(err, &be) || *got.T.last != 3 {
		t.Errorf("%v, %d", err, *got.T.last)
	}
}

// A destination may be given through more pointers than one: what they lead
// to is bound.
func TestPointersToTheDestination(t *testing.T) {
	in := filled()
	p := &in
	var x any = p
	for _, dst := range []any{&in, &p, &x} {
		in.Title = ""
		if err := binder.JSON([]byte(`{"title":"new"}`), dst, nil); err != nil || in.Title != "new" || p != &in {
			t.Errorf("%T: %v, %q", dst, err, in.Title)
		}
		in.Title = ""
		if err := binder.Form(url.Values{"title": {"new"}}, dst, nil); err != nil || in.Title != "new" || p != &in {
			t.Errorf("%T: %v, %q", dst, err, in.Title)
		}
		if err := binder.JSON([]byte(`{"id":"x"}`), dst, nil); err == nil || in.ID != "id" {
			t.Errorf("%T: %v, %q", dst, err, in.ID)
		}
		if err := binder.JSON([]byte(`null`), dst, nil); err != nil || in.ID != "id" {
			t.Errorf("%T: %v, %q", dst, err, in.ID)
		}
	}
	var circle any
	circle = &circle
	if err := binder.JSON([]byte(`{}`), circle, nil); err == nil {
		t.Error("a circle was bound to")
	}
}

type self struct {
	Name  string
	Admin bool `stay:"private"`
}

func (s *self) UnmarshalJSON(b []byte) error {
	type plain self
	return json.Unmarshal(b, (*plain)(s))
}

type textual struct {
	Owner string `stay:"key"`
}

func (s textual) UnmarshalText([]byte) error { return nil }

type selfList []line

func (s *selfList) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*[]line)(s)) }

type promoted struct {
	time.Time
	Note string `stay:"private"`
}

type selfAround struct{ Inner struct{ Lines []line } }

func (s *selfAround) UnmarshalJSON([]byte) error { return nil }

// The tags of a type that reads itself would have no effect: the type is
// refused, anywhere in the destination and before anything is read.
func TestTagsWithoutEffectAreRefused(t *testing.T) {
	for name, dst := range map[string]any{
		"json":         new(self),
		"text":         new(textual),
		"list":         new(selfList),
		"promoted":     new(promoted),
		"around":       new(selfAround),
		"field":        new(struct{ Self self }),
		"embedded":     new(struct{ *self }),
		"pointer":      new(struct{ Self **self }),
		"slice":        new([]self),
		"array":        new([2]self),
		"map":          new(map[string]self),
		"key of a map": new(map[textual]int),
		"deep in a field": new(struct {
			M map[string][]struct{ P *self }
		}),
		"in an any": func() *any { var x any = &struct{ Self self }{}; return &x }(),
	} {
		for _, payload := range []any{nil, []byte(`{}`), url.Values{"Name": {"x"}}, map[string]any{}, reflect.ValueOf(dst).Elem().Interface()} {
			err := binder.Value(payload, dst)
			var be *bind.Error
			if err == nil || errors.As(err, &be) || !strings.Contains(err.Error(), "stay tag without effect") {
				t.Errorf("%s, %T: %v", name, payload, err)
			}
		}
		if name != "in an any" && bind.Check(reflect.TypeOf(dst).Elem()) == nil {
			t.Errorf("%s passes", name)
		}
	}
	// Within an interface it is found when it is reached.
	held := struct{ Any any }{&self{Name: "x"}}
	if err := binder.JSON([]byte(`{"Any":{"Admin":true}}`), &held, nil); err == nil || held.Any.(*self).Admin {
		t.Errorf("%v, %+v", err, held.Any)
	}
	// What clients cannot set may read itself.
	var fine struct {
		Self   self `stay:"private"`
		When   time.Time
		Hidden self `json:"-"`
	}
	if err := binder.JSON([]byte(`{"When":"2026-11-01T00:00:00Z"}`), &fine, nil); err != nil {
		t.Error(err)
	}
}
