// Package system_test proves what Stay promises as a whole, through its public
// surface: over real HTTP, on memory and on SQLite, with stores that fail.
package system_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// soak reports whether the tests whose names begin with TestSoak run long, as
// make soak wants them to.
func soak() bool { return os.Getenv("STAY_SOAK") == "1" }

// patience is how long anything may take before it counts as stuck. It is
// generous because the machine may be busy; nothing waits for it to pass.
const patience = time.Minute

// A Counter is the state that most tests keep.
type Counter struct {
	Count int    `json:"count"`
	Text  string `json:"text"`
}

func add1(c *Counter) error { c.Count++; return nil }

// A site is an application with a counter for each session and one for all,
// served over HTTP.
type site struct {
	t       *testing.T
	app     *stay.App
	counter *stay.State[Counter] // PerSession
	total   *stay.State[Counter] // Global
	mux     *http.ServeMux
	url     string
	server  *httptest.Server
}

// serve starts a site on the store, which it owns from then on. Everything
// ends with the test.
func serve(t *testing.T, s store.Store, o *stay.Options) *site {
	t.Helper()
	x := &site{t: t, mux: http.NewServeMux()}
	x.app = newApp(t, s, o)
	x.counter = stay.Register(x.app, stay.Module[Counter]{Name: "counter", Persist: stay.PerSession})
	x.total = stay.Register(x.app, stay.Module[Counter]{Name: "total", Persist: stay.Global})
	x.mux.Handle("GET /{$}", web.View(x.counter, show))
	x.mux.Handle("POST /click", web.Update(x.counter, click))
	x.mux.Handle("GET /total", web.View(x.total, show))
	x.mux.Handle("POST /total/click", web.Update(x.total, click))
	x.mux.Handle("GET /id", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, stay.SessionFrom(r.Context()).ID())
		return err
	}))
	x.mux.Handle("POST /destroy", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Destroy(r.Context())
	}))
	x.mux.Handle("POST /renew", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Renew(r.Context())
	}))
	x.listen(web.Sessions(x.app, nil)(x.mux))
	return x
}

// listen serves h until the test ends.
func (x *site) listen(h http.Handler) {
	x.server = httptest.NewUnstartedServer(h)
	x.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	x.server.Start()
	x.url = x.server.URL
	x.t.Cleanup(x.server.Close)
}

// newApp makes an App that logs nothing unless the options say otherwise, and
// closes it when the test ends.
func newApp(t *testing.T, s store.Store, o *stay.Options) *stay.App {
	t.Helper()
	var opts stay.Options
	if o != nil {
		opts = *o
	}
	if opts.MaxNewSessions == 0 {
		opts.MaxNewSessions = 1_000_000 // tests begin more at once than people do
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	app := stay.New(s, &opts)
	t.Cleanup(func() { closeApp(t, app) })
	return app
}

func closeApp(t *testing.T, app *stay.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := app.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func show(w http.ResponseWriter, _ *http.Request, c *Counter) error {
	_, err := fmt.Fprint(w, c.Count)
	return err
}

func click(w http.ResponseWriter, r *http.Request, c *Counter) error {
	c.Count++
	return show(w, r, c)
}

func openSQLite(t *testing.T, path string, options ...sqlitestore.Option) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tempDB(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "app.db")
}

// A kept store survives the App that closes it, so that a test can look at
// what is in it, or give it to another App as after a restart.
type kept struct{ store.Store }

func (kept) Close() error { return nil }

// batched wraps a store in memory so that its writes go through the committer,
// as those of a store on disk do, and so that a test can make it fail.
func batched(s store.Store) *storefault.Store {
	return storefault.Wrap(kept{s}, &storefault.Options{Features: func(f store.Features) store.Features {
		f.Immediate = false
		return f
	}})
}

// rows returns the keys of all records of a store.
func rows(t *testing.T, s store.Lister, now time.Time) []string {
	t.Helper()
	keys, err := s.List(context.Background(), now, "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// rowsOf returns those that begin with one of the prefixes.
func rowsOf(t *testing.T, s store.Lister, now time.Time, prefixes ...string) []string {
	t.Helper()
	return slices.DeleteFunc(rows(t, s, now), func(key string) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
	})
}

// A browser holds the session's cookie, and shows what it was sent.
type browser struct {
	t      *testing.T
	client *http.Client
	url    string
	cookie string // the value; "" = none
}

func (x *site) browser() *browser {
	return &browser{t: x.t, client: x.server.Client(), url: x.url}
}

// A clone is the same browser with the cookie that it has now.
func (b *browser) clone() *browser { c := *b; return &c }

// An answer is what a browser got for a request.
type answer struct {
	status int
	body   string
	header http.Header
	set    []*http.Cookie // session cookies that the response sets
}

func (a answer) String() string { return fmt.Sprintf("%d %q, sets %v", a.status, a.body, a.set) }

// send makes a request and takes over the cookie that the answer sets.
func (b *browser) send(ctx context.Context, method, path string, body io.Reader) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, body)
	if err != nil {
		return answer{}, err
	}
	if b.cookie != "" {
		req.Header.Set("Cookie", "stay="+b.cookie)
	}
	res, err := b.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, body: string(text), header: res.Header}
	for _, c := range res.Cookies() {
		if c.Name == "stay" {
			a.set = append(a.set, c)
			b.cookie = c.Value
		}
	}
	return a, nil
}

