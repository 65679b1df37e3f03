package stay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/hiding"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/rename"
	"github.com/stay-go/stay/internal/sweep"
	"github.com/stay-go/stay/store"
)

// catalogDays is the number of days that a module stays in the list after a
// program that registers it was last seen.
const catalogDays = 30

// A catalogRecord lists the modules of all programs that use a store. Not every
// program registers all of them: a job runner knows a few, and the old half of
// a rolling deployment none of the new ones. Without the list a program would
// know only its own modules: it would remove expired states whose OnExpire
// another program has, and would leave behind a session's states of the other
// modules.
type catalogRecord struct {
	// Modules is by the prefix of the keys of the module's states, without the
	// slash at the end: "user/cart". The prefix of an ephemeral module is
	// "guest/cart".
	Modules map[string]catalogModule `json:"modules"`
}

// A catalogModule is what programs must know of a module that they do not
// register. Days are those since 1970.
type catalogModule struct {
	ByUser bool  `json:"byUser,omitempty"` // its key follows from the session's user
	Seen   int64 `json:"seen"`             // the last day of a program that registers it
	Hook   int64 `json:"hook,omitempty"`   // and of a program that does so with OnExpire; 0 = never
}

// get returns the module with this prefix, otherwise the zero value.
func (r *catalogRecord) get(prefix string) catalogModule {
	if r == nil {
		return catalogModule{}
	}
	return r.Modules[prefix]
}

func catalogDay(now time.Time) int64 { return now.Unix() / int64(24*time.Hour/time.Second) }

// A catalog is the list of modules in one store. Before this App stores the
// first state of a module there, the module is in the list.
type catalog struct {
	app     *registry
	of      hiding.Store  // the store itself
	typ     string        // the store's type, for people
	store   *rename.Store // the same, which shows states under the present names of modules
	backend *engine.Backend
	sweeper *sweep.Sweeper

	registered atomic.Int64 // how often a module was registered
	announced  atomic.Int64 // value of registered for which the list is up to date
	day        atomic.Int64 // of the last announcement, which sweeps renew; 0 = none
	turn       chan struct{}
	known      atomic.Pointer[catalogRecord] // the list in a store with a sole owner, once read

	mu   sync.Mutex
	told map[string]bool // modules of other programs that were logged
}

// catalogOf returns the store's catalog.
func (a *registry) catalogOf(s store.Store) *catalog {
	key := hiding.Store{Store: a.observer.measuring(s)}
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.catalogs, func(c *catalog) bool { return c.of == key })
	if i >= 0 {
		return a.catalogs[i]
	}
	c := &catalog{app: a, of: key, typ: fmt.Sprintf("%T", s), store: rename.New(key), turn: make(chan struct{}, 1), told: map[string]bool{}}
	c.backend = a.engine.Backend(&catalogStore{c.store, c})
	c.sweeper = newSweeper(a.base, c.backend.Store())
	a.catalogs = append(a.catalogs, c)
	return c
}

// allCatalogs returns the catalogs of all stores, that of the sessions' store
// first.
func (a *registry) allCatalogs() []*catalog {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Clone(a.catalogs)
}

// A catalogStore is a store that lists the App's modules before it stores the
// first state.
type catalogStore struct {
	*rename.Store
	catalog *catalog
}

// Commit implements store.Store.
func (s *catalogStore) Commit(ctx context.Context, groups []store.Group) []store.Result {
	if !s.catalog.current() && storesState(groups) {
		if err := s.catalog.announce(ctx); err != nil {
			return rejectAll(groups, err)
		}
	}
	if log := s.catalog.app.recent.Load(); log != nil {
		began := log.Now()
		res := s.Store.Commit(ctx, groups)
		log.Committed(began, commitCode(groups, res) != "")
		return res
	}
	return s.Store.Commit(ctx, groups)
}

// Load implements store.Store.
func (s *catalogStore) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	log := s.catalog.app.recent.Load()
	began := log.Now()
	recs, err := s.Store.Load(ctx, reads)
	log.Loaded(began, err != nil)
	return recs, err
}

func rejectAll(groups []store.Group, err error) []store.Result {
	res := make([]store.Result, len(groups))
	for i := range res {
		res[i].Outcome, res[i].Err = store.Rejected, err
	}
	return res
}

func storesState(groups []store.Group) bool {
	for _, g := range groups {
		for _, w := range g {
			if w.Op == store.Put && !keyspace.IsSystem(w.Key) {
				return true
			}
		}
	}
	return false
}

