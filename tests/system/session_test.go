package system_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// Keys that records have in the store.
const (
	sessionRows = "stay/session/"
	counterRows = "session/counter/"
)

// A scene is a browser whose session is about to be ended while a request of
// it is under way.
type scene struct {
	*site
	mem   *memstore.Store
	fault *storefault.Store
	// running gets a value when the function of POST /slow runs, which returns
	// when go on does.
	running, goOn chan struct{}
	b             *browser
}

// newScene begins a session that has a stored state, or only its cookie. With
// cold, the state is not in memory.
func newScene(t *testing.T, immediate, stored, cold bool) *scene {
	sc := &scene{mem: memstore.New(), running: make(chan struct{}, 8), goOn: make(chan struct{})}
	cookie := ""
	if cold {
		first := serve(t, batched(sc.mem), nil)
		b := first.browser()
		b.want("POST", "/click", 200, "1")
		cookie = b.cookie
	}
	if immediate {
		sc.fault = storefault.Wrap(kept{sc.mem}, nil)
	} else {
		sc.fault = batched(sc.mem)
	}
	sc.site = serve(t, sc.fault, nil)
	sc.mux.Handle("POST /slow", web.Update(sc.counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		sc.running <- struct{}{}
		<-sc.goOn
		return click(w, r, c)
	}))
	// A change that never holds tells whether the session could make one.
	probe := stay.Register(sc.app, stay.Module[Counter]{Name: "probe"})
	sc.mux.Handle("POST /probe", web.Update(probe, func(http.ResponseWriter, *http.Request, *Counter) error {
		return stay.Invalid("", "the session goes on")
	}))
	sc.b = sc.browser()
	sc.b.cookie = cookie
	switch {
	case cold:
	case stored:
		sc.b.want("POST", "/click", 200, "1")
	default:
		sc.b.want("GET", "/", 200, "0")
	}
	return sc
}

// over checks that the session has ended for good: nothing of it is stored but
// what says that it ended, and its cookie reads the initial state, changes
// nothing and is not replaced.
func (sc *scene) over(id string) {
	sc.t.Helper()
	if left := rowsOf(sc.t, sc.mem, time.Now(), counterRows); len(left) > 0 {
		sc.t.Errorf("states are stored for a session that was destroyed: %q", left)
	}
	if got := rowsOf(sc.t, sc.mem, time.Now(), sessionRows); len(got) != 1 {
		sc.t.Errorf("%q is stored of the session, want its tombstone", got)
	}
	for _, a := range []answer{sc.b.want("GET", "/", 200, "0"), sc.b.do("POST", "/click")} {
		if len(a.set) > 0 {
			sc.t.Errorf("a cookie is set for a session that has just ended: %v", a)
		}
	}
	if a := sc.b.do("POST", "/click"); a.status != http.StatusUnauthorized {
		sc.t.Errorf("a change through an ended session: %v", a)
	}
	if _, err := sc.counter.At(id).Get(context.Background()); stay.CodeOf(err) != stay.ErrNotFound {
		sc.t.Errorf("the ended session by its ID: %v", err)
	}
	if left := rowsOf(sc.t, sc.mem, time.Now(), counterRows); len(left) > 0 {
		sc.t.Errorf("the cookie of a destroyed session stored %q", left)
	}
}

// early checks the answer of a request that began before the session ended: it
// was done on a state that existed, or refused.
func (sc *scene) early(what string, c <-chan answer) {
	sc.t.Helper()
	a := await(sc.t, what, c)
	if a.status != http.StatusOK && a.status != http.StatusUnauthorized {
		sc.t.Errorf("%s: %v, want 200 or 401", what, a)
	}
	if a.status == http.StatusUnauthorized && len(a.set) > 0 {
		sc.t.Errorf("%s: %v sets a cookie", what, a)
	}
}

