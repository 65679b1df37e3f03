package bind

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/stay-go/stay/internal/clone"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	numberType      = reflect.TypeFor[json.Number]()
)

// A Binder binds payloads. It remembers what it has found out about the types
// that it was given; a program has few of them. The zero value is ready, and
// its methods may be called concurrently.
type Binder struct {
	types sync.Map // of types: *destination
	plans sync.Map // of types: *clone.Plan, nil if they cannot be copied
}

// A destination is a type that payloads are bound to.
type destination struct {
	*node
	// mistake says why nothing can be bound to it; nil if something can.
	mistake error
}

// A node is what binding knows about a type. Nodes form a graph, as types do.
type node struct {
	typ reflect.Type
	// json, text: the values decode themselves from JSON, or from text.
	json, text bool
	// guarded: a field somewhere in it is tagged stay:"private" or stay:"key".
	guarded bool
	// elem is the type that a pointer, list or map leads to.
	elem *node
	// empty is a slice without items that is not nil.
	empty reflect.Value

	// The fields of a struct that clients may set, by their names in JSON.
	fields  []field
	index   map[string]int
	longest int
	// reserved are the names of the fields that only the program may set.
	reserved map[string]bool
}

// isTime reports whether the values are times.
func (n *node) isTime() bool {
	return n.typ == timeType || n.typ.Kind() == reflect.Pointer && n.elem.typ == timeType
}

type field struct {
	jsonwalk.Field
	*node
	// optional: the value may be absent.
	optional bool
}

// byName returns the field with the name and its position, or nil.
func (n *node) byName(name string) (*field, int) {
	if len(name) > n.longest {
		return nil, 0 // without hashing a name that may be a megabyte
	}
	if i, ok := n.index[name]; ok {
		return &n.fields[i], i
	}
	return nil, 0
}

// byQuoted is byName for a name as it is written in JSON. It makes no string of
// it.
func (n *node) byQuoted(quoted []byte) (*field, int) {
	if !jsonwalk.Plain(quoted) {
		return n.byName(jsonwalk.Unquote(quoted))
	}
	text := quoted[1 : len(quoted)-1]
	if len(text) > n.longest {
		return nil, 0
	}
	if i, ok := n.index[string(text)]; ok {
		return &n.fields[i], i
	}
	return nil, 0
}

// Check returns an error if the type t makes binding impossible: a part of it
// decodes itself, so its tags would have no effect.
func Check(t reflect.Type) error { return newDestination(t).mistake }

func (b *Binder) destination(t reflect.Type) *destination {
	if d, ok := b.types.Load(t); ok {
		return d.(*destination)
	}
	d, _ := b.types.LoadOrStore(t, newDestination(t))
	return d.(*destination)
}

func newDestination(t reflect.Type) *destination {
	g := graph{nodes: make(map[reflect.Type]*node)}
	d := &destination{node: g.node(t)}
	d.mistake = g.mistake
	return d
}

// A graph makes the nodes of one destination.
type graph struct {
	nodes   map[reflect.Type]*node
	mistake error
}

func (g *graph) node(t reflect.Type) *node {
	if n := g.nodes[t]; n != nil {
		return n
	}
	n := &node{typ: t}
	g.nodes[t] = n
	if k := t.Kind(); k != reflect.Pointer && k != reflect.Interface {
		n.json = reflect.PointerTo(t).Implements(jsonUnmarshaler)
		n.text = reflect.PointerTo(t).Implements(textUnmarshaler)
	}
	if n.json || n.text {
		g.opaque(t)
		return n
	}
	n.guarded = tagged(t) != ""
	switch t.Kind() {
	case reflect.Map:
		if reflect.PointerTo(t.Key()).Implements(textUnmarshaler) {
			g.opaque(t.Key())
		}
		n.elem = g.node(t.Elem())
	case reflect.Pointer, reflect.Array:
		n.elem = g.node(t.Elem())
	case reflect.Slice:
		n.elem, n.empty = g.node(t.Elem()), reflect.MakeSlice(t, 0, 0)
	case reflect.Struct:
		n.index = make(map[string]int)
		for _, f := range jsonwalk.Dominant(jsonwalk.Fields(t)) {
			if reserved(&f) {
				if n.reserved == nil {
					n.reserved = make(map[string]bool)
				}
				n.reserved[f.Name] = true
				continue
			}
			n.index[f.Name] = len(n.fields)
			n.longest = max(n.longest, len(f.Name))
			optional := f.Type.Kind() == reflect.Pointer || f.OmitEmpty || f.OmitZero
			n.fields = append(n.fields, field{f, g.node(f.Type), optional})
		}
	}
	return n
}

// opaque records whether a type that decodes itself has tags, which would have
// no effect.
func (g *graph) opaque(t reflect.Type) {
	if where := tagged(t); where != "" && g.mistake == nil {
		g.mistake = fmt.Errorf("bind: %s has a stay tag without effect, as %s reads itself: bind to a type without UnmarshalJSON and UnmarshalText", where, t)
	}
}

// reserved reports whether only the program may set the field.
func reserved(f *jsonwalk.Field) bool { return f.Has("private") || f.Has("key") }

// tagged returns the first field in t, at any depth, that only the program may
// set, or "".
func tagged(t reflect.Type) string {
	seen := make(map[reflect.Type]bool)
	var find func(t reflect.Type) string
	find = func(t reflect.Type) string {
		if seen[t] {
			return ""
		}
		seen[t] = true
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			return find(t.Elem())
		case reflect.Struct:
			fields := jsonwalk.Fields(t)
			if i := slices.IndexFunc(fields, func(f jsonwalk.Field) bool { return reserved(&f) }); i >= 0 {
				return t.String() + "." + fields[i].Path
			}
			for _, f := range fields {
				if f.Lost && !t.FieldByIndex(f.Index).Anonymous {
					continue // out of reach, except for what an embedded type promotes
				}
				if where := find(f.Type); where != "" {
					return where
				}
			}
		}
		return ""
	}
	return find(t)
}

// planOf returns the plan that copies values of t, nil if there is none.
func (b *Binder) planOf(t reflect.Type) *clone.Plan {
	if plan, ok := b.plans.Load(t); ok {
		return plan.(*clone.Plan)
	}
	plan, err := clone.New(t)
	if err != nil {
		plan = nil
	}
	b.plans.Store(t, plan)
	return plan
}
