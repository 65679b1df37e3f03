package system_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

const clients = 64

// Of the clicks of 64 clients at once, on one session, on as many as there are
// clients and on many more, each that was acknowledged counts once: in what the
// running App says, and after a restart where the store is on disk.
//
// Proves A3, A5, B11.
func TestSoakNoAcknowledgedClickIsLost(t *testing.T) {
	for _, st := range stores {
		for _, path := range []string{"/own", "/all"} {
			many := 1_000
			if soak() {
				many = 10_000
			}
			for _, sessions := range []int{1, clients, many} {
				t.Run(fmt.Sprintf("%s%s/%d", st.name, path, sessions), func(t *testing.T) {
					// The first click of each session comes on top.
					clicks, atMost := 1_000, 1*time.Hour
					if soak() {
						clicks, atMost = 1<<30, 30*time.Second
					}
					countClicks(t, st.name == "sqlite", path, sessions, clicks, atMost)
				})
			}
		}
	}
}

// A visitor is one session as the clients see it.
type visitor struct {
	mu     sync.Mutex // guards the first click, which brings the cookie
	cookie string
	id     string
	acked  atomic.Int64
}

func countClicks(t *testing.T, onDisk bool, path string, sessions, clicks int, atMost time.Duration) {
	seed := testseed.New(t)
	var s store.Store = memstore.New()
	db := tempDB(t)
	if onDisk {
		s = openSQLite(t, db)
	}
	x := serve(t, s, nil)
	x.mux.Handle("POST /own", web.Update(x.counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		w.Header().Set("X-Id", stay.SessionFrom(r.Context()).ID())
		return click(w, r, c)
	}))
	x.mux.Handle("POST /all", web.Update(x.total, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		if _, err := x.counter.Get(r.Context()); err != nil { // brings the cookie
			return err
		}
		w.Header().Set("X-Id", stay.SessionFrom(r.Context()).ID())
		return click(w, r, c)
	}))

	visitors := make([]visitor, sessions)
	var left atomic.Int64
	left.Store(int64(clicks))
	end := time.Now().Add(atMost)
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			c, err := dial(x.url)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.close()
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			// All sessions are begun, then they are clicked at random.
			for i := n; i < sessions; i += clients {
				if !visitors[i].click(t, c, path) {
					return
				}
			}
			for left.Add(-1) >= 0 && time.Now().Before(end) {
				if !visitors[random.IntN(sessions)].click(t, c, path) {
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	checkClicks(t, x.counter, x.total, path, visitors)
	if !onDisk {
		return
	}
	x.server.Close()
	closeApp(t, x.app)
	again := serve(t, openSQLite(t, db), nil)
	checkClicks(t, again.counter, again.total, path, visitors)
}

// click clicks once and counts the answer. It reports whether that went well.
func (v *visitor) click(t *testing.T, c *rawClient, path string) bool {
	v.mu.Lock()
	cookie := v.cookie
	if cookie == "" {
		defer v.mu.Unlock()
	} else {
		v.mu.Unlock()
	}
	a, err := c.do(http.MethodPost, path, cookie)
	if err != nil || a.status != http.StatusOK || (a.cookie == "") != (cookie != "") {
		t.Errorf("POST %s with the cookie %q: %+v, %v", path, cookie, a, err)
		return false
	}
	v.acked.Add(1)
	if cookie == "" {
		v.cookie, v.id = a.cookie, a.id
	}
	return true
}

func checkClicks(t *testing.T, counter, total *stay.State[Counter], path string, visitors []visitor) {
	t.Helper()
	sum := 0
	for i := range visitors {
		v := &visitors[i]
		sum += int(v.acked.Load())
		if path == "/all" {
			continue
		}
		c, err := counter.At(v.id).Get(context.Background())
		if err != nil || int64(c.Count) != v.acked.Load() {
			t.Errorf("session %d: %+v, %v after %d acknowledged clicks", i, c, err, v.acked.Load())
		}
	}
	t.Logf("%d clicks", sum)
	if path == "/all" {
		if got := count(t, total); got != sum {
			t.Errorf("the total is %d after %d acknowledged clicks", got, sum)
		}
	}
}

// What the browsers of one person's tabs do: several first requests with one
// cookie that no record stands behind yet, on several modules at once. None of
// the changes is lost, and there is one session.
//
// Proves B11, B12.
func TestParallelFirstChangesOfASession(t *testing.T) {
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			s := st.open(t)
			x := serve(t, s, nil)
			second := stay.Register(x.app, stay.Module[Counter]{Name: "second", Persist: stay.PerSession})
			x.mux.HandleFunc("POST /second", func(w http.ResponseWriter, r *http.Request) {
				c, err := second.Update(r.Context(), add1)
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				_, _ = io.WriteString(w, fmt.Sprint(c.Count))
			})
			for range 20 {
				b := x.browser()
				b.want("GET", "/", 200, "0")
				const each = 8
				var wg sync.WaitGroup
				for range each {
					for _, path := range []string{"/click", "/second"} {
						wg.Go(func() {
							if a := <-b.clone().later("POST", path); a.status != 200 || len(a.set) > 0 {
								t.Errorf("%s: %v", path, a)
							}
						})
					}
				}
				wg.Wait()
				b.want("GET", "/", 200, fmt.Sprint(each))
				if c, err := second.At(b.id()).Get(t.Context()); err != nil || c.Count != each {
					t.Errorf("the second module has %+v, %v", c, err)
				}
			}
			if n := len(rowsOf(t, s.(store.Lister), time.Now(), "stay/session/")); n != 20 {
				t.Errorf("%d sessions are stored for 20 browsers", n)
			}
		})
	}
}
