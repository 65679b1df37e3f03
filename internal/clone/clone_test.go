package clone_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/clone"
)

type inner struct {
	Name string
	Tags []string
}

type embedded struct {
	Deep map[string][]int
}

type sample struct {
	embedded
	N       int
	When    time.Time
	Bytes   []byte
	Raw     json.RawMessage
	Ptr     *inner
	NumPtr  *int
	Slice   []inner
	Ptrs    []*inner
	Map     map[string]inner
	PtrMap  map[int]*inner
	Nested  map[string]map[string][]string
	Array   [2][]string
	Any     any
	Anys    []any
	Big     *big.Int
	Decimal big.Int
	Addr    netip.Addr
	ByAddr  map[netip.Addr][]int
}

func full() *sample {
	n := 7
	addr := netip.MustParseAddr("fe80::1%eth0")
	return &sample{
		embedded: embedded{Deep: map[string][]int{"a": {1, 2}}},
		N:        1,
		When:     time.Now(),
		Bytes:    []byte("bytes"),
		Raw:      json.RawMessage(`{"a":1}`),
		Ptr:      &inner{"ptr", []string{"x"}},
		NumPtr:   &n,
		Slice:    []inner{{"s", []string{"y"}}},
		Ptrs:     []*inner{nil, {"p", []string{"z"}}},
		Map:      map[string]inner{"m": {"m", []string{"t"}}},
		PtrMap:   map[int]*inner{1: {"pm", []string{"u"}}},
		Nested:   map[string]map[string][]string{"a": {"b": {"c"}}},
		Array:    [2][]string{{"a0"}, {"a1"}},
		Any:      map[string]any{"list": []any{1.5, "s", nil, true, json.Number("9")}},
		Anys:     []any{map[string]any{"k": "v"}},
		Big:      big.NewInt(1 << 40),
		Decimal:  *big.NewInt(5),
		Addr:     addr,
		ByAddr:   map[netip.Addr][]int{addr: {1}},
	}
}

func plan[T any](t testing.TB) *clone.Plan {
	t.Helper()
	p, err := clone.New(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A copy equals its source and changing everything in it changes nothing in
// the source, and the other way round.
//
// Proves M1.
func TestCopySharesNothing(t *testing.T) {
	p := plan[sample](t)
	src := full()
	c := p.Copy(src).(*sample)
	if !reflect.DeepEqual(c, src) {
		t.Fatalf("copy differs:\n%+v\n%+v", c, src)
	}
	if shared := alias(reflect.ValueOf(c), reflect.ValueOf(src), "sample"); shared != "" {
		t.Errorf("%s is shared", shared)
	}
	c.Decimal.Add(&c.Decimal, big.NewInt(1<<50))
	c.Big.SetInt64(0)
	if src.Decimal.Int64() != 5 || src.Big.Int64() != 1<<40 {
		t.Error("the words of a big.Int are shared")
	}
}

// alias returns the path of the first map, slice or pointer with the same
// address on both sides. It does not look into unexported fields.
func alias(a, b reflect.Value, path string) string {
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.IsNil() || a.Kind() == reflect.Slice && a.Len() == 0 {
			return ""
		}
		if a.Pointer() == b.Pointer() {
			return path
		}
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !a.IsNil() {
			return alias(a.Elem(), b.Elem(), path)
		}
	case reflect.Slice, reflect.Array:
		for i := range a.Len() {
			if s := alias(a.Index(i), b.Index(i), path+"[]"); s != "" {
				return s
			}
		}
	case reflect.Map:
		for _, k := range a.MapKeys() {
			if s := alias(a.MapIndex(k), b.MapIndex(k), path+"["+k.String()+"]"); s != "" {
				return s
			}
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if f := a.Type().Field(i); f.IsExported() || f.Anonymous {
				if s := alias(a.Field(i), b.Field(i), path+"."+f.Name); s != "" {
					return s
				}
			}
		}
	}
	return ""
}

// Nil stays nil, empty stays empty, and spare capacity does not come along: an
// append to one of two values must never write into the other.
//
// Proves M1.
func TestCopyKeepsNilAndEmpty(t *testing.T) {
	type state struct {
		NilS, EmptyS, Spare []int
		NilM, EmptyM        map[string]int
		NilP                *int
		NilA                any
		AnyS                any
	}
	spare := make([]int, 1, 8)
	c := plan[state](t).Copy(&state{EmptyS: []int{}, EmptyM: map[string]int{}, Spare: spare, AnyS: []any(nil)}).(*state)
	if c.NilS != nil || c.NilM != nil || c.NilP != nil || c.NilA != nil {
		t.Errorf("nil became something: %+v", c)
	}
	if c.EmptyS == nil || c.EmptyM == nil {
		t.Errorf("empty became nil: %+v", c)
	}
	if cap(c.Spare) != 1 {
		t.Errorf("capacity %d came along", cap(c.Spare))
	}
	if s, ok := c.AnyS.([]any); !ok || s != nil {
		t.Errorf("any: %#v", c.AnyS)
	}
}

type cloner struct {
	Items []string
	calls *int
}

func (c cloner) Clone() cloner {
	*c.calls++
	return cloner{Items: append([]string(nil), c.Items...), calls: c.calls}
}

type ptrCloner struct {
	Items []string
	done  chan int
}

func (c *ptrCloner) Clone() *ptrCloner {
	return &ptrCloner{Items: append([]string{"cloned"}, c.Items...)}
}

// A type's own Clone comes first, even where the fields could not be copied.
func TestOwnCloneFirst(t *testing.T) {
	type state struct {
		V cloner
		P *ptrCloner
		L []ptrCloner
		N *ptrCloner
	}
	calls := 0
	p := plan[state](t)
	c := p.Copy(&state{
		V: cloner{[]string{"a"}, &calls},
		P: &ptrCloner{Items: []string{"b"}, done: make(chan int)},
		L: []ptrCloner{{Items: []string{"c"}}},
	}).(*state)
	if calls != 1 || c.V.Items[0] != "a" {
		t.Errorf("Clone() T: %d calls, %v", calls, c.V)
	}
	if c.P.Items[0] != "cloned" || c.P.done != nil || c.L[0].Items[0] != "cloned" || c.N != nil {
		t.Errorf("Clone() *T: %+v", c)
	}
	if !p.RoundTrips() {
		t.Error("RoundTrips is false although own methods run")
	}
	if top := plan[cloner](t).Copy(&cloner{calls: &calls}); top.(*cloner).Items != nil || calls != 2 {
		t.Error("Clone of the type itself was not used")
	}
}

// guarded keeps a lock and references of its own and writes and reads itself.
type guarded struct {
	mu    sync.Mutex
	words map[string]int
}

func (g *guarded) MarshalJSON() ([]byte, error) {
	if g.words["bad"] > 0 {
		return nil, errors.New("bad word")
	}
	return json.Marshal(g.words)
}
func (g *guarded) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &g.words) }

