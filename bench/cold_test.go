package bench_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/bench/internal/cpu"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/web"
)

// BenchmarkCold shows what requests cost when memory has room for one session
// in ten, so that most of them, or with a skewed choice some of them, load the
// session and its state from SQLite. Between the requests, others of a few
// sessions that stay in memory are measured in the same way: x-warm is how many
// times their processor time the requests take. loads/op is how many calls of
// the store they make.
func BenchmarkCold(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "cold.db")
			cookies := fillSessions(b, path, n)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				name := map[string]string{http.MethodGet: "View", http.MethodPost: "Update"}[method]
				b.Run(name+"/uniform", func(b *testing.B) {
					cold(b, path, cookies, method, func(r *rand.Rand) int { return r.IntN(n) })
				})
				b.Run(name+"/zipf", func(b *testing.B) {
					cold(b, path, cookies, method, func(r *rand.Rand) int {
						z := rand.NewZipf(r, 1.1, 1, uint64(n-1))
						return int(z.Uint64() * 514_229 % uint64(n)) // neighbours are not popular together
					})
				})
			}
		})
	}
}

const (
	coldCallers = 64
	coldSlice   = 4096 // requests between two looks at the warm ones
	warmSet     = 256
)

// fillSessions makes the database of n sessions and returns their cookies.
func fillSessions(b *testing.B, path string, n int) []*http.Cookie {
	p := startSessions(b, openSQLite(b, path), 0)
	defer p.end(b)
	cookies := make([]*http.Cookie, n)
	err := spread(1024, n, func(_, i int) error {
		v := visitor{handler: p.handler}
		err := v.ask(http.MethodPost)
		if err == nil {
			cookies[i] = v.cookies[0]
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return cookies
}

// startSessions starts a program with room for so many instances; 0 = the
// default.
func startSessions(b *testing.B, st store.Store, instances int) *program {
	app := stay.New(st, &stay.Options{MaxInstances: instances, MaxNewSessions: 1_000_000})
	counter := stay.Register(app, stay.Module[state]{Name: "counter", Initial: initial, Persist: stay.PerSession})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", web.View(counter, func(_ http.ResponseWriter, _ *http.Request, s *state) error {
		if s.Count == 0 {
			return fmt.Errorf("the session has no state")
		}
		return nil
	}))
	mux.HandleFunc("POST /", web.Update(counter, func(_ http.ResponseWriter, _ *http.Request, s *state) error {
		return increment(s)
	}))
	return &program{app: app, handler: web.Sessions(app, nil)(mux)}
}

// A loadCounter counts calls of Load, and what they read.
type loadCounter struct {
	store.Store
	loads, records atomic.Int64
}

func (s *loadCounter) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	s.loads.Add(1)
	s.records.Add(int64(len(reads)))
	return s.Store.Load(ctx, reads)
}

// cold measures b.N requests of the sessions that pick chooses.
func cold(b *testing.B, path string, cookies []*http.Cookie, method string, pick func(*rand.Rand) int) {
	st := &loadCounter{Store: openSQLite(b, path)}
	p := startSessions(b, st, len(cookies)/5)
	defer p.end(b)
	random := make([]*rand.Rand, coldCallers)
	for i := range random {
		random[i] = rand.New(rand.NewPCG(uint64(i), 1))
	}
	ask := func(calls int, choose func(*rand.Rand) int) (used time.Duration, loads int64) {
		before, l := cpu.Used(), st.loads.Load()
		err := spread(coldCallers, calls, func(g, _ int) error {
			i := choose(random[g])
			v := visitor{handler: p.handler, cookies: cookies[i : i+1]}
			return v.ask(method)
		})
		if err != nil {
			b.Fatal(err)
		}
		return cpu.Used() - before, st.loads.Load() - l
	}
	few := func(r *rand.Rand) int { return r.IntN(warmSet) }
	ask(4*warmSet, few)
	ask(len(cookies)/5, pick) // fills memory
	var took, warm time.Duration
	var loads int64
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= coldSlice {
		t, l := ask(min(left, coldSlice), pick)
		took, loads = took+t, loads+l
		b.StopTimer()
		w, _ := ask(min(left, coldSlice), few)
		warm += w
		b.StartTimer()
	}
	b.StopTimer()
	n := float64(b.N)
	b.ReportMetric(float64(took)/n, "cpu-ns/op")
	b.ReportMetric(float64(loads)/n, "loads/op")
	b.ReportMetric(float64(took)/float64(warm), "x-warm")
}
