package clone_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stay-go/stay/internal/clone"
)

type label string

func (l label) MarshalText() ([]byte, error)     { return []byte(l), nil }
func (l *label) UnmarshalText(text []byte) error { *l = label(text); return nil }

// cloned has a Clone method that shares strings, as most do.
type cloned []string

func (c cloned) Clone() cloned { return slices.Clone(c) }

type point struct{ X, Y string }

type promoted struct{ Deep string }

// texts has a string wherever a state can have one.
type texts struct {
	promoted
	S       string
	N       int
	Label   label
	Number  json.Number
	When    time.Time
	Raw     json.RawMessage
	Ptr     *string
	In      *texts2
	List    []string
	Structs []texts2
	Array   [3]point
	Cloned  cloned
	Map     map[string]string
	Keys    map[point][]string
	Labels  map[label]*texts2
	Addr    netip.Addr
	ByAddr  map[netip.Addr]string
	Any     any
	Anys    []any
}

type texts2 struct {
	Name string
	Tags []label
	Kids []texts2
}

// A source makes values whose strings are parts of one large text.
type source struct {
	*rand.Rand
	arena string
}

func newSource(r *rand.Rand) source {
	b := make([]byte, 4096)
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return source{r, string(b)}
}

func (s source) text() string {
	from := s.IntN(len(s.arena) - 20)
	return s.arena[from : from+s.IntN(20)]
}

func some[T any](s source, one func() T) []T {
	if s.IntN(4) == 0 {
		return nil
	}
	l := make([]T, s.IntN(4))
	for i := range l {
		l[i] = one()
	}
	return l
}

func dict[K comparable, V any](s source, key func() K, value func() V) map[K]V {
	if s.IntN(4) == 0 {
		return nil
	}
	m := map[K]V{}
	for range s.IntN(4) {
		m[key()] = value()
	}
	return m
}

func (s source) label() label { return label(s.text()) }
func (s source) point() point { return point{s.text(), s.text()} }
func (s source) addr() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(s.IntN(3))})
}

func (s source) texts2(depth int) texts2 {
	v := texts2{Name: s.text(), Tags: some(s, s.label)}
	if depth > 0 {
		v.Kids = some(s, func() texts2 { return s.texts2(depth - 1) })
	}
	return v
}

func (s source) any(depth int) any {
	switch n := s.IntN(7); {
	case n == 0:
		return nil
	case n == 1:
		return true
	case n == 2:
		return json.Number(s.text())
	case n == 3 && depth > 0:
		return some(s, func() any { return s.any(depth - 1) })
	case n == 4 && depth > 0:
		return dict(s, s.text, func() any { return s.any(depth - 1) })
	}
	return s.text()
}

func (s source) texts() *texts {
	name := s.text()
	in := s.texts2(2)
	return &texts{
		promoted: promoted{s.text()}, S: s.text(), N: s.IntN(9), Label: s.label(), Number: json.Number(s.text()),
		Raw: json.RawMessage(s.text()), Ptr: &name, In: &in, List: some(s, s.text),
		Structs: some(s, func() texts2 { return s.texts2(2) }), Array: [3]point{s.point(), s.point()},
		Cloned: some(s, s.text), Map: dict(s, s.text, s.text),
		Keys:   dict(s, s.point, func() []string { return some(s, s.text) }),
		Labels: dict(s, s.label, func() *texts2 { v := s.texts2(1); return &v }),
		Addr:   s.addr(), ByAddr: dict(s, s.addr, s.text),
		Any: s.any(3), Anys: some(s, func() any { return s.any(2) }),
	}
}

