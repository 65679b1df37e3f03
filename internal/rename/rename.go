// Package rename finds the states of modules that had other names before. Its
// [Store] shows a record that is under a former name as if it were under the
// present one, and moves it there with the first change.
package rename

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// Most is how many former names a module may have. Revisions have two bits for
// the name that a record is under; see [present].
const Most = 3

// A Whole is a store that may list its keys and announce changes, as its features
// say.
type Whole interface {
	store.Store
	store.Lister
	store.Watcher
}

// Prefixes are the beginnings of the keys of a module's states, for one of its
// scopes, with the slash at the end.
type Prefixes struct {
	Now    string
	Former []string // the newest first
	// Both is called once, with a key that has records under several names. The
	// record under the newest name counts.
	Both func(id string)

	told atomic.Bool
}

// key returns the key under one of the names: 0 is the present one.
func (p *Prefixes) key(name int, id string) string {
	if name == 0 {
		return p.Now + id
	}
	return p.Former[name-1] + id
}

// A Store shows records under the present names of modules. It shows them with
// its own revisions, which callers hand back with their writes. It leaves all
// other records as they are. Its methods may be called concurrently.
type Store struct {
	Whole
	all atomic.Pointer[table] // nil: no module has had another name

	mu sync.Mutex // held by Add
}

// New returns a Store over s.
func New(s Whole) *Store { return &Store{Whole: s} }

// A table is never changed.
type table struct {
	now    map[string]*Prefixes // by present prefix
	former map[string]place     // by former prefix
}

// A place is one of the former names of p.
type place struct {
	p    *Prefixes
	name int
}

// Add adds the prefixes of a module's keys.
func (s *Store) Add(p *Prefixes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &table{now: map[string]*Prefixes{}, former: map[string]place{}}
	if old := s.all.Load(); old != nil {
		maps.Copy(t.now, old.now)
		maps.Copy(t.former, old.former)
	}
	t.now[p.Now] = p
	for i, prefix := range p.Former {
		t.former[prefix] = place{p, i + 1}
	}
	s.all.Store(t)
}

// of returns the names of the module that a key belongs to, and what follows
// the prefix; nil if the module has always had its name.
func (t *table) of(key string) (p *Prefixes, id string) {
	prefix, id := cut(key)
	return t.now[prefix], id
}

// cut takes apart the key of a state: it has two slashes before the last part.
func cut(key string) (prefix, id string) {
	i := strings.IndexByte(key, '/') + 1
	i += strings.IndexByte(key[i:], '/') + 1
	return key[:i], key[i:]
}

// The revisions of different keys do not compare, and the revisions of a state
// must grow even if it moves to another key. So the two highest bits of a
// revision say under which name the record is: the newer the name, the greater.
const (
	nameShift = 62
	nameMask  = 1<<nameShift - 1
)

// ErrRevision is the error of a store whose revisions have no room for the name.
var ErrRevision = errors.New("the store's revision is too large for a module that has had another name: it must be below 2^62")

// present is the revision that callers see of a record under the name.
func present(name int, rev store.Revision) store.Revision {
	if rev == 0 {
		return 0
	}
	return rev | store.Revision(Most-name)<<nameShift
}

// split is the reverse of present.
func split(rev store.Revision) (name int, stored store.Revision) {
	return Most - int(rev>>nameShift), rev & nameMask
}

// Stored is the revision that the store has of the record of a module that has had
// another name, of which callers see this one.
func Stored(rev store.Revision) store.Revision {
	_, stored := split(rev)
	return stored
}

// Revision is the revision that callers see for a record that they got under
// its key in the store, which may be a key of a former name.
func (s *Store) Revision(key string, rev store.Revision) store.Revision {
	if t := s.all.Load(); t != nil {
		prefix, _ := cut(key)
		if at, ok := t.former[prefix]; ok {
			return present(at.name, rev)
		}
	}
	return rev
}

// Watch implements store.Watcher. A change of a record under a former name is one of
// the record that callers see.
func (s *Store) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	return s.Whole.Watch(ctx, func(changes []store.Change, lost bool) {
		if t := s.all.Load(); t != nil {
			changes = slices.Clone(changes)
			for i := range changes {
				changes[i] = t.shown(changes[i])
			}
		}
		announce(changes, lost)
	})
}

// Place implements store.Placer, where the features say so. States under former names
// are mostly at the same place, and asked for together in any case.
func (s *Store) Place(key string) string { return s.Whole.(store.Placer).Place(key) }

// shown is a change as callers see it.
func (t *table) shown(c store.Change) store.Change {
	prefix, id := cut(c.Key)
	at, former := t.former[prefix]
	switch {
	case former:
		c.Key = at.p.key(0, id)
	case t.now[prefix] == nil:
		return c
	}
	if c.Revision > nameMask {
		c.Revision = 0
	}
	c.Revision = present(at.name, c.Revision)
	return c
}

// Expired implements store.Store. Records under former names come as they are,
// with the keys and revisions of the store: expired records do not move. A
// write of such a key is made as it is, too.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
	recs, err := s.Whole.Expired(ctx, now, limit)
	if t := s.all.Load(); t != nil {
		for i := range recs {
			if p, _ := t.of(recs[i].Key); p != nil {
				recs[i].Revision = present(0, recs[i].Revision)
			}
		}
	}
	return recs, err
}
