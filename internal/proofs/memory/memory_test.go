package memory_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/memstore"
)

// A sheet can have any shape of a client's data.
type sheet struct {
	Any    any                       `json:"any"`
	Rows   []sheetRow                `json:"rows"`
	Ptrs   []*sheetRow               `json:"ptrs"`
	Arrays [][4]string               `json:"arrays"`
	Flags  map[string]bool           `json:"flags"`
	Maps   []map[string]int          `json:"maps"`
	Grid   map[string]map[string]int `json:"grid"`
	Lists  [][]int8                  `json:"lists"`
	Texts  []string                  `json:"texts"`
	Bytes  []byte                    `json:"bytes"`
	Times  []time.Time               `json:"times"`
	Raw    []json.RawMessage         `json:"raw"`
	Tree   sheetTree                 `json:"tree"`
}

// A sheetRow is large in memory and {} in JSON.
type sheetRow struct {
	A string         `json:"a,omitempty"`
	B string         `json:"b,omitempty"`
	C map[string]int `json:"c,omitempty"`
	D []int          `json:"d,omitempty"`
}

type sheetTree struct {
	Kids []sheetTree `json:"k,omitempty"`
}

// An opaqueSheet has types that keep their memory to themselves.
type opaqueSheet struct {
	Addrs []netip.Addr `json:"addrs"`
	Big   []*big.Int   `json:"big"`
}

// A plainSheet has nothing that JSON may change, and is copied by other means.
type plainSheet struct {
	Rows  []sheetRow        `json:"rows,omitempty"`
	Ptrs  []*sheetRow       `json:"ptrs,omitempty"`
	Times []time.Time       `json:"times,omitempty"`
	Texts map[string]string `json:"texts"`
	Ints  []int             `json:"ints"`
	Text  string            `json:"text"`
}

func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// decoded is a client's JSON as an any.
func decoded(text string) any {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	return v
}

// list is the JSON of a list of n times the same.
func list(n int, one string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]"
}

func times[T any](n int, one func(i int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = one(i)
	}
	return out
}

