package stay

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/schema"
	"github.com/stay-go/stay/store"
)

// A Module defines one piece of state: plain data, which may be registered
// with several Apps. S is a struct whose exported fields are what is kept, as
// JSON.
type Module[S any] struct {
	// Name tells the module from the others of an App; it is part of keys in
	// the store and of paths in web.Actions. 1 to 64 letters, digits, '-', '_'
	// and '.', not beginning with a dot.
	Name string
	// Initial is the state of a key that has none stored. It is copied.
	Initial S
	// Persist says whom a state belongs to, and has it stored. Nil means
	// ephemeral: one state for each session, in memory only, dropped when
	// memory is short, when the session has been idle for Options.IdleTimeout,
	// and when the process ends.
	Persist Strategy
	// Actions are what clients may do by name. The names follow the rule of
	// Name.
	Actions Actions[S]
	// OnCreated runs after each load of a state into memory, before anybody
	// sees it; Call.Restored tells a stored state from a fresh one. Its
	// changes are seen by readers and stored with the first action's. It may
	// run many times and on several machines, so it must be idempotent. An
	// error, or a panic, makes the load fail. Changing state with its context
	// is ErrNested.
	OnCreated func(*Call, *S) error
	// OnError is told of the module's failures instead of Options.OnError, by
	// the same rules.
	OnError func(*Call, *Error)
}

// A Strategy says whom a state belongs to.
type Strategy interface {
	scope() scope
}

type scope uint8

const (
	scopeEphemeral scope = iota
	scopeSession
	scopeGlobal
)

func (s scope) scope() scope { return s }

// prefix returns what the keys of a module begin with in the store; the key
// itself, of any bytes, follows. A valid name has no slash, so no key is that
// of another module or strategy, or of a session, which begin with "stay/".
func (s scope) prefix(name string) string {
	switch s {
	case scopeSession:
		return "session/" + name + "/"
	case scopeGlobal:
		return "global/" + name + "/"
	}
	return ""
}

var (
	// PerSession: each browser session has a state of its own.
	PerSession Strategy = scopeSession
	// Global: one state for everybody.
	Global Strategy = scopeGlobal
)

// An Action changes a state, all or nothing: what it did to s is kept when it
// returns nil and dropped when it returns an error, panics, or ends its
// goroutine. It runs alone for its key, may run more than once (after a
// conflict), and must have no side effects: see [Call.After] for those.
type Action[S any] func(c *Call, s *S) error

// Actions are the actions of a module by name.
type Actions[S any] map[string]Action[S]

// A module is a registered Module, without its type.
type module struct {
	app     *App
	name    string
	scope   scope
	schema  *schema.Schema
	kind    *engine.Kind
	actions map[string]func(c *Call, v any) error
	created func(c *Call, v any) error
	onError func(*Call, *Error)
	initial []byte // the encoded initial state
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// Register adds a module to the app and returns its state, which handlers
// use. Mistakes in the definition panic, naming the module and the mend.
// Register may be called at any time; it does no I/O.
func Register[S any](app *App, m Module[S]) *State[S] {
	if app == nil {
		panic("stay.Register: the App is nil: make one with stay.New")
	}
	mod := &module{app: app, name: m.Name, onError: m.OnError, actions: map[string]func(*Call, any) error{}}
	switch {
	case m.Name == "":
		panic(fmt.Sprintf("stay.Register: a module with state %T has no name: set Module.Name", m.Initial))
	case !validName.MatchString(m.Name):
		mod.refuse("the name is not valid: use 1 to 64 letters, digits, '-', '_' and '.', not beginning with a dot")
	}
	sch, err := schema.Of(&m.Initial)
	if err != nil {
		mod.refuse(err.Error())
	}
	mod.schema = sch
	if fields := sch.KeyFields(); len(fields) > 0 {
		mod.refuse(fmt.Sprintf("field %s is tagged stay:\"key\", which only a key computed from the state needs: remove the tag", fields[0]))
	}
	if mod.initial, err = sch.Encode(sch.Initial(), nil); err != nil {
		mod.refuse("the initial state cannot be encoded: " + err.Error())
	}
	if len(mod.initial) > app.opts.MaxState {
		mod.refuse("the initial state is larger than Options.MaxState")
	}
	for name, action := range m.Actions {
		switch {
		case !validName.MatchString(name):
			mod.refuse(fmt.Sprintf("the action name %q is not valid: use 1 to 64 letters, digits, '-', '_' and '.', not beginning with a dot", name))
		case action == nil:
			mod.refuse(fmt.Sprintf("action %q is nil: give it a function", name))
		}
		mod.actions[name] = func(c *Call, v any) error { return action(c, v.(*S)) }
	}
	if m.OnCreated != nil {
		mod.created = func(c *Call, v any) error { return m.OnCreated(c, v.(*S)) }
	}
	mod.kind = &engine.Kind{Name: m.Name, Type: moduleType{mod}, Version: 1, Hooked: mod.created != nil}
	if m.Persist != nil {
		mod.scope = m.Persist.scope()
		mod.kind.Backend = app.backend
	}
	mod.kind.Prefix = mod.scope.prefix(m.Name)
	app.add(mod)
	return &State[S]{core: core{module: mod}}
}

// refuse panics with a mistake in the definition.
func (m *module) refuse(why string) {
	panic(fmt.Sprintf("stay.Register: module %q: %s", m.name, why))
}

func (m *module) actionNames() []string {
	names := make([]string, 0, len(m.actions))
	for name := range m.actions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

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
		v, encoded = t.schema.Initial(), t.initial
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
