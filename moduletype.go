package stay

import (
	"context"
	"errors"

	"github.com/stay-go/stay/internal/schema"
	"github.com/stay-go/stay/store"
)

// moduleType is what the engine needs to know of a module's states.
type moduleType struct {
	*module
	guest bool // of guests' and ephemeral states
}

func (t moduleType) Clone(v any) any { return t.schema.Clone(v) }

func (t moduleType) Encode(v, extra any) ([]byte, error) {
	x, _ := extra.(*schema.Extra)
	b, err := t.schema.Encode(v, x)
	if err != nil {
		return nil, t.invalid(err)
	}
	return b, nil
}

func (t moduleType) Settle(v, from any, encoded []byte) (settled, result any, err error) {
	if settled, result, err = t.schema.Settle(v, from, encoded); err != nil {
		return nil, nil, t.invalid(err)
	}
	return settled, result, nil
}

// invalid is for a value that only JSON shows to be one that cannot be kept.
func (t moduleType) invalid(err error) error {
	return &Error{Code: ErrInvalid, Module: t.name, Phase: "run", Message: "the state holds a value that cannot be stored", Err: err}
}

func (t moduleType) Load(ctx context.Context, key string, rec *store.Record) (v, extra any, encoded []byte, err error) {
	restored := rec.Revision != 0
	var x *schema.Extra
	if restored {
		if v, x, err = t.decode(rec.Version, rec.Value); err != nil {
			return nil, nil, nil, t.corrupt(key, err)
		}
		if err := t.checkOwner(key, v); err != nil {
			return nil, nil, nil, err
		}
	} else {
		v, encoded = t.schema.Initial(), t.encoded
	}
	if t.created != nil {
		if err := t.runCreated(ctx, restored, v); err != nil {
			return nil, nil, nil, err
		}
	}
	if encoded == nil || t.created != nil {
		if encoded, err = t.Encode(v, x); err != nil {
			return nil, nil, nil, err
		}
	}
	if t.created != nil { // what a hook left is kept like what a change left
		if v, _, err = t.Settle(v, nil, encoded); err != nil {
			return nil, nil, nil, err
		}
	}
	if x != nil {
		extra = x
	}
	return v, extra, encoded, nil
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
