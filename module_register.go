package stay

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/presence"
	"github.com/stay-go/stay/internal/rename"
	"github.com/stay-go/stay/internal/schema"
	"github.com/stay-go/stay/store"
)

// A definition is a Module without its type: values are *S. It shares the
// Module's maps.
type definition struct {
	name      string
	formerly  []string // the oldest first
	initial   any
	assign    func(v any) any // returns a new *S to which *v was assigned; nil = by reflection
	persist   Strategy
	actions   map[string]func(*Call, any) error
	created   func(*Call, any) error
	destroyed func(*Call, any)
	expired   func(*Call, any)
	presence  bool
	visits    visitHooks
	onError   func(*Call, *Error)
	adopt     func(stored, result any) error
	pageReset bool
	debounce  time.Duration
	expiry    time.Duration
	version   int
	migrate   map[int]func(json.RawMessage) (json.RawMessage, error)
	store     store.Store
}

// A module is a registered definition.
type module struct {
	definition
	app     *registry
	scope   scope
	key     *keyStrategy // nil unless the key is computed
	schema  *schema.Schema
	kind    *engine.Kind    // kind of the states under keys; nil for ephemeral modules
	guest   *engine.Kind    // kind of the states of guests, and of ephemeral modules
	catalog *catalog        // catalog of the store that has the states
	rules   *presence.Rules // of pages that follow the states; nil = they do not count
	encoded []byte          // the initial state
	strays  sync.Map        // Go fields for which the warning was logged
	crowded atomic.Bool     // the warning about too many sessions was logged
	both    atomic.Bool     // the warning about states under several names was logged
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// backend is the backend of the module's store.
func (m *module) backend() *engine.Backend { return m.catalog.backend }

// makeKinds makes the kinds of the module's states, which say where they are
// kept.
func (m *module) makeKinds() {
	backend := m.backend()
	if !backend.Features().SoleOwner {
		m.app.manyOwners.Store(true)
	}
	kind := func(scope string, b *engine.Backend) *engine.Kind {
		guest := scope == keyspace.Guest
		k := engine.Kind{
			Name: m.name, Type: moduleType{module: m, guest: guest}, Version: m.version,
			RunsUserCode: m.created != nil || len(m.migrate) > 0, Prefix: keyspace.Prefix(scope, m.name), Backend: b,
			Single:  m.scope == scopeGlobal,
			OwnKeys: m.scope == scopeSession || guest,
		}
		if b != nil {
			k.Debounce = m.debounce
		}
		return m.app.engine.Kind(k)
	}
	if m.scope != scopeEphemeral {
		m.kind = kind(m.scope.inKeys(), backend)
		m.kind.Keep = m.expiry
		m.installHooks(m.kind)
	}
	if m.scope == scopeEphemeral || m.scope == scopeUser || m.scope == scopeKey {
		var guests *engine.Backend
		if m.app.opts.Guests == GuestStored {
			guests = backend
		}
		m.guest = kind(keyspace.Guest, guests)
		m.guest.Keep = m.expiry
		m.installHooks(m.guest)
	}
}

// names returns all names of the module, the newest first.
func (m *module) names() []string {
	names := append(slices.Clone(m.formerly), m.name)
	slices.Reverse(names)
	return names
}

// find makes the store find states under former names.
func (m *module) find() {
	for _, k := range m.kinds() {
		if len(m.formerly) == 0 || k.Backend == nil {
			continue
		}
		scope, _, _ := keyspace.Split(k.Prefix)
		p := &rename.Prefixes{Now: k.Prefix, Both: m.warnBoth}
		for _, name := range m.names()[1:] {
			p.Former = append(p.Former, keyspace.Prefix(scope, name))
		}
		m.catalog.store.Add(p)
	}
}

// refuse panics, naming a mistake in the definition.
func (m *module) refuse(why string) {
	panic(fmt.Sprintf("stay.Register: module %q: %s", m.name, why))
}

func (m *module) checkName() {
	const valid = "use 1 to 64 letters, digits, '-', '_' and '.', not beginning with a dot"
	if !validName.MatchString(m.name) {
		m.refuse("the name is not valid: " + valid)
	}
	m.formerly = slices.Clone(m.formerly)
	for i, name := range m.formerly {
		switch {
		case !validName.MatchString(name):
			m.refuse(fmt.Sprintf("the former name %q is not valid: %s", name, valid))
		case name == m.name:
			m.refuse("Formerly has the module's own name: remove it")
		case slices.Contains(m.formerly[:i], name):
			m.refuse(fmt.Sprintf("Formerly has %q twice: remove one", name))
		}
	}
	if n := len(m.formerly); n > rename.Most {
		m.refuse(fmt.Sprintf("Formerly has %d names, at most %d can be looked for: remove the oldest, once no state is stored under it", n, rename.Most))
	}
}

// checkOthers checks that no other module of the App has or had one of the names.
func (m *module) checkOthers(now, former map[string]*module) {
	if now[m.name] != nil {
		panic(fmt.Sprintf("stay.Register: module %q is registered twice: give each module of an App its own name", m.name))
	}
	if other := former[m.name]; other != nil {
		m.refuse(fmt.Sprintf("the name is a former one of module %q, which finds its states there: use another name, or remove it from that module's Formerly", other.name))
	}
	for _, name := range m.formerly {
		if now[name] != nil {
			m.refuse(fmt.Sprintf("Formerly has %q, which is the name of another module: remove it, or give that module another name", name))
		}
		if other := former[name]; other != nil {
			m.refuse(fmt.Sprintf("Formerly has %q, and so has that of module %q: remove it from one of them", name, other.name))
		}
	}
}

func (m *module) checkSchema() {
	sch, err := schema.Of(m.initial)
	if err != nil {
		m.refuse(err.Error())
	}
	if m.schema, m.initial = sch, nil; m.assign != nil {
		sch.Assign(m.assign)
	}
	if m.encoded, err = sch.Encode(sch.Initial(), nil); err != nil {
		m.refuse("the initial state cannot be encoded: " + err.Error())
	}
	if len(m.encoded) > m.app.opts.MaxState {
		m.refuse("the initial state is larger than Options.MaxState")
	}
}

// checkStrategy checks that the strategy fits the state.
func (m *module) checkStrategy() {
	if m.persist != nil {
		m.scope = m.persist.scope()
	}
	m.key, _ = m.persist.(*keyStrategy)
	fields := m.schema.KeyFields()
	switch {
	case m.key == nil && len(fields) > 0:
		m.refuse(fmt.Sprintf("field %s is tagged stay:\"key\", but the module has no key function that reads it: remove the tag, or use WithKey", fields[0]))
	case m.key == nil:
	case m.key.typ != m.schema.Type():
		m.refuse(fmt.Sprintf("the key function takes a *%v, but the state is a %v: use one type for both", m.key.typ, m.schema.Type()))
	case !m.key.calls && len(fields) == 0:
		m.refuse("no field is tagged stay:\"key\": tag the fields that the key function reads")
	case !m.key.calls:
		if key := m.key.key(nil, m.schema.Initial()); key != "" {
			m.refuse("the key of the initial state is not empty, so no session could begin as a guest: return \"\" for it")
		}
	}
	if m.pageReset && (m.scope == scopeGlobal || m.key != nil && m.key.calls) {
		m.refuse("ResetOnPageLoad would let one browser reset the state of others: use it with PerSession, PerUser or WithKey, or call Reset")
	}
	if m.adopt != nil && m.scope != scopeUser && m.scope != scopeKey {
		m.refuse("Adopt has no effect, because this state never moves from a guest to a key: remove it, or use PerUser or WithKey")
	}
}

// checkStore checks that the module's own store, if it has one, has the needed
// features.
func (m *module) checkStore() {
	switch {
	case m.store == nil:
	case m.persist == nil:
		m.refuse("Store has no effect on a state that is not stored: remove it, or set Persist")
	case !m.store.Features().Groups:
		m.refuse("its store has no atomic groups (Features.Groups), which expiry needs: use one that has them")
	case m.app.opts.refuses(m.store.Features()) != "":
		m.refuse("its store " + m.app.opts.refuses(m.store.Features()))
	case m.scope == scopeUser || m.scope == scopeKey:
		m.refuse("its states are written in one group with the session's record, which is in the App's store: remove Store")
	}
}

func (m *module) checkActions() {
	for name, action := range m.actions {
		switch {
		case !validName.MatchString(name):
			m.refuse(fmt.Sprintf("the action name %q is not valid: use 1 to 64 letters, digits, '-', '_' and '.', not beginning with a dot", name))
		case action == nil:
			m.refuse(fmt.Sprintf("action %q is nil: give it a function", name))
		}
	}
}

func (m *module) checkTimes() {
	switch {
	case m.debounce < 0:
		m.refuse("Debounce is negative: leave it 0 to have every change stored before it is acknowledged")
	case m.expiry < 0:
		m.refuse("Expiry is negative: leave it 0 for the default")
	case m.persist == nil && m.debounce > 0:
		m.refuse("Debounce has no effect on a state that is not stored: remove it, or set Persist")
	case m.persist == nil && m.expiry > 0:
		m.refuse("Expiry has no effect on an ephemeral state, which ends with its session: remove it, or set Persist")
	case m.expiry > 0 && m.expiry < time.Millisecond:
		m.refuse("Expiry is shorter than a millisecond: make it longer")
	case m.expired != nil && m.scope == scopeGlobal && m.expiry == 0:
		m.refuse("OnExpire has no effect on a state that never expires: remove it, or set Expiry")
	case m.expired != nil && m.persist != nil && !m.backend().Features().Expire:
		m.refuse("OnExpire needs a store that can find expired records (Features.Expire): use one that can, or remove the hook")
	case m.debounce > 0 && !m.backend().Features().SoleOwner:
		m.refuse("Debounce keeps changes in memory for a while, and the store is shared (Features.SoleOwner is false), so other processes would not see them: remove Debounce, or open the store as its only owner")
	}
}

func (m *module) actionNames() []string {
	return slices.Sorted(maps.Keys(m.actions))
}
