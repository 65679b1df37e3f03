package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/web"
)

// For every body and content type, binding answers with one of the documented
// statuses, and Bind, Payload and Actions agree on what it means.
//
// Proves B8.
func FuzzPayload(f *testing.F) {
	multi, multiType := multipartForm(f, map[string]string{"by": "3", "label": "x"}, "")
	file, fileType := multipartForm(f, map[string]string{"by": "3"}, "content")
	for _, seed := range [][2]string{
		{"by=3&label=x", formType},
		{"by=3;label=x", formType + "; charset=utf-8"},
		{"by=%zz", formType},
		{"by=1&by=2", formType},
		{`{"by":3,"label":"x"}`, jsonType},
		{`{"by":3}{}`, jsonType},
		{`{"by":-1}`, "application/a+json"},
		{`[{"by":`, jsonType},
		{`null`, jsonType},
		{`{"lines":[{"name":"gold"}]}`, jsonType},
		{`{"gift":{"name":"x"},"byID":{"g":{"name":"x"}}}`, jsonType},
		{`{"gift":{"name":"x"},"main":{"name":"x"},"notes":["x",7]}`, jsonType},
		{"gift.name=x&notes=x&title=a&title=b", formType},
		{multi, multiType},
		{file, fileType},
		{multi[:40], multiType},
		{"x", "multipart/form-data; boundary=\""},
		{"x", "a/b/c"},
		{"x", ""},
		{"", ""},
	} {
		f.Add(seed[0], seed[1], false)
		f.Add(seed[0], seed[1], true)
	}
	s := newSite(f)
	state := stay.Register(s.app, stay.Module[Step]{Name: "step", Persist: stay.Global, Actions: stay.Actions[Step]{
		"set": stay.WithPayload(func(_ *stay.Call, v *Step, in Step) error {
			*v = in
			return nil
		}),
	}})
	f.Fuzz(func(t *testing.T, body, contentType string, parse bool) {
		if len(contentType) > 200 {
			return
		}
		request := func() *http.Request {
			r := httptest.NewRequest("POST", "/step/set?by=9&admin=1", strings.NewReader(body))
			r.Header.Set("Content-Type", contentType)
			return r
		}
		var bound Step
		var changed *Step
		status := map[string]int{}
		for name, h := range map[string]http.HandlerFunc{
			"Bind": web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return web.Bind(r, &bound) }),
			"Payload": web.Handle(func(_ http.ResponseWriter, r *http.Request) (err error) {
				p := web.Payload(r)
				if parse {
					r.FormValue("by")
				}
				changed, err = state.Do(r.Context(), "set", p)
				return err
			}),
			"Actions": web.Actions(state).ServeHTTP,
		} {
			w := httptest.NewRecorder()
			h(w, request())
			status[name] = w.Code
			switch w.Code {
			case 200, 400, 413, 422:
			default:
				t.Fatalf("%s: status %d %q", name, w.Code, w.Body)
			}
		}
		if status["Bind"] != status["Payload"] || status["Bind"] != status["Actions"] {
			t.Fatalf("they disagree: %v", status)
		}
		if status["Bind"] == 200 && *changed != throughJSON(t, bound) {
			t.Fatalf("Bind %+v, Payload %+v", bound, *changed)
		}
		// Over what a program has filled in: nothing that others hold changes,
		// what is refused changes nothing, and what is not for clients stays.
		cart := newCart()
		others := cart
		err := web.Bind(request(), &cart)
		if !reflect.DeepEqual(others, newCart()) {
			t.Fatalf("others hold %+v: %v", others, err)
		}
		if err != nil && !reflect.DeepEqual(cart, newCart()) {
			t.Fatalf("bound by halves: %+v: %v", cart, err)
		}
		if cart.Gift.Price != 1000 || cart.Main.Price != 1000 || !reflect.DeepEqual(cart.Lines, others.Lines) || !reflect.DeepEqual(cart.ByID, others.ByID) {
			t.Fatalf("what is not for clients was changed: %+v", cart)
		}
		// A form that was parsed before may hide what could not be parsed. It
		// does not panic either.
		r := request()
		r.FormValue("by")
		_ = web.Bind(r, new(Step))
	})
}

// throughJSON returns v as a state keeps it: JSON has no invalid UTF-8.
func throughJSON(t *testing.T, v Step) (out Step) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// For every Cookie header, the answer is a page: of the session whose token it
// has, else of a new session or, with too many tokens, of no session; and
// nothing is stored.
//
// Proves B3, W1.
func FuzzCookie(f *testing.F) {
	s := newSite(f)
	h := s.routes(nil)
	c := browser(h)
	_, mine, _ := attributes(send(f, c, "POST", "/update", "").cookie(f))
	for _, seed := range []string{
		"stay=" + mine,
		"stay=" + mine + "; stay=" + mine,
		"a=b; stay=" + mine + "; c",
		"stay=" + mine[:len(mine)-1],
		"stay=" + strings.ToUpper(mine),
		`stay="` + mine + `"`,
		"stay=__proto__",
		"__Host-stay=" + mine,
		"=stay=" + mine,
		"stay",
		";;= ;\x00",
		"stay=" + strings.Repeat("a", 2<<10),
	} {
		f.Add(seed)
	}
	writes := s.store.writes.Load()
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/view", nil)
		r.Header["Cookie"] = []string{header}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		known := w.Body.String() == "1"
		if w.Code != 200 || !known && w.Body.String() != "0" {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		if known && !strings.Contains(header, "stay="+mine) {
			t.Fatalf("%q reached the session of %q", header, mine)
		}
		// Of very many cookies none counts, and none is set.
		many := strings.Count(header, "stay") > access.MaxCookies
		if issued := w.Header().Get("Set-Cookie"); (issued == "") != known && !many {
			t.Fatalf("cookie %q, session known: %v", issued, known)
		}
		if got := s.store.writes.Load(); got != writes {
			t.Fatalf("%d records were written", got-writes)
		}
	})
}
