package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A request that comes back to an App through another one has one session of each,
// and the last one that it came through counts.
//
// Proves W2.
func TestSessionsOfTwoAppsInTurn(t *testing.T) {
	a, b := newSite(t), newSite(t)
	atA, atB := web.Sessions(a.app, nil), web.Sessions(b.app, &web.Options{Cookie: "other"})
	uses := func(s *site, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := s.increment(r.Context()); err != nil {
				t.Error(err)
			}
			next.ServeHTTP(w, r)
		})
	}
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stay.SessionFrom(r.Context()).User() == "" {
			if err := stay.SessionFrom(r.Context()).Login(r.Context(), "ann"); err != nil {
				t.Error(err)
			}
		}
		if web.PageValue(r) == "guest" {
			t.Error("the page is one of the App in between")
		}
		_ = r.FormValue("x")
		fmt.Fprint(w, a.count(r.Context(), t), b.count(r.Context(), t))
	})
	mux := http.NewServeMux()
	mux.Handle("/{rest...}", inner)
	outside := http.NewServeMux()
	var seen *http.Request
	outside.Handle("/", atA(uses(a, atB(uses(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		atA(uses(a, atB(uses(b, mux)))).ServeHTTP(w, r)
		seen = r
	}))))))
	c := browser(outside)
	for i := 1; i < 3; i++ {
		got := send(t, c, "POST", "/path", "x=1", "Content-Type", formType)
		got.want(t, 200, fmt.Sprint(2*i, 2*i))
		if lines := got.header["Set-Cookie"]; i == 1 && len(lines) != 2 || i == 2 && len(lines) != 0 {
			t.Errorf("%d cookies: %q", len(lines), lines)
		}
		if seen.Pattern != "/{rest...}" || seen.PathValue("rest") != "path" || seen.Form.Get("x") != "1" {
			t.Errorf("the outer request has %q, %v", seen.Pattern, seen.Form)
		}
	}
}

// The same holds for visits.
//
// Proves W2.
func TestVisitsOfTwoAppsInTurn(t *testing.T) {
	a, b := newSite(t), newSite(t)
	begins := []func(*http.Request) (*web.Visit, error){
		web.Visits(a.app, nil), web.Visits(b.app, &web.Options{Cookie: "other"}), web.Visits(a.app, nil),
	}
	ctx := context.Background()
	var visits []*web.Visit
	for _, begin := range begins {
		v, err := begin(httptest.NewRequestWithContext(ctx, "POST", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.increment(v.Context()); err != nil {
			t.Fatal(err)
		}
		visits, ctx = append(visits, v), v.Context()
	}
	if n := a.count(ctx, t); n != 3 {
		t.Errorf("the state has seen %d of 3 visits", n)
	}
	if id, want := stay.SessionFrom(ctx).ID(), stay.SessionFrom(visits[0].Context()).ID(); id != want {
		t.Errorf("the last session is %s, want %s", id, want)
	}
	for i, want := range []int{1, 0, 0} {
		if lines := visits[i].End()["Set-Cookie"]; len(lines) != want {
			t.Errorf("visit %d sets %q", i, lines)
		}
	}
}
