package jsonwalk_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// Check takes what encoding/json takes, and the cursor steps over all of it.
func TestCursor(t *testing.T) {
	const text = ` { "a" : [ 1 , -2.5e3 , "x\"]}" , null ] , "b\u0062":{},"c":[[],{"d":true}] ,"e" : false } `
	if err := jsonwalk.Check([]byte(text)); err != nil {
		t.Fatal(err)
	}
	c := jsonwalk.NewCursor([]byte(text))
	var got []string
	for c.Enter(); c.More(); {
		name := jsonwalk.Unquote(c.Name())
		if name != "a" {
			got = append(got, name, string(c.Kind()), string(c.Skip()))
			continue
		}
		for c.Enter(); c.More(); {
			got = append(got, string(c.Skip()))
		}
	}
	want := []string{"1", "-2.5e3", `"x\"]}"`, "null", "bb", "{", "{}", "c", "[", `[[],{"d":true}]`, "e", "f", "false"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if top := string(jsonwalk.NewCursor([]byte("  12")).Skip()); top != "12" {
		t.Errorf("a number alone is %q", top)
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, bad := range []string{"", "{", "{} {}", "[1,]", "nul", "\"\n\"", strings.Repeat("[", 10001) + strings.Repeat("]", 10001)} {
		if jsonwalk.Check([]byte(bad)) == nil {
			t.Errorf("%.20q was accepted", bad)
		}
	}
}

// A cursor agrees with encoding/json on everything that passes Check.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"b\\",{}],"":null}`, ` [ ] `, `"\ud800"`, `"\ud83d\ude00 \ud83dx \ud83d\u0041 \b\f\n\r\t\/\\\""`, `-0`, "\"\xff\"", `[[[]],{"x":{"y":[1]}}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := jsonwalk.Check(text); err != nil {
			return
		}
		var want any
		if json.Unmarshal(text, &want) != nil {
			return // a number that no float64 holds
		}
		if got := read(t, jsonwalk.NewCursor(text)); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func read(t *testing.T, c *jsonwalk.Cursor) any {
	switch c.Kind() {
	case '{':
		m := map[string]any{}
		for c.Enter(); c.More(); {
			name := jsonwalk.Unquote(c.Name())
			m[name] = read(t, c)
		}
		return m
	case '[':
		l := []any{}
		for c.Enter(); c.More(); {
			l = append(l, read(t, c))
		}
		return l
	case '"':
		return jsonwalk.Unquote(c.Skip())
	}
	var v any
	if err := json.Unmarshal(c.Skip(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

type Inner struct {
	ID   int    `json:"id" stay:"private"`
	Same string `json:"same"`
}

type cyclic struct {
	*Outer
	X int
}

type Outer struct {
	cyclic
	Y int
}

// Fields sees what encoding/json sees, and reports what encoding/json does not
// see.
func TestFields(t *testing.T) {
	type sample struct {
		Inner  `stay:"key, preserve"`
		Named  Inner `json:"named,omitempty,omitzero,string"`
		Num    int64 `json:",string"`
		PtrNum *bool `json:"p,string"`
		time.Time
		hidden int
		_      int
		Dash   int    `json:"-"`
		Minus  int    `json:"-,"`
		Bad    int    `json:"a\"b"`
		Same   string `json:"same"`
	}
	_ = sample{}.hidden
	got := map[string]jsonwalk.Field{}
	for _, f := range jsonwalk.Fields(reflect.TypeFor[sample]()) {
		got[f.Path] = f
	}
	if f := got["Inner.ID"]; f.Name != "id" || !slices.Equal(f.Index, []int{0, 0}) || !slices.Equal(f.Stay, []string{"key", "preserve", "private"}) {
		t.Errorf("promoted: %+v", f)
	}
	if f := got["Named"]; !f.OmitEmpty || !f.OmitZero || f.Quoted || !f.Tagged {
		t.Errorf("options: %+v", f)
	}
	if !got["Num"].Quoted || !got["PtrNum"].Quoted || got["Minus"].Name != "-" || got["Minus"].Lost {
		t.Errorf("%+v", got)
	}
	for path, problem := range map[string]string{"hidden": "unexported", "Dash": `json:"-"`, "Bad": "encoding/json ignores", "Time.wall": "unexported"} {
		if f := got[path]; !strings.Contains(f.Problem, problem) || f.Fix == "" {
			t.Errorf("%s: %+v", path, f)
		}
	}
	if _, ok := got["_"]; ok {
		t.Error("a blank field is no field")
	}
	var names []string
	for _, f := range jsonwalk.Dominant(jsonwalk.Fields(reflect.TypeFor[sample]())) {
		names = append(names, f.Path)
	}
	if want := []string{"Inner.ID", "Named", "Num", "PtrNum", "Minus", "Bad", "Same"}; !slices.Equal(names, want) {
		t.Errorf("dominant: %v", names)
	}
	if n := len(jsonwalk.Fields(reflect.TypeFor[cyclic]())); n == 0 {
		t.Error("no fields of a type that embeds itself")
	}
}
