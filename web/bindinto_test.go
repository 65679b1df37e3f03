package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Item has a price that only the program sets.
type Item struct {
	Name  string `json:"name"`
	Price int    `json:"price" stay:"private"`
}

// Cart is a state that actions bind into.
type Cart struct {
	Title string          `json:"title"`
	Lines []Item          `json:"lines"`
	ByID  map[string]Item `json:"byID"`
	Gift  *Item           `json:"gift"`
	Notes []string        `json:"notes"`
	Main  Item            `json:"main"`
}

func newCart() Cart {
	return Cart{
		Title: "title", Lines: []Item{{"string", 1}, {"gold", 1000}}, ByID: map[string]Item{"g": {"gold", 1000}},
		Gift: &Item{"gold", 1000}, Notes: []string{"a", "b"}, Main: Item{"gold", 1000},
	}
}

func bindRequest(contentType, body string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return r
}

// An action that binds into the state changes what a client may change. A body
// that would give one thing the price of another, or take it away, is refused
// and changes nothing: neither the state nor the initial state.
//
// Proves K6, W7.
func TestBindingIntoTheStateKeepsWhatIsNotForClients(t *testing.T) {
	s := newSite(t)
	cart := stay.Register(s.app, stay.Module[Cart]{
		Name: "cart", Persist: stay.PerSession, Initial: newCart(),
		Actions: stay.Actions[Cart]{"edit": func(c *stay.Call, cart *Cart) error { return c.Bind(cart) }},
	})
	mux := http.NewServeMux()
	mux.Handle("/state/", web.Actions(cart))
	var state Cart
	mux.Handle("/see", web.View(cart, func(_ http.ResponseWriter, _ *http.Request, c *Cart) error {
		state = *c
		return nil
	}))
	h := web.Sessions(s.app, nil)(mux)
	for _, c := range []struct {
		contentType, body string
		status            int
		change            func(c *Cart)
	}{
		{jsonType, `{"lines":[{"name":"gold"}]}`, 400, nil},
		{jsonType, `{"title":"x","notes":["x"],"lines":[]}`, 400, nil},
		{jsonType, `{"byID":{"g":{"name":"gold"}}}`, 400, nil},
		{jsonType, `{"gift":null}`, 400, nil},
		{jsonType, `{"gift":{"name":"x"},"main":{"name":"y"},"notes":["z"]}`, 200, func(c *Cart) {
			c.Gift.Name, c.Main.Name, c.Notes = "x", "y", []string{"z"}
		}},
		{formType, `gift.name=x&main.name=y&notes=z`, 200, func(c *Cart) {
			c.Gift.Name, c.Main.Name, c.Notes = "x", "y", []string{"z"}
		}},
		{formType, `gift.name=x&notes=z&title=a&title=b`, 422, nil},
		{formType, `lines=gold`, 400, nil},
	} {
		client := browser(h)
		a := send(t, client, "POST", "/state/cart/edit", c.body, "Content-Type", c.contentType)
		if a.status != c.status {
			t.Errorf("%s: %d %s", c.body, a.status, a.body)
		}
		want := newCart()
		if c.change != nil {
			c.change(&want)
		}
		if send(t, client, "GET", "/see", ""); !reflect.DeepEqual(state, want) {
			t.Errorf("%s: got %+v, want %+v", c.body, state, want)
		}
		if send(t, browser(h), "GET", "/see", ""); !reflect.DeepEqual(state, newCart()) {
			t.Errorf("%s: others have %+v", c.body, state)
		}
	}
}

// A body that is refused has changed nothing that the destination led to.
//
// Proves W7.
func TestARefusedBodyChangesNothing(t *testing.T) {
	for body, want := range map[string]stay.Code{
		`{"gift":{"name":"x"},"notes":["x"],"title":7}`: stay.ErrInvalid,
		`{"notes":["x",7]}`:                             stay.ErrInvalid,
		`{"byID":{"g":{"name":"x"}},"title":"x"}`:       stay.ErrMalformed,
		"gift.name=x&main.name=x&title=a&title=b":       stay.ErrInvalid,
	} {
		contentType := jsonType
		if body[0] != '{' {
			contentType = formType
		}
		in := newCart()
		others := in
		if err := web.Bind(bindRequest(contentType, body), &in); !errors.Is(err, want) {
			t.Errorf("%s: %v", body, err)
		}
		if !reflect.DeepEqual(in, newCart()) || !reflect.DeepEqual(others, newCart()) {
			t.Errorf("%s: %+v", body, in)
		}
	}
}

