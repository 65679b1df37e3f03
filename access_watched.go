package stay

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/streaming"
)

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
