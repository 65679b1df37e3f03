package stay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/schema"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
	"github.com/stay-go/stay/store"
)

// moduleType tells the engine about a module's states.
type moduleType struct {
	*module
	guest bool // of guests' and ephemeral states
}

func (m *module) moduleName() string { return m.name }

func (m *module) Clone(v any) any { return m.schema.Clone(v) }

func (m *module) Encode(v, extra any) ([]byte, error) {
	x, _ := extra.(*schema.Extra)
	b, err := m.schema.Encode(v, x)
	if err != nil {
		return nil, m.invalid(err)
	}
	return b, nil
}

func (m *module) Settle(v, from, extra any, encoded []byte) (settled, result any, bytes int, err error) {
	if settled, result, bytes, err = m.schema.Settle(v, from, encoded); err != nil {
		return nil, nil, 0, m.invalid(err)
	}
	x, _ := extra.(*schema.Extra)
	return settled, result, bytes + x.Bytes(), nil
}

// invalid is the error for a value that JSON cannot hold.
func (m *module) invalid(err error) error {
	return &Error{Code: ErrInvalid, Module: m.name, Phase: "run", Message: "the state holds a value that cannot be stored", Err: err}
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
	case t.created != nil: // the changes of a hook are kept like those of an action
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

// owner returns the key of v, if it follows from the state alone.
func (m *module) owner(v any) string {
	if m.key == nil || m.key.calls {
		return ""
	}
	return m.key.key(nil, v)
}

// checkOwner refuses a record that says it belongs to another key (K7). The
// login that attaches to a record without an owner completes it.
func (t moduleType) checkOwner(key string, v any) error {
	if t.guest {
		key = ""
	}
	if owner := t.owner(v); owner != "" && owner != key {
		return t.corrupt(key, errors.New("the state belongs to another key"))
	}
	return nil
}

func (m *module) corrupt(key string, err error) *Error {
	return &Error{
		Code: ErrCorrupt, Module: m.name, Phase: "decode", KeyHash: keyHash(key), Err: err,
		Message: "the stored state cannot be read; it was left as it is",
	}
}

// checkVersions checks that the steps lead without a gap to the version of the
// schema.
func (m *module) checkVersions() {
	if m.version == 0 {
		m.version = 1
	}
	if m.version < 0 {
		m.refuse("Version is negative: the first is 1")
	}
	m.migrate = maps.Clone(m.migrate)
	for _, n := range slices.Sorted(maps.Keys(m.migrate)) {
		switch {
		case n < 1:
			m.refuse(fmt.Sprintf("Migrate has a step %d, but the first version is 1: number each step by the version that it starts from", n))
		case n >= m.version:
			m.refuse(fmt.Sprintf("Migrate has a step %d, which makes version %d, but Version is %d: raise Version, or remove the step", n, n+1, m.version))
		case m.migrate[n] == nil:
			m.refuse(fmt.Sprintf("step %d of Migrate is nil: give it a function", n))
		}
	}
	// oldest counts the steps, so a gap shows as a missing step of this row.
	for n := m.oldest(); n < m.version; n++ {
		if m.migrate[n] == nil {
			m.refuse(fmt.Sprintf("Migrate has no step %d, but has a step from an earlier version: add the missing step, or remove the earlier ones", n))
		}
	}
}

// oldest is the first version whose records can be read.
func (m *module) oldest() int { return m.version - len(m.migrate) }

// decode returns the state in a record's value, which it does not change. Every
// error means that the record cannot be read.
func (m *module) decode(version int, value []byte) (any, *schema.Extra, error) {
	if version == 0 {
		version = 1
	}
	switch {
	case version > m.version:
		return nil, nil, fmt.Errorf("the record has schema version %d, but this program reads versions up to %d", version, m.version)
	case version < m.oldest():
		return nil, nil, fmt.Errorf("the record has schema version %d, but this program reads versions from %d on: Migrate has no step %[1]d", version, m.oldest())
	case version < m.version:
		migrated, err := m.migrated(version, value)
		if err != nil {
			return nil, nil, err
		}
		value = migrated
	}
	v, extra, strays, err := m.schema.DecodeNoting(value)
	for _, s := range strays {
		m.warnStray(s)
	}
	return v, extra, err
}

// warnStray logs, once for each field, that records have it under a name that
// it no longer has: the stored value is kept, but not read.
func (m *module) warnStray(s schema.Stray) {
	if _, told := m.strays.LoadOrStore(s.Field, true); told {
		return
	}
	m.app.logger().Warn("stay: a stored field is not read, because the field of the state has another name in JSON; if its json tag was added or changed, give it the stored name, or rename the stored field in a step of Migrate",
		slog.String("module", m.name), slog.String("stored", s.Stored), slog.String("field", s.Field), slog.String("name", s.Name))
}

// migrated returns a record's value after the steps from version on.
func (m *module) migrated(version int, value []byte) ([]byte, error) {
	if err := jsonwalk.Check(value); err != nil {
		return nil, err
	}
	out := value
	for n := version; n < m.version; n++ {
		var err error
		// A step owns what it gets: it may change it in place.
		if out, err = runStep(m.migrate[n], bytes.Clone(out)); err != nil {
			return nil, fmt.Errorf("the step from schema version %d: %w", n, err)
		}
	}
	out, err := m.schema.KeepKeyFields(value, out)
	if err != nil {
		return nil, fmt.Errorf("the steps from schema version %d to %d: %w", version, m.version, err)
	}
	return out, nil
}

// runStep returns the result of one step: valid JSON, or an error.
func runStep(step func(json.RawMessage) (json.RawMessage, error), value []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, panicError{p}
		}
	}()
	if out, err = step(value); err != nil {
		return nil, err
	}
	if err := jsonwalk.Check(out); err != nil {
		return nil, fmt.Errorf("it returned invalid JSON: %w", err)
	}
	return out, nil
}

// strategyName is the name of the module's strategy, "" for ephemeral.
func (m *module) strategyName() string {
	switch m.scope {
	case scopeSession:
		return "PerSession"
	case scopeUser:
		return "PerUser"
	case scopeGlobal:
		return "Global"
	case scopeKey:
		return m.key.name
	}
	return ""
}

// kindAt returns the kind of the states at a place of the module.
func (m *module) kindAt(p access.Place) (*engine.Kind, error) {
	k := m.kind
	if p.Guest {
		k = m.guest
	}
	if k == nil {
		return nil, &Error{Code: ErrNotFound, Module: m.name, Phase: "resolve", Message: "the module has no such states"}
	}
	return k, nil
}