// change sets some of what v has to new values.
func (s source) change(v *texts) {
	to, at, now := reflect.ValueOf(s.texts()).Elem(), s.IntN(2), reflect.ValueOf(v).Elem()
	for i := 1; i < now.NumField(); i++ { // the first is embedded and unexported
		if s.IntN(3) == at {
			now.Field(i).Set(to.Field(i))
		}
	}
	if s.IntN(2) == 0 {
		v.Deep = s.text()
	}
	if len(v.Structs) > 0 && s.IntN(2) == 0 {
		v.Structs[s.IntN(len(v.Structs))].Name = s.text()
		v.Structs = append(v.Structs, s.texts2(1))
	}
	if len(v.List) > 1 && s.IntN(2) == 0 {
		v.List = v.List[1:]
	}
}

// eachString calls fn with the path of each string that v reaches through
// exported fields.
func eachString(v reflect.Value, path string, fn func(path, s string)) {
	switch v.Kind() {
	case reflect.String:
		fn(path, v.String())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachString(v.Elem(), path, fn)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.Kind() == reflect.Slice {
				fn(path, unsafe.String(unsafe.SliceData(v.Bytes()), v.Len()))
			}
			return
		}
		for i := range v.Len() {
			eachString(v.Index(i), fmt.Sprintf("%s[%d]", path, i), fn)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			eachString(it.Key(), path+"{key}", fn)
			eachString(it.Value(), path+"{}", fn)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				eachString(v.Field(i), path+"."+f.Name, fn)
			}
		}
	}
}

// within reports whether s is in the memory of the text, even if it is empty.
func within(s, text string) bool {
	at, begin := uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(unsafe.Pointer(unsafe.StringData(text)))
	return at >= begin && at < begin+uintptr(len(text))
}

// owned is Plan.Own with types.
func owned[T any](p *clone.Plan, v, from *T) *T {
	var f any
	if from != nil {
		f = from
	}
	c, _ := p.Own(v, f)
	return c.(*T)
}

// A value that is kept holds on to nothing but itself, whatever texts its
// strings were taken from, and what has not changed since the last one is the
// same string as there.
//
// Proves E6.
func TestOwnSharesNoMemory(t *testing.T) {
	p := plan[texts](t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		var from any
		var arenas []string
		for range 4 { // versions of one state
			s := newSource(r)
			arenas = append(arenas, s.arena)
			v := s.texts()
			if from != nil {
				v = p.Copy(from).(*texts)
				s.change(v)
			}
			want := p.Copy(v)
			own, _ := p.Own(v, from)
			if !reflect.DeepEqual(own, want) || !reflect.DeepEqual(v, want) {
				t.Fatalf("seed %d: it differs:\n%+v\n%+v\n%+v", seed, own, v, want)
			}
			if shared := alias(reflect.ValueOf(own), reflect.ValueOf(v), "texts"); shared != "" {
				t.Fatalf("seed %d: %s is shared", seed, shared)
			}
			eachString(reflect.ValueOf(own), "texts", func(path, text string) {
				if slices.ContainsFunc(arenas, func(arena string) bool { return within(text, arena) }) {
					t.Fatalf("seed %d: %s, %q, is part of the text it was taken from", seed, path, text)
				}
			})
			from = own
		}
	}
}

