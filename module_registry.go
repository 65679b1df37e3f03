package stay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/presence"
	"github.com/stay-go/stay/internal/running"
)

// A registry holds the modules of an App and the stores of their states.
type registry struct {
	*base
	backend *engine.Backend // of the App's store

	mu       sync.RWMutex
	modules  map[string]*module
	former   map[string]*module // by former names
	renamed  []renaming         // of each module the newest first
	catalog  *catalog           // of the App's store
	catalogs []*catalog         // of all stores that hold the App's states, the sessions' store first

	pageResets pageResets
	pages      *presence.Table      // that follow states
	told       func(presence.Place) // of changes of who is present

	// listed returns the session with this ID, as its record says.
	listed func(id string, rec *sessionRecord) *Session
	// visitor returns the session of a visitor, for hooks.
	visitor func(context.Context, presence.Visitor) (*Session, error)
}

func newRegistry(o Options) *registry {
	b := &base{opts: o, limits: newLimits()}
	if o.Development {
		b.running = new(running.Set)
	}
	a := &registry{base: b, modules: map[string]*module{}, former: map[string]*module{}}
	a.pages = presence.New(presence.Config{
		Go:      func(fn func(context.Context)) bool { return a.engine.Go(fn) },
		Now:     o.Clock,
		Changed: a.pagesChanged, Crowded: a.pagesCrowded,
	})
	return a
}

func (a *registry) add(m *module) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m.checkOthers(a.modules, a.former)
	for _, name := range m.names()[1:] {
		a.former[name] = m
		a.renamed = append(a.renamed, renaming{name, m.name})
	}
	a.modules[m.name] = m
	m.find()
	m.catalog.registered.Add(1)
	a.pageResets.add(m)
}

// reportFault gets failed loads and saves from the engine. A session that
// exceeds MaxNewSessions is not one of them: its caller gets the error, and
// many more would follow.
func (a *registry) reportFault(k *engine.Kind, key, phase string, err error) {
	if errors.Is(err, errNewSessions) {
		return
	}
	m := a.moduleOf(k)
	call := a.newCall(a.engine.Context(), "", "")
	e := toError(err)
	var hook func(*Call, *Error)
	if m != nil { // and it is not the record of a session
		call.module, e.Module, hook = m.name, m.name, m.onError
	}
	if e.Phase == "" || phase == "save" { // whatever made it fail
		e.Phase = phase
	}
	if e.KeyHash == "" {
		e.KeyHash = keyHash(key)
	}
	a.report(hook, call, e)
}

// stateOf returns the module and kind of a state's record, and the key of the
// state; nil if no module of this App has the record. The record may be stored
// under a former name.
func (a *registry) stateOf(key string) (*module, *engine.Kind, string) {
	scope, name, id := keyspace.Split(key)
	a.mu.RLock()
	m := a.modules[name]
	former := a.former[name]
	a.mu.RUnlock()
	if former != nil {
		m, key = former, keyspace.Prefix(scope, former.name)+id
	}
	if m != nil {
		for _, k := range m.kinds() {
			if id, ok := strings.CutPrefix(key, k.Prefix); ok {
				return m, k, id
			}
		}
	}
	return nil, nil, ""
}

// moduleOf returns the module that has the kind of state; nil for Stay's own.
func (a *registry) moduleOf(k *engine.Kind) *module {
	a.mu.RLock()
	m := a.modules[k.Name]
	a.mu.RUnlock()
	if m != nil && (m.kind == k || m.guest == k) {
		return m
	}
	return nil
}

// kinds returns the kinds of state that the module has.
func (m *module) kinds() []*engine.Kind {
	return slices.DeleteFunc([]*engine.Kind{m.kind, m.guest}, func(k *engine.Kind) bool { return k == nil })
}

// A sessionState is a state that ends with its session.
type sessionState struct {
	module *module
	kind   *engine.Kind
	key    string
}

// statesOfSession returns the places of a session's states: all that can exist,
// whether they do or not.
func (a *registry) statesOfSession(id string, rec *sessionRecord) []sessionState {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var out []sessionState
	for _, m := range a.modules {
		switch m.scope {
		case scopeGlobal:
		case scopeSession:
			out = append(out, sessionState{m, m.kind, id})
		case scopeEphemeral:
			out = append(out, sessionState{m, m.guest, id})
		default:
			for _, moves := range rec.guests(m.name) {
				t := m.keyed("", id, moves)
				out = append(out, sessionState{m, t.kind, t.id})
			}
		}
	}
	return out
}

