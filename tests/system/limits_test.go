package system_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// Far more sessions than memory may hold at once: states are evicted and loaded
// again, and no change is lost.
//
// Proves B9, E6.
func TestEvictionLosesNothing(t *testing.T) {
	const sessions, clickers, clicks = 200, 8, 2000
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			// Each of the clickers needs a session and its state at once.
			var loads atomic.Int64
			fault := storefault.Wrap(st.open(t), &storefault.Options{Hook: func(c storefault.Call) {
				if c.Op == storefault.Load {
					loads.Add(1)
				}
			}})
			x := serve(t, fault, &stay.Options{MaxInstances: 4 * clickers})
			seed := testseed.New(t)
			var mu sync.Mutex
			browsers, acked := make([]*browser, sessions), make([]int, sessions)
			for i := range browsers {
				browsers[i] = x.browser()
				browsers[i].want("POST", "/click", 200, "1")
				acked[i] = 1
			}
			var wg sync.WaitGroup
			for n := range clickers {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(seed, uint64(n)))
					for range clicks / clickers {
						i := random.IntN(sessions)
						a, err := browsers[i].clone().send(t.Context(), "POST", "/click", nil)
						if err != nil || a.status != 200 {
							t.Errorf("%v, %v", a, err)
							return
						}
						mu.Lock()
						acked[i]++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			for i, b := range browsers {
				b.want("GET", "/", 200, fmt.Sprint(acked[i]))
			}
			if loads.Load() < sessions {
				t.Errorf("only %d loads: nothing was evicted", loads.Load())
			}
		})
	}
}