// catalogPrefix is the module's prefix in the list of its store; "" if no other
// program needs to know the module.
func (m *module) catalogPrefix() string {
	switch {
	case m.scope == scopeGlobal && m.expired == nil:
		return ""
	case m.kind != nil || m.guest.Backend != nil:
		return keyspace.Module(m.scope.inKeys(), m.name)
	}
	return ""
}

func (c *catalog) current() bool { return c.announced.Load() == c.registered.Load() }

// announce puts the App's modules into the list.
func (c *catalog) announce(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	n, day := c.registered.Load(), catalogDay(c.app.opts.Clock())
	if c.announced.Load() == n && c.day.Load() == day {
		return nil
	}
	for range 10 { // another program's announcement may win each time
		list, rev, err := c.load(ctx)
		switch {
		case errors.Is(err, ErrCorrupt): // an unreadable list must not stop every change of every state
			c.app.report(nil, c.app.newCall(c.app.engine.Context(), "", ""), toError(err))
		case err != nil:
			return err
		default:
			again, err := c.write(ctx, day, list, rev)
			if again {
				continue
			}
			if err != nil {
				return err
			}
		}
		c.day.Store(day)
		c.announced.Store(n)
		return nil
	}
	return errors.New("other programs kept changing the list of modules")
}

// write stores the list with the App's modules; again means that another
// program changed the list first.
func (c *catalog) write(ctx context.Context, day int64, old *catalogRecord, rev store.Revision) (again bool, err error) {
	list := c.add(old, day)
	if old != nil && maps.Equal(old.Modules, list.Modules) || len(list.Modules) == 0 {
		return false, nil
	}
	value, err := json.Marshal(list)
	if err != nil {
		return false, err
	}
	res := c.store.Commit(ctx, []store.Group{{{Op: store.Put, Key: keyspace.Modules, Base: rev, Value: value, Version: 1}}})
	switch {
	case len(res) != 1:
		return false, sweep.ErrSilent
	case res[0].Outcome == store.Applied:
		c.know(list)
		return false, nil
	case res[0].Outcome == store.Conflict:
		return true, nil
	}
	return false, fmt.Errorf("the list of modules cannot be stored: %w", cmp.Or(res[0].Err, sweep.ErrSilent))
}

// add returns the list with the App's modules. It drops modules that no program
// has registered for a long time.
func (c *catalog) add(old *catalogRecord, day int64) *catalogRecord {
	list := &catalogRecord{Modules: map[string]catalogModule{}}
	if old != nil {
		maps.Copy(list.Modules, old.Modules)
	}
	for _, m := range c.app.allModules() {
		if m.catalogPrefix() == "" || m.catalog != c {
			continue
		}
		for _, name := range m.names() { // also where states may not have moved yet
			prefix := keyspace.Module(m.scope.inKeys(), name)
			was := list.Modules[prefix]
			is := catalogModule{ByUser: m.bySession(), Seen: max(was.Seen, day), Hook: was.Hook}
			if m.expired != nil {
				is.Hook = max(was.Hook, day)
			}
			list.Modules[prefix] = is
		}
	}
	maps.DeleteFunc(list.Modules, func(_ string, m catalogModule) bool { return day-m.Seen > 2*catalogDays })
	return list
}

// refresh announces the modules once a day for as long as the App runs. An App
// with an OnExpire hook does so from its first sweep on, also if it stores
// nothing.
func (c *catalog) refresh(ctx context.Context) {
	day := c.day.Load()
	renews := day != 0 && day != catalogDay(c.app.opts.Clock())
	if !renews && c.current() || day == 0 && !slices.ContainsFunc(c.app.allModules(), func(m *module) bool {
		return m.expired != nil && m.catalogPrefix() != "" && m.catalog == c
	}) {
		return
	}
	if !c.app.engine.Begin() {
		return
	}
	defer c.app.engine.End()
	own, cancel := context.WithTimeout(ctx, c.app.opts.CommitTimeout)
	defer cancel()
	if err := c.announce(own); err != nil && ctx.Err() == nil {
		c.app.report(nil, c.app.newCall(ctx, "", ""), &Error{Code: storeCode(err), Phase: "expire", Err: err})
	}
}

// load loads the list.
func (c *catalog) load(ctx context.Context) (*catalogRecord, store.Revision, error) {
	recs, err := c.store.Load(ctx, []store.Read{{Key: keyspace.Modules}})
	switch {
	case err != nil:
		return nil, 0, err
	case len(recs) != 1:
		return nil, 0, sweep.ErrSilent
	case recs[0].Revision == 0:
		return nil, 0, nil
	}
	list := &catalogRecord{}
	if err := json.Unmarshal(recs[0].Value, list); err != nil || recs[0].Version > 1 {
		return nil, 0, &Error{
			Code: ErrCorrupt, Phase: "decode", Err: err,
			Message: "the stored list of modules cannot be read; it was left as it is: delete the record " + keyspace.Modules + " unless a newer release has written it",
		}
	}
	c.know(list)
	return list, recs[0].Revision, nil
}

