package stay

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/internal/recent"
	"github.com/stay-go/stay/internal/rename"
	"github.com/stay-go/stay/internal/schema"
	"github.com/stay-go/stay/internal/streaming"
	"github.com/stay-go/stay/store"
)

// An inspectDoor shows an App to package inspect.
type inspectDoor struct{ *App }

func (a inspectDoor) Recent() *recent.Log {
	a.recent.CompareAndSwap(nil, new(recent.Log))
	return a.recent.Load()
}

func (a inspectDoor) About() access.About {
	n, o := a.engine.Counts(), &a.opts
	return access.About{
		Store: a.catalog.about(), GuestsStored: o.Guests == GuestStored, IdleTimeout: o.IdleTimeout, Lifetime: o.Lifetime,
		Modules: len(a.allModules()), MaxState: o.MaxState,
		States: n.States, Bytes: n.Bytes, Unsaved: n.Unsaved, MaxStates: int64(o.MaxInstances), MaxBytes: o.MaxBytes,
		Guests: n.Guests, GuestsBytes: n.GuestsBytes, MaxGuests: int64(o.MaxGuests), MaxGuestsBytes: o.MaxBytes,
	}
}

func (c *catalog) about() access.Store {
	f := c.backend.Features()
	return access.Store{Type: strings.TrimPrefix(c.typ, "*"), SoleOwner: f.SoleOwner, Lists: f.List, Features: f}
}

func (a inspectDoor) Modules() []access.Module {
	uses := a.engine.Uses()
	held := func(k *engine.Kind) access.Held {
		u := uses[k]
		return access.Held{States: u.States, Bytes: u.Bytes, Unsaved: u.Unsaved}
	}
	var all []access.Module
	for _, m := range a.allModules() {
		all = append(all, access.Module{
			Name: m.name, Formerly: m.formerly, Strategy: m.strategyName(), Store: m.catalog.about(), OwnStore: m.store != nil,
			Version: m.version, Oldest: m.oldest(), Debounce: m.debounce, Expiry: m.expiry, ResetOnPageLoad: m.pageReset,
			Actions: m.actionNames(), Hooks: m.hookNames(), Stored: held(m.kind), Guests: held(m.guest),
		})
	}
	return all
}

// moduleNamed returns a module of the App, nil if there is none of that name.
func (a inspectDoor) moduleNamed(name string) *module {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.modules[name]
}

func noModule(name string) *Error {
	return &Error{Code: ErrNotFound, Module: name, Phase: "resolve", Message: "there is no such module"}
}

func (a inspectDoor) Keys(ctx context.Context, name, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		m := a.moduleNamed(name)
		if m == nil {
			yield("", noModule(name))
			return
		}
		untyped{app: a.App, module: m}.keys(ctx, prefix, after, yield)
	}
}

func (a inspectDoor) Users(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { a.sessions.allUsers(ctx, prefix, after, yield) }
}

// A looked is a place with what the store and memory have there.
type looked struct {
	access.Found
	module *module
	kind   *engine.Kind
	rec    store.Record    // as it is stored
	held   *engine.Version // in memory; nil: nothing, or nothing that counts
}

// look reads the records of places, without loading them into memory.
func (a inspectDoor) look(ctx context.Context, places []access.Place) ([]looked, error) {
	if !a.engine.Begin() {
		return nil, closedError("", "load", nil)
	}
	defer a.engine.End()
	ctx, cancel := context.WithTimeout(ctx, a.opts.MaxWait)
	defer cancel()
	all := make([]looked, len(places))
	reads, of := map[*engine.Backend][]store.Read{}, map[*engine.Backend][]int{}
	for i, p := range places {
		m := a.moduleNamed(p.Module)
		if m == nil {
			return nil, noModule(p.Module)
		}
		k, err := m.kindAt(p)
		if err != nil {
			return nil, err
		}
		all[i] = looked{Found: access.Found{Place: p}, module: m, kind: k}
		if b := k.Backend; b != nil {
			reads[b], of[b] = append(reads[b], store.Read{Key: k.Prefix + p.Key}), append(of[b], i)
		}
	}
	for b, asked := range reads {
		recs, err := b.Store().Load(ctx, asked)
		if err == nil && len(recs) != len(asked) {
			err = errors.New("the store did not answer every read")
		}
		if err != nil {
			return nil, &Error{Code: storeCode(err), Phase: "load", Err: err}
		}
		for n, i := range of[b] {
			if all[i].rec = recs[n]; meta.Deleted(recs[n].Meta) {
				all[i].rec = store.Record{Key: recs[n].Key}
			}
		}
	}
	now := a.opts.Clock()
	for i := range all {
		l := &all[i]
		l.compare(a.engine.Peek(l.kind, l.Key), now)
		a.engine.Watchers(l.kind, l.Key, func(w *engine.Watch) { l.Watched.Add(w.Stream, time.Now()) })
	}
	return all, nil
}