// What a change left as it was costs nothing.
func TestOwnKeepsWhatDidNotChange(t *testing.T) {
	type entry struct{ ID, Text string }
	type state struct {
		Count   int
		Name    string
		In      *entry
		Pair    [2]entry
		Entries []entry
	}
	p := plan[state](t)
	text := strings.Repeat("text", 10)
	from := owned(p, &state{Name: text[1:5], In: &entry{text[2:], "b"}, Pair: [2]entry{{text[1:], text[2:]}}, Entries: []entry{
		{text[3:9], text[9:12]}, {text[4:], text[5:]},
	}}, nil)
	v := p.Copy(from).(*state)
	v.Count++
	v.Pair[0].ID = text[7:] // a part of what it was, elsewhere
	v.Entries = append(v.Entries, entry{text[5:15], ""})
	own := owned(p, v, from)
	same := func(a, b string) bool { return unsafe.StringData(a) == unsafe.StringData(b) && len(a) == len(b) }
	for path, pair := range map[string][2]string{
		"Name": {own.Name, from.Name}, "In.ID": {own.In.ID, from.In.ID}, "Pair[].Text": {own.Pair[0].Text, from.Pair[0].Text},
		"Entries[].ID": {own.Entries[0].ID, from.Entries[0].ID}, "Entries[].Text": {own.Entries[1].Text, from.Entries[1].Text},
	} {
		if !same(pair[0], pair[1]) {
			t.Errorf("%s was made anew", path)
		}
	}
	if within(own.Pair[0].ID, text) || within(own.Entries[2].ID, text) {
		t.Error("what changed was kept as it is")
	}
	copies := testing.AllocsPerRun(100, func() { p.Copy(v) })
	if n := testing.AllocsPerRun(100, func() { p.Own(v, from) }); n != copies+2 {
		t.Errorf("%v allocations for two new strings where a copy takes %v", n, copies)
	}
	// A shorter string that begins where the old one does is another one.
	v = p.Copy(from).(*state)
	v.Name = v.Name[:2]
	if own := owned(p, v, from); within(own.Name, from.Name) {
		t.Error("a part of the old string keeps all of it")
	}
	v.Name = v.Name[:0]
	if own := owned(p, v, from); within(own.Name, from.Name) {
		t.Error("an empty part of the old string keeps all of it")
	}
}

// linked reaches itself through a pointer, which its Clone makes allowed, and
// hidden strings of it are its own affair.
type linked struct {
	Name string
	Next *linked
	note string
}

func (l *linked) Clone() *linked {
	c := *l
	if l.Next != nil {
		c.Next = l.Next.Clone()
	}
	return &c
}

// What cannot be reached field by field is copied by the type's own Clone, what
// can be is not, and unexported strings are left as they are.
func TestOwnOfTypesWithClone(t *testing.T) {
	calls := 0
	text := strings.Repeat("text", 10)
	type state struct {
		C    cloner
		Link *linked
		Ptr  *ptrCloner
		hide point
	}
	p := plan[state](t)
	src := &state{
		C:    cloner{[]string{text[1:3]}, &calls},
		Link: &linked{Name: text[1:], Next: &linked{Name: text[2:], note: text[3:]}},
		Ptr:  &ptrCloner{Items: []string{text[1:]}},
		hide: point{X: text},
	}
	own := owned(p, src, nil)
	if calls != 1 || own.Ptr.Items[0] != "cloned" {
		t.Errorf("%d calls, %v", calls, own.Ptr.Items)
	}
	if within(own.Link.Name, text) || within(own.Link.Next.Name, text) || own.Link.Next == src.Link.Next {
		t.Error("what is reached field by field is shared")
	}
	if own.Link.Next.note != text[3:] || own.hide != src.hide {
		t.Error("what is unexported was lost")
	}
}

// Own refuses what Copy refuses.
func TestOwnPanics(t *testing.T) {
	p := plan[inner](t)
	for _, c := range [][2]any{{nil, nil}, {inner{}, nil}, {&inner{}, inner{}}, {&inner{}, (*inner)(nil)}, {&inner{}, &comment{}}} {
		if msg := panicOf(func() { p.Own(c[0], c[1]) }); !strings.Contains(msg, "*clone_test.inner is needed") {
			t.Errorf("Own(%T, %T) panicked with %q", c[0], c[1], msg)
		}
	}
	loop := &comment{}
	loop.Replies = []*comment{loop}
	if msg := panicOf(func() { plan[comment](t).Own(loop, loop) }); !strings.Contains(msg, "cyclic") {
		t.Errorf("a cyclic value panicked with %q", msg)
	}
	if _, err := clone.New(reflect.TypeFor[struct{ L selfLink }]()); err == nil {
		t.Error("a link without Clone was accepted")
	}
}
