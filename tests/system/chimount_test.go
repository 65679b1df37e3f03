package system_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// However web.Actions is mounted with chi, an action has one path, so that a
// route beside it guards what it names.
//
// Proves W7.
func TestActionsUnderChi(t *testing.T) {
	app := newApp(t, memstore.New(), nil)
	type flag struct {
		On bool `json:"on"`
	}
	set := stay.Actions[flag]{"set": func(_ *stay.Call, f *flag) error { f.On = true; return nil }}
	actions := web.Actions(
		stay.Register(app, stay.Module[flag]{Name: "open", Persist: stay.Global, Actions: set}),
		stay.Register(app, stay.Module[flag]{Name: "admin", Persist: stay.Global, Actions: set}))
	for name, tc := range map[string]struct {
		mount func(r chi.Router)
		path  string // of the action of open, without its last two elements
	}{
		"Mount":              {func(r chi.Router) { r.Mount("/state", actions) }, "/state"},
		"Handle":             {func(r chi.Router) { r.Handle("/state/*", actions) }, "/state"},
		"Mount in a router":  {func(r chi.Router) { r.Route("/api", func(r chi.Router) { r.Mount("/state", actions) }) }, "/api/state"},
		"Mount in a mounted": {func(r chi.Router) { sub := chi.NewRouter(); sub.Mount("/state", actions); r.Mount("/api", sub) }, "/api/state"},
		"below a parameter":  {func(r chi.Router) { r.Mount("/{team}/state", actions) }, "/a%2Fb/state"},
		"an expression":      {func(r chi.Router) { r.Mount("/{n:[0-9]+}/state", actions) }, "/12/state"},
		"Post":               {func(r chi.Router) { r.Post("/state/{module}/{action}", actions.ServeHTTP) }, "/state"},
		"StripPrefix":        {func(r chi.Router) { r.Mount("/state", http.StripPrefix("/state", actions)) }, "/state"},
		"With": {func(r chi.Router) {
			r.With(middleware.Timeout(patience)).Handle("/state/*", actions)
		}, "/state"},
		"StripPrefix outside": {func(r chi.Router) {
			sub := chi.NewRouter()
			sub.Mount("/state", actions)
			r.Handle("/api/*", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				// A router of its own, which knows nothing of the one around it.
				r = r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, nil))
				http.StripPrefix("/api", sub).ServeHTTP(w, r)
			}))
		}, "/api/state"},
	} {
		r := chi.NewRouter()
		r.Use(web.Sessions(app, nil), middleware.RequestID, middleware.StripSlashes)
		r.Post(tc.path+"/admin/set", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		tc.mount(r)
		srv := httptest.NewServer(r)
		post := func(path string) int {
			res, err := srv.Client().Post(srv.URL+path, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return res.StatusCode
		}
		if status := post(tc.path + "/open/set"); status != http.StatusOK {
			t.Errorf("%s: an action: %d", name, status)
		}
		for _, path := range []string{
			"/admin/set", "/admin/set/", "/admin//set", "//admin/set", "/x/admin/set", "/open/admin/set", "/x/../admin/set",
			"/%61dmin/set", "/admin/%73et", "/admin%2Fset", "/admin%252Fset", "/admin/set%2F", "/admin%5Cset", "/./admin/set", "/%2E/admin/set",
		} {
			if status := post(tc.path + path); status == http.StatusOK {
				t.Errorf("%s: POST %s gets around a route", name, tc.path+path)
			}
		}
		srv.Close()
	}
}
