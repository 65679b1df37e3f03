package stay_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

type counter struct {
	Count int    `json:"count"`
	Label string `json:"label" stay:"preserve"`
}

func increment(c *counter) error {
	c.Count++
	return nil
}

// stores are the two ways in which the engine commits: directly, and through
// its committer, as it does for a store that waits for a disk.
var stores = map[string]func() store.Store{
	"immediate": func() store.Store { return memstore.New() },
	"committer": func() store.Store { return behindCommitter(memstore.New()) },
}

func behindCommitter(s store.Store) *storefault.Store {
	return storefault.Wrap(s, &storefault.Options{Features: func(f store.Features) store.Features {
		f.Immediate = false
		f.Durable = true
		return f
	}})
}

// onEachStore runs the test on an app with default options of each.
func onEachStore(t *testing.T, test func(t *testing.T, app *stay.App)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			test(t, newApp(t, open(), nil))
		})
	}
}

func newApp(t testing.TB, s store.Store, opts *stay.Options) *stay.App {
	t.Helper()
	app := stay.New(s, opts)
	t.Cleanup(func() {
		if err := app.Close(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return app
}

// sweepNow removes what has expired, as the App does about once a minute.
func sweepNow(app *stay.App) { bridge.AppOf(app).Sweep() }

// A clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A browser keeps the token of its last response, as a cookie.
type browser struct {
	app   bridge.App
	ring  bridge.Keyring
	token string
}

func newBrowser(app *stay.App) *browser {
	b := bridge.AppOf(app)
	return &browser{app: b, ring: b.Keyring(nil)}
}

// A response is what one request's session did to the response.
type response struct {
	b       *browser
	sent    bool // the header has been written
	issued  []string
	used    bool
	onIssue func()
}

func (r *response) Issue(token string, _ time.Time) bool {
	if r.sent {
		return false
	}
	r.issued = append(r.issued, token)
	r.b.token = token
	if r.onIssue != nil {
		r.onIssue()
	}
	return true
}

func (r *response) Used()      { r.used = true }
func (r *response) Open() bool { return !r.sent }

// request begins a request with the browser's cookie.
func (b *browser) request() (context.Context, *response) {
	r := &response{b: b}
	return b.app.Begin(context.Background(), b.ring, b.token, r), r
}

func (b *browser) ctx() context.Context {
	ctx, _ := b.request()
	return ctx
}

func wantCount(t *testing.T, ctx context.Context, s *stay.State[counter], want int) {
	t.Helper()
	c, err := s.Get(ctx)
	if err != nil {
		t.Errorf("Get: %v", err)
	} else if c.Count != want {
		t.Errorf("count is %d, want %d", c.Count, want)
	}
}

func mustUpdate(t *testing.T, ctx context.Context, s *stay.State[counter]) {
	t.Helper()
	if _, err := s.Update(ctx, increment); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func wantCode(t *testing.T, err error, want stay.Code) {
	t.Helper()
	if !errors.Is(err, want) || stay.CodeOf(err) != want {
		t.Errorf("error %v has code %q, want %q", err, stay.CodeOf(err), want)
	}
}

// wantPanic runs fn, which must panic with a text that holds all the words.
func wantPanic(t *testing.T, fn func(), words ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		p := recover()
		text, _ := p.(string)
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("panic %q does not say %q", p, w)
			}
		}
	}()
	fn()
	t.Error("no panic")
}

// ofAllPrograms reports whether a key is that of a record which is no session's:
// the signing keys and the list of modules.
func ofAllPrograms(key string) bool { return key == "stay/keys" || key == "stay/modules" }

// storesNoList matches calls that are not about the list of modules.
func storesNoList(c storefault.Call) bool { return !slices.Contains(c.Keys, "stay/modules") }

// rows returns the keys in the store, but for the list of modules.
func rows(t *testing.T, s store.Store) []string {
	t.Helper()
	keys, err := s.(store.Lister).List(context.Background(), time.Now(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(key string) bool { return key == "stay/modules" })
}