// compare decides which counts, the record or what memory has, and says what is
// known of it. Memory may have been read later than the record, or may be behind
// a store with other owners.
func (l *looked) compare(v *engine.Version, now time.Time) {
	rec := &l.rec
	l.Revision, l.Version, l.Size, l.Expires, l.Expired = uint64(rec.Revision), max(1, rec.Version), len(rec.Value), rec.Expires, rec.Expired(now)
	if len(l.module.formerly) > 0 {
		defer func() { l.Revision = uint64(rename.Stored(store.Revision(l.Revision))) }()
	}
	if v == nil || !v.Exists() || !v.Expires().IsZero() && !v.Expires().After(now) {
		return
	}
	newer := l.kind.Backend == nil || v.Unsaved() || rec.Revision != 0 && v.Revision > rec.Revision
	if !newer && v.Revision != rec.Revision {
		return // another process has written or deleted it
	}
	size, memory := v.Size()
	l.InMemory, l.Memory, l.Unsaved = true, memory, v.Unsaved()
	if newer {
		l.held = v
		l.Version, l.Size, l.Expires, l.Expired = l.module.version, size, v.Expires(), false
		if !l.Unsaved {
			l.Revision = uint64(v.Revision)
		}
	}
}

func (a inspectDoor) Look(ctx context.Context, places []access.Place) ([]access.Found, error) {
	all, err := a.look(ctx, places)
	if err != nil {
		return nil, err
	}
	found := make([]access.Found, len(all))
	for i := range all {
		found[i] = all[i].Found
	}
	return found, nil
}

func (a inspectDoor) Show(ctx context.Context, p access.Place) (access.Found, []byte, error) {
	all, err := a.look(ctx, []access.Place{p})
	if err != nil {
		return access.Found{}, nil, err
	}
	l := &all[0]
	if l.held == nil && l.rec.Revision == 0 {
		return l.Found, nil, &Error{Code: ErrNotFound, Module: p.Module, Phase: "load", KeyHash: keyHash(p.Key), Message: "no state is stored for this key"}
	}
	var text []byte
	// Steps of Migrate and methods of the state's types are the user's code.
	if failure := isolated(func() { text, err = l.masked() }); failure != nil {
		err = failure
	}
	if err != nil {
		return l.Found, nil, l.module.corrupt(p.Key, err)
	}
	return l.Found, text, nil
}

// masked returns the JSON of the state with the private fields masked.
func (l *looked) masked() ([]byte, error) {
	var v any
	var extra *schema.Extra
	if l.held != nil {
		v = l.held.Value
		extra, _ = l.held.Extra().(*schema.Extra)
	} else {
		var err error
		if v, extra, err = l.module.decode(l.rec.Version, l.rec.Value); err != nil {
			return nil, err
		}
	}
	encoded, err := l.module.schema.Encode(v, extra)
	if err != nil {
		return nil, err
	}
	return l.module.schema.Masked(encoded, extra)
}

func (a inspectDoor) SessionsOf(ctx context.Context, user string, most int) (sessions []any, more bool, err error) {
	ss, now := &a.sessions, a.opts.Clock()
	users, err := a.usersNamed(ctx, []string{user}, now)
	u := users[user]
	if err != nil || len(users) == 0 {
		return nil, false, err
	}
	if u == nil {
		return nil, false, ss.unreadable("list of a user's sessions", user)
	}
	ids := make([]string, len(u.Sessions))
	for i, s := range u.Sessions {
		ids[i] = s.ID
	}
	recs, err := ss.load(ctx, ss.kind, ids, now)
	if err != nil {
		return nil, false, err
	}
	for i := range recs {
		if recs[i].Revision == 0 {
			continue
		}
		rec := ss.stored(&recs[i])
		if over, err := ss.isOver(ids[i], rec, users, now); over || err != nil || rec.user() != user {
			continue // one that cannot be read may be anybody's
		}
		if more = len(sessions) == most; more {
			break
		}
		sessions = append(sessions, ss.listed(ids[i], rec))
	}
	return sessions, more, nil
}

// usersNamed returns the stored records of users, as sessions.isOver needs them.
func (a inspectDoor) usersNamed(ctx context.Context, names []string, now time.Time) (map[string]*userRecord, error) {
	recs, err := a.sessions.load(ctx, a.sessions.users, names, now)
	users := map[string]*userRecord{}
	for i := range recs {
		if recs[i].Revision != 0 {
			users[names[i]] = storedUser(&recs[i])
		}
	}
	return users, err
}

