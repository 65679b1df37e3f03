package stay

import (
	"context"
	"errors"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/schema"
	"github.com/stay-go/stay/store"
)

// moduleType is what the engine needs to know of a module's states.
type moduleType struct {
	*module
	guest bool // of guests' and ephemeral states
}

func (t moduleType) moduleName() string { return t.name }

func (t moduleType) Clone(v any) any { return t.schema.Clone(v) }

func (t moduleType) Encode(v, extra any) ([]byte, error) {
	x, _ := extra.(*schema.Extra)
	b, err := t.schema.Encode(v, x)
	if err != nil {
		return nil, t.invalid(err)
	}
	return b, nil
}

func (t moduleType) Settle(v, from, extra any, encoded []byte) (settled, result any, bytes int, err error) {
	if settled, result, bytes, err = t.schema.Settle(v, from, encoded); err != nil {
		return nil, nil, 0, t.invalid(err)
	}
	x, _ := extra.(*schema.Extra)
	return settled, result, bytes + x.Bytes(), nil
}

// invalid is for a value that only JSON shows to be one that cannot be kept.
func (t moduleType) invalid(err error) error {
	return &Error{Code: ErrInvalid, Module: t.name, Phase: "run", Message: "the state holds a value that cannot be stored", Err: err}
}

func (t moduleType) Load(ctx context.Context, key string, rec *store.Record) (l engine.Loaded, err error) {
	var x *schema.Extra
	stored := rec.Revision != 0
	if stored {
		if l.Value, x, err = t.decode(rec.Version, rec.Value); err != nil {
			return engine.Loaded{}, t.corrupt(key, err)
		}
		if err := t.checkOwner(key, l.Value); err != nil {
			return engine.Loaded{}, err
		}
	} else {
		l.Value, l.Encoded, l.Bytes = t.schema.Initial(), t.encoded, t.schema.InitialBytes()
	}
	if t.created != nil {
		if err := t.runCreated(ctx, stored, l.Value); err != nil {
			return engine.Loaded{}, err
		}
	}
	if stored || t.created != nil {
		if l.Encoded, err = t.Encode(l.Value, x); err != nil {
			return engine.Loaded{}, err
		}
	}
	switch {
	case t.created != nil: // what a hook left is kept like what a change left
		if l.Value, _, l.Bytes, err = t.schema.Settle(l.Value, nil, l.Encoded); err != nil {
			return engine.Loaded{}, t.invalid(err)
		}
	case stored:
		if l.Value, l.Bytes, err = t.schema.Keep(l.Value, l.Encoded); err != nil {
			return engine.Loaded{}, t.corrupt(key, err)
		}
	}
	if x != nil {
		l.Extra = x
		l.Bytes += x.Bytes()
	}
	return l, nil
}

func (t moduleType) runCreated(ctx context.Context, restored bool, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Code: ErrInternal, Module: t.name, Phase: "onCreated", Err: panicError{p}}
		}
	}()
	call := t.app.newCall(ctx, t.name, "")
	call.restored = restored
	defer call.run.over.Store(true)
	before := t.owner(v)
	if err := t.created(call, v); err != nil {
		return &Error{Code: CodeOf(err), Module: t.name, Phase: "onCreated", Err: err}
	}
	if t.owner(v) != before {
		return &Error{Code: ErrInternal, Module: t.name, Phase: "onCreated", Err: errors.New("OnCreated changed the key of the state")}
	}
	return nil
}

// owner is the key of v, where it follows from the state alone.
func (t moduleType) owner(v any) string {
	if t.key == nil || t.key.calls {
		return ""
	}
	return t.key.key(nil, v)
}

// checkOwner refuses a record that says it belongs to another key (K7). One
// that does not say whose it is is completed by the login that attaches to it.
func (t moduleType) checkOwner(key string, v any) error {
	if t.guest {
		key = ""
	}
	if owner := t.owner(v); owner != "" && owner != key {
		return t.corrupt(key, errors.New("the state belongs to another key"))
	}
	return nil
}

func (t moduleType) corrupt(key string, err error) *Error {
	return &Error{
		Code: ErrCorrupt, Module: t.name, Phase: "decode", KeyHash: keyHash(key), Err: err,
		Message: "the stored state cannot be read; it was left as it is",
	}
}

// stored returns the state that is in a record, without running OnCreated.
func (m *module) stored(rec *store.Record) (v any, err error) {
	if failure := apart(func() { v, _, err = m.decode(rec.Version, rec.Value) }); failure != nil {
		return nil, failure
	}
	return v, err
}