// A type that hides references but marshals itself is copied through that;
// its lock is never copied.
func TestRoundTripOfTypesThatMarshalThemselves(t *testing.T) {
	type state struct{ G guarded }
	p := plan[state](t)
	src := &state{}
	src.G.words = map[string]int{"a": 1}
	src.G.mu.Lock()
	defer src.G.mu.Unlock()
	c := p.Copy(src).(*state)
	if !c.G.mu.TryLock() {
		t.Error("the lock was copied")
	}
	c.G.words["a"] = 2
	if src.G.words["a"] != 1 {
		t.Error("shared")
	}
	src.G.words["bad"] = 1
	if msg := panicOf(func() { p.Copy(src) }); !strings.Contains(msg, "bad word") {
		t.Errorf("a failing round trip panicked with %q", msg)
	}
}

func panicOf(f func()) (msg string) {
	defer func() {
		switch p := recover().(type) {
		case error:
			msg = p.Error()
		case string:
			msg = p
		}
	}()
	f()
	return ""
}

type comment struct {
	Text    string
	Replies []*comment
	ByUser  map[string]comment
}

// Recursion through slices and maps is copied; a value that contains itself
// panics instead of overflowing the stack.
func TestRecursiveTypes(t *testing.T) {
	p := plan[comment](t)
	src := &comment{Replies: []*comment{{Text: "r", ByUser: map[string]comment{"u": {Text: "deep"}}}}}
	c := p.Copy(src).(*comment)
	if !reflect.DeepEqual(c, src) || c.Replies[0] == src.Replies[0] {
		t.Errorf("%+v", c)
	}
	src.Replies[0] = src
	if msg := panicOf(func() { p.Copy(src) }); !strings.Contains(msg, "cyclic") {
		t.Errorf("a cyclic value panicked with %q", msg)
	}
	list := []any{nil}
	list[0] = list
	type state struct{ A any }
	if msg := panicOf(func() { plan[state](t).Copy(&state{list}) }); !strings.Contains(msg, "cyclic") {
		t.Errorf("a cyclic any panicked with %q", msg)
	}
}

// What JSON has no value for becomes its JSON form in an any.
func TestAnyOfOtherTypes(t *testing.T) {
	type state struct{ A any }
	c := plan[state](t).Copy(&state{map[string]any{"n": 3, "i": inner{Name: "x"}}}).(*state)
	want := map[string]any{"n": 3.0, "i": map[string]any{"Name": "x", "Tags": nil}}
	if !reflect.DeepEqual(c.A, want) {
		t.Errorf("%#v", c.A)
	}
	if msg := panicOf(func() { plan[state](t).Copy(&state{make(chan int)}) }); !strings.Contains(msg, "chan int") {
		t.Errorf("a chan in an any panicked with %q", msg)
	}
}

