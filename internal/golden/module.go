package golden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
)

// moduleText is a module as a case has it.
type moduleText struct {
	Name    *string
	Type    string
	Schema  json.RawMessage
	Initial json.RawMessage
	Persist *struct {
		Strategy  string
		KeyPath   *string
		KeyFields []string
	}
	Adopt     string
	Actions   map[string][]json.RawMessage
	OnCreated []json.RawMessage
}

// A module is ready to be registered.
type module struct {
	name     string
	strategy string
	typ      reflect.Type
	initial  reflect.Value
	key      func(state any) string // of withKey
	adopt    func(stored, result any) error
	actions  map[string]body
	created  body
}

func modulesOf(texts []moduleText) ([]*module, error) {
	out := make([]*module, len(texts))
	for i := range texts {
		m, err := moduleOf(&texts[i])
		if err != nil {
			return nil, fmt.Errorf("module %d: %w", i+1, err)
		}
		out[i] = m
	}
	return out, nil
}

func moduleOf(text *moduleText) (*module, error) {
	if err := need(map[string]bool{
		"name": text.Name != nil, "schema": text.Schema != nil, "initial": text.Initial != nil, "persist": text.Persist != nil,
	}); err != nil {
		return nil, err
	}
	if text.Type != "struct" {
		return nil, fmt.Errorf("the type %q is not known", text.Type)
	}
	m := &module{name: *text.Name, strategy: text.Persist.Strategy, actions: map[string]body{}}
	tagged := map[string]string{}
	for _, name := range text.Persist.KeyFields {
		tagged[name] = "key"
	}
	var err error
	if m.typ, err = structOf(text.Schema, text.Initial, tagged); err != nil {
		return nil, err
	}
	if m.initial, err = valueOf(text.Initial, m.typ); err != nil {
		return nil, fmt.Errorf("initial: %w", err)
	}
	if err := m.setKey(text); err != nil {
		return nil, err
	}
	if err := m.setAdopt(text.Adopt); err != nil {
		return nil, err
	}
	for name, ops := range text.Actions {
		if m.actions[name], err = bodyOf(ops, m.typ, true); err != nil {
			return nil, fmt.Errorf("action %q: %w", name, err)
		}
	}
	if m.created, err = bodyOf(text.OnCreated, m.typ, false); err != nil {
		return nil, fmt.Errorf("onCreated: %w", err)
	}
	return m, nil
}

func (m *module) setKey(text *moduleText) error {
	path := text.Persist.KeyPath
	switch m.strategy {
	case "perSession", "global", "none":
		if path != nil || text.Persist.KeyFields != nil {
			return fmt.Errorf("%s has no key fields", m.strategy)
		}
		return nil
	case "withKey":
	default:
		return fmt.Errorf("the strategy %q is not known", m.strategy)
	}
	if path == nil {
		return errors.New("withKey without a keyPath")
	}
	p, err := placeOf(m.typ, *path)
	if err != nil {
		return err
	}
	if k := p.typ.Kind(); k != reflect.String && k != reflect.Int {
		return fmt.Errorf("path %q: a %v is no key", *path, p.typ)
	}
	m.key = func(state any) string {
		v, err := p.get(reflect.ValueOf(state).Elem())
		switch {
		case err != nil: // a null on the way
			return ""
		case v.Kind() == reflect.Int:
			return strconv.FormatInt(v.Int(), 10)
		}
		return v.String()
	}
	return nil
}

func (m *module) setAdopt(policy string) error {
	switch policy {
	case "": // the default
	case "keepStored":
		m.adopt = func(any, any) error { return nil }
	case "keepGuest":
		m.adopt = func(stored, result any) error {
			reflect.ValueOf(stored).Elem().Set(reflect.ValueOf(result).Elem())
			return nil
		}
	default:
		return fmt.Errorf("the adoption %q is not known", policy)
	}
	return nil
}

// prefix is what the keys of the module's state records begin with, "" if it
// has none.
func (m *module) prefix() string {
	switch m.strategy {
	case "perSession":
		return "session/" + m.name + "/"
	case "global":
		return "global/" + m.name + "/"
	case "withKey":
		return "key/" + m.name + "/"
	}
	return ""
}

// register adds the module to an app. It panics as stay.Register does.
func (m *module) register(app *stay.App, onError func()) access.State {
	initial := reflect.New(m.typ)
	initial.Elem().Set(copyOf(m.initial))
	d := access.Definition{
		Name: m.name, Initial: initial.Interface(), Key: m.key, Adopt: m.adopt,
		Actions: make(map[string]func(call, v any) error, len(m.actions)),
		OnError: func(error) { onError() },
	}
	switch m.strategy {
	case "perSession":
		d.Persist = stay.PerSession
	case "global":
		d.Persist = stay.Global
	}
	for name, b := range m.actions {
		d.Actions[name] = func(call, v any) error {
			c := call.(*stay.Call)
			return b.do(c.Context(), v, c.Bind)
		}
	}
	if len(m.created) > 0 {
		d.Created = func(v any) error { return m.created.do(context.Background(), v, nil) }
	}
	return access.Define(app, d)
}
