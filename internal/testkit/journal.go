package testkit

import (
	"slices"
	"sync"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// A Journal is a store that remembers the groups it was asked to commit.
type Journal struct {
	*storefault.Store
	mu     sync.Mutex
	groups [][]string // the sorted keys of each
}

// JournalOf is the store with a journal.
func JournalOf(s store.Store) *Journal {
	j := &Journal{}
	j.Store = storefault.Wrap(s, &storefault.Options{Hook: func(c storefault.Call) {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, g := range c.Groups {
			var keys []string
			for _, w := range g {
				if w.Op != store.Check && !OfAllPrograms(w.Key) {
					keys = append(keys, w.Key)
				}
			}
			slices.Sort(keys)
			if len(keys) > 0 {
				j.groups = append(j.groups, keys)
			}
		}
	}})
	return j
}

// Take returns the groups since the last call, without Checks and without the
// signing keys.
func (j *Journal) Take() [][]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	groups := j.groups
	j.groups = nil
	return groups
}

// WantGroups compares the committed groups with the wanted ones, in any order
// within a group.
func WantGroups(t *testing.T, what string, got [][]string, want ...[]string) {
	t.Helper()
	for _, g := range want {
		slices.Sort(g)
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%s wrote %q, want %q", what, got, want)
	}
}

// OnJournals runs the test on each store and with each way to keep guests, with
// a journal of the writes.
func OnJournals(t *testing.T, opts stay.Options, test func(t *testing.T, j *Journal, app *stay.App)) {
	for name, open := range KeyStores {
		for mode, guests := range GuestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				j, o := JournalOf(open()), opts
				o.Guests = guests
				test(t, j, NewApp(t, j, &o))
			})
		}
	}
}
