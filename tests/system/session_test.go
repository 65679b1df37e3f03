package system_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Once a session is renewed, the old cookie reads the initial state and changes
// nothing. For a minute its answers set no cookie, so that they cannot replace
// the new one; after that it is a cookie like any unknown one.
//
// Proves S5.
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

// A request with the old cookie that began before the session was renewed must
// not give the old cookie back to the browser, which would lose the session.
// Here it is about to slide when the session is renewed.
//
// Proves S5.
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
	// has time to find that it wants to write the session too.
	var a answer
	answered := false
	select {
	case a = <-parallel:
		answered = true
	case <-time.After(200 * time.Millisecond):
	}
	rule.Remove()
	gate.Open()
	if r := await(t, "renew", renewed); r.status != 200 || len(r.set) != 1 {
		t.Fatalf("renew: %v", r)
	}
	if !answered {
		a = await(t, "the parallel request", parallel)
	}
	if len(a.set) > 0 {
		t.Errorf("the parallel request sets a cookie: %v", a)
	}
	fresh.want("POST", "/click", 200, "2")
}

// What says that a session has ended outlives every cookie of it, also one that
// was issued when sessions were allowed to be idle for longer.
//
// Proves S5.
func TestTombstoneOutlivesEveryCookie(t *testing.T) {
	now, mem := newClock(), memstore.New()
	first := serve(t, kept{mem}, &stay.Options{Clock: now.now, IdleTimeout: 24 * time.Hour})
	b := first.browser()
	b.want("POST", "/click", 200, "1")
	id, old := b.id(), b.clone()

	x := serve(t, kept{mem}, &stay.Options{Clock: now.now, IdleTimeout: time.Hour})
	b.client, b.url = x.server.Client(), x.url
	old.client, old.url = b.client, b.url
	b.want("POST", "/destroy", 200, "")
	for range 23 {
		now.advance(time.Hour)
		c := old.clone()
		c.want("POST", "/click", 200, "1") // by a session of its own
		if c.id() == id {
			t.Fatalf("%v after the end of the session its cookie is good again", now.now().Sub(newClock().now()))
		}
	}
}

// Renewing and destroying are done once, also when the store's answer is lost.
//
// Proves E5, S5.
func TestSessionVerbsSurviveLostAnswers(t *testing.T) {
	for name, f := range map[string]storefault.Fault{"lost": storefault.LoseAck(errLost), "not applied": storefault.Drop(errLost)} {
		for _, stored := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/stored=%v", name, stored), func(t *testing.T) {
				mem := memstore.New()
				fault := batched(mem)
				x := serve(t, fault, nil)
				b, want := x.browser(), "0"
				b.want("GET", "/", 200, "0")
				if stored {
					b.want("POST", "/click", 200, "1")
					want = "1"
				}
				old := b.clone()
				fault.Add(storefault.Rule{Op: storefault.Commit, Times: 2, Fault: f})
				if a := b.want("POST", "/renew", 200, ""); len(a.set) != 1 {
					t.Errorf("renew: %v", a)
				}
				b.want("GET", "/", 200, want)
				old.want("GET", "/", 200, "0")
				fault.Add(storefault.Rule{Op: storefault.Commit, Times: 2, Fault: f})
				ended := b.clone()
				b.want("POST", "/destroy", 200, "")
				ended.want("GET", "/", 200, "0")
				if a := ended.do("POST", "/click"); a.status != 401 {
					t.Errorf("a change through an ended session: %v", a)
				}
				if left := rowsOf(t, mem, time.Now(), counterRows); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
			})
		}
	}
}

// Nothing is stored for a session that nobody can know: renewed or destroyed
// before its first answer, or refused because it came too late.
//
// Proves B1.
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
