package golden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// A body is a list of operations on a state.
type body []operation

// An operation changes the state of a run.
type operation func(r *run) error

// A run is one execution of a body.
type run struct {
	ctx   context.Context
	state any                 // a pointer to the struct
	bind  func(dst any) error // binds the payload
	value reflect.Value       // the struct
}

// errThrown is what the operation throw returns.
var errThrown = errors.New("thrown by the case")

// do runs the body on a state, a pointer to a struct.
func (b body) do(ctx context.Context, state any, bind func(dst any) error) error {
	return b.run(&run{ctx: ctx, state: state, bind: bind, value: reflect.ValueOf(state).Elem()})
}

func (b body) run(r *run) error {
	for _, op := range b {
		if err := op(r); err != nil {
			return err
		}
	}
	return nil
}

// wait takes its time unless the context ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// bodyOf reads operations on states of a type. Only the body of an action has
// a payload to bind.
func bodyOf(ops []json.RawMessage, t reflect.Type, hasPayload bool) (body, error) {
	b := make(body, len(ops))
	for i, raw := range ops {
		op, err := operationOf(raw, t, hasPayload)
		if err != nil {
			return nil, fmt.Errorf("operation %s: %w", raw, err)
		}
		b[i] = op
	}
	return b, nil
}

func operationOf(raw json.RawMessage, t reflect.Type, hasPayload bool) (operation, error) {
	kind, err := decodeKind(raw)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "set":
		return setOf(raw, t)
	case "inc":
		return incOf(raw, t)
	case "push":
		return pushOf(raw, t)
	case "delete":
		return deleteOf(raw, t)
	case "copy":
		return assignOf(raw, t)
	case "rmw":
		return rmwOf(raw, t)
	case "await":
		return awaitOf(raw)
	case "repeat":
		return repeatOf(raw, t, hasPayload)
	case "bind":
		if !hasPayload {
			return nil, errors.New("there is no payload to bind")
		}
		return func(r *run) error { return r.bind(r.state) }, decode(raw, &struct{ Op string }{})
	case "throw":
		return func(*run) error { return errThrown }, decode(raw, &struct{ Op string }{})
	}
	return nil, fmt.Errorf("the operation %q is not known", kind)
}

func setOf(raw json.RawMessage, t reflect.Type) (operation, error) {
	var o struct {
		Op, Path string
		Value    json.RawMessage
	}
	if err := decode(raw, &o); err != nil {
		return nil, err
	}
	p, err := placeOf(t, o.Path)
	if err != nil {
		return nil, err
	}
	v, err := valueOf(o.Value, p.typ)
	if err != nil {
		return nil, err
	}
	return func(r *run) error { return p.set(r.value, copyOf(v)) }, nil
}

// intAt looks up the path of a number.
func intAt(t reflect.Type, path string) (place, error) {
	p, err := placeOf(t, path)
	if err == nil && p.typ.Kind() != reflect.Int {
		err = fmt.Errorf("path %q: a %v is no number", path, p.typ)
	}
	return p, err
}

func incOf(raw json.RawMessage, t reflect.Type) (operation, error) {
	var o struct {
		Op, Path string
		By       *int
	}
	if err := decode(raw, &o); err != nil {
		return nil, err
	}
	p, err := intAt(t, o.Path)
	by := 1
	if o.By != nil {
		by = *o.By
	}
	return func(r *run) error {
		v, err := p.get(r.value)
		if err == nil {
			v.SetInt(v.Int() + int64(by))
		}
		return err
	}, err
}

func pushOf(raw json.RawMessage, t reflect.Type) (operation, error) {
	var o struct {
		Op, Path string
		Value    json.RawMessage
	}
	if err := decode(raw, &o); err != nil {
		return nil, err
	}
	p, err := placeOf(t, o.Path)
	if err != nil {
		return nil, err
	}
	if p.typ.Kind() != reflect.Slice {
		return nil, fmt.Errorf("path %q: a %v is no list", o.Path, p.typ)
	}
	v, err := valueOf(o.Value, p.typ.Elem())
	return func(r *run) error {
		list, err := p.get(r.value)
		if err == nil {
			list.Set(reflect.Append(list, v))
		}
		return err
	}, err
}

func deleteOf(raw json.RawMessage, t reflect.Type) (operation, error) {
	var o struct{ Op, Path string }
	if err := decode(raw, &o); err != nil {
		return nil, err
	}
	p, err := placeOf(t, o.Path)
	if err == nil && p.index >= 0 {
		err = fmt.Errorf("path %q: only fields and map entries are deleted", o.Path)
	}
	return func(r *run) error { return p.remove(r.value) }, err
}

func assignOf(raw json.RawMessage, t reflect.Type) (operation, error) {
	var o struct{ Op, Path, To string }
	if err := decode(raw, &o); err != nil {
		return nil, err
	}
	from, err := placeOf(t, o.Path)
	if err != nil {
		return nil, err
	}
	to, err := placeOf(t, o.To)
	if err == nil && from.typ != to.typ {
		err = fmt.Errorf("a %v cannot be assigned to %q, a %v", from.typ, o.To, to.typ)
	}
	return func(r *run) error {
		v, err := from.get(r.value)
		if err != nil {
			return err
		}
		return to.set(r.value, copyOf(v))
	}, err
}

func rmwOf(raw json.RawMessage, t reflect.Type) (operation, error) {
	var o struct {
		Op, Path string
		Ms       *int
	}
	if err := decode(raw, &o); err != nil {
		return nil, err
	}
	if o.Ms == nil {
		return nil, errors.New("missing: ms")
	}
	p, err := intAt(t, o.Path)
	return func(r *run) error {
		v, err := p.get(r.value)
		if err != nil {
			return err
		}
		read := v.Int()
		if err := wait(r.ctx, milliseconds(*o.Ms)); err != nil {
			return err
		}
		v.SetInt(read + 1)
		return nil
	}, err
}

func awaitOf(raw json.RawMessage) (operation, error) {
	var o struct {
		Op string
		Ms *int
	}
	if err := decode(raw, &o); err != nil {
		return nil, err
	}
	if o.Ms == nil {
		return nil, errors.New("missing: ms")
	}
	return func(r *run) error { return wait(r.ctx, milliseconds(*o.Ms)) }, nil
}

func repeatOf(raw json.RawMessage, t reflect.Type, hasPayload bool) (operation, error) {
	var o struct {
		Op  string
		N   *int
		Ops []json.RawMessage
	}
	if err := decode(raw, &o); err != nil {
		return nil, err
	}
	if err := need(map[string]bool{"n": o.N != nil, "ops": o.Ops != nil}); err != nil {
		return nil, err
	}
	b, err := bodyOf(o.Ops, t, hasPayload)
	return func(r *run) error {
		for range *o.N {
			if err := b.run(r); err != nil {
				return err
			}
		}
		return nil
	}, err
}
