// Package allocs_test pins how many allocations the everyday uses of a state
// make, so that one more is a decision.
package allocs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A tally is as small as a state can be: its copies are one allocation each.
type tally struct {
	N int `json:"n"`
}

func increment(s *tally) error {
	s.N++
	return nil
}

// An everyday use of a state in a memory store makes the allocations that are
// listed here and no others. A number that has grown is to be mended or to be
// explained; one that has shrunk is to be written down.
func TestAllocationsOfEverydayUses(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	defer app.Close(t.Context())
	global := stay.Register(app, stay.Module[tally]{Name: "global", Persist: stay.Global})
	own := stay.Register(app, stay.Module[tally]{Name: "own", Persist: stay.PerSession})
	ctx := t.Context()

	view, update := handlers(app, own)
	cookie := newCookie(t, update)

	for _, use := range []struct {
		name string
		why  string
		want float64
		run  func()
	}{
		{
			"State.Get",
			"the copy that the caller gets",
			1, func() {
				if _, err := global.Get(ctx); err != nil {
					t.Error(err)
				}
			},
		},
		{
			"State.Update",
			"the copy that the function changes, the one that is kept, its version, its encoded form with the meta behind it, the answer of the store",
			5, func() {
				if _, err := global.Update(ctx, increment); err != nil {
					t.Error(err)
				}
			},
		},
		{
			"web.View",
			"the request with what belongs to it, the session with its context, the buffered response, the copy of the state",
			4, serve(t, view, http.MethodGet, cookie),
		},
		{
			"web.Update",
			"the request with what belongs to it, the session with its context, the change with its response and its run, the five of State.Update, the key of the record, which for a Global state is the module's prefix alone",
			9, serve(t, update, http.MethodPost, cookie),
		},
	} {
		if got := fewestAllocs(use.run); got != use.want {
			t.Errorf("%s makes %v allocations, want %v: %s", use.name, got, use.want, use.why)
		}
	}
}

// newCookie returns the cookie of a session that is stored.
func newCookie(t *testing.T, update http.Handler) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	update.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", http.NoBody))
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies, want one", len(cookies))
	}
	return cookies[0]
}

// serve returns a function that has h answer a request of the session, without
// an allocation of its own.
func serve(t *testing.T, h http.Handler, method string, cookie *http.Cookie) func() {
	r := httptest.NewRequest(method, "/", http.NoBody)
	r.AddCookie(cookie)
	w := &nowhere{header: http.Header{}}
	return func() {
		clear(w.header)
		w.status, w.written = http.StatusOK, 0
		h.ServeHTTP(w, r)
		if w.status != http.StatusOK || w.written != 4 {
			t.Errorf("%s: status %d, %d bytes", method, w.status, w.written)
		}
	}
}

// nowhere is a ResponseWriter that keeps nothing of the response.
type nowhere struct {
	header  http.Header
	status  int
	written int
}

func (w *nowhere) Header() http.Header    { return w.header }
func (w *nowhere) WriteHeader(status int) { w.status = status }

func (w *nowhere) Write(b []byte) (int, error) {
	w.written += len(b)
	return len(b), nil
}

// fewestAllocs returns how many allocations fn makes when it finds in the pools
// what it left there. Pools drop some of it, under the race detector often, and
// the App's own goroutines allocate at times; the fewest of many runs are the
// same with and without the race detector.
func fewestAllocs(fn func()) float64 {
	fewest := testing.AllocsPerRun(1, fn)
	for range 200 {
		fewest = min(fewest, testing.AllocsPerRun(1, fn))
	}
	return fewest
}

// handlers are two of a state of a session: one reads it, one changes it.
func handlers(app *stay.App, own *stay.State[tally]) (view, update http.Handler) {
	site := web.Sessions(app, nil)
	view = site(web.View(own, func(w http.ResponseWriter, _ *http.Request, _ *tally) error {
		_, err := io.WriteString(w, "seen")
		return err
	}))
	update = site(web.Update(own, func(w http.ResponseWriter, _ *http.Request, s *tally) error {
		_, err := io.WriteString(w, "done")
		s.N++
		return err
	}))
	return view, update
}
