package system_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Close waits for the change that is under way and refuses new ones; what was
// acknowledged is stored, and no goroutine stays behind.
//
// Proves E7.
func TestCloseWaitsRefusesAndLeavesNothing(t *testing.T) {
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			app := stay.New(st.open(t), nil)
			total := stay.Register(app, stay.Module[Counter]{Name: "total", Persist: stay.Global})
			other := stay.Register(app, stay.Module[Counter]{Name: "other", Persist: stay.Global})
			running, goOn := make(chan struct{}), make(chan struct{})
			run, waits, closed := make(chan error, 1), make(chan error, 1), make(chan error, 2)
			go func() {
				_, err := total.Update(t.Context(), func(c *Counter) error { close(running); <-goOn; return add1(c) })
				run <- err
			}()
			await(t, "the run", running)
			go func() {
				_, err := total.Update(t.Context(), add1)
				waits <- err
			}()
			for range 2 { // closing twice is closing once
				go func() { closed <- app.Close(t.Context()) }()
			}
			eventually(t, "refusal", func() bool {
				_, err := other.Update(t.Context(), add1)
				return stay.CodeOf(err) == stay.ErrClosed
			})
			if _, err := other.Get(t.Context()); err != nil && stay.CodeOf(err) != stay.ErrClosed {
				t.Errorf("reading while it closes: %v", err)
			}
			if len(closed) > 0 {
				t.Error("Close did not wait")
			}
			close(goOn)
			if err := await(t, "the run", run); err != nil {
				t.Errorf("the change under way: %v", err)
			}
			if err := await(t, "the one that waits", waits); err != nil && stay.CodeOf(err) != stay.ErrClosed {
				t.Errorf("the one that waits: %v", err)
			}
			for range 2 {
				if err := await(t, "Close", closed); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
			_, err := total.Get(t.Context())
			wantCode(t, "reading after Close", err, stay.ErrClosed)
			_, err = total.Update(t.Context(), add1)
			wantCode(t, "changing after Close", err, stay.ErrClosed)
			if err := app.Close(t.Context()); err != nil {
				t.Errorf("Close again: %v", err)
			}
			goleak.VerifyNone(t, before)
		})
	}
}

// A Close that was given up leaves nothing behind either. A run that ends late
// cannot commit, and its caller is told.
//
// Proves E7.
func TestLateRunCannotCommit(t *testing.T) {
	for _, immediate := range []bool{true, false} {
		before := goleak.IgnoreCurrent()
		mem := memstore.New()
		var s store.Store = kept{mem}
		if !immediate {
			s = batched(mem)
		}
		app := stay.New(s, nil)
		total := stay.Register(app, stay.Module[Counter]{Name: "total", Persist: stay.Global})
		if _, err := total.Update(t.Context(), add1); err != nil {
			t.Fatal(err)
		}
		running, goOn, run := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := total.Update(t.Context(), func(c *Counter) error { close(running); <-goOn; return add1(c) })
			run <- err
		}()
		await(t, "the run", running)
		revision := recordOf(t, mem, "global/total/").Revision
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := app.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v, want the context's error", err)
		}
		close(goOn)
		wantCode(t, "the late run", await(t, "the late run", run), stay.ErrClosed)
		if got := recordOf(t, mem, "global/total/").Revision; got != revision {
			t.Error("the late run committed")
		}
		goleak.VerifyNone(t, before)
	}
}

