package bind_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/bind"
)

// binder is one for all tests, as it is one for all requests: it reuses what it
// knows about a type.
var binder bind.Binder

type address struct {
	City   string `json:"city"`
	Secret string `json:"secret" stay:"private"`
}

type common struct {
	Page int `json:"page"`
}

type level int

func (l *level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "low":
		*l = 1
	case "panic":
		panic("level")
	default:
		return errors.New("no such level")
	}
	return nil
}

// own reads itself from an object with names that are no fields.
type own struct{ n int }

func (o *own) UnmarshalJSON(b []byte) error {
	var m map[string]int
	err := json.Unmarshal(b, &m)
	o.n = m["other"]
	return err
}

type payload struct {
	common
	Name    string             `json:"name"`
	Age     int8               `json:"age"`
	Count   uint16             `json:"count"`
	Price   float32            `json:"price"`
	On      bool               `json:"on"`
	When    time.Time          `json:"when"`
	Maybe   *int               `json:"maybe"`
	MaybeT  *time.Time         `json:"maybeT"`
	Note    *string            `json:"note"`
	Tags    []string           `json:"tags"`
	Nums    []*int             `json:"nums"`
	Address address            `json:"address"`
	Other   *address           `json:"other"`
	Items   []address          `json:"items"`
	ByName  map[string]address `json:"byName"`
	Level   level              `json:"level"`
	Levels  []level            `json:"levels"`
	Raw     json.RawMessage    `json:"raw"`
	Number  json.Number        `json:"number"`
	Bytes   []byte             `json:"bytes"`
	Any     any                `json:"any"`
	Pair    [2]int             `json:"pair"`
	Own     own                `json:"own"`
	Plain   string
	User    string `json:"user" stay:"key"`
	Admin   bool   `json:"admin" stay:"private"`
	Hidden  string `json:"-"`
	Under   string `json:"_under"`
}