// keepGuests notes a use of the session for its states in memory, which are
// kept as long as the session is used: see [Module.Persist]. It is called when
// the session slides, so about once in a tenth of Options.IdleTimeout.
func (a *registry) keepGuests(id string, rec *sessionRecord, now time.Time) {
	for _, st := range a.statesOfSession(id, rec) {
		if st.kind.Backend == nil {
			a.engine.Touch(st.kind, st.key, now)
		}
	}
}

// keyedModules returns the modules whose states belong to keys, by name.
func (a *registry) keyedModules() []*module {
	return slices.DeleteFunc(a.allModules(), func(m *module) bool { return !m.keyedScope() })
}

// allModules returns the modules by name.
func (a *registry) allModules() []*module {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.SortedFunc(maps.Values(a.modules), func(x, y *module) int { return strings.Compare(x.name, y.name) })
}

// A renaming is a former name of a module and the present one.
type renaming struct{ former, now string }

// allRenamed returns all renamings; the list must not be changed.
func (a *registry) allRenamed() []renaming {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.renamed
}

// register adds a module; see Register.
func (a *registry) register(d definition) *module {
	m := &module{definition: d, app: a}
	if m.name == "" {
		panic(fmt.Sprintf("stay.Register: a module with state %T has no name: set Module.Name", d.initial))
	}
	m.checkName()
	m.checkSchema()
	m.checkStrategy()
	m.checkStore()
	m.catalog = a.catalog
	if m.store != nil {
		m.catalog = a.catalogOf(m.store)
	}
	m.checkActions()
	m.checkTimes()
	m.checkVersions()
	m.makeKinds()
	m.countPages()
	a.add(m)
	return m
}

// storeName names the store in errors.
func (a *registry) storeName(b *engine.Backend) string {
	if b == a.backend {
		return "the store"
	}
	var of []string
	a.mu.RLock()
	defer a.mu.RUnlock()
	for name, m := range a.modules {
		if m.kind != nil && m.kind.Backend == b {
			of = append(of, name)
		}
	}
	slices.Sort(of)
	return "the store of " + strings.Join(of, ", ")
}

// pageResets are the modules with ResetOnPageLoad: a list that is replaced
// when one registers, so that requests read it without a lock.
type pageResets struct{ list atomic.Pointer[[]*module] }

// all returns the modules; the caller must not change the list.
func (p *pageResets) all() []*module {
	if list := p.list.Load(); list != nil {
		return *list
	}
	return nil
}

// add is called by one goroutine at a time.
func (p *pageResets) add(m *module) {
	if m.pageReset {
		list := append(slices.Clone(p.all()), m)
		p.list.Store(&list)
	}
}

// A target is the instance of a module that a session has, according to its
// record.
type target struct {
	kind *engine.Kind
	id   string // the instance's key within the kind
	key  string // key of the state's owner; "" for the states of sessions and guests
	// attached: a change of state attached the session to the key, when the key's
	// record had this birth. If that record was deleted since, the session is a
	// guest again, even if the key has a new record.
	attached bool
	birth    engine.Birth
}

// holds reports whether the version is one that the session may have.
func (t *target) holds(v *engine.Version) bool {
	return !t.attached || v.Revision != 0 && v.Birth() == t.birth
}

// byState: the key follows from the state, and changes with it.
func (m *module) byState() bool { return m.key != nil && len(m.schema.KeyFields()) > 0 }

// bySession: the key follows from the session, and changes with its user.
func (m *module) bySession() bool {
	return m.scope == scopeUser || m.key != nil && !m.byState()
}

// locate returns the target for the session with this ID and record, which is
// nil for one that is not stored.
func (m *module) locate(id string, rec *sessionRecord) target {
	switch {
	case m.scope == scopeSession:
		return target{kind: m.kind, id: id}
	case m.bySession():
		return m.keyed(m.sessionKey(id, rec), id, m.moves(rec))
	case m.byState():
		if rec != nil {
			past := rec.past()
			a := past.Keys[m.name]
			switch {
			case m.key.calls && a.Logins != past.Logins: // another user's
			case a.Attached:
				return target{kind: m.kind, id: string(a.Key), key: string(a.Key), attached: true, birth: a.Birth}
			case a.Moves > 0:
				return m.keyed("", id, m.moves(rec))
			}
		}
		return m.detached(id, rec)
	}
	return target{kind: m.guest, id: id}
}

// detached returns the target of a session whose key has no state.
func (m *module) detached(id string, rec *sessionRecord) target {
	return m.keyed(m.stateKey(id, rec, m.schema.Initial()), id, m.moves(rec))
}

