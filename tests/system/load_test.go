package system_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// More requests than a slow store can do are answered all the same, as many
// with 200 as the store does and the rest with 503 and Retry-After. The count
// is that of the 200s.
//
// Proves E6.
func TestLoadAboveCapacityIsAnswered(t *testing.T) {
	const requests, waiters = 2000, 32
	fault := batched(memstore.New())
	x := serve(t, fault, &stay.Options{MaxWaiters: waiters})
	fault.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Delay(5*time.Millisecond, 0)})

	var mu sync.Mutex
	got := map[int]int{}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			c, err := dial(x.url)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.close()
			for range requests / 100 {
				a, err := c.do(http.MethodPost, "/total/click", "")
				if err != nil {
					t.Errorf("a request was not answered: %v", err)
					return
				}
				mu.Lock()
				got[a.status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("answers by status: %v, %d commits", got, fault.Count(storefault.Commit))
	if got[200]+got[503] != requests || got[503] == 0 {
		t.Errorf("answers by status: %v, want %d of 200 and 503, and both", got, requests)
	}
	if n := count(t, x.total); n != got[200] {
		t.Errorf("the count is %d after %d times 200", n, got[200])
	}
	// The store was kept busy: its commits were full.
	if commits := fault.Count(storefault.Commit); got[200] < commits {
		t.Errorf("%d times 200 in %d commits", got[200], commits)
	}
}

// Of ten thousand who want one key, as many wait as MaxWaiters allows and the
// others are told at once that it is busy; other keys and other modules are
// served as always, and when the key is free again nobody is lost.
//
// Proves E6, E8.
func TestManyWaitersOfOneKeyHarmNoOther(t *testing.T) {
	const callers, waiters = 10_000, 1024
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			x := serve(t, st.open(t), nil)
			running, goOn := make(chan struct{}), make(chan struct{})
			x.mux.Handle("POST /hold", web.Update(x.total, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
				close(running)
				<-goOn
				return click(w, r, c)
			}))
			holds := x.browser().later("POST", "/hold")
			await(t, "the run", running)

			var wg sync.WaitGroup
			refused := make(chan struct{}, callers)
			var mu sync.Mutex
			done := 0
			for range callers {
				wg.Go(func() {
					_, err := x.total.Update(t.Context(), add1)
					switch stay.CodeOf(err) {
					case "":
						mu.Lock()
						done++
						mu.Unlock()
					case stay.ErrBusy:
						refused <- struct{}{}
					default:
						t.Error(err)
					}
				})
			}
			for range callers - waiters {
				await(t, "the refusals", refused)
			}
			if a := x.browser().do("POST", "/total/click"); a.status != 503 || a.header.Get("Retry-After") == "" {
				t.Errorf("one more: %v, want 503 with Retry-After", a)
			}
			x.browser().want("GET", "/total", 200, "0")
			for range 20 {
				b := x.browser()
				b.want("POST", "/click", 200, "1")
				b.want("POST", "/click", 200, "2")
			}
			close(goOn)
			if a := await(t, "the holder", holds); a.status != 200 {
				t.Errorf("the holder: %v", a)
			}
			wg.Wait()
			if len(refused) > 0 || done != waiters {
				t.Errorf("%d were done and %d more refused, want the %d that waited to be done", done, len(refused), waiters)
			}
			x.browser().want("GET", "/total", 200, "1025")
		})
	}
}
