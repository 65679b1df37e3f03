package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Notes is a state whose key is the user in it.
type Notes struct {
	Owner Owner    `json:"owner" stay:"key"`
	Items []string `json:"items"`
	Theme string   `json:"theme"`
}

type Owner struct {
	User string `json:"user"`
	Role string `json:"role"`
}

type credentials struct {
	User string `json:"user"`
}

func showNotes(w http.ResponseWriter, _ *http.Request, n *Notes) error {
	_, err := fmt.Fprintf(w, "%s %v %s", n.Owner.User, n.Items, n.Theme)
	return err
}

// notes serves the state in the ways by which a client's words reach it.
func (s *site) notes(t *testing.T) (*stay.State[Notes], http.Handler) {
	t.Helper()
	state := stay.Register(s.app, stay.Module[Notes]{
		Name: "notes", Persist: stay.WithKey(func(n *Notes) string { return n.Owner.User }),
		Actions: stay.Actions[Notes]{
			"login": stay.WithPayload(func(_ *stay.Call, n *Notes, in credentials) error {
				n.Owner.User = in.User
				return nil
			}),
			"bind": func(c *stay.Call, n *Notes) error { return c.Bind(n) },
			"copy": stay.WithPayload(func(_ *stay.Call, n *Notes, in Notes) error {
				*n = in
				return nil
			}),
		},
	})
	update := func(fn func(w http.ResponseWriter, r *http.Request, n *Notes) error) http.Handler {
		return web.Update(state, fn)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /notes", web.View(state, showNotes))
	mux.Handle("POST /login", web.Do(state, "login", showNotes))
	mux.Handle("POST /bind", web.Do(state, "bind", showNotes))
	mux.Handle("POST /copy", web.Do(state, "copy", showNotes))
	mux.Handle("POST /update", update(func(w http.ResponseWriter, r *http.Request, n *Notes) error {
		if err := web.Bind(r, n); err != nil {
			return err
		}
		return showNotes(w, r, n)
	}))
	mux.Handle("POST /render", update(func(w http.ResponseWriter, r *http.Request, n *Notes) error {
		n.Owner.User = r.FormValue("user")
		return showNotes(w, r, n)
	}))
	mux.Handle("POST /redirect", update(func(w http.ResponseWriter, r *http.Request, n *Notes) error {
		n.Owner.User = r.FormValue("user")
		http.Redirect(w, r, "/notes", http.StatusSeeOther) // with a short body, as net/http writes it
		return nil
	}))
	mux.Handle("POST /silent", update(func(w http.ResponseWriter, r *http.Request, n *Notes) error {
		n.Owner.User = r.FormValue("user")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}))
	mux.Handle("POST /add", update(func(w http.ResponseWriter, r *http.Request, n *Notes) error {
		n.Items = append(n.Items, r.FormValue("item"))
		return showNotes(w, r, n)
	}))
	mux.Handle("/state/", web.Actions(state))
	return state, web.Sessions(s.app, nil)(mux)
}

const form = "application/x-www-form-urlencoded"

// No body sets a key field, in any form and however it is bound: the session
// stays a guest and nothing is stored under the key that it named. Only an
// action that the app wrote for it does.
//
// Proves K0, K6.
func TestNoBodySetsTheKey(t *testing.T) {
	bodies := []struct{ kind, body string }{
		{"application/json", `{"owner":{"user":"ann"}}`},
		{"application/json", `{"theme":"dark","owner":{"user":"ann","role":"admin"}}`},
		{"application/json", `{"Owner":{"User":"ann"}}`},
		{"application/json", `{"owner":null}`},
		{form, "owner.user=ann"},
		{form, "owner[user]=ann"},
		{form, "theme=dark&owner.user=ann&owner.role=admin"},
		{form, "owner=ann"},
		{form, "Owner.User=ann"},
	}
	for _, path := range []string{"/bind", "/update", "/state/notes/bind", "/copy"} {
		for _, b := range bodies {
			t.Run(path+" "+b.body, func(t *testing.T) {
				s := newSite(t)
				state, h := s.notes(t)
				c := browser(h)
				send(t, c, "POST", "/add", "item=mine", "Content-Type", form).want(t, 200, " [mine] ")
				a := send(t, c, "POST", path, b.body, "Content-Type", b.kind)
				if a.status == 200 && strings.Contains(a.body, "ann") {
					t.Errorf("%s was answered with %q", b.body, a.body)
				}
				if a := send(t, c, "GET", "/notes", ""); !strings.HasPrefix(a.body, " [") {
					t.Errorf("after %s the state is %q", b.body, a.body)
				}
				if _, err := state.At("ann").Get(t.Context()); stay.CodeOf(err) != stay.ErrNotFound {
					t.Errorf("after %s the key has a state: %v", b.body, err)
				}
			})
			if path == "/copy" {
				continue // it replaces the key fields by empty ones: for a user that is a logout
			}
			t.Run(path+" of a user "+b.body, func(t *testing.T) {
				s := newSite(t)
				_, h := s.notes(t)
				c := browser(h)
				send(t, c, "POST", "/login", "user=bob", "Content-Type", form)
				send(t, c, "POST", path, b.body, "Content-Type", b.kind)
				if a := send(t, c, "GET", "/notes", ""); !strings.HasPrefix(a.body, "bob [") {
					t.Errorf("after %s the state is %q", b.body, a.body)
				}
			})
		}
	}
}

// The view after a login shows what is stored under the key, in the same
// response.
//
// Proves A7, W5.
func TestDoShowsTheStoredState(t *testing.T) {
	s := newSite(t)
	_, h := s.notes(t)
	one, two := browser(h), browser(h)
	send(t, one, "POST", "/login", "user=ann", "Content-Type", form).want(t, 200, "ann [] ")
	send(t, one, "POST", "/add", "item=stored", "Content-Type", form).want(t, 200, "ann [stored] ")
	send(t, two, "POST", "/add", "item=guest", "Content-Type", form).want(t, 200, " [guest] ")
	send(t, two, "POST", "/login", "user=ann", "Content-Type", form).want(t, 200, "ann [stored] ")
	a := send(t, two, "POST", "/state/notes/login", `{"user":""}`, "Content-Type", "application/json")
	var got Notes
	if err := json.Unmarshal([]byte(a.body), &got); a.status != 200 || err != nil || got.Items != nil {
		t.Errorf("the logout shows %d %s", a.status, a.body)
	}
}

// A run of web.Update that changes the key and renders a page commits nothing:
// 500, with the fix in the log and not in the answer. With a redirect, or
// without a body, it is committed and the next page shows what is stored.
//
// Proves W5.
func TestUpdateThatChangesTheKey(t *testing.T) {
	s := newSite(t)
	state, h := s.notes(t)
	if _, err := state.At("ann").Update(t.Context(), func(n *Notes) error {
		n.Owner.User, n.Items = "ann", []string{"stored"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c := browser(h)
	send(t, c, "POST", "/add", "item=guest", "Content-Type", form).want(t, 200, " [guest] ")
	writes := s.store.writes.Load()
	for _, user := range []string{"ann", "new"} {
		a := send(t, c, "POST", "/render", "user="+user, "Content-Type", form)
		if a.status != 500 || strings.Contains(a.body, "guest") || strings.Contains(a.body, "web.Do") || a.cookie(t) != "" {
			t.Errorf("a login as %s that renders is answered with %d %q, cookie %q", user, a.status, a.body, a.cookie(t))
		}
	}
	if log := s.log.String(); !strings.Contains(log, "web.Do") || !strings.Contains(log, "redirect") || !strings.Contains(log, "notes") {
		t.Errorf("the log does not name the fix: %s", log)
	}
	if now := s.store.writes.Load(); now != writes {
		t.Errorf("%d writes although nothing was committed", now-writes)
	}
	send(t, c, "GET", "/notes", "").want(t, 200, " [guest] ")

	// A redirect; the client follows it.
	send(t, c, "POST", "/redirect", "user=ann", "Content-Type", form).want(t, 200, "ann [stored] ")
	a := send(t, c, "POST", "/render", "user=", "Content-Type", form)
	if a.status != 500 {
		t.Errorf("a logout that renders is answered with %d %q", a.status, a.body)
	}
	send(t, c, "GET", "/notes", "").want(t, 200, "ann [stored] ")
	a = send(t, c, "POST", "/silent", "user=bob", "Content-Type", form)
	if a.status != 204 || a.cookie(t) == "" {
		t.Errorf("a switch without a body is answered with %d, cookie %q", a.status, a.cookie(t))
	}
	send(t, c, "GET", "/notes", "").want(t, 200, "bob [] ")
	send(t, c, "POST", "/render", "user=bob", "Content-Type", form).want(t, 200, "bob [] ") // the key stays
}

// Session verbs inside the function of web.Update are ErrNested; in web.Handle
// and in a view of web.Do they work.
//
// Proves E10, W3.
func TestSessionVerbsInHandlers(t *testing.T) {
	s := newSite(t)
	verbs := map[string]func(r *http.Request) error{
		"login":   func(r *http.Request) error { return stay.SessionFrom(r.Context()).Login(r.Context(), "ann") },
		"logout":  func(r *http.Request) error { return stay.SessionFrom(r.Context()).Logout(r.Context()) },
		"renew":   func(r *http.Request) error { return stay.SessionFrom(r.Context()).Renew(r.Context()) },
		"destroy": func(r *http.Request) error { return stay.SessionFrom(r.Context()).Destroy(r.Context()) },
	}
	for verb, fn := range verbs {
		t.Run(verb, func(t *testing.T) {
			mux := http.NewServeMux()
			var got error
			mux.Handle("POST /update", web.Update(s.counter, func(_ http.ResponseWriter, r *http.Request, c *Counter) error {
				got = fn(r)
				c.Count++
				return nil
			}))
			mux.Handle("POST /handle", web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return fn(r) }))
			mux.Handle("POST /do", web.Do(s.counter, "increment", func(_ http.ResponseWriter, r *http.Request, _ *Counter) error { return fn(r) }))
			c := browser(web.Sessions(s.app, nil)(mux))
			send(t, c, "POST", "/update", "").want(t, 200, "")
			if stay.CodeOf(got) != stay.ErrNested {
				t.Errorf("inside web.Update: %v", got)
			}
			send(t, c, "POST", "/do", "").want(t, 200, "")
			send(t, c, "POST", "/handle", "").want(t, 200, "")
		})
	}
}