func TestJSON(t *testing.T) {
	var got payload
	err := binder.JSON([]byte(` {"page":2,"name":"ada","age":-3,"when":"2026-11-01T00:00:00Z","maybe":4,"tags":["a"],
		"address":{"city":"x"},"other":{"city":"y"},"items":[{"city":"z"}],"byName":{"Any Name":{"city":"w"}},
		"level":"low","raw":{"any":"thing"},"any":{"secret":[1]},"pair":[1],"own":{"other":3}} `), &got, nil)
	if err != nil {
		t.Fatal(err)
	}
	four := 4
	want := payload{
		common: common{2}, Name: "ada", Age: -3, When: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Maybe: &four, Tags: []string{"a"},
		Address: address{City: "x"}, Other: &address{City: "y"}, Items: []address{{City: "z"}},
		ByName: map[string]address{"Any Name": {City: "w"}}, Level: 1, Raw: json.RawMessage(`{"any":"thing"}`),
		Any: map[string]any{"secret": []any{1.0}}, Pair: [2]int{1, 0}, Own: own{3},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for in, dst := range map[string]any{`3`: new(int), `["a"]`: new([]string), `{"A":1}`: new(map[string]int), `null`: new(payload), `[{"x":1}]`: new(any)} {
		if err := binder.JSON([]byte(in), dst, nil); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// JSON binds strictly; the error names the field, malformed means that it could
// not be parsed, and nothing is bound by halves.
//
// Proves W7.
func TestJSONErrors(t *testing.T) {
	for in, want := range map[string]string{
		``:                                "!the payload is empty",
		`{`:                               "!the payload is not valid JSON",
		`{"name":"a"} x`:                  "!after top-level value",
		`{"name":"a"}{"name":"b"}`:        "!after top-level value",
		strings.Repeat(`[`, 20000):        "!exceeded max depth",
		`{"name":"a","nme":"b"}`:          "nme: is not a field",
		`{"Name":"a"}`:                    "Name: is not a field",
		`{"Hidden":"a"}`:                  "Hidden: is not a field",
		`{"common":{}}`:                   "common: is not a field",
		`{"user":"root"}`:                 "user: is not a field",
		`{"User":"root"}`:                 "User: is not a field",
		`{"\u0075ser":"root"}`:            "user: is not a field",
		`{"admin":true}`:                  "admin: is not a field",
		`{"address":{"secret":"s"}}`:      "address.secret: is not a field",
		`{"other":{"secret":"s"}}`:        "other.secret: is not a field",
		`{"items":[{},{"secret":"s"}]}`:   "items[1].secret: is not a field",
		`{"byName":{"k":{"secret":"s"}}}`: "byName.k.secret: is not a field",
		`{"name":"a","name":"b"}`:         "name: occurs twice",
		`{"name":1}`:                      "name: must be text",
		`{"age":300}`:                     "age: must be a whole number from -128 to 127",
		`{"count":-1}`:                    "count: must be a whole number from 0 to 65535",
		`{"price":"1"}`:                   "price: must be a number",
		`{"on":1}`:                        "on: must be true or false",
		`{"tags":"a"}`:                    "tags: must be a list",
		`{"address":[]}`:                  "address: must be an object",
		`{"maybe":"x"}`:                   "maybe: must be a whole number",
		`{"pair":[1,2,3]}`:                "pair: has more than 2 items",
		`{"level":"high"}`:                "level: is not valid",
		`{"level":"panic"}`:               "cannot be read",
		`{"when":"now"}`:                  "when: must be a date",
		`[]`:                              "must be an object",
		`{"` + strings.Repeat("x", 5000) + `":1}`: "xx...: is not a field",
	} {
		got := payload{Plain: "before"}
		err := binder.JSON([]byte(in), &got, nil)
		var be *bind.Error
		if !errors.As(err, &be) || be.Malformed != strings.HasPrefix(want, "!") || !strings.Contains(err.Error(), strings.TrimPrefix(want, "!")) {
			t.Errorf("%.60s: %v, want %s", in, err, want)
		}
		if len(err.Error()) > 300 {
			t.Errorf("%.60s: an error of %d bytes", in, len(err.Error()))
		}
		if !reflect.DeepEqual(got, payload{Plain: "before"}) {
			t.Errorf("%.60s: bound by halves: %+v", in, got)
		}
	}
}

func form(t *testing.T, query string) url.Values {
	t.Helper()
	v, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestForm(t *testing.T) {
	var got payload
	err := binder.Form(form(t, "page=2&name=a%26b&age=-128&count=65535&price=1.5&on=on&when=2026-11-01T00:00:00Z&maybe=&maybeT=&note="+
		"&tags=a&tags=&nums=1&nums=&address.city=x&other.city=y&level=low&levels=low&levels=low&number=1.5&bytes=raw&any=1&Plain=p&_csrf=token&_under=u"), &got, nil)
	if err != nil {
		t.Fatal(err)
	}
	one, empty := 1, ""
	want := payload{
		common: common{2}, Name: "a&b", Age: -128, Count: 65535, Price: 1.5, On: true,
		When: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Note: &empty, Tags: []string{"a", ""}, Nums: []*int{&one, nil},
		Address: address{City: "x"}, Other: &address{City: "y"}, Level: 1, Levels: []level{1, 1}, Number: "1.5",
		Bytes: []byte("raw"), Any: "1", Plain: "p", Under: "u",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for value, want := range map[string]bool{"on": true, "true": true, "1": true, "false": false, "0": false, "": false} {
		got := payload{On: !want}
		if err := binder.Form(url.Values{"on": {value}}, &got, nil); err != nil || got.On != want {
			t.Errorf("on=%q: %v, %v", value, got.On, err)
		}
	}
}

func TestFormIntoMaps(t *testing.T) {
	values := form(t, "a=1&b=2&b=3&_csrf=x")
	lists := map[string][]string{}
	if err := binder.Form(values, &lists, nil); err != nil || !reflect.DeepEqual(lists, map[string][]string{"a": {"1"}, "b": {"2", "3"}}) {
		t.Errorf("%v, %v", lists, err)
	}
	var anys map[string]any
	if err := binder.Form(values, &anys, nil); err != nil || !reflect.DeepEqual(anys, map[string]any{"a": "1", "b": []any{"2", "3"}}) {
		t.Errorf("%v, %v", anys, err)
	}
	var texts map[string]string
	if err := binder.Form(values, &texts, nil); err == nil || texts != nil {
		t.Errorf("%v, %v", texts, err)
	}
	if err := binder.Form(form(t, "a=1"), &texts, nil); err != nil || texts["a"] != "1" {
		t.Errorf("%v, %v", texts, err)
	}
}

// Forms bind strictly too.
//
// Proves W7.
func TestFormErrors(t *testing.T) {
	for query, want := range map[string]string{
		"nme=a":                  "nme: is not a field",
		"Name=a":                 "Name: is not a field",
		"Hidden=a":               "Hidden: is not a field",
		"common.page=1":          "common.page: is not a field",
		"user=root":              "user: is not a field",
		"admin=1":                "admin: is not a field",
		"address.secret=s":       "address.secret: is not a field",
		"address.nope.z=s":       "address.nope.z: is not a field",
		"address.=s":             "address.: is not a field",
		"name.z=s":               "name.z: is not a field",
		"when.wall=1":            "when.wall: is not a field",
		"byName.k=s":             "byName.k: must be sent as JSON",
		"name=a&name=b":          "name: has 2 values where one is needed",
		"age=128":                "age: must be a whole number from -128 to 127",
		"age=":                   "age: is required",
		"age=1.5":                "age: must be a whole number",
		"count=-1":               "count: must be a whole number from 0 to 65535",
		"price=1e99":             "price: is too large",
		"price=NaN":              "price: must be a number",
		"price=Inf":              "price: must be a number",
		"on=maybe":               "on: must be true or false",
		"when=now":               "when: must be a date",
		"maybe=x":                "maybe: must be a whole number",
		"nums=1&nums=x":          "nums: must be a whole number",
		"number=x":               "number: must be a number",
		"number=%221%22":         "number: must be a number",
		"level=high":             "level: is not valid",
		"level=panic":            "cannot be read",
		"raw=1":                  "raw: must be sent as JSON",
		"address=x":              "address: must be sent as JSON",
		"items=x":                "items: must be sent as JSON",
		"byName=x":               "byName: must be sent as JSON",
		"own=1":                  "own: must be sent as JSON",
		"pair=1":                 "pair: must be sent as JSON",
		strings.Repeat("x", 500): "x...: is not a field",
	} {
		got := payload{Plain: "before"}
		err := binder.Form(form(t, query), &got, nil)
		var be *bind.Error
		if !errors.As(err, &be) || be.Malformed || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", query, err, want)
		}
		if !reflect.DeepEqual(got, payload{Plain: "before"}) {
			t.Errorf("%.60s: bound by halves: %+v", query, got)
		}
	}
}

type chain struct {
	V    string `json:"v"`
	Next *chain `json:"n"`
}

// The work and the nesting that a name asks for are bounded.
func TestFormNesting(t *testing.T) {
	var c chain
	if err := binder.Form(url.Values{"n.n.v": {"x"}}, &c, nil); err != nil || c.Next.Next.V != "x" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, name := range []string{strings.Repeat("n.", 500000) + "v", strings.Repeat("n.", 101) + "v"} {
		if err := binder.Form(url.Values{name: {"x"}}, &c, nil); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
			t.Errorf("%d dots: %v", strings.Count(name, "."), err)
		}
	}
}

func TestValue(t *testing.T) {
	src := payload{Name: "go", User: "u", Admin: true, Tags: []string{"a"}}
	var nilSrc *payload
	for name, c := range map[string]struct {
		src  any
		want payload
	}{
		"nil":         {nil, payload{}},
		"nil pointer": {nilSrc, payload{}},
		"value":       {src, src},
		"pointer":     {&src, src},
		"bytes":       {[]byte(`{"name":"go"}`), payload{Name: "go"}},
		"raw":         {json.RawMessage(`{"name":"go"}`), payload{Name: "go"}},
		"form":        {url.Values{"name": {"go"}}, payload{Name: "go"}},
		"map":         {map[string]any{"name": "go", "age": 3}, payload{Name: "go", Age: 3}},
		"struct":      {struct{ Plain string }{"go"}, payload{Plain: "go"}},
	} {
		var got payload
		if err := binder.Value(c.src, &got); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	var got payload
	if err := binder.Value(&src, &got); err != nil {
		t.Fatal(err)
	}
	if got.Tags[0] = "changed"; src.Tags[0] != "a" {
		t.Error("the payload is shared")
	}
	for name, src := range map[string]any{"private": map[string]any{"admin": true}, "unknown": struct{ X int }{}, "chan": make(chan int), "kind": 7} {
		var be *bind.Error
		if err := binder.Value(src, &payload{}); !errors.As(err, &be) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var raw json.RawMessage
	if err := binder.Value(json.RawMessage("x"), &raw); err != nil || string(raw) != "x" {
		t.Errorf("%s, %v", raw, err)
	}
}

// A value of the destination's type that cannot be copied field by field goes
// through JSON, private fields included.
func TestValueThatCannotBeCopied(t *testing.T) {
	type odd struct {
		N    int `stay:"private"`
		Next *odd
	}
	src := odd{N: 1, Next: &odd{N: 2}}
	var got odd
	if err := binder.Value(src, &got); err != nil || !reflect.DeepEqual(got, src) || got.Next == src.Next {
		t.Errorf("%+v, %v", got, err)
	}
	src.Next.Next = &src
	if err := binder.Value(&src, &got); err == nil {
		t.Error("a cyclic payload was bound")
	}
}

// A destination that cannot be bound to is the program's mistake: an error,
// but not one to show to a client.
func TestDestinations(t *testing.T) {
	var be *bind.Error
	for name, err := range map[string]error{
		"no pointer":   binder.JSON([]byte("{}"), payload{}, nil),
		"nil":          binder.Form(url.Values{}, nil, nil),
		"nil pointer":  binder.Value("x", (*payload)(nil)),
		"form to list": binder.Form(url.Values{"a": {"b"}}, new([]string), nil),
		"form to time": binder.Form(url.Values{"a": {"b"}}, new(time.Time), nil),
	} {
		if err == nil || errors.As(err, &be) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var p *payload
	if err := binder.Form(url.Values{"name": {"a"}}, &p, nil); err != nil || p.Name != "a" {
		t.Errorf("pointer to pointer: %v", err)
	}
}

type Base struct {
	ID    string `json:"id"`
	Title string
}

// Embedded structs follow the rules of encoding/json: the outer field wins,
// and pointers are made when needed.
func TestEmbedding(t *testing.T) {
	type outer struct {
		*Base
		Title string
	}
	var a, b outer
	if err := binder.Form(url.Values{"id": {"1"}, "Title": {"t"}}, &a, nil); err != nil {
		t.Fatal(err)
	}
	if err := binder.JSON([]byte(`{"id":"1","Title":"t"}`), &b, nil); err != nil {
		t.Fatal(err)
	}
	if want := (outer{&Base{ID: "1"}, "t"}); !reflect.DeepEqual(a, want) || !reflect.DeepEqual(b, want) {
		t.Errorf("%+v, %+v", a, b)
	}
}
