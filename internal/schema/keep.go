package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// KeepKeyFields returns migrated, the JSON of a state, with the key fields of
// stored, from which it was made. A key field that migrated has left out is put
// back. It is an error if migrated has changed or added one. Both arguments
// must have passed [jsonwalk.Check].
func (s *Schema) KeepKeyFields(stored, migrated []byte) ([]byte, error) {
	keys := s.top.tagged(wordKey)
	if len(keys) == 0 {
		return migrated, nil
	}
	before, err := members(stored)
	if err != nil {
		return nil, err
	}
	after, err := members(migrated)
	if err != nil {
		return nil, err
	}
	var missing Extra
	for _, f := range keys {
		old, had := before[f.Name]
		now, has := after[f.Name]
		switch {
		case had && !has:
			missing.add(quote(f.Name), old)
		case has && !had:
			return nil, fmt.Errorf("the key field %q was added: remove it, because only an action sets key fields", f.Name)
		case has && !sameJSON(old, now):
			return nil, fmt.Errorf("the key field %q was changed: leave it as it is, because only an action sets key fields", f.Name)
		}
	}
	if len(missing.members) == 0 {
		return migrated, nil
	}
	w := objectWriter{out: make([]byte, 0, len(migrated)+missing.size())}
	w.out = append(w.out, '{')
	c := jsonwalk.NewCursor(migrated)
	for c.Enter(); c.More(); {
		w.name(c.Name())
		w.out = append(w.out, c.Skip()...)
	}
	for _, m := range missing.members {
		w.comma()
		w.out = append(w.out, m...)
	}
	return append(w.out, '}'), nil
}

// members returns the values of an object by name.
func members(b []byte) (map[string][]byte, error) {
	c := jsonwalk.NewCursor(b)
	if c.Kind() != '{' {
		return nil, fmt.Errorf("%s where an object is needed", kindName(c.Kind()))
	}
	values := make(map[string][]byte)
	for c.Enter(); c.More(); {
		name := jsonwalk.Unquote(c.Name())
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("the name %q occurs twice", name)
		}
		values[name] = c.Skip()
	}
	return values, nil
}

// sameJSON reports whether two JSON texts mean the same value, however they are
// written. Numbers are compared as text, so a number that lost digits on its
// way through a float is not the same.
func sameJSON(a, b []byte) bool {
	return bytes.Equal(a, b) || reflect.DeepEqual(parsed(a), parsed(b))
}

func parsed(b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err // not equal to any other
	}
	return v
}
