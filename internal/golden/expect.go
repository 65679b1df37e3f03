package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// expect checks what must hold after the last step.
func (r *moduleRun) expect() error {
	before, err := r.states()
	if err != nil {
		return fmt.Errorf("after the last step: %w", err)
	}
	r.process.core.Evict(false)
	after, err := r.states()
	if err != nil {
		return fmt.Errorf("after the last step and an eviction: %w", err)
	}
	if err := r.process.close(r.ctx); err != nil {
		return fmt.Errorf("closing the app: %w", err)
	}
	records, err := r.records()
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	var errs []error
	for i, e := range r.c.expect {
		err := errors.Join(
			wantStates("after the last step", e.States, before),
			wantStates("after an eviction", e.States, after),
			wantRecords(e.Records, records),
			e.writes(r.disk.committed()),
		)
		if err == nil {
			return nil
		}
		if len(r.c.expect) > 1 {
			err = fmt.Errorf("alternative %d: %w", i+1, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// A stateName is a state that the case expects something of.
type stateName struct{ session, module string }

// states reads all states that are named in what is expected, as JSON.
func (r *moduleRun) states() (map[stateName]string, error) {
	out := map[stateName]string{}
	for _, e := range r.c.expect {
		for _, s := range e.States {
			name := stateName{s.Session, s.Module}
			if _, ok := out[name]; ok {
				continue
			}
			ctx, answered := r.browsers[s.Session].request(r.process)
			v, err := r.process.states[s.Module].Get(ctx)
			answered()
			if err != nil {
				return nil, fmt.Errorf("get of %s in %s: %w", s.Module, s.Session, err)
			}
			raw, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			if out[name], err = canonical(raw); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// A recordName is a state record as the case names it.
type recordName struct{ module, key string }

// records returns the state records in the store, as JSON.
func (r *moduleRun) records() (map[recordName]string, error) {
	stored, err := r.disk.records()
	if err != nil {
		return nil, err
	}
	out := map[recordName]string{}
	for key, value := range stored {
		if !isState(key) {
			continue
		}
		name, own := r.name(key)
		if out[recordName{name, own}], err = canonical(value); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func wantStates(when string, want []expectedState, got map[stateName]string) error {
	var errs []error
	for _, s := range want {
		value, err := canonical(s.Value)
		if have := got[stateName{s.Session, s.Module}]; err == nil && have != value {
			err = fmt.Errorf("%s: %s of %s is %s, want %s", when, s.Module, s.Session, have, value)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func wantRecords(want []record, got map[recordName]string) error {
	var errs []error
	left := maps.Clone(got)
	for _, rec := range want {
		name := recordName{rec.Module, *rec.Key}
		value, err := canonical(rec.Value)
		have, there := left[name]
		delete(left, name)
		switch {
		case err != nil:
		case !there:
			err = fmt.Errorf("no record %q of %s is stored, want %s", *rec.Key, rec.Module, value)
		case have != value:
			err = fmt.Errorf("record %q of %s is %s, want %s", *rec.Key, rec.Module, have, value)
		}
		errs = append(errs, err)
	}
	for name, value := range left {
		errs = append(errs, fmt.Errorf("record %q of %q is stored and not wanted: %s", name.key, name.module, value))
	}
	return errors.Join(errs...)
}
