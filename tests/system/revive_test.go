package system_test

import (
	"context"
	"fmt"
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
	id            string // of its session
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
		cookie, sc.id = b.cookie, b.id() // asking later would load the session
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
	if !cold {
		sc.id = sc.b.id()
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

// A demand is what a moment in the life of a request takes to come about.
type demand uint8

const (
	whatever demand = iota
	// cold: the state is stored and not in memory.
	cold
	// firstAtOnce: nothing is stored yet, as what is stays until it expires if
	// it cannot be deleted; and the store is called at once, as otherwise the
	// batch is over before the session ends.
	firstAtOnce
)

// A request that is under way cannot bring back a destroyed session, wherever
// it is when the session ends.
//
// Proves S5.
func TestRequestUnderWayCannotReviveADestroyedSession(t *testing.T) {
	moments := []struct {
		name string
		when demand
		play func(sc *scene)
	}{
		{"while it runs", whatever, func(sc *scene) {
			slow := sc.b.clone().later("POST", "/slow")
			await(sc.t, "the run", sc.running)
			destroyed := sc.destroy()
			close(sc.goOn)
			sc.early("the run", slow)
			sc.ended(destroyed)
		}},
		{"while it waits for its turn", whatever, func(sc *scene) {
			slow := sc.b.clone().later("POST", "/slow")
			await(sc.t, "the run", sc.running)
			waits := sc.b.clone().later("POST", "/slow")
			destroyed := sc.destroy()
			close(sc.goOn)
			sc.early("the run", slow)
			sc.early("the one that waits", waits)
			sc.ended(destroyed)
		}},
		{"while its batch is at the store", whatever, func(sc *scene) {
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
		{"while its batch is at the store, and its states cannot be deleted", firstAtOnce, func(sc *scene) {
			gate := storefault.NewGate()
			rule := sc.fault.Add(storefault.Rule{Op: storefault.Commit, Match: touches(counterRows), Fault: storefault.Stop(gate)})
			slow := sc.b.clone().later("POST", "/click")
			arrived(sc.t, gate)
			rule.Remove()
			sc.fault.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(nil), Match: func(c storefault.Call) bool {
				return touches(counterRows)(c) && c.Groups[0][0].Op == store.Delete
			}})
			destroyed := sc.destroy()
			gate.Open()
			sc.early("the batch", slow)
			sc.ended(destroyed)
		}},
		{"while the store's answer is on its way", whatever, func(sc *scene) {
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
		{"while its state is loaded", cold, func(sc *scene) {
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
		{"while its session is loaded", cold, func(sc *scene) {
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
				if m.when == cold && !stored || m.when == firstAtOnce && (stored || !immediate) {
					continue
				}
				t.Run(fmt.Sprintf("immediate=%v/stored=%v/%s", immediate, stored, m.name), func(t *testing.T) {
					sc := newScene(t, immediate, stored, m.when == cold)
					id := sc.id
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
