// Package faults_test proves that what was acknowledged is kept, that nothing
// else is claimed, that nobody waits for ever and that everything works again
// afterwards, whatever the store and the clock do meanwhile.
package faults_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// patience is how long anything may take before it counts as stuck. Nothing
// waits for it to pass.
const patience = 2 * time.Minute

// patience is how long a whole storm may take. In a bubble hours pass at once.
func (w *world) patience() time.Duration {
	if w.bounds {
		return 24 * time.Hour
	}
	return patience
}

// A List is every state of these tests. Each change appends a word that no
// other change has, so what became of a change can be seen for good.
type List struct {
	Items []string `json:"items"`
}

// A kept store survives the App that closes it.
type kept struct{ store.Store }

func (kept) Close() error { return nil }

// List lists what the kept store does.
func (k kept) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return k.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}

// A node is one App with a state of each kind.
type node struct {
	app     *stay.App
	faults  *storefault.Store
	mine    *stay.State[List] // of a session
	ours    *stay.State[List] // of a user, whom two browsers or more log in as
	all     *stay.State[List]
	soon    *stay.State[List] // all's, saved a while later; nil on shared stores
	handler http.Handler
}

// A world is a site on one or several nodes, its browsers, and what they were
// told.
type world struct {
	t        *testing.T
	seed     uint64
	opts     stay.Options
	bounds   bool // time is that of a bubble, so durations mean something
	nodes    []*node
	browsers []*browser
	clock    *clock
	ledger
	worst    atomic.Int64 // how long the longest request took
	failures atomic.Int64 // requests that failed
}

// soak reports whether the tests whose names begin with TestSoak run long.
func soak() bool { return os.Getenv("STAY_SOAK") == "1" }

func newSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if env := os.Getenv("STAY_SEED"); env != "" {
		var err error
		if seed, err = strconv.ParseUint(env, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("replay with STAY_SEED=%d", seed)
	return seed
}

// start opens a node on each store. They outlive it.
func (w *world) start(stores []store.Store, immediate bool) {
	w.t.Helper()
	w.nodes = nil
	for _, s := range stores {
		n := &node{}
		n.faults = storefault.Wrap(kept{s}, &storefault.Options{Features: func(f store.Features) store.Features {
			f.Immediate = f.Immediate && immediate
			return f
		}})
		opts := w.opts
		n.app = stay.New(n.faults, &opts)
		n.mine = stay.Register(n.app, stay.Module[List]{Name: "mine", Persist: stay.PerSession})
		n.ours = stay.Register(n.app, stay.Module[List]{Name: "ours", Persist: stay.PerUser})
		n.all = stay.Register(n.app, stay.Module[List]{Name: "all", Persist: stay.Global})
		if s.Features().SoleOwner {
			n.soon = stay.Register(n.app, stay.Module[List]{Name: "soon", Persist: stay.Global, Debounce: 5 * time.Millisecond})
		}
		n.handler = web.Sessions(n.app, nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			r.Context().Value(workKey{}).(func(context.Context))(r.Context())
		}))
		w.nodes = append(w.nodes, n)
	}
}

// close closes the nodes, which must not take longer than a store may.
func (w *world) close() {
	w.t.Helper()
	for _, n := range w.nodes {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		began := time.Now()
		if err := n.app.Close(ctx); err != nil {
			w.t.Errorf("Close: %v", err)
		}
		cancel()
		if d := time.Since(began); w.bounds && d > w.limit() {
			w.t.Errorf("Close took %v", d)
		}
	}
	w.nodes = nil
}

// limit is how long a request may take: it can wait for the signing keys, the
// session's, the user's and its own record to be loaded, for its turn, for the
// commit that is under way, and for its own to be sent until CommitTimeout is
// over, which the last sending may outlast by another.
func (w *world) limit() time.Duration { return 5*w.opts.MaxWait + 3*w.opts.CommitTimeout }