func TestCopyOfAnotherTypePanics(t *testing.T) {
	p := plan[inner](t)
	for _, src := range []any{nil, inner{}, &comment{}, (*inner)(nil)} {
		if msg := panicOf(func() { p.Copy(src) }); !strings.Contains(msg, "*clone_test.inner is needed") {
			t.Errorf("Copy(%T) panicked with %q", src, msg)
		}
	}
}

type (
	linkA struct{ B *linkB }
	linkB struct {
		Ok []linkA
		A  [1]*linkA
	}
)

type (
	selfLink  struct{ Next *selfLink }
	holdsLink struct{ Items map[string]selfLink }
)

type hidden struct{ p []int }

var _ = hidden{}.p

type tagList []string

// Each refusal names the field and says what to do.
//
// Proves M5.
func TestRefusals(t *testing.T) {
	type cart struct{ Items []struct{ Done chan bool } }
	for _, c := range []struct {
		typ  reflect.Type
		want []string
	}{
		{reflect.TypeFor[cart](), []string{"cart.Items[].Done", "chan bool", "keep it outside"}},
		{reflect.TypeFor[struct{ F func() }](), []string{"struct.F", "func()"}},
		{reflect.TypeFor[struct{ C complex128 }](), []string{"struct.C", "complex128"}},
		{reflect.TypeFor[struct{ U uintptr }](), []string{"struct.U", "uintptr"}},
		{reflect.TypeFor[struct{ E error }](), []string{"struct.E", "error", "concrete type or any"}},
		{reflect.TypeFor[struct{ M sync.Mutex }](), []string{"struct.M", "sync.Mutex"}},
		{reflect.TypeFor[struct{ M map[string]sync.Map }](), []string{"struct.M[]", "sync.Map"}},
		{reflect.TypeFor[struct{ H hidden }](), []string{"struct.H.p", "unexported", "Clone method"}},
		{reflect.TypeFor[struct{ tagList }](), []string{"struct.tagList", "unexported"}},
		{reflect.TypeFor[struct{ M map[*int]int }](), []string{"struct.M", "*int", "strings or numbers"}},
		{reflect.TypeFor[struct{ M map[any]int }](), []string{"struct.M", "keys"}},
		{reflect.TypeFor[selfLink](), []string{"selfLink.Next", "ids instead of links"}},
		{reflect.TypeFor[holdsLink](), []string{"holdsLink.Items[].Next", "ids instead of links"}},
		{reflect.TypeFor[linkA](), []string{"linkA.B.A[]", "ids instead of links"}},
	} {
		_, err := clone.New(c.typ)
		if err == nil {
			t.Errorf("%s was accepted", c.typ)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", c.typ, err, want)
			}
		}
	}
}

// opaque cannot be copied field by field, and what it leads to cannot either;
// a later field must not see the half-built plans of that attempt.
type opaque struct {
	Sub  viaOpaque
	Done chan int
}
type (
	viaOpaque   struct{ Back []brokenBelow }
	brokenBelow struct {
		Subs []viaOpaque
		E    error
	}
)

func (opaque) MarshalJSON() ([]byte, error)  { return []byte("1"), nil }
func (*opaque) UnmarshalJSON(b []byte) error { return nil }

func TestRefusalAfterFallback(t *testing.T) {
	type state struct {
		O opaque
		V viaOpaque
	}
	_, err := clone.New(reflect.TypeFor[state]())
	if err == nil || !strings.Contains(err.Error(), "state.V.Back[].E") {
		t.Errorf("got %v", err)
	}
	if _, err := clone.New(reflect.TypeFor[struct{ O opaque }]()); err != nil {
		t.Errorf("a type that marshals itself: %v", err)
	}
}

func TestFlat(t *testing.T) {
	type flat struct {
		A    int
		B    string
		T    time.Time
		Arr  [4]float64
		In   struct{ X bool }
		hide int
	}
	p := plan[flat](t)
	if !p.Flat() || p.RoundTrips() {
		t.Error("flat type is not flat")
	}
	src := &flat{A: 1, hide: 2}
	if c := p.Copy(src).(*flat); *c != *src {
		t.Errorf("%+v", c)
	}
	if n := testing.AllocsPerRun(100, func() { p.Copy(src) }); n > 1 {
		t.Errorf("a flat copy allocates %v times", n)
	}
	if plan[sample](t).Flat() {
		t.Error("a type with maps is flat")
	}
}

// Copies may be made at the same time, from the same value.
func TestCopyConcurrently(t *testing.T) {
	p, src := plan[sample](t), full()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				c := p.Copy(src).(*sample)
				c.Map["m"] = inner{}
				c.Slice[0].Tags[0] = "changed"
			}
		})
	}
	wg.Wait()
	if !reflect.DeepEqual(src.Map, full().Map) {
		t.Error("a copy changed its source")
	}
}
