package web_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A page that uses the session's own data depends on the cookie, so no cache
// may keep it for others; and the data belongs to the cookie that the browser
// has.
//
// Proves W1, W2.
func TestPageMadeWithTheSessionsIDIsPrivate(t *testing.T) {
	s := newSite(t)
	notes := stay.Register(s.app, stay.Module[Step]{Name: "notes", Persist: stay.PerSession})
	mux := http.NewServeMux()
	says := map[string]func(ctx context.Context, s *stay.Session) any{
		"/id":      func(_ context.Context, s *stay.Session) any { return s.ID() },
		"/user":    func(_ context.Context, s *stay.Session) any { return s.User() },
		"/created": func(_ context.Context, s *stay.Session) any { return s.Created() },
		"/seen":    func(_ context.Context, s *stay.Session) any { return s.LastSeen() },
		"/expires": func(_ context.Context, s *stay.Session) any { return s.Expires() },
		"/at":      func(ctx context.Context, s *stay.Session) any { _, err := notes.At(s.ID()).Get(ctx); return err },
		"/logout":  func(ctx context.Context, s *stay.Session) any { return s.Logout(ctx) },
		"/renew":   func(ctx context.Context, s *stay.Session) any { return s.Renew(ctx) },
		"/destroy": func(ctx context.Context, s *stay.Session) any { return s.Destroy(ctx) },
	}
	for path, say := range says {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, say(r.Context(), stay.SessionFrom(r.Context())))
		})
	}
	h := web.Sessions(s.app, nil)(mux)
	for path := range says {
		c := browser(h)
		for range 2 { // without a cookie, and with one
			a := send(t, c, "GET", path, "")
			if a.header.Get("Cache-Control") != "private, no-store" || a.header.Get("Vary") != "Cookie" {
				t.Errorf("%s: Cache-Control is %q, Vary is %q", path, a.header.Get("Cache-Control"), a.header.Get("Vary"))
			}
			send(t, c, "GET", "/id", "")
		}
	}
	c := browser(h)
	first := send(t, c, "GET", "/id", "")
	if first.cookie(t) == "" || len(first.body) != 32 {
		t.Errorf("the ID %q came with the cookie %q", first.body, first.cookie(t))
	}
	second := send(t, c, "GET", "/id", "")
	second.want(t, 200, first.body)
	if second.cookie(t) != "" {
		t.Error("the cookie was set again")
	}
}

// What a program does with the context of a request that is over gives the
// browser no cookie, so it takes none away either.
//
// Proves S5, W2.
func TestContextKeptBeyondTheRequestSignsNobodyOut(t *testing.T) {
	s := newSite(t)
	type Note struct {
		Owner string `json:"owner" stay:"key"`
		Text  string `json:"text"`
	}
	notes := stay.Register(s.app, stay.Module[Note]{Name: "notes", Persist: stay.WithKey(func(n *Note) string { return n.Owner })})
	var kept context.Context
	mux := http.NewServeMux()
	mux.Handle("POST /login", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), "ann")
	}))
	mux.Handle("GET /user", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		kept = context.WithoutCancel(r.Context())
		_, err := fmt.Fprint(w, stay.SessionFrom(r.Context()).User())
		return err
	}))
	c := browser(web.Sessions(s.app, nil)(mux))
	send(t, c, "POST", "/login", "").want(t, 200, "")
	send(t, c, "GET", "/user", "").want(t, 200, "ann")
	session := stay.SessionFrom(kept)
	for what, late := range map[string]func() error{
		"Login":  func() error { return session.Login(kept, "bob") },
		"Logout": func() error { return session.Logout(kept) },
		"Renew":  func() error { return session.Renew(kept) },
		"a key": func() error {
			_, err := notes.Update(kept, func(n *Note) error { n.Owner = "ann"; return nil })
			return err
		},
	} {
		if err := late(); stay.CodeOf(err) != stay.ErrInternal {
			t.Errorf("%s after the request: %v", what, err)
		}
		send(t, c, "GET", "/user", "").want(t, 200, "ann")
	}
	if _, err := notes.Update(kept, func(n *Note) error { n.Text = "a job's"; return nil }); err != nil {
		t.Errorf("a change that needs no cookie: %v", err)
	}
}