// options are those of most worlds: little fits into memory, so that states
// are loaded again and again.
func options() stay.Options {
	return stay.Options{
		MaxInstances: 24, MaxNewSessions: 1_000_000, MaxWait: 2 * time.Second, CommitTimeout: time.Second,
		Logger:  slog.New(slog.DiscardHandler),
		OnError: func(*stay.Call, *stay.Error) {},
	}
}

type workKey struct{}

// A browser keeps a cookie. Several workers use it at once, as tabs do.
type browser struct {
	user string // whom it logs in as

	mu     sync.Mutex
	cookie string
}

func (b *browser) get() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cookie
}

// set replaces the cookie, unless another tab has done so.
func (b *browser) set(old, cookie string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cookie == old {
		b.cookie = cookie
	}
}

// request serves fn as one request with this cookie and returns the cookie
// that the browser has afterwards.
func (w *world) request(n *node, cookie string, fn func(ctx context.Context)) string {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), workKey{}, fn))
	if cookie != "" {
		r.Header.Set("Cookie", "stay="+cookie)
	}
	rec := httptest.NewRecorder()
	began := time.Now()
	n.handler.ServeHTTP(rec, r)
	took := int64(time.Since(began))
	for worst := w.worst.Load(); took > worst && !w.worst.CompareAndSwap(worst, took); worst = w.worst.Load() {
	}
	res := rec.Result()
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "stay" {
			cookie = c.Value
		}
	}
	return cookie
}

// A worker does what visitors do, one thing after another.
type worker struct {
	*world
	id     int
	n      int
	random *rand.Rand
	may    map[stay.Code]bool // the errors that the weather explains
}

func (w *worker) word() string {
	w.n++
	return fmt.Sprintf("%d.%d", w.id, w.n)
}

// explain fails on an error that nothing accounts for.
func (w *worker) explain(what string, err error) {
	code := stay.CodeOf(err)
	if err == nil || code == stay.ErrEnded {
		return
	}
	w.failures.Add(1)
	if !w.may[code] {
		w.t.Errorf("%s: %v", what, err)
	}
}

func (w *worker) turn() {
	w.clock.jump(w.random)
	n := w.nodes[w.random.IntN(len(w.nodes))]
	b := w.browsers[w.random.IntN(len(w.browsers))]
	switch k := w.random.IntN(100); {
	case k < 60:
		w.append(n, b)
	case k < 80:
		w.read(n, b)
	case k < 84:
		w.renew(n, b)
	case k < 86:
		w.destroy(n, b)
	case k < 88:
		b.set(b.get(), "")
	default:
		w.login(n, b)
	}
}

// state picks the one to work on, and the name of its account, "" if that is
// known in a request only.
func (w *worker) state(n *node) (s *stay.State[List], account string) {
	switch k := w.random.IntN(8); {
	case k < 3:
		return n.mine, ""
	case k < 5:
		return n.ours, ""
	case k < 7 || n.soon == nil:
		return n.all, "all"
	}
	return n.soon, "soon"
}

func (w *worker) append(n *node, b *browser) {
	s, account := w.state(n)
	w.appendTo(n, b, s, account)
}

func (w *worker) appendTo(n *node, b *browser, s *stay.State[List], account string) {
	word, began, cookie := w.word(), w.tick(), b.get()
	var err error
	b.set(cookie, w.request(n, cookie, func(ctx context.Context) {
		session := stay.SessionFrom(ctx)
		before := session.User()
		if s == n.ours && before == "" {
			account = "none"
			return
		}
		_, err = s.Update(ctx, func(l *List) error { l.Items = append(l.Items, word); return nil })
		switch {
		case s == n.mine && session.ID() != "":
			account = "mine/" + session.ID()
		case s == n.ours && session.User() == before:
			account = "ours/" + before
		case s == n.ours:
			// Whose it was cannot be told any more.
			w.note("ours/"+before, word, stay.ErrUnknown, began)
		}
	}))
	if account == "none" {
		w.login(n, b)
		return
	}
	w.explain("append to "+account, err)
	if account != "" {
		w.note(account, word, stay.CodeOf(err), began)
	} else if err == nil && s == n.mine {
		w.t.Error("a session's state was changed, and the session has no ID")
	}
	if stay.CodeOf(err) == stay.ErrEnded {
		b.set(cookie, "")
	}
}

