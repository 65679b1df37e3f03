package sharded

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/store"
)

// layoutKey is the key of a record in each store of a router, wherever its home
// would be. It is hidden from callers.
const layoutKey = "stay/layout"

// A layout says which stores belong together.
type layout struct {
	// ID is the same in all stores of a router.
	ID string `json:"id"`
	// Name is that of the store, and Names those of all, in their order.
	Name  string   `json:"name"`
	Names []string `json:"names"`
	// Ready, in the first store, says that all stores have their layout.
	Ready bool `json:"ready,omitempty"`
}

// OpenRouter makes one store of several. The names say which store has which home,
// so they are for good: 1 to 64 bytes each, and not the address of a server, which
// may change.
//
// The first time, the stores have to be empty, and each gets a record with the
// names of all. Later OpenRouter compares them, and fails if a store is missing,
// new, empty or another one. To change the stores, copy all records to a router
// over empty ones (see [store.Copy]).
//
// The stores belong to the router, which closes them, unless OpenRouter fails. It
// needs all of them to be there.
func OpenRouter(ctx context.Context, stores map[string]store.Store) (*Router, error) {
	r, err := newRouter(stores)
	if err != nil {
		return nil, err
	}
	if err := r.compare(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// compare compares the layouts of the stores, and creates those of new ones. The
// first store is asked first and says ready last, so programs that start at the
// same time, or one that was stopped while it did this, come to one result.
func (r *Router) compare(ctx context.Context) error {
	names := make([]string, len(r.places))
	for i := range r.places {
		names[i] = r.places[i].name
	}
	var first layout
	var at store.Revision
	for i := range r.places {
		p := &r.places[i]
		want := layout{ID: first.ID, Name: p.name, Names: names}
		got, rev, err := p.layout(ctx)
		if err != nil {
			return err
		}
		if rev == 0 {
			if first.Ready {
				return fmt.Errorf("sharded: the store %q is empty or another one: it has no layout, but %q, which belongs to it, has one", p.name, first.Name)
			}
			if i == 0 {
				if err := r.others(ctx); err != nil {
					return err
				}
				want.ID = newID()
			}
			if got, rev, err = p.create(ctx, want); err != nil {
				return err
			}
		}
		switch {
		case !slices.Equal(got.Names, names):
			return fmt.Errorf("sharded: the store %q belongs to the stores %s, but it was opened with %s: open the same ones; to change them, copy all records to a router over empty stores",
				p.name, list(got.Names), list(names))
		case got.Name != p.name:
			return fmt.Errorf("sharded: the store %q was opened under the name %q: the stores are interchanged", got.Name, p.name)
		case i > 0 && got.ID != first.ID:
			return fmt.Errorf("sharded: the stores %q and %q do not belong together, although they have the names of those that do", first.Name, p.name)
		case i == 0:
			first, at = got, rev
		}
	}
	if first.Ready {
		return nil
	}
	first.Ready = true
	_, _, err := r.places[0].save(ctx, first, at) // others may have done it
	return err
}

// others makes sure that the other stores are new if the first one is.
func (r *Router) others(ctx context.Context) error {
	for i := range r.places[1:] {
		p := &r.places[1+i]
		_, rev, err := p.layout(ctx)
		if err != nil {
			return err
		}
		if rev != 0 {
			// Another program may just have begun with the first one.
			if _, first, err := r.places[0].layout(ctx); err != nil || first != 0 {
				return err
			}
			return fmt.Errorf("sharded: the store %q is empty or another one: it has no layout, but %q, which belongs to it, has one", r.places[0].name, p.name)
		}
	}
	return nil
}

// layout reads the layout of a store; revision 0 means that there is none.
func (p *place) layout(ctx context.Context) (l layout, rev store.Revision, err error) {
	recs, err := p.Load(ctx, []store.Read{{Key: layoutKey}})
	if err != nil {
		return l, 0, fmt.Errorf("sharded: store %q: %w", p.name, err)
	}
	if len(recs) != 1 {
		return l, 0, errSilent
	}
	if recs[0].Revision == 0 {
		return l, 0, nil
	}
	if err := json.Unmarshal(recs[0].Value, &l); err != nil {
		return l, 0, fmt.Errorf("sharded: store %q: %w: its layout: %w", p.name, store.ErrCorrupt, err)
	}
	return l, recs[0].Revision, nil
}

// create creates the layout of a store that has to be empty, and returns it, or
// the one that somebody else has created meanwhile.
func (p *place) create(ctx context.Context, l layout) (layout, store.Revision, error) {
	if s, ok := p.Store.(store.Lister); ok && p.Features().List {
		keys, err := s.List(ctx, time.Time{}, "", "", 1) // by the beginning of time nothing has expired
		switch {
		case err != nil:
			return l, 0, fmt.Errorf("sharded: store %q: %w", p.name, err)
		case len(keys) > 0:
			if other, rev, err := p.layout(ctx); err != nil || rev != 0 {
				return other, rev, err // another program was quicker
			}
			return l, 0, fmt.Errorf("sharded: the store %q has records, and was not opened by a router before: open empty stores, and copy the records to the router", p.name)
		}
	}
	return p.save(ctx, l, 0)
}

// save writes the layout of a store over a revision, and returns it, or the one
// that somebody else has written.
func (p *place) save(ctx context.Context, l layout, base store.Revision) (layout, store.Revision, error) {
	value, err := json.Marshal(l)
	if err != nil {
		return l, 0, err
	}
	results := p.Commit(ctx, []store.Group{{{Op: store.Put, Key: layoutKey, Base: base, Value: value, Version: 1}}})
	switch {
	case len(results) != 1:
		return l, 0, errSilent
	case results[0].Outcome == store.Applied:
		return l, results[0].Revisions[0], nil
	case results[0].Outcome == store.Conflict:
		return p.layout(ctx)
	}
	return l, 0, fmt.Errorf("sharded: the layout of the store %q could not be stored: %w", p.name, unavailable(results[0].Err))
}

// newID returns 128 random bits as text.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func list(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}
