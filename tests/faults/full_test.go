package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

// A room is where a database has little of it.
type room struct {
	dir     string
	options []sqlitestore.Option
	// fill leaves no space, and free gives it back.
	fill, free func(t *testing.T, n *node)
}

// When there is no space left, changes are answered 503 and leave no trace,
// what was acknowledged is there, reads go on, and as soon as there is space
// again the same App takes every change. So it is with a database that may not
// grow, and, under STAY_SOAK, with a disk that is full.
//
// Proves A3, E1, C5.
func TestSoakFullStore(t *testing.T) {
	t.Run("limit", func(t *testing.T) {
		var ballast []*stay.State[blob]
		fullStore(t, room{
			dir:     t.TempDir(),
			options: []sqlitestore.Option{sqlitestore.MaxSize(1 << 20)},
			fill:    func(t *testing.T, n *node) { ballast = fillStates(t, n) },
			free: func(t *testing.T, _ *node) {
				for _, s := range ballast {
					if err := s.Delete(t.Context()); err != nil {
						t.Errorf("deleting from a full database: %v", err)
					}
				}
			},
		})
	})
	if soak() {
		t.Run("disk", fullDisk)
	}
}

type blob struct {
	Data []byte `json:"data"`
}

// fillStates stores states until not even a small one fits.
func fillStates(t *testing.T, n *node) (all []*stay.State[blob]) {
	t.Helper()
	s := stay.Register(n.app, stay.Module[blob]{Name: "ballast", Persist: stay.PerUser})
	for size := 64 << 10; size >= 256; size /= 4 {
		var err error
		for err == nil {
			one := s.At(fmt.Sprint(len(all)))
			if _, err = one.Update(t.Context(), func(b *blob) error { b.Data = bytes.Repeat([]byte{'x'}, size); return nil }); err == nil {
				all = append(all, one)
			}
		}
		if stay.CodeOf(err) != stay.ErrUnavailable {
			t.Fatalf("a state that does not fit: %v", err)
		}
	}
	return all
}

// fillDisk writes a file until the disk has no space for another byte.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	t.Logf("the disk is full: %v", err)
}

func fullStore(t *testing.T, r room) {
	seed := testseed.New(t)
	w := &world{t: t, seed: seed, opts: options(), ledger: newLedger(t), clock: &clock{}}
	w.opts.MaxWait, w.opts.CommitTimeout = patience, patience
	for i := range 6 {
		w.browsers = append(w.browsers, &browser{user: fmt.Sprint("u", i%2)})
	}
	var workers []*worker
	for i := range 8 {
		workers = append(workers, &worker{world: w, id: i, random: rand.New(rand.NewPCG(seed, uint64(i))), may: map[stay.Code]bool{}})
	}
	open := func() store.Store {
		s, err := sqlitestore.Open(filepath.Join(r.dir, "app.db"), r.options...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	rounds, turns := 1, 8
	if soak() {
		rounds, turns = 2, 100
	}
	for round := range rounds {
		s := open()
		w.start([]store.Store{s}, false)
		n := w.nodes[0]
		w.storm(weather{}, workers, turns, seed)
		w.rest(2 * round)

		r.fill(t, n)
		for _, one := range workers {
			one.may[stay.ErrUnavailable] = true
		}
		before := w.failures.Load()
		// Small changes fit for a while into pages that have space of their own.
		refused := int64(0)
		for range 20 {
			w.storm(weather{}, workers, turns, seed+1)
			if refused = w.failures.Load() - before; refused > 0 {
				break
			}
		}
		if refused == 0 {
			t.Error("there was room for everything")
		}
		t.Logf("%d requests were refused for want of space", refused)
		w.refuses(n)
		w.reads()
		if err := w.leave(n); err != nil && stay.CodeOf(err) != stay.ErrUnavailable {
			t.Errorf("ending a session without space: %v", err)
		} else {
			t.Logf("ending a session without space: %v", err)
		}
		for _, one := range workers {
			clear(one.may)
		}
		r.free(t, n)
		w.rest(2*round + 1)
		w.close()
		closeAll(t, []store.Store{s})
		again := open()
		w.start([]store.Store{again}, false)
		w.same(t.Context())
		w.close()
		closeAll(t, []store.Store{again})
	}
}

// refuses checks what a browser is told whose change does not fit.
func (w *world) refuses(n *node) {
	w.t.Helper()
	h := web.Sessions(n.app, nil)(web.Update(n.mine, func(_ http.ResponseWriter, _ *http.Request, l *List) error {
		l.Items = append(l.Items, string(bytes.Repeat([]byte{'x'}, 200<<10)))
		return nil
	}))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", nil))
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		w.t.Errorf("a change that does not fit is answered %d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
}

// reads checks that everything can be read, and is what was acknowledged.
func (w *world) reads() {
	w.t.Helper()
	n := w.nodes[0]
	for _, name := range w.names() {
		l, err := n.state(name).Get(context.Background())
		switch {
		case w.gone(name, err):
		case err != nil:
			w.t.Errorf("%s without space: %v", name, err)
		default:
			w.settle(name, l.Items)
		}
	}
}

// leave ends the session of a browser.
func (w *world) leave(n *node) (err error) {
	b := w.browsers[0]
	cookie, id := b.get(), ""
	w.request(n, cookie, func(ctx context.Context) {
		id = stay.SessionFrom(ctx).ID()
		err = stay.SessionFrom(ctx).Destroy(ctx)
	})
	if err == nil {
		w.end("mine/"+id, true)
		b.set(cookie, "")
	}
	if errors.Is(err, stay.ErrEnded) {
		b.set(cookie, "")
		return nil
	}
	return err
}