// read shows nothing older than what was acknowledged before (E3).
func (w *worker) read(n *node, b *browser) {
	s, account := w.state(n)
	var must []string
	w.request(n, b.get(), func(ctx context.Context) {
		session := stay.SessionFrom(ctx)
		switch s {
		case n.mine:
			account = "mine/" + session.ID()
		case n.ours:
			account = "ours/" + session.User()
		}
		must = w.sure(account)
		l, err := s.Get(ctx)
		w.explain("read "+account, err)
		ended := (s == n.mine || s == n.ours) && l != nil && len(l.Items) == 0 // meanwhile
		if err == nil && !ended {
			w.contains("a read of "+account, l.Items, must)
		}
	})
}

// renew gives the session another cookie; the old one is refused then (S5).
func (w *worker) renew(n *node, b *browser) {
	old, id := b.get(), ""
	var err error
	cookie := w.request(n, old, func(ctx context.Context) {
		err = stay.SessionFrom(ctx).Renew(ctx)
		id = stay.SessionFrom(ctx).ID()
	})
	w.explain("Renew", err)
	switch stay.CodeOf(err) {
	case "":
		b.set(old, cookie)
		w.refused(n, old, id, "replaced by Renew")
	case stay.ErrUnknown, stay.ErrEnded:
		b.set(old, "")
	}
}

// refused tries a cookie that is not good any more for this session.
func (w *worker) refused(n *node, cookie, id, why string) {
	if cookie == "" {
		return
	}
	word, began := w.word(), w.tick()
	w.request(n, cookie, func(ctx context.Context) {
		_, err := n.mine.Update(ctx, func(l *List) error { l.Items = append(l.Items, word); return nil })
		now := stay.SessionFrom(ctx).ID()
		if err == nil && now == id {
			w.t.Errorf("a change through a cookie that was %s", why)
		}
		if now != id {
			w.note("mine/"+now, word, stay.CodeOf(err), began) // a minute has passed
		}
	})
}

// destroy ends the session: nothing of it is left, and nothing works through
// its cookie (S5).
func (w *worker) destroy(n *node, b *browser) {
	cookie, id := b.get(), ""
	if cookie == "" {
		return
	}
	var err error
	w.request(n, cookie, func(ctx context.Context) {
		// The session of a cookie that ended long ago is another one.
		if stay.SessionFrom(ctx).Expires().IsZero() {
			err = stay.ErrEnded
			return
		}
		id = stay.SessionFrom(ctx).ID()
		if err = stay.SessionFrom(ctx).Destroy(ctx); err == nil && stay.SessionFrom(ctx).ID() != id {
			id = "" // it ended, and a new one was destroyed
		}
	})
	w.explain("Destroy", err)
	switch {
	case err == nil && id != "":
		w.end("mine/"+id, true)
		w.refused(n, cookie, id, "destroyed")
	case stay.CodeOf(err) == stay.ErrUnknown:
		w.end("mine/"+id, false)
	case stay.CodeOf(err) != stay.ErrEnded:
		return
	}
	b.set(cookie, "")
}

func (w *worker) login(n *node, b *browser) {
	old := b.get()
	var err error
	cookie := w.request(n, old, func(ctx context.Context) {
		if s := stay.SessionFrom(ctx); s.User() == "" {
			err = s.Login(ctx, b.user)
		}
	})
	w.explain("Login", err)
	switch stay.CodeOf(err) {
	case "":
		b.set(old, cookie)
	case stay.ErrUnknown, stay.ErrEnded:
		b.set(old, "")
	}
}
