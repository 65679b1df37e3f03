package web_test

import (
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Proves W7.
func TestActionsServeJSON(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	c := browser(h)
	a := send(t, c, "GET", "/state/counter", "")
	a.want(t, 200, `{"count":0,"label":"clicks"}`)
	if a.header.Get("Content-Type") != "application/json; charset=utf-8" || a.header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("header %v", a.header)
	}
	send(t, c, "POST", "/state/counter/increment", "").want(t, 200, `{"count":1,"label":"clicks"}`)
	send(t, c, "POST", "/state/counter/add", `{"by":2,"label":"js"}`, "Content-Type", jsonType).want(t, 200, `{"count":3,"label":"js"}`)
	send(t, c, "POST", "/state/counter/add", "by=4", "Content-Type", formType).want(t, 200, `{"count":7,"label":"js"}`)
	send(t, c, "POST", "/state/counter/fail", "").want(t, 500, "Internal Server Error\n")
	send(t, c, "GET", "/state/counter", "").want(t, 200, `{"count":7,"label":"js"}`)
	if a := send(t, c, "HEAD", "/state/counter", ""); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
}

// Proves W7.
func TestActionsServeOnlyTheStatesNamed(t *testing.T) {
	s := newSite(t)
	hidden := stay.Register(s.app, stay.Module[Counter]{Name: "admin", Persist: stay.PerSession, Actions: counterModule.Actions})
	_ = hidden
	h := s.routes(nil)
	send(t, browser(h), "GET", "/state/admin", "").want(t, 404, "Not Found\n")
	send(t, browser(h), "POST", "/state/admin/increment", "").want(t, 404, "Not Found\n")
	if n := s.store.writes.Load(); n != 0 {
		t.Errorf("%d records were written", n)
	}
}

// Proves W7.
func TestActionsRefuse(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	for _, tc := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/state/other", 404, ""},
		{"GET", "/state/", 404, ""},
		{"POST", "/state/counter/decrement", 404, ""},
		{"POST", "/state/other/increment", 404, ""},
		{"PUT", "/state/nothing", 404, ""},
		{"POST", "/state/counter", 405, "GET, HEAD"},
		{"DELETE", "/state/counter", 405, "GET, HEAD"},
		{"GET", "/state/counter/increment", 405, "POST"},
		{"HEAD", "/state/counter/increment", 405, "POST"},
		{"PUT", "/state/counter/increment", 405, "POST"},
	} {
		a := send(t, browser(h), tc.method, tc.path, "")
		if a.status != tc.status || a.header.Get("Allow") != tc.allow || a.cookie(t) != "" {
			t.Errorf("%s %s: %d, Allow %q, cookie %q", tc.method, tc.path, a.status, a.header.Get("Allow"), a.cookie(t))
		}
	}
}

// An action may be called like a module: the number of elements tells which is
// meant.
func TestActionsNamedLikeAModule(t *testing.T) {
	s := newSite(t)
	rename := stay.Register(s.app, stay.Module[Counter]{Name: "increment", Initial: Counter{Label: "module"}, Persist: stay.PerSession})
	h := web.Sessions(s.app, nil)(web.Actions(s.counter, rename))
	c := browser(h)
	send(t, c, "GET", "/increment", "").want(t, 200, `{"count":0,"label":"module"}`)
	send(t, c, "POST", "/counter/increment", "").want(t, 200, `{"count":1,"label":"clicks"}`)
	if a := send(t, c, "GET", "/counter/increment", ""); a.status != 405 {
		t.Errorf("an action by GET: %d", a.status)
	}
}

// The answer names the nearest name to a developer only.
func TestDevelopmentNamesTheNearest(t *testing.T) {
	for _, tc := range []struct{ method, path, want string }{
		{"GET", "/state/conter", `there is no module "conter" here; did you mean "counter"?`},
		{"GET", "/state/zzz", `there is no module "zzz" here; known are counter`},
		{"POST", "/state/conter/add", `there is no module "conter" here; did you mean "counter"?`},
		{"POST", "/state/counter/incremnt", `module "counter" has no action "incremnt"; did you mean "increment"?`},
		{"POST", "/state/counter/zzz", `module "counter" has no action "zzz"; known are add, fail, increment`},
		{"POST", "/state/counter/" + strings.Repeat("z", 200), "known are add, fail, increment"},
		{"POST", "/state/x/counter/add", `it is "x/counter/add"`},
		{"GET", "/state/counter/", `it is "counter/"`},
	} {
		developing := newSite(t, func(o *stay.Options) { o.Development = true })
		a := send(t, browser(developing.routes(nil)), tc.method, tc.path, "")
		if a.status != 404 || !strings.Contains(a.body, tc.want) {
			t.Errorf("%s %s: %d %q, want %q", tc.method, tc.path, a.status, a.body, tc.want)
		}
		send(t, browser(newSite(t).routes(nil)), tc.method, tc.path, "").want(t, 404, "Not Found\n")
	}
}
