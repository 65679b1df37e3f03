package system_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A Quote is a state that holds pieces of requests.
type Quote struct {
	Text string            `json:"text"`
	List []string          `json:"list"`
	Tags map[string]string `json:"tags"`
}

// An Owned is a state whose key is one of them.
type Owned struct {
	User string `json:"user" stay:"key"`
}

// A state keeps what it holds of a request, and not the request around it: a
// few characters of a large body are a few characters in memory. The same holds
// for its key.
//
// Proves E6.
func TestStatesKeepNoRequests(t *testing.T) {
	const sessions, padding, bound = 50, 200 << 10, 2 << 20
	app := newApp(t, memstore.New(), nil)
	session := stay.Register(app, stay.Module[Quote]{Name: "session", Persist: stay.PerSession})
	user := stay.Register(app, stay.Module[Quote]{Name: "user", Persist: stay.PerUser})
	keyed := stay.Register(app, stay.Module[Owned]{Name: "keyed", Persist: stay.WithKey(func(o *Owned) string { return o.User })})
	later := stay.Register(app, stay.Module[Quote]{Name: "later", Persist: stay.PerSession, Debounce: time.Hour})
	guest := stay.Register(app, stay.Module[Quote]{Name: "guest"})

	mux := http.NewServeMux()
	quote := func(_ http.ResponseWriter, r *http.Request, q *Quote) error {
		q.Text, q.List = r.FormValue("text"), r.Form["list"]
		q.Tags = map[string]string{r.FormValue("tag"): r.FormValue("tag")}
		return nil
	}
	mux.Handle("POST /session", web.Update(session, quote))
	mux.Handle("POST /later", web.Update(later, quote))
	mux.Handle("POST /guest", web.Update(guest, quote))
	mux.Handle("POST /keyed", web.Update(keyed, func(_ http.ResponseWriter, r *http.Request, o *Owned) error {
		o.User = r.FormValue("text")
		return nil
	}))
	mux.Handle("POST /login", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("text"))
	}))
	mux.Handle("POST /at", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := user.At("at-" + r.FormValue("text")).Get(r.Context())
		if stay.CodeOf(err) == stay.ErrNotFound {
			_, err = user.At(r.FormValue("tag")).Update(r.Context(), func(q *Quote) error { q.List = []string{"x"}; return nil })
		}
		return err
	}))
	h := web.Sessions(app, nil)(mux)
	pad := strings.Repeat("x", padding)
	form := func(path string, i int) string {
		return fmt.Sprintf("text=%s%d&list=a%d&list=b%d&tag=tag%s%d&pad=%s", path[1:], i, i, i, path[1:], i, pad)
	}
	for _, path := range []string{"/session", "/later", "/guest", "/keyed", "/login", "/at"} {
		for _, where := range []string{"body", "query"} {
			t.Run(path[1:]+"/"+where, func(t *testing.T) {
				before := heapAlloc()
				for i := range sessions {
					r := httptest.NewRequest("POST", path, strings.NewReader(form(path, i)))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					if where == "query" {
						r = httptest.NewRequest("POST", path+"?"+form(path, i+sessions), nil)
					}
					w := httptest.NewRecorder()
					// A server's ResponseWriter leads to the request.
					rw := struct {
						http.ResponseWriter
						r *http.Request
					}{w, r}
					if h.ServeHTTP(rw, r); w.Code != http.StatusOK {
						t.Fatalf("%d %s", w.Code, w.Body)
					}
				}
				if grown := heapAlloc() - before; grown > bound {
					t.Errorf("%d requests of %d bytes have left %d bytes", sessions, padding, grown)
				}
				runtime.KeepAlive(app)
			})
		}
	}
}

// heapAlloc is how many bytes are in use once the garbage has gone.
func heapAlloc() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