// Signup reads itself, for a default, so its tag has no effect.
type Signup struct {
	Name  string `json:"name"`
	Admin bool   `json:"admin" stay:"private"`
}

func (s *Signup) UnmarshalJSON(b []byte) error {
	type plain Signup
	p := plain{Name: "nobody"}
	err := json.Unmarshal(b, &p)
	*s = Signup(p)
	return err
}

// A type whose tags would have no effect is a mistake of the program. Clients
// do not see it.
//
// Proves W7.
func TestBindRefusesTagsWithoutEffect(t *testing.T) {
	s := newSite(t)
	state := stay.Register(s.app, stay.Module[Step]{Name: "step", Persist: stay.Global, Actions: stay.Actions[Step]{
		"bind": func(c *stay.Call, _ *Step) error { return c.Bind(new(struct{ In []Signup })) },
	}})
	for _, payload := range []any{web.Payload(bindRequest(jsonType, `{"In":[{"admin":true}]}`)), []byte(`{"In":[]}`), url.Values{"In": {"x"}}} {
		_, err := state.Do(t.Context(), "bind", payload)
		if stay.CodeOf(err) != stay.ErrInternal || !strings.Contains(err.Error(), "web_test.Signup.Admin has a stay tag without effect") {
			t.Errorf("%T: %v", payload, err)
		}
	}
	var in Signup
	h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return web.Bind(r, &in) })
	for body, contentType := range map[string]string{`{"name":"eve","admin":true}`: jsonType, `{}`: jsonType, "name=eve": formType} {
		a := send(t, browser(h), "POST", "/", body, "Content-Type", contentType)
		if a.status != 500 || strings.Contains(a.body, "Signup") || in.Admin {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}

// A body that decodes to far more than its length is too large, and is refused
// before the memory is taken.
//
// Proves W7.
func TestBodiesThatStandForTooMuchAreTooLarge(t *testing.T) {
	type row struct{ A, B, C, D string }
	type sheet struct {
		Rows []row             `json:"rows"`
		Any  any               `json:"any"`
		Map  map[string]string `json:"map"`
		Tags []string          `json:"tags"`
	}
	s := newSite(t)
	state := stay.Register(s.app, stay.Module[Step]{Name: "step", Persist: stay.Global, Actions: stay.Actions[Step]{
		"bind": stay.WithPayload(func(*stay.Call, *Step, sheet) error { return nil }),
	}})
	many := func(open, item, end string) string {
		return open + strings.TrimSuffix(strings.Repeat(item, 1_040_000/len(item)), item[len(item)-1:]) + end
	}
	for _, c := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"structs", jsonType, many(`{"rows":[`, `{},`, `]}`), 413},
		{"any", jsonType, many(`{"any":[`, `{},`, `]}`), 413},
		{"small objects", jsonType, many(`{"any":[`, `{"a":1},`, `]}`), 413},
		{"names", formType, many(``, `tags&`, ``), 413},
		{"values", formType, many(``, `tags=x&`, ``), 413},
		{"nested", jsonType, `{"any":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, 400},
		{"fits", jsonType, many(`{"tags":[`, `"some text",`, `]}`), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			in := sheet{Tags: []string{"before"}}
			h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return web.Bind(r, &in) })
			a := send(t, browser(h), "POST", "/", c.body, "Content-Type", c.contentType)
			runtime.ReadMemStats(&after)
			if a.status != c.status || (c.status == 200) == (in.Tags[0] == "before") {
				t.Errorf("%d %s, %d rows, %d tags", a.status, a.body, len(in.Rows), len(in.Tags))
			}
			// Of which a part is the body, of a megabyte, and how it grows.
			if got := after.TotalAlloc - before.TotalAlloc; got > 26<<20 {
				t.Errorf("%d MB were allocated for %d KB", got>>20, len(c.body)>>10)
			}
			_, err := state.Do(t.Context(), "bind", web.Payload(bindRequest(c.contentType, c.body)))
			if want := map[int]stay.Code{413: stay.ErrTooLarge, 400: stay.ErrMalformed}[c.status]; c.status != 200 && stay.CodeOf(err) != want {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}
