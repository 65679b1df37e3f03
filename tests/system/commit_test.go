package system_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// Until the store has answered, nobody is told of a change and nobody reads it;
// then its caller is.
//
// Proves A14, E1, E3.
func TestNothingIsShownBeforeItIsDurable(t *testing.T) {
	fault := batched(memstore.New())
	x := serve(t, fault, nil)
	b := x.browser()
	b.want("POST", "/click", 200, "1")
	for _, f := range []func(*storefault.Gate) storefault.Fault{storefault.Stop, storefault.StopAfter} {
		before := b.do("GET", "/").body
		gate := storefault.NewGate()
		rule := fault.Add(storefault.Rule{Op: storefault.Commit, Fault: f(gate)})
		first, second := b.clone().later("POST", "/click"), b.clone().later("POST", "/click")
		arrived(t, gate)
		for range 3 {
			b.want("GET", "/", 200, before)
			x.browser().want("GET", "/total", 200, "0")
		}
		if len(first)+len(second) > 0 {
			t.Error("a change was acknowledged before it was stored")
		}
		rule.Remove()
		gate.Open()
		for _, c := range []<-chan answer{first, second} {
			if a := await(t, "the click", c); a.status != 200 {
				t.Errorf("%v", a)
			}
		}
		n, err := number(before)
		if err != nil {
			t.Fatal(err)
		}
		b.want("GET", "/", 200, fmt.Sprint(n+2))
	}
}

// What a batch did is shown all together or not at all, and a batch that fails
// leaves no trace in what comes after it.
//
// Proves E2, E3.
func TestRejectedBatchLeavesNoTrace(t *testing.T) {
	mem := memstore.New()
	fault := batched(mem)
	x := serve(t, fault, nil)
	x.browser().want("POST", "/total/click", 200, "1")
	gate := storefault.NewGate()
	fault.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Stop(gate)})
	fault.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Fail(nil)})
	first := x.browser().later("POST", "/total/click")
	arrived(t, gate)
	rest := make([]<-chan answer, 20) // which wait for the batch that fails
	for i := range rest {
		rest[i] = x.browser().later("POST", "/total/click")
	}
	gate.Open()
	if a := await(t, "the rejected one", first); a.status != 503 {
		t.Errorf("the rejected one: %v", a)
	}
	acked := 1
	for _, c := range rest {
		if a := await(t, "a later one", c); a.status == 200 {
			acked++
		} else {
			t.Errorf("a later one: %v", a)
		}
	}
	x.browser().want("GET", "/total", 200, fmt.Sprint(acked))
	if !strings.Contains(string(recordOf(t, mem, "global/total/").Value), fmt.Sprintf(`"count":%d`, acked)) {
		t.Errorf("stored: %s", recordOf(t, mem, "global/total/").Value)
	}
}

// A conflict with somebody else's write is tried again on what the store has
// now; the response is that of the run that was committed, and each run reads
// the whole body. What never comes through is a conflict after MaxWait.
//
// Proves E4, W5.
func TestConflictsAreTriedAgain(t *testing.T) {
	mem := memstore.New()
	var interfere atomic.Int64 // how many commits find the record changed
	var once sync.Mutex
	fault := storefault.Wrap(kept{mem}, &storefault.Options{
		Features: func(f store.Features) store.Features { f.Immediate = false; return f },
		Hook: func(c storefault.Call) {
			once.Lock()
			defer once.Unlock()
			if c.Op == storefault.Commit && touches("global/total/")(c) && interfere.Add(-1) >= 0 {
				changeBehind(t, mem, "global/total/")
			}
		},
	})
	x := serve(t, fault, &stay.Options{MaxWait: 100 * time.Millisecond})
	runs := 0
	x.mux.Handle("POST /text", web.Update(x.total, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		runs++
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		c.Count++
		c.Text = string(text)
		w.Header().Set("X-Run", fmt.Sprint(runs))
		_, err = fmt.Fprintf(w, "run %d: %s", runs, text)
		return err
	}))
	b := x.browser()
	b.want("POST", "/total/click", 200, "1")
	interfere.Store(5)
	a, err := b.send(t.Context(), "POST", "/text", strings.NewReader("ahoy"))
	if err != nil || a.status != 200 || a.body != "run 6: ahoy" || a.header.Get("X-Run") != "6" {
		t.Errorf("after five conflicts: %v, %v", a, err)
	}
	b.want("GET", "/total", 200, "2")

	interfere.Store(1 << 30)
	if a := b.do("POST", "/total/click"); a.status != http.StatusConflict {
		t.Errorf("conflicts without end: %v, want 409", a)
	}
	interfere.Store(0)
	b.want("GET", "/total", 200, "2")
	b.want("POST", "/total/click", 200, "3")
}