// Options.MaxBytes bounds the memory that states really take, whatever shape
// they have, whether they were made or loaded.
//
// Proves E6.
func TestMaxBytesBoundsWhatStatesTake(t *testing.T) {
	halfPast := time.FixedZone("", 5*3600+1800)
	shapes := map[string]func(s *sheet){
		"text":            func(s *sheet) { s.Any = strings.Repeat("x", 200_000) },
		"empty objects":   func(s *sheet) { s.Any = decoded(list(3000, "{}")) },
		"empty lists":     func(s *sheet) { s.Any = decoded(list(5000, "[]")) },
		"nulls":           func(s *sheet) { s.Any = decoded(list(12_000, "null")) },
		"booleans":        func(s *sheet) { s.Any = decoded(list(12_000, "true")) },
		"digits":          func(s *sheet) { s.Any = decoded(list(8000, "7")) },
		"short texts":     func(s *sheet) { s.Any = decoded(list(5000, `"a"`)) },
		"small objects":   func(s *sheet) { s.Any = decoded(list(500, `{"a":1}`)) },
		"one object":      func(s *sheet) { s.Any = decoded("{" + object(3000) + "}") },
		"nested lists":    func(s *sheet) { s.Any = decoded(list(10, strings.Repeat("[", 500)+strings.Repeat("]", 500))) },
		"nested objects":  func(s *sheet) { s.Any = decoded(strings.Repeat(`{"a":`, 600) + "0" + strings.Repeat("}", 600)) },
		"empty structs":   func(s *sheet) { s.Rows = make([]sheetRow, 3000) },
		"pointers":        func(s *sheet) { s.Ptrs = times(3000, func(int) *sheetRow { return &sheetRow{} }) },
		"empty arrays":    func(s *sheet) { s.Arrays = make([][4]string, 3000) },
		"one map":         func(s *sheet) { s.Flags = flags(3000) },
		"small maps":      func(s *sheet) { s.Maps = times(800, func(int) map[string]int { return map[string]int{"a": 1} }) },
		"empty maps":      func(s *sheet) { s.Maps = times(4000, func(int) map[string]int { return map[string]int{} }) },
		"lists of one":    func(s *sheet) { s.Lists = times(6000, func(int) []int8 { return []int8{1} }) },
		"lists of none":   func(s *sheet) { s.Lists = times(8000, func(int) []int8 { return []int8{} }) },
		"texts":           func(s *sheet) { s.Texts = times(8000, func(int) string { return "a" }) },
		"bytes":           func(s *sheet) { s.Bytes = make([]byte, 200_000) },
		"times":           func(s *sheet) { s.Times = times(2000, func(int) time.Time { return time.Unix(1, 0).In(halfPast) }) },
		"raw JSON":        func(s *sheet) { s.Raw = times(4000, func(int) json.RawMessage { return json.RawMessage("1") }) },
		"trees":           func(s *sheet) { s.Tree.Kids = make([]sheetTree, 8000) },
		"trees in depth":  func(s *sheet) { s.Tree = tree(3000) },
		"spare capacity":  func(s *sheet) { s.Rows = make([]sheetRow, 1500, 30_000) },
		"grown by append": func(s *sheet) { s.Texts = appended(5000) },
	}
	for name, fill := range shapes {
		t.Run(name, func(t *testing.T) { boundedMemory(t, 10, 2, fill) })
	}
	plain := map[string]func(s *plainSheet){
		"empty structs": func(s *plainSheet) { s.Rows = make([]sheetRow, 3000) },
		"pointers":      func(s *plainSheet) { s.Ptrs = times(3000, func(int) *sheetRow { return &sheetRow{} }) },
		"maps": func(s *plainSheet) {
			s.Rows = times(600, func(int) sheetRow { return sheetRow{C: map[string]int{"a": 1}} })
		},
		"times": func(s *plainSheet) {
			s.Times = times(2000, func(int) time.Time { return read("2026-11-01T12:00:00+05:30") })
		},
		"one map":        func(s *plainSheet) { s.Texts = texts(3000) },
		"numbers":        func(s *plainSheet) { s.Ints = make([]int, 30_000) },
		"spare capacity": func(s *plainSheet) { s.Ints = make([]int, 10_000, 1_000_000) },
		"parts of texts": func(s *plainSheet) { s.Text = strings.Repeat("x", 2_000_000)[:100_000] },
	}
	for name, fill := range plain {
		t.Run("plain "+name, func(t *testing.T) { boundedMemory(t, 10, 2, fill) })
	}
	opaque := map[string]func(s *opaqueSheet){
		"addresses": func(s *opaqueSheet) {
			s.Addrs = times(4000, func(i int) netip.Addr { return netip.AddrFrom4([4]byte{byte(i)}) })
		},
		"large numbers": func(s *opaqueSheet) { s.Big = times(3000, func(i int) *big.Int { return big.NewInt(int64(i)) }) },
		"larger ones": func(s *opaqueSheet) {
			s.Big = times(100, func(i int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), 5000) })
		},
	}
	for name, fill := range opaque {
		// How much they take is not seen, and is taken for more.
		t.Run(name, func(t *testing.T) { boundedMemory(t, 10, 8, fill) })
	}
	t.Run("small states", func(t *testing.T) {
		boundedMemory(t, 4_000, 2, func(c *testkit.Counter) { c.Count++ })
	})
}

func object(n int) string {
	return strings.Join(times(n, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }), ",")
}

func flags(n int) map[string]bool {
	m := map[string]bool{}
	for i := range n {
		m[fmt.Sprint(i)] = true
	}
	return m
}

// By default states take a quarter of what Go may have, at most 256 MiB.
//
// Proves E6.
func TestMaxBytesFollowsTheMemoryLimit(t *testing.T) {
	of := func(limit int64, o stay.Options) int64 {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
		return access.Inspect(testkit.NewApp(t, memstore.New(), &o)).About().MaxBytes
	}
	for limit, want := range map[int64]int64{math.MaxInt64: 256 << 20, 2 << 30: 256 << 20, 200 << 20: 50 << 20} {
		if got := of(limit, stay.Options{}); got != want {
			t.Errorf("with a limit of %d bytes MaxBytes is %d, want %d", limit, got, want)
		}
	}
	if got := of(100<<20, stay.Options{MaxBytes: 99 << 20}); got != 99<<20 {
		t.Errorf("MaxBytes is %d, and was set to %d", got, 99<<20)
	}
}