// S5: a request that is under way cannot bring back a destroyed session,
// wherever it is when the session ends.
func TestRequestUnderWayCannotReviveADestroyedSession(t *testing.T) {
	moments := []struct {
		name string
		cold bool // needs a state that is stored and not in memory
		play func(sc *scene)
	}{
		{"while it runs", false, func(sc *scene) {
			slow := sc.b.clone().later("POST", "/slow")
			await(sc.t, "the run", sc.running)
			destroyed := sc.destroy()
			close(sc.goOn)
			sc.early("the run", slow)
			sc.ended(destroyed)
		}},
		{"while it waits for its turn", false, func(sc *scene) {
			slow := sc.b.clone().later("POST", "/slow")
			await(sc.t, "the run", sc.running)
			waits := sc.b.clone().later("POST", "/slow")
			destroyed := sc.destroy()
			close(sc.goOn)
			sc.early("the run", slow)
			sc.early("the one that waits", waits)
			sc.ended(destroyed)
		}},
		{"while its batch is at the store", false, func(sc *scene) {
			gate := storefault.NewGate()
			rule := sc.fault.Add(storefault.Rule{Op: storefault.Commit, Match: touches(counterRows), Fault: storefault.Stop(gate)})
			slow := sc.b.clone().later("POST", "/click")
			arrived(sc.t, gate)
			rule.Remove()
			destroyed := sc.b.clone().later("POST", "/destroy")
			// On a store that is called at once, the session ends first; where
			// writes are gathered, it ends after the batch.
			if sc.fault.Features().Immediate {
				sc.untilEnded()
			}
			gate.Open()
			sc.early("the batch", slow)
			sc.ended(destroyed)
		}},
		{"while the store's answer is on its way", false, func(sc *scene) {
			gate := storefault.NewGate()
			rule := sc.fault.Add(storefault.Rule{Op: storefault.Commit, Match: touches(counterRows), Fault: storefault.StopAfter(gate)})
			slow := sc.b.clone().later("POST", "/click")
			arrived(sc.t, gate)
			rule.Remove()
			destroyed := sc.b.clone().later("POST", "/destroy")
			gate.Open()
			sc.early("the batch", slow)
			sc.ended(destroyed)
		}},
		{"while its state is loaded", true, func(sc *scene) {
			gate := storefault.NewGate()
			rule := sc.fault.Add(storefault.Rule{Op: storefault.Load, Match: touches(counterRows), Fault: storefault.Stop(gate)})
			slow := sc.b.clone().later("POST", "/click")
			arrived(sc.t, gate)
			rule.Remove()
			destroyed := sc.destroy()
			gate.Open()
			sc.early("the load", slow)
			sc.ended(destroyed)
		}},
		{"while its session is loaded", true, func(sc *scene) {
			gate := storefault.NewGate()
			rule := sc.fault.Add(storefault.Rule{Op: storefault.Load, Match: touches(sessionRows), Fault: storefault.StopAfter(gate)})
			slow := sc.b.clone().later("POST", "/click")
			arrived(sc.t, gate)
			rule.Remove()
			destroyed := sc.b.clone().later("POST", "/destroy")
			gate.Open()
			sc.early("the load", slow)
			sc.ended(destroyed)
		}},
	}
	for _, immediate := range []bool{true, false} {
		for _, stored := range []bool{true, false} {
			for _, m := range moments {
				if m.cold && !stored {
					continue
				}
				t.Run(fmt.Sprintf("immediate=%v/stored=%v/%s", immediate, stored, m.name), func(t *testing.T) {
					sc := newScene(t, immediate, stored, m.cold)
					id := sc.b.id()
					m.play(sc)
					sc.over(id)
				})
			}
		}
	}
}

// destroy begins to destroy the session and returns when it has ended, as far
// as that can be while another request holds its state.
func (sc *scene) destroy() <-chan answer {
	sc.t.Helper()
	c := sc.b.clone().later("POST", "/destroy")
	sc.untilEnded()
	return c
}

// untilEnded waits until the session is marked as ended.
func (sc *scene) untilEnded() {
	sc.t.Helper()
	eventually(sc.t, "the end of the session", func() bool {
		return sc.b.clone().do("POST", "/probe").status == http.StatusUnauthorized
	})
}

// ended checks the answer of POST /destroy.
func (sc *scene) ended(c <-chan answer) {
	sc.t.Helper()
	if a := await(sc.t, "destroy", c); a.status != http.StatusOK || len(a.set) != 1 || a.set[0].MaxAge >= 0 {
		sc.t.Errorf("destroy: %v, want 200 and a cookie that clears", a)
	}
}