func (a inspectDoor) Session(ctx context.Context, id string) (session any, states []access.Place, err error) {
	ss, now := &a.sessions, a.opts.Clock()
	gone := &Error{Code: ErrNotFound, Phase: "resolve", KeyHash: keyHash(id), Message: "the session has ended"}
	if !keyspace.MayBeSessionID(id) {
		return nil, nil, gone
	}
	recs, err := ss.load(ctx, ss.kind, []string{id}, now)
	switch {
	case err != nil:
		return nil, nil, err
	case recs[0].Revision == 0:
		return nil, nil, gone
	}
	rec := ss.stored(&recs[0])
	var users map[string]*userRecord
	if user := rec.user(); user != "" {
		if users, err = a.usersNamed(ctx, []string{user}, now); err != nil {
			return nil, nil, err
		}
	}
	switch over, err := ss.isOver(id, rec, users, now); {
	case err != nil:
		return nil, nil, err
	case over:
		return nil, nil, gone
	}
	states, err = a.placesOf(ctx, id, rec)
	return ss.listed(id, rec), states, err
}

// placesOf returns where the states of a session are, by module.
func (a inspectDoor) placesOf(ctx context.Context, id string, rec *sessionRecord) (places []access.Place, err error) {
	for _, m := range a.allModules() {
		if m.scope == scopeGlobal {
			continue
		}
		var t target
		if failure := isolated(func() { t = m.locate(id, rec) }); failure != nil {
			continue // a key function that fails, as it does for the session's own requests
		}
		if t.attached { // if the key's record was deleted meanwhile, the session is a guest's
			all, err := a.look(ctx, []access.Place{{Module: m.name, Key: t.id}})
			if err != nil {
				return nil, err
			}
			if all[0].rec.Revision == 0 || engine.Birth(meta.Birth(all[0].rec.Meta)) != t.birth {
				t = m.detached(id, rec)
			}
		}
		places = append(places, access.Place{Module: m.name, Guest: t.kind == m.guest, Key: t.id})
	}
	return places, nil
}

// kindOf is kindAt for a place of any module.
func (a inspectDoor) kindOf(p access.Place) (*engine.Kind, error) {
	m := a.moduleNamed(p.Module)
	if m == nil {
		return nil, noModule(p.Module)
	}
	return m.kindAt(p)
}

func (a inspectDoor) Wake(p access.Place) (wake <-chan struct{}, stop func(), err error) {
	k, err := a.kindOf(p)
	if err != nil {
		return nil, nil, err
	}
	w := engine.NewWatch()
	w.Unseen = true
	by := a.engine.Watch(w, k, p.Key)
	return w.C, func() { a.engine.Unwatch(by) }, nil
}

func (a inspectDoor) Viewers(p access.Place, most int) (who []streaming.Who, more bool) {
	k, err := a.kindOf(p)
	if err != nil {
		return nil, false
	}
	seen := map[streaming.Who]bool{{}: true}
	a.engine.Watchers(k, p.Key, func(w *engine.Watch) {
		if w.Stream == nil || seen[w.Stream.Who()] {
			return
		}
		if more = len(who) == most; !more {
			seen[w.Stream.Who()] = true
			who = append(who, w.Stream.Who())
		}
	})
	return who, more
}

func (a inspectDoor) Watched(most int) access.Watched {
	modules := map[*engine.Kind]*module{}
	for _, m := range a.allModules() {
		modules[m.kind], modules[m.guest] = m, m
	}
	delete(modules, nil)
	now := time.Now()
	all, byModule := map[*engine.Watch]bool{}, map[*module]map[*engine.Watch]bool{}
	states := map[access.Place]streaming.Count{}
	a.engine.AllWatchers(func(k *engine.Kind, key string, w *engine.Watch) {
		m := modules[k]
		if m == nil && w.Stream == nil { // records of sessions, and who is present
			return
		}
		all[w] = true
		if m == nil {
			return
		}
		if byModule[m] == nil {
			byModule[m] = map[*engine.Watch]bool{}
		}
		byModule[m][w] = true
		p := access.Place{Module: m.name, Guest: k == m.guest, Key: key}
		n := states[p]
		n.Add(w.Stream, now)
		states[p] = n
	})
	watched := access.Watched{All: countOf(all, now), Modules: map[string]streaming.Count{}}
	for m, of := range byModule {
		watched.Modules[m.name] = countOf(of, now)
	}
	for p, n := range states {
		watched.States = append(watched.States, access.WatchedState{Place: p, Count: n})
	}
	slices.SortFunc(watched.States, func(a, b access.WatchedState) int {
		return cmp.Or(cmp.Compare(b.All(), a.All()), strings.Compare(a.Module, b.Module), strings.Compare(a.Key, b.Key))
	})
	if watched.More = len(watched.States) > most; watched.More {
		watched.States = watched.States[:most]
	}
	return watched
}

func countOf(all map[*engine.Watch]bool, now time.Time) (n streaming.Count) {
	for w := range all {
		n.Add(w.Stream, now)
	}
	return n
}
