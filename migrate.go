package stay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/stay-go/stay/internal/schema"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

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
			m.refuse(fmt.Sprintf("Migrate has a step %d, but the first version is 1: name each step by the version that it starts from", n))
		case n >= m.version:
			m.refuse(fmt.Sprintf("Migrate has a step %d, which makes version %d, but Version is %d: raise Version, or remove the step", n, n+1, m.version))
		case m.migrate[n] == nil:
			m.refuse(fmt.Sprintf("step %d of Migrate is nil: give it a function", n))
		}
	}
	// As many steps as there are below Version-1 stand in a row, or one of
	// the row is missing.
	for n := m.oldest(); n < m.version; n++ {
		if m.migrate[n] == nil {
			m.refuse(fmt.Sprintf("Migrate has no step %d, but one from an earlier version: add the step, or remove those before it", n))
		}
	}
}

// oldest is the first version whose records can be read.
func (m *module) oldest() int { return m.version - len(m.migrate) }

// decode makes a state of a record's value, which stays as it is. Every error
// means that the record cannot be read.
func (m *module) decode(version int, value []byte) (any, *schema.Extra, error) {
	if version == 0 {
		version = 1
	}
	switch {
	case version > m.version:
		return nil, nil, fmt.Errorf("the record has schema version %d, this program knows up to %d", version, m.version)
	case version < m.oldest():
		return nil, nil, fmt.Errorf("the record has schema version %d, this program knows from %d on: Migrate has no step %[1]d", version, m.oldest())
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

// warnStray says once for each field that records have it under a name that it
// does not have any more: what is stored there is kept, but nobody reads it.
func (m *module) warnStray(s schema.Stray) {
	if _, told := m.strays.LoadOrStore(s.Field, true); told {
		return
	}
	m.app.logger().Warn("stay: a stored field is not read, as a field of the state has another name in JSON; if its json tag was added or changed, give it the stored name, or rename what is stored in a step of Migrate",
		slog.String("module", m.name), slog.String("stored", s.Stored), slog.String("field", s.Field), slog.String("name", s.Name))
}

// migrated returns what the steps from version on make of a record's value.
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

// runStep returns what one step made: valid JSON, or an error.
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
		return nil, fmt.Errorf("it returned what is not JSON: %w", err)
	}
	return out, nil
}