// moves numbers the guests that the session has had of the module. A user who
// leaves the session and a change of the key begin a new one. A login of a
// guest's session does not: the guest's work becomes the user's.
func (m *module) moves(rec *sessionRecord) uint32 {
	if rec == nil {
		return 0
	}
	past := rec.past()
	return past.Left + past.Keys[m.name].Moves
}

// sameOwner reports whether the session has the same owner in two of its
// records, as far as the module is concerned.
func (m *module) sameOwner(a, b *sessionRecord) bool {
	if !m.keyedScope() {
		return true
	}
	return m.moves(a) == m.moves(b) && a.past().Logins == b.past().Logins
}

// keyedScope reports whether the states belong to keys, and to guests before
// there is one.
func (m *module) keyedScope() bool { return m.scope == scopeUser || m.scope == scopeKey }

// keyed returns the target of a key, or the guest's of the session if the key
// is "". Each change of the key and of the user begins a new guest, so that a
// guest whose state was adopted, or belongs to another user, is out of reach
// from then on.
func (m *module) keyed(key, id string, moves uint32) target {
	if key != "" {
		return target{kind: m.kind, id: key, key: key}
	}
	return target{kind: m.guest, id: keyspace.GuestID(id, moves)}
}

// sessionKey computes the key of a module whose key follows from the session.
func (m *module) sessionKey(id string, rec *sessionRecord) string {
	if m.scope == scopeUser {
		return rec.user()
	}
	return m.stateKey(id, rec, m.schema.Initial())
}

// stateKey computes the key of v. The key function gets the session as its
// record says, and cannot change it.
func (m *module) stateKey(id string, rec *sessionRecord, v any) string {
	if !m.key.calls {
		return m.key.key(nil, v)
	}
	c := m.app.newCall(m.app.engine.Context(), m.name, "")
	c.session = m.app.listed(id, rec)
	defer c.run.End()
	return m.key.key(c, v)
}

func (m *module) longKey(key string) error {
	return &Error{
		Code: ErrInvalid, Module: m.name, Phase: "resolve", KeyHash: keyHash(key), Message: "the key is too long",
		Err: fmt.Errorf("the key has %d bytes, the limit is %d", len(key), maxKey),
	}
}

// renewsCookie reports whether a change of the key renews the cookie.
func (m *module) renewsCookie() bool { return !m.app.opts.KeepCookieOnKeyChange }

// guestWaits reports whether a login of another program has left a guest's
// state of the module.
func (m *module) guestWaits(rec *sessionRecord) bool {
	return rec != nil && rec.events != nil && len(rec.events.Keys[m.name].Waiting) > 0 && m.bySession()
}

// hookElsewhere reports whether OnExpire for the state with this key in the
// store is called by other programs, and not by this one.
func (a *registry) hookElsewhere(list *catalogRecord, key string) bool {
	if m, _, _ := a.stateOf(key); m != nil && m.expired != nil {
		return false
	}
	scope, name, _ := keyspace.Split(key)
	prefixes := []string{keyspace.Module(scope, name)}
	if scope == keyspace.Guest {
		prefixes = append(prefixes, keyspace.Module(keyspace.User, name), keyspace.Module(keyspace.Key, name))
	}
	day := catalogDay(a.opts.Clock())
	return slices.ContainsFunc(prefixes, func(p string) bool {
		m := list.get(p)
		return m.Hook != 0 && day-m.Hook <= catalogDays
	})
}

// A foreignModule is a module in the store's list that this App does not
// register.
type foreignModule struct {
	scope, name string
	byUser      bool
}

// foreign returns the modules in the list that this App does not register.
func (a *registry) foreign(list *catalogRecord) (all []foreignModule) {
	if list == nil {
		return nil
	}
	day := catalogDay(a.opts.Clock())
	for _, prefix := range slices.Sorted(maps.Keys(list.Modules)) {
		scope, name, _ := keyspace.Split(prefix)
		m := list.Modules[prefix]
		if mine, _, _ := a.stateOf(prefix + "/"); mine == nil && day-m.Seen <= catalogDays {
			all = append(all, foreignModule{scope, name, m.ByUser})
		}
	}
	return all
}

// foreignStates returns the keys that a session can have in the store for
// modules that this App does not register.
func (a *registry) foreignStates(list *catalogRecord, id string, rec *sessionRecord) (keys []string) {
	for _, m := range a.foreign(list) {
		switch m.scope {
		case keyspace.Session, keyspace.Guest:
			keys = append(keys, keyspace.Prefix(m.scope, m.name)+id)
		case keyspace.User, keyspace.Key:
			for _, moves := range rec.guests(m.name) {
				keys = append(keys, keyspace.Prefix(keyspace.Guest, m.name)+keyspace.GuestID(id, moves))
			}
		}
	}
	return keys
}
