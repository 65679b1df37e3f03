package bench_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stay-go/stay/bench/internal/cpu"
)

func TestScratch(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("N"))
	if n == 0 {
		t.Skip()
	}
	path := fmt.Sprintf("/tmp/colddb/%d.db", n)
	var values []*http.Cookie
	if buf, err := os.ReadFile(path + ".json"); err == nil {
		if err := json.Unmarshal(buf, &values); err != nil {
			t.Fatal(err)
		}
	} else {
		testing.Benchmark(func(b *testing.B) {
			if values == nil {
				values = fillSessions(b, path, n)
			}
		})
		buf, _ := json.Marshal(values)
		os.WriteFile(path+".json", buf, 0o600)
	}
	method := os.Getenv("METHOD")
	calls, _ := strconv.Atoi(os.Getenv("CALLS"))
	fit := n / 5
	if f, err := strconv.Atoi(os.Getenv("FIT")); err == nil {
		fit = f
	}
	callers := 64
	if c, err := strconv.Atoi(os.Getenv("CALLERS")); err == nil {
		callers = c
	}
	res := testing.Benchmark(func(b *testing.B) {
		b.N = calls
		st := &loadCounter{Store: openSQLite(b, path)}
		p := startSessions(b, st, fit)
		defer p.end(b)
		random := make([]*rand.Rand, callers)
		zipf := make([]*rand.Zipf, callers)
		for i := range random {
			random[i] = rand.New(rand.NewPCG(uint64(i), 1))
			zipf[i] = rand.NewZipf(random[i], 1.1, 1, uint64(n-1))
		}
		pick := func(g int) int { return random[g].IntN(n) }
		if os.Getenv("ZIPF") != "" {
			pick = func(g int) int { return int(zipf[g].Uint64() * 514_229 % uint64(n)) }
		}
		ask := func(calls int) {
			err := spread(callers, calls, func(g, _ int) error {
				i := pick(g)
				v := visitor{handler: p.handler, cookies: values[i : i+1]}
				return v.ask(method)
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		ask(fit)
		debug.FreeOSMemory()
		if os.Getenv("PROF") != "" {
			f, _ := os.Create(os.Getenv("PROF"))
			runtime.SetCPUProfileRate(1000)
			startProf(f)
			defer stopProf()
		}
		l := st.loads.Load()
		st.records.Store(0)
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		before, began := cpu.Used(), time.Now()
		ask(calls)
		used, took := cpu.Used()-before, time.Since(began)
		runtime.ReadMemStats(&m1)
		fmt.Printf("RESULT %s n=%d fit=%d callers=%d cpu=%.1fus wall=%.1fus loads=%.3f records=%.3f allocs=%.1f B=%d gc=%d\n", method, n, fit, callers,
			float64(used)/1e3/float64(calls), float64(took)/1e3/float64(calls), float64(st.loads.Load()-l)/float64(calls), float64(st.records.Load())/float64(calls),
			float64(m1.Mallocs-m0.Mallocs)/float64(calls), (m1.TotalAlloc-m0.TotalAlloc)/uint64(calls), m1.NumGC-m0.NumGC)
		st.records.Store(0)
		b.SkipNow()
	})
	_ = res
}