// S5: once a session is renewed, the old cookie reads the initial state and
// changes nothing. For a minute its answers set no cookie, so that they cannot
// replace the new one; after that it is a cookie like any unknown one.
func TestRenewedCookieIsRefusedQuietlyForAMinute(t *testing.T) {
	for _, st := range stores {
		for _, stored := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/stored=%v", st.name, stored), func(t *testing.T) {
				now := newClock()
				x := serve(t, st.open(t), &stay.Options{Clock: now.now})
				b, want := x.browser(), "0"
				b.want("GET", "/", 200, "0")
				if stored {
					b.want("POST", "/click", 200, "1")
					want = "1"
				}
				id, old := b.id(), b.clone()
				if a := b.want("POST", "/renew", 200, ""); len(a.set) != 1 {
					t.Fatalf("renew sets no cookie: %v", a)
				}
				if b.cookie == old.cookie || b.id() != id {
					t.Error("renewing must change the cookie and keep the ID")
				}
				b.want("GET", "/", 200, want)

				for _, after := range []time.Duration{0, 59 * time.Second} {
					now.advance(after)
					for _, a := range []answer{
						old.clone().want("GET", "/", 200, "0"),
						old.clone().do("POST", "/click"),
						old.clone().do("POST", "/renew"),
						old.clone().do("POST", "/destroy"),
					} {
						if len(a.set) > 0 {
							t.Errorf("after %v the old cookie is answered with a new one: %v", after, a)
						}
					}
					for _, path := range []string{"/click", "/renew", "/destroy"} {
						if a := old.clone().do("POST", path); a.status != http.StatusUnauthorized {
							t.Errorf("after %v, POST %s with the old cookie: %v, want 401", after, path, a)
						}
					}
					b.want("GET", "/", 200, want)
				}

				now.advance(2 * time.Second)
				late := old.clone()
				if a := late.want("POST", "/click", 200, "1"); len(a.set) != 1 {
					t.Errorf("after the minute the old cookie begins no new session: %v", a)
				}
				if late.id() == id {
					t.Error("the old cookie came back to the renewed session")
				}
				b.want("GET", "/", 200, want)
			})
		}
	}
}

// S5: a request with the old cookie that began before the session was renewed
// must not give the old cookie back to the browser, which would lose the
// session. Here it is about to slide when the session is renewed.
func TestSlidingDoesNotUndoRenewal(t *testing.T) {
	now, mem := newClock(), memstore.New()
	fault := batched(mem)
	x := serve(t, fault, &stay.Options{Clock: now.now})
	b := x.browser()
	b.want("POST", "/click", 200, "1")
	now.advance(12 * time.Hour) // half of the idle time: the cookie slides

	gate := storefault.NewGate()
	rule := fault.Add(storefault.Rule{Op: storefault.Commit, Match: touches(sessionRows), Fault: storefault.Stop(gate)})
	fresh, old := b.clone(), b.clone()
	renewed := fresh.later("POST", "/renew")
	arrived(t, gate)
	parallel := old.later("GET", "/")
	// The second request looks at the session while it is being renewed, and
	// finds that both of them want to write it.
	select {
	case a := <-parallel:
		if len(a.set) > 0 && a.set[0].Value != fresh.cookie {
			t.Logf("answered at once: %v", a)
		}
		parallel = nil
	case <-time.After(200 * time.Millisecond):
	}
	rule.Remove()
	gate.Open()
	if a := await(t, "renew", renewed); a.status != 200 || len(a.set) != 1 {
		t.Fatalf("renew: %v", a)
	}
	if parallel != nil {
		if a := await(t, "the parallel request", parallel); len(a.set) > 0 {
			t.Errorf("the parallel request sets a cookie: %v", a)
			b.cookie = a.set[0].Value
			if got := b.do("POST", "/click"); got.status != 200 {
				t.Errorf("with it the browser has lost its session: %v", got)
			}
		}
	}
	fresh.want("POST", "/click", 200, "2")
}

// Nothing is stored for a session that nobody can know: renewed or destroyed
// before its first answer, or refused because it came too late.
func TestUnknownSessionsLeaveNothing(t *testing.T) {
	mem := memstore.New()
	x := serve(t, kept{mem}, nil)
	b := x.browser()
	b.want("POST", "/renew", 200, "")
	b.cookie = ""
	b.want("POST", "/destroy", 200, "")
	x.mux.HandleFunc("POST /late", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		if _, err := x.counter.Update(r.Context(), add1); err == nil {
			t.Error("the first change after the header went out was made")
		}
		_, _ = io.WriteString(w, "late")
	})
	b.cookie = ""
	b.want("POST", "/late", 200, "late")
	if got := rowsOf(t, mem, time.Now(), sessionRows, counterRows); len(got) > 0 {
		t.Errorf("stored: %q", got)
	}
}

var _ store.Lister = (*memstore.Store)(nil)
