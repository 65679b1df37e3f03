package bind_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/bind"
	"github.com/stay-go/stay/internal/normal"
)

// hidden fails if a field that clients must not set was set.
func hidden(t *testing.T, p *payload) {
	t.Helper()
	secrets := []string{p.User, p.Hidden, p.Address.Secret}
	if p.Other != nil {
		secrets = append(secrets, p.Other.Secret)
	}
	for _, a := range p.Items {
		secrets = append(secrets, a.Secret)
	}
	for _, a := range p.ByName {
		secrets = append(secrets, a.Secret)
	}
	for _, s := range secrets {
		if s != "" {
			t.Fatalf("bound: %+v", p)
		}
	}
	if p.Admin {
		t.Fatalf("bound: %+v", p)
	}
}

// held is a destination that holds something everywhere.
func held() payload {
	n, note := 1, "note"
	return payload{
		common: common{1}, Name: "name", Age: 1, Tags: []string{"a", "b", "c"}[:2], Maybe: &n, Note: &note, Nums: []*int{&n},
		Address: address{"city", "secret"}, Other: &address{"city", "other secret"},
		Items: []address{{"a", "secret of a"}, {"b", "secret of b"}}, ByName: map[string]address{"a": {"a", "secret of a"}},
		Levels: []level{1, 2}, Raw: json.RawMessage(`{"raw":"value"}`), Bytes: []byte("bytes"), Any: &address{"any", "secret of any"},
		Pair: [2]int{1, 2}, User: "user", Admin: true, Hidden: "hidden",
	}
}

// overHeld binds to a destination with parts that others hold, too. They never
// see a change; a refused payload changes nothing; and fields that only the
// program may set stay as they are.
func overHeld(t *testing.T, bindTo func(dst any) error) {
	t.Helper()
	got, want := held(), held()
	others := got
	err := bindTo(&got)
	if !reflect.DeepEqual(others, want) {
		t.Fatalf("what others hold has changed (%v)\ngot  %+v\nwant %+v", err, others, want)
	}
	if err != nil {
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("bound by halves (%v)\ngot  %+v\nwant %+v", err, got, want)
		}
		return
	}
	secret := func(p *payload) any {
		return []any{p.Address.Secret, p.Other.Secret, p.Items, p.ByName, p.Any.(*address).Secret, p.User, p.Admin, p.Hidden}
	}
	if !reflect.DeepEqual(secret(&got), secret(&want)) {
		t.Fatalf("what is not for clients was changed\ngot  %+v\nwant %+v", secret(&got), secret(&want))
	}
}

// No JSON panics, sets what is hidden or is bound by halves; what is accepted
// is what encoding/json makes of it.
//
// Proves W7.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","age":1}`, `{"user":"u"}`, `{"USER":"u"}`, `{"items":[{"secret":"s"}],"byName":{"a":{}}}`,
		`{"items":[{"city":"c"}]}`, `{"byName":{"a":{"city":"c"}},"tags":["z",1]}`, `{"other":{"city":"c"},"any":{"city":"c"},"nums":[2,"x"]}`,
		`{"items":null}`, `{"any":null}`, `{"maybe":2,"note":"n","raw":[2],"bytes":"AAAA","levels":["low"],"pair":[7]}`, `{"number":"1","any":{"secret":"s"}}`,
		`{"when":"2026-11-28","maybeT":""}`, `{"other":null,"raw":[1],"any":{},"pair":[1,2]}`, `{"address":{"Secret":"s"}}`, `{} {}`, `[`, `{"level":"low","number":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		overHeld(t, func(dst any) error { return binder.JSON(data, dst, nil) })
		var got, want payload
		if err := binder.JSON(data, &got, nil); err != nil {
			if !reflect.DeepEqual(got, payload{}) {
				t.Fatalf("bound by halves: %+v", got)
			}
			return
		}
		hidden(t, &got)
		err := json.Unmarshal(data, &want)
		if errors.As(err, new(*time.ParseError)) {
			return // encoding/json knows no time without a zone
		}
		want.When = normal.Time(want.When)
		if want.MaybeT != nil {
			*want.MaybeT = normal.Time(*want.MaybeT)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	})
}

// No form panics, sets what is hidden or is bound by halves.
//
// Proves W7.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"name=a&age=1&on=on", "user=u&admin=1", "address.city=x&other.city=y", "address.secret=s", "tags=a&tags=b&nums=1&nums=",
		"when=2026-11-01T00:00:00Z&maybe=&level=low", "_csrf=x&_under=y", "price=NaN", "....=1", "any=1&any=2&number=1e5",
		"other.city=c&maybe=2&age=x", "items[3].city=a&items[0].city=b", "items[0].secret=s", "items[0][city]=c", "tags[]=a&tags[1]=b",
		"when=2026-11-28&maybe=&maybeT=&on=no&on=yes", "other=&items=&byName=", "other.city=c&maybe=2&note=x&raw=1", "tags=z&bytes=x&levels=low&levels=high",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, _ := url.ParseQuery(query)
		overHeld(t, func(dst any) error { return binder.Form(values, dst, nil) })
		var got payload
		full := held()
		_ = binder.Renumber(values, &got)
		for name := range values {
			_, _, _ = binder.Texts(&full, name), bind.JSONTexts(map[string]any{"a": []any{"x", nil}}, name), binder.IsBool(&got, name)
		}
		if err := binder.Form(values, &got, nil); err != nil {
			if !reflect.DeepEqual(got, payload{}) {
				t.Fatalf("bound by halves: %+v", got)
			}
			return
		}
		hidden(t, &got)
		if _, err := json.Marshal(&got); err != nil {
			t.Fatalf("bound what JSON cannot hold: %v", err)
		}
		var lists map[string][]string
		if err := binder.Form(values, &lists, nil); err != nil {
			t.Fatal(err)
		}
		// Names that are left out set nothing.
		got = payload{}
		if err := binder.Form(values, &got, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		hidden(t, &got)
	})
}