// know keeps the list if no other process can change it.
func (c *catalog) know(list *catalogRecord) {
	if c.backend.Features().SoleOwner {
		c.known.Store(list)
	}
}

// latest returns the list as it is stored; nil if there is none.
func (c *catalog) latest(ctx context.Context) (*catalogRecord, error) {
	if list := c.known.Load(); list != nil {
		return list, nil
	}
	list, _, err := c.load(ctx)
	if err == nil && list == nil {
		c.know(&catalogRecord{})
	}
	return list, err
}

// read is latest for a caller whom Close does not wait for.
func (c *catalog) read(ctx context.Context) (*catalogRecord, error) {
	if list := c.known.Load(); list != nil {
		return list, nil
	}
	if !c.app.engine.Begin() {
		return nil, &Error{Code: ErrClosed, Phase: "load"}
	}
	defer c.app.engine.End()
	ctx, cancel := context.WithTimeout(ctx, c.app.opts.MaxWait)
	defer cancel()
	list, err := c.latest(ctx)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		err = &Error{Code: storeCode(err), Phase: "load", Err: err}
	}
	return list, err
}

// say logs, once for each text and module, work that is left to the programs
// that register the module.
func (c *catalog) say(text, module string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if what := text + module; !c.told[what] && len(c.told) < maxTold {
		c.told[what] = true
		c.app.logger().LogAttrs(c.app.engine.Context(), slog.LevelInfo, text, slog.String("module", module))
	}
}

// maxTold bounds how many logged lines are remembered.
const maxTold = 1000

// deleteForeign removes the states that an ended session has in the store for
// modules that this App does not register.
func (c *catalog) deleteForeign(ctx context.Context, id string, rec *sessionRecord) error {
	list, err := c.read(ctx)
	if err != nil {
		return err
	}
	keys := c.app.foreignStates(list, id, rec)
	// Nothing new can be stored for the session. So a round can fail only
	// because of a change that was under way.
	for range 10 {
		if len(keys) == 0 {
			return nil
		}
		if keys, err = c.deleteRecords(ctx, keys); err != nil {
			return &Error{Code: storeCode(err), Err: err}
		}
	}
	return &Error{Code: ErrUnavailable, Err: errors.New("other programs kept changing the session's states in their modules")}
}

// deleteRecords deletes records, whatever their content is, and returns the keys
// of those that were changed meanwhile. It leaves expired records to the sweep:
// another program may run OnExpire for them.
func (c *catalog) deleteRecords(ctx context.Context, keys []string) (again []string, err error) {
	if !c.app.engine.Begin() {
		return nil, store.ErrClosed
	}
	defer c.app.engine.End()
	ctx, cancel := context.WithTimeout(ctx, c.app.opts.MaxWait+c.app.opts.CommitTimeout)
	defer cancel()
	s, now := c.backend.Store(), c.app.opts.Clock()
	reads := make([]store.Read, len(keys))
	for i, key := range keys {
		reads[i].Key = key
	}
	recs, err := s.Load(ctx, reads)
	if err != nil || len(recs) != len(keys) {
		return nil, cmp.Or(err, sweep.ErrSilent)
	}
	var groups []store.Group
	var of []string
	for _, rec := range recs {
		if rec.Revision != 0 && !rec.Expired(now) {
			groups = append(groups, store.Group{{Op: store.Delete, Key: rec.Key, Base: rec.Revision}})
			of = append(of, rec.Key)
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	res := s.Commit(ctx, groups)
	if len(res) != len(groups) {
		return nil, sweep.ErrSilent
	}
	for i, r := range res {
		switch r.Outcome {
		case store.Applied:
		case store.Conflict:
			again = append(again, of[i])
		default:
			return nil, cmp.Or(r.Err, sweep.ErrSilent)
		}
	}
	return again, nil
}

// newSweeper returns the sweeper that removes expired records from a store.
func newSweeper(a *base, s store.Store) *sweep.Sweeper {
	return sweep.New(sweep.Config{
		Store: s, Now: a.opts.Clock, MaxWait: a.opts.MaxWait, CommitTimeout: a.opts.CommitTimeout, MaxState: a.opts.MaxState,
		Begin: a.engine.Begin, End: a.engine.End, Closing: a.engine.Closing,
	})
}