// Close ends waiting for a store that hangs, and everybody who waits for it is
// answered: nobody was told that his change is stored.
//
// Proves E7.
func TestCloseWhileTheStoreHangs(t *testing.T) {
	before := goleak.IgnoreCurrent()
	mem := memstore.New()
	fault := batched(mem)
	app := newApp(t, fault, nil)
	total := stay.Register(app, stay.Module[Counter]{Name: "total", Persist: stay.Global})
	other := stay.Register(app, stay.Module[Counter]{Name: "other", Persist: stay.Global})
	if _, err := other.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	gate := storefault.NewGate()
	fault.Add(storefault.Rule{Op: storefault.Commit, Match: touches("global/total/"), Fault: storefault.Hang()})
	fault.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
	answers := make(chan error, 16)
	for range 8 {
		for _, s := range []*stay.State[Counter]{total, other} {
			go func() {
				_, err := s.Update(context.Background(), add1)
				answers <- err
			}()
		}
	}
	eventually(t, "a commit", func() bool { return fault.Count(storefault.Commit) > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := app.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v, want the context's error", err)
	}
	for range cap(answers) {
		if err := await(t, "an answer", answers); err == nil {
			t.Error("a change was acknowledged that is not stored")
		} else if code := stay.CodeOf(err); code != stay.ErrClosed && code != stay.ErrUnknown {
			t.Errorf("%v, want closed or unknown", err)
		}
	}
	goleak.VerifyNone(t, before)
}

// Whenever Close comes, everybody is answered, and the count is that of the
// acknowledged changes.
//
// Proves E7.
func TestCloseInTheMiddleOfWork(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for round := range 100 {
		mem := memstore.New()
		app := stay.New(batched(mem), &stay.Options{Logger: slog.New(slog.DiscardHandler)})
		var states []*stay.State[Counter]
		for _, name := range []string{"a", "b", "c"} {
			states = append(states, stay.Register(app, stay.Module[Counter]{Name: name, Persist: stay.Global}))
		}
		acked, unknown := make([]int, len(states)), make([]int, len(states))
		var mu sync.Mutex
		var wg sync.WaitGroup
		started := make(chan struct{}, 1<<10)
		for n := range 12 {
			i := n % len(states)
			wg.Go(func() {
				for {
					_, err := states[i].Update(context.Background(), add1)
					mu.Lock()
					switch stay.CodeOf(err) {
					case "":
						acked[i]++
					case stay.ErrUnknown:
						unknown[i]++
					}
					mu.Unlock()
					if err != nil {
						switch stay.CodeOf(err) {
						case stay.ErrClosed, stay.ErrUnknown, stay.ErrUnavailable:
						default:
							t.Errorf("round %d: %v", round, err)
						}
						return
					}
					select {
					case started <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 1 + round%50 {
			await(t, "a change", started)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if round%2 == 0 {
			cancel() // do not wait for anybody
		}
		if err := app.Close(ctx); err != nil && round%2 != 0 {
			t.Errorf("Close: %v", err)
		}
		cancel()
		answered := make(chan struct{})
		go func() { wg.Wait(); close(answered) }()
		await(t, "the answers", answered)

		again := stay.New(kept{mem}, nil)
		for i, name := range []string{"a", "b", "c"} {
			s := stay.Register(again, stay.Module[Counter]{Name: name, Persist: stay.Global})
			if n := count(t, s); n < acked[i] || n > acked[i]+unknown[i] {
				t.Errorf("round %d: %s is %d after %d acknowledged and %d unknown changes", round, name, n, acked[i], unknown[i])
			}
		}
		closeApp(t, again)
	}
	goleak.VerifyNone(t, before)
}

// Over HTTP, an App that is closed answers 503.
//
// Proves E7, W6.
func TestClosedAppAnswers503(t *testing.T) {
	x := serve(t, openSQLite(t, tempDB(t)), nil)
	b := x.browser()
	b.want("POST", "/click", 200, "1")
	closeApp(t, x.app)
	for _, request := range [][2]string{{"GET", "/"}, {"POST", "/click"}, {"GET", "/total"}, {"POST", "/total/click"}, {"POST", "/renew"}, {"POST", "/destroy"}} {
		for _, c := range []*browser{b.clone(), x.browser()} {
			if a := c.do(request[0], request[1]); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
				if c.cookie == "" && (request[1] == "/renew" || request[1] == "/destroy") && a.status == 200 {
					continue // there is no session, so there is nothing to do
				}
				t.Errorf("%s %s: %v, want 503", request[0], request[1], a)
			}
		}
	}
}

// Every wait honours its context: while the store does not answer, a caller is
// back when its own time is over, whatever the others wait for.
//
// Proves E8.
func TestWaitsForTheStoreHonourTheContext(t *testing.T) {
	fault := batched(memstore.New())
	x := serve(t, fault, &stay.Options{MaxWait: 2 * time.Second})
	x.mux.HandleFunc("GET /impatient", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := x.counter.Get(ctx)
		if took := time.Since(began); took > time.Second {
			t.Errorf("a caller with 50 ms was kept for %v (%v)", took, err)
		}
		if err == nil {
			t.Error("the state was read although the store hangs")
		}
		w.WriteHeader(http.StatusNoContent)
	})
	rule := fault.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Hang()})
	patient := x.browser().later("GET", "/")
	eventually(t, "a load", func() bool { return rule.Hits() > 0 })
	for range 2 {
		if a := x.browser().do("GET", "/impatient"); a.status != http.StatusNoContent {
			t.Errorf("%v", a)
		}
	}
	rule.Remove()
	// The first one waits for the store until MaxWait is over.
	if a := await(t, "the patient one", patient); a.status != 503 {
		t.Errorf("the patient one: %v", a)
	}
	x.browser().want("GET", "/", 200, "0")
}