// Busy is only what finds every state in use: a few callers who go through many
// states never see it, however much they evict.
//
// Proves E6.
func TestEvictionMakesRoom(t *testing.T) {
	const keys, callers, room = 100, 8, 32
	x := serve(t, memstore.New(), &stay.Options{MaxInstances: room})
	var states []*stay.State[Counter]
	for i := range keys {
		states = append(states, stay.Register(x.app, stay.Module[Counter]{Name: fmt.Sprint("g", i), Persist: stay.Global}))
	}
	var busy atomic.Int64
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range 2000 {
				if _, err := states[random.IntN(keys)].Update(t.Context(), add1); stay.CodeOf(err) == stay.ErrBusy {
					busy.Add(1)
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if busy.Load() > 0 {
		t.Errorf("busy %d times, though at most %d of %d places can be in use", busy.Load(), callers, room)
	}
}

// When every state that memory may hold is in use, a further one is busy, not
// lost and not kept waiting; it is served when there is room again.
//
// Proves E6.
func TestAllStatesInUseIsBusy(t *testing.T) {
	const room = 4
	x := serve(t, batched(memstore.New()), &stay.Options{MaxInstances: room})
	running, goOn := make(chan struct{}), make(chan struct{})
	hold := func(c *Counter) error { running <- struct{}{}; <-goOn; return add1(c) }
	var states []*stay.State[Counter]
	for i := range room + 1 {
		states = append(states, stay.Register(x.app, stay.Module[Counter]{Name: fmt.Sprint("g", i), Persist: stay.Global}))
	}
	errs := make(chan error, room)
	for _, s := range states[:room] {
		go func() {
			_, err := s.Update(t.Context(), hold)
			errs <- err
		}()
		await(t, "a run", running)
	}
	_, err := states[room].Update(t.Context(), add1)
	wantCode(t, "one state too many", err, stay.ErrBusy)
	_, err = states[room].Get(t.Context())
	wantCode(t, "reading one state too many", err, stay.ErrBusy)
	if a := x.browser().do("POST", "/total/click"); a.status != 503 {
		t.Errorf("over HTTP: %v, want 503", a)
	}
	close(goOn)
	for range room {
		if err := await(t, "a holder", errs); err != nil {
			t.Error(err)
		}
	}
	for i, s := range states {
		if c, err := s.Update(t.Context(), add1); err != nil || c.Count != 2 && i < room {
			t.Errorf("state %d: %+v, %v", i, c, err)
		}
	}
}

// Ephemeral state is bounded by MaxGuests; the oldest is dropped first, that is
// logged, and stored state is not touched by it.
//
// Proves A12, E6, S2.
func TestEphemeralStateIsBounded(t *testing.T) {
	const guests = 32
	var log logLines
	x := serve(t, memstore.New(), &stay.Options{MaxGuests: guests, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	scratch := stay.Register(x.app, stay.Module[Counter]{Name: "scratch"})
	x.mux.Handle("POST /scratch", web.Update(scratch, click))
	x.mux.Handle("GET /scratch", web.View(scratch, show))
	var browsers []*browser
	for range 4 * guests {
		b := x.browser()
		b.want("POST", "/scratch", 200, "1")
		browsers = append(browsers, b)
	}
	kept := 0
	for _, b := range browsers {
		if b.do("GET", "/scratch").body == "1" {
			kept++
		}
	}
	if kept == 0 || kept > guests {
		t.Errorf("%d ephemeral states are kept, want up to %d", kept, guests)
	}
	if browsers[0].do("GET", "/scratch").body != "0" {
		t.Error("the oldest is still there")
	}
	if browsers[len(browsers)-1].do("GET", "/scratch").body != "1" {
		t.Error("the newest was dropped")
	}
	if !strings.Contains(log.String(), "ephemeral state was dropped") {
		t.Errorf("nothing is logged: %q", log.String())
	}
}

// logLines is a log that may be written to concurrently.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A state beyond MaxState is refused and nothing has changed; from half of it
// on there is a warning.
//
// Proves E9.
func TestStateSizeIsBounded(t *testing.T) {
	var log logLines
	x := serve(t, openSQLite(t, tempDB(t)), &stay.Options{MaxState: 1000, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	x.mux.Handle("POST /text", web.Update(x.counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		n, err := number(r.URL.Query().Get("n"))
		c.Text = strings.Repeat("x", n)
		if err == nil {
			_, err = fmt.Fprint(w, len(c.Text))
		}
		return err
	}))
	x.mux.Handle("GET /text", web.View(x.counter, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		_, err := fmt.Fprint(w, len(c.Text))
		return err
	}))
	b := x.browser()
	b.want("POST", "/text?n=400", 200, "400")
	if log.String() != "" {
		t.Errorf("logged early: %q", log.String())
	}
	if a := b.do("POST", "/text?n=1000"); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %v, want 413", a)
	}
	b.want("GET", "/text", 200, "400")
	b.want("POST", "/text?n=900", 200, "900")
	if !strings.Contains(log.String(), "half of MaxState") {
		t.Errorf("no warning beyond half: %q", log.String())
	}
	b.want("POST", "/text?n=1", 200, "1")
}

// Inside a change only reading works on other state. Everything else is refused
// with the context of the change, whatever else is waited for.
//
// Proves E10.
func TestChangesInsideAChangeAreRefused(t *testing.T) {
	x := serve(t, memstore.New(), nil)
	other := stay.Register(x.app, stay.Module[Counter]{Name: "other", Persist: stay.Global, Actions: stay.Actions[Counter]{
		"add": func(_ *stay.Call, c *Counter) error { return add1(c) },
	}})
	verbs := map[string]func(ctx context.Context) error{
		"Update":       func(ctx context.Context) error { _, err := other.Update(ctx, add1); return err },
		"Update, same": func(ctx context.Context) error { _, err := x.counter.Update(ctx, add1); return err },
		"Update at a key": func(ctx context.Context) error {
			_, err := x.counter.At(stay.SessionFrom(ctx).ID()).Update(ctx, add1)
			return err
		},
		"Do":       func(ctx context.Context) error { _, err := other.Do(ctx, "add", nil); return err },
		"Reset":    func(ctx context.Context) error { _, err := other.Reset(ctx); return err },
		"ResetAll": func(ctx context.Context) error { _, err := other.ResetAll(ctx); return err },
		"Delete":   other.Delete,
		"Renew":    func(ctx context.Context) error { return stay.SessionFrom(ctx).Renew(ctx) },
		"Destroy":  func(ctx context.Context) error { return stay.SessionFrom(ctx).Destroy(ctx) },
		"Close": func(ctx context.Context) error {
			// A deadline, so that a Close that waits for itself ends.
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			return x.app.Close(ctx)
		},
	}
	var inner error
	x.mux.Handle("POST /nested", web.Update(x.counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		if _, err := other.Get(r.Context()); err != nil {
			t.Errorf("reading inside a change: %v", err)
		}
		inner = verbs[r.URL.Query().Get("verb")](r.Context())
		return click(w, r, c)
	}))
	x.mux.Handle("POST /outside", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		// A handler that is no change itself may change several things.
		if _, err := other.Update(r.Context(), add1); err != nil {
			return err
		}
		c, err := x.counter.Update(r.Context(), add1)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, fmt.Sprint(c.Count))
		return err
	}))
	for verb := range verbs {
		if verb == "Close" {
			continue
		}
		b := x.browser()
		if a := b.do("POST", "/nested?verb="+strings.ReplaceAll(verb, " ", "+")); a.status != 200 || a.body != "1" {
			t.Errorf("%s: the outer change: %v", verb, a)
		}
		wantCode(t, verb+" inside a change", inner, stay.ErrNested)
		b.want("POST", "/outside", 200, "2")
	}
	if n := count(t, other); n != len(verbs)-1 {
		t.Errorf("other was changed %d times", n)
	}
	// Last, because an App that took it is closed.
	b := x.browser()
	if a := b.do("POST", "/nested?verb=Close"); a.status != 200 {
		t.Errorf("Close: the outer change: %v", a)
	}
	wantCode(t, "Close inside a change", inner, stay.ErrNested)
	b.want("POST", "/outside", 200, "2")
}

// With a context from outside the change, the mistake cannot be seen; it ends
// after MaxWait with an error that names it, and the key works as before.
//
// Proves E10.
func TestSelfDeadlockNamesTheFix(t *testing.T) {
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			x := serve(t, st.open(t), &stay.Options{MaxWait: 50 * time.Millisecond})
			var inner error
			c, err := x.total.Update(t.Context(), func(c *Counter) error {
				_, inner = x.total.Update(context.Background(), add1)
				return add1(c)
			})
			if err != nil || c.Count != 1 {
				t.Errorf("the outer change: %+v, %v", c, err)
			}
			wantCode(t, "the inner change", inner, stay.ErrBusy)
			if inner == nil || !strings.Contains(inner.Error(), "a change was made inside a change, with a context from outside") {
				t.Errorf("the error does not name the mistake: %v", inner)
			}
			x.browser().want("POST", "/total/click", 200, "2")
		})
	}
}
