package bind_test

import (
	"encoding/json"
	"net/url"
	"reflect"
	"testing"
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

// W7: no JSON panics, sets what is hidden or is bound by halves; what is
// accepted is what encoding/json makes of it.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","age":1}`, `{"user":"u"}`, `{"USER":"u"}`, `{"items":[{"secret":"s"}],"byName":{"a":{}}}`,
		`{"other":null,"raw":[1],"any":{},"pair":[1,2]}`, `{"address":{"Secret":"s"}}`, `{} {}`, `[`, `{"level":"low","number":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want payload
		if err := binder.JSON(data, &got); err != nil {
			if !reflect.DeepEqual(got, payload{}) {
				t.Fatalf("bound by halves: %+v", got)
			}
			return
		}
		hidden(t, &got)
		if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	})
}

// W7: no form panics, sets what is hidden or is bound by halves.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"name=a&age=1&on=on", "user=u&admin=1", "address.city=x&other.city=y", "address.secret=s", "tags=a&tags=b&nums=1&nums=",
		"when=2026-11-01T00:00:00Z&maybe=&level=low", "_csrf=x&_under=y", "price=NaN", "....=1", "any=1&any=2&number=1e5",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, _ := url.ParseQuery(query)
		var got payload
		if err := binder.Form(values, &got); err != nil {
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
		if err := binder.Form(values, &lists); err != nil {
			t.Fatal(err)
		}
	})
}
