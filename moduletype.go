package stay

import (
	"context"
	"fmt"

	"github.com/stay-go/stay/internal/schema"
	"github.com/stay-go/stay/store"
)

// moduleType is what the engine needs to know of a module's states.
type moduleType struct{ *module }

func (t moduleType) Clone(v any) any { return t.schema.Clone(v) }

func (t moduleType) Encode(v, extra any) ([]byte, error) {
	x, _ := extra.(*schema.Extra)
	b, err := t.schema.Encode(v, x)
	if err != nil {
		return nil, t.invalid(err)
	}
	return b, nil
}

func (t moduleType) Settle(v any, encoded []byte) (settled, result any, err error) {
	if settled, result, err = t.schema.Settle(v, encoded); err != nil {
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
		if rec.Version > t.kind.Version {
			return nil, nil, nil, t.corrupt(key, fmt.Errorf("the record has schema version %d, this program knows up to %d", rec.Version, t.kind.Version))
		}
		if v, x, err = t.schema.Decode(rec.Value); err != nil {
			return nil, nil, nil, t.corrupt(key, err)
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
	call := newCall(ctx, t.name, "")
	call.restored = restored
	defer call.run.over.Store(true)
	if err := t.created(call, v); err != nil {
		return &Error{Code: CodeOf(err), Module: t.name, Phase: "onCreated", Err: err}
	}
	return nil
}

func (t moduleType) corrupt(key string, err error) error {
	return &Error{
		Code: ErrCorrupt, Module: t.name, Phase: "decode", KeyHash: keyHash(key), Err: err,
		Message: "the stored state cannot be read; it was left as it is",
	}
}