func texts(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint(i)] = "x"
	}
	return m
}

func tree(depth int) sheetTree {
	var t sheetTree
	for range depth {
		t = sheetTree{Kids: []sheetTree{t}}
	}
	return t
}

func appended(n int) (out []string) {
	for range n {
		out = append(out, "a")
	}
	return out
}

func read(text string) (when time.Time) {
	if err := when.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return when
}

// boundedMemory makes n states, and loads them again, which are too many for
// memory. They have to take more than a part of the bound.
func boundedMemory[S any](t *testing.T, n, part int, fill func(s *S)) {
	t.Helper()
	const bound = 1 << 19
	app := testkit.NewApp(t, memstore.New(), &stay.Options{MaxBytes: bound})
	states := stay.Register(app, stay.Module[S]{Name: "s", Persist: stay.PerUser})
	check := func(how string) {
		t.Helper()
		with := heapInUse()
		access.AppOf(app).Evict(false)
		took := with - heapInUse()
		if took > 2*bound || took < bound/part {
			t.Errorf("states that were %s take %d kB, the bound is %d kB", how, took>>10, bound>>10)
		}
	}
	for i := range n {
		if _, err := states.At(fmt.Sprint(i)).Update(t.Context(), func(s *S) error { fill(s); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	check("made")
	for i := range n {
		if _, err := states.At(fmt.Sprint(i)).Get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check("loaded")
}

// What a record has beside the fields of the state is kept with it, and
// counts.
//
// Proves M2, E6.
func TestMaxBytesCountsUnknownFields(t *testing.T) {
	const bound, n = 1 << 20, 24
	type newer struct {
		Count int            `json:"count"`
		In    map[string]int `json:"in"`
	}
	st := memstore.Shared(2)
	first := stay.Register(testkit.NewApp(t, st[0], nil), stay.Module[newer]{Name: "s", Persist: stay.PerUser})
	for i := range n {
		if _, err := first.At(fmt.Sprint(i)).Update(t.Context(), func(s *newer) error {
			s.In = map[string]int{}
			for i := range 10_000 {
				s.In[fmt.Sprint(i)] = i
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	app := testkit.NewApp(t, st[1], &stay.Options{MaxBytes: bound})
	older := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerUser})
	for _, how := range []string{"loaded", "changed"} {
		for i := range n {
			s := older.At(fmt.Sprint(i))
			if how == "changed" {
				testkit.MustUpdate(t, t.Context(), s)
			} else {
				testkit.WantCount(t, t.Context(), s, 0)
			}
		}
		with := heapInUse()
		access.AppOf(app).Evict(false)
		if took := with - heapInUse(); took > 2*bound || took < bound/2 {
			t.Errorf("states that were %s take %d kB, the bound is %d kB", how, took>>10, bound>>10)
		}
	}
}

// A state with changes that Debounce keeps back is in memory once: as it is, and
// not as it was stored.
//
// Proves A14, E6.
func TestChangesThatAreNotStoredYetAreInMemoryOnce(t *testing.T) {
	m := &testkit.Measured{}
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Metrics: m})
	states := stay.Register(app, stay.Module[plainSheet]{Name: "s", Persist: stay.PerUser, Debounce: time.Hour})
	change := func() {
		for i := range 8 {
			if _, err := states.At(fmt.Sprint(i)).Update(t.Context(), func(s *plainSheet) error {
				s.Ints = append(s.Ints, make([]int, 20_000)...)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	change()
	access.AppOf(app).Evict(false) // stores them
	change()
	counted, with := int(m.Gauge(t, "stay.cache.size")), heapInUse()
	testkit.WantEqual(t, "unsaved", m.Gauge(t, "stay.cache.unsaved"), 8)
	access.AppOf(app).Evict(false)
	if took := with - heapInUse(); took > counted*5/4 || took < counted*4/5 {
		t.Errorf("they take %d kB, and count %d kB", took>>10, counted>>10)
	}
}