// do is send for requests that must be answered.
func (b *browser) do(method, path string) answer {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := b.send(ctx, method, path, nil)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// want makes a request and checks the answer's status and body.
func (b *browser) want(method, path string, status int, body string) answer {
	b.t.Helper()
	a := b.do(method, path)
	if a.status != status || a.body != body {
		b.t.Errorf("%s %s: %v, want %d %q", method, path, a, status, body)
	}
	return a
}

// id returns the ID of the browser's session.
func (b *browser) id() string {
	b.t.Helper()
	return b.do("GET", "/id").body
}

// later makes a request in the background.
func (b *browser) later(method, path string) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		a, err := b.send(ctx, method, path, nil)
		if err != nil {
			a.body = err.Error()
		}
		done <- a
	}()
	return done
}

// await returns what a channel brings, and fails the test if that takes too
// long.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing happened", what)
		panic("unreachable")
	}
}

// eventually waits until a condition holds that nothing announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: it never happened", what)
		}
	}
}

// arrived waits until a call stands at the gate.
func arrived(t *testing.T, g *storefault.Gate) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := g.Arrived(ctx); err != nil {
		t.Fatal("no call came to the gate")
	}
}

// touches matches calls of the store that concern a key with this prefix.
func touches(prefix string) func(storefault.Call) bool {
	return func(c storefault.Call) bool {
		return slices.ContainsFunc(c.Keys, func(key string) bool { return strings.HasPrefix(key, prefix) })
	}
}

// wantCode checks the class of an error.
func wantCode(t *testing.T, what string, err error, code stay.Code) {
	t.Helper()
	if stay.CodeOf(err) != code {
		t.Errorf("%s: %v, want the code %q", what, err, code)
	}
}

// count returns the Count of a state.
func count(t *testing.T, s *stay.State[Counter]) int {
	t.Helper()
	c, err := s.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c.Count
}

// A clock is set by the test.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// stores are the two that every App can be opened on.
var stores = []struct {
	name string
	open func(t *testing.T) store.Store
}{
	{"memory", func(*testing.T) store.Store { return memstore.New() }},
	{"sqlite", func(t *testing.T) store.Store { return openSQLite(t, tempDB(t)) }},
}

// number reads a count from a body.
func number(body string) (int, error) {
	n, err := strconv.Atoi(body)
	if err != nil {
		return 0, errors.New("the answer is no number: " + body)
	}
	return n, nil
}
