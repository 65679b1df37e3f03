// Package faults_test proves that what was acknowledged is kept, that nothing
// else is claimed, that nobody waits for ever and that everything works again
// afterwards, whatever the store and the clock do meanwhile.
package faults_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sharded"
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
	homes    bool // the stores have groups at one home
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

// start opens a node on each store. They outlive it.
func (w *world) start(stores []store.Store, immediate bool) {
	w.t.Helper()
	w.nodes = nil
	for _, s := range stores {
		n := &node{}
		n.faults = storefault.Wrap(kept{s}, &storefault.Options{Features: func(f store.Features) store.Features {
			f.Immediate = f.Immediate && immediate
			f.Groups, f.GroupsAtHome = f.Groups && !w.homes, f.GroupsAtHome || w.homes
			return f
		}})
		opts := w.opts
		n.app = stay.New(w.over(n.faults), &opts)
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

// over is what a node uses: the store, or groups over its homes.
func (w *world) over(s store.Store) store.Store {
	if !w.homes {
		return s
	}
	over, err := sharded.New(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return over
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

// ready waits until every node knows that its store answers.
func (w *world) ready() {
	for _, n := range w.nodes {
		for n.app.Check(context.Background()) != nil {
			<-time.After(10 * time.Millisecond)
		}
	}
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
		MaxInstances: 24, MaxNewSessions: 1_000_000, MaxWait: 5 * time.Second, CommitTimeout: 4 * time.Second,
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
