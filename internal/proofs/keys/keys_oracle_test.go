package keys_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
)

// allowed reports whether an item may be seen in a place.
func (w *world) allowed(it *item, pl place) bool {
	if it.never || it.how == failed {
		return false
	}
	if it.place == pl {
		return true
	}
	return it.place.guest != 0 && it.place.module == pl.module && slices.ContainsFunc(w.logins[it.place.guest], func(l *passage) bool {
		return l.user == pl.user && l.how != failed
	})
}

// look checks the items that are seen in a place.
func (w *world) look(pl place, items []string) {
	seen := map[string]bool{}
	for _, name := range items {
		it := w.items[name]
		switch {
		case it == nil:
			w.wrong("nobody has made item %q", name)
		case seen[name]:
			w.wrong("item %s is twice in %v", name, pl)
		case !w.allowed(it, pl):
			w.wrong("item %s of %v (%+v) is in %v", name, it.place, it.span, pl)
		}
		seen[name] = true
	}
}

// sits reports whether the item must be, or must not be, where it is looked
// for between two ticks, and where that is.
func (w *world) sits(it *item, from, to int) (pl place, must, mustNot bool) {
	switch {
	case it.never, it.how == failed:
		return it.place, false, true
	case it.how != acked || it.to > from:
		return it.place, false, false
	}
	came, pl := it.span, it.place
	if pl.guest != 0 {
		if w.lost[pl.guest] {
			return pl, false, false
		}
		var went *passage
		for _, l := range w.logins[pl.guest] {
			switch l.how {
			case acked:
				went = l
			case failed:
			default:
				return pl, false, false
			}
		}
		if went == nil {
			must, mustNot = w.kept(pl, came, from, to)
			return pl, must, mustNot
		}
		must, mustNot = w.kept(pl, came, went.from, went.to)
		if mustNot || !must || pl.module == inNotes || went.to > from {
			return pl, false, mustNot
		}
		came, pl = *went.span, place{pl.module, went.user, 0}
	}
	must, mustNot = w.kept(pl, came, from, to)
	return pl, must, mustNot
}

// kept says which items of a span the deletions of a place have left, for a
// read between two ticks.
func (w *world) kept(pl place, came span, from, to int) (must, mustNot bool) {
	must = true
	for _, d := range w.deletes[pl] {
		switch {
		case d.how == failed, d.how == acked && d.to < came.from, d.from > to:
		case d.how == acked && d.from > came.to && d.to < from:
			mustNot = true
		default:
			must = false
		}
	}
	return must && !mustNot, mustNot
}

// read reads a module with a cookie and checks the items.
func (w *world) read(c *cookie, module int) error {
	r := w.request("read", c)
	_, err := w.readAs(r, module)
	return err
}

func (w *world) readAs(r *request, module int) (items []string, err error) {
	w.mu.Lock()
	idle := r.c.changes == 0
	w.mu.Unlock()
	var v any
	if module == inTodos {
		v, err = r.p.todos.Get(r.ctx)
	} else {
		v, err = r.p.carts[module].Get(r.ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.span.to = w.now()
	if err != nil {
		return nil, err
	}
	items, id := stringsOf(v)
	if r.dead {
		if len(items) > 0 || id != "" {
			w.wrong("a cookie of %v that was refused before sees %q, %q", r.here(module), id, items)
		}
		return items, nil
	}
	alive := idle && r.c.changes == 0 && !r.c.dead && !r.c.doubt && !r.p.life.dead.Load()
	pl := r.here(module)
	if module == inTodos {
		if id == "" && !alive {
			pl = pl.or(r.c.todosGuest)
			pl.user = ""
			pl.guest = r.c.todosGuest
		} else {
			pl = r.asOwner(id)
		}
	}
	w.look(pl, items)
	if alive {
		w.complete(pl, items, *r.span)
	}
	return items, nil
}

// complete checks that a place that was read between two ticks has all items
// that it must have.
func (w *world) complete(pl place, items []string, read span) {
	for name, it := range w.items {
		where, must, mustNot := w.sits(it, read.from, read.to)
		switch has := slices.Contains(items, name); {
		case must && where == pl && !has:
			w.wrong("item %s of %v was acknowledged and is not in %v", name, it.place, pl)
		case mustNot && has:
			w.wrong("item %s of %v is in %v and must be gone", name, it.place, pl)
		}
	}
}

// finish checks everything when nothing is under way, twice: as the process
// sees it, and as the next one does.
func (w *world) finish() {
	for _, again := range []bool{false, true} {
		if again {
			w.restart(false)
		}
		memory := map[string]int{} // items in guests that only memory holds
		w.mu.Lock()
		cookies := slices.Clone(w.cookies)
		w.mu.Unlock()
		for _, c := range cookies {
			for module := range worldModules {
				r := w.request("read", c)
				items, err := w.readAs(r, module)
				if err != nil {
					w.problem("Get at the end: %v", err)
				}
				if w.guests == stay.GuestMemory && r.here(module).guest != 0 && !c.dead && !c.doubt {
					for _, name := range items {
						memory[name]++
					}
				}
			}
			w.whoAmI(c)
		}
		w.scan(memory)
	}
	w.mu.Lock()
	p := w.p
	w.mu.Unlock()
	if err := p.app.Close(context.Background()); err != nil {
		w.t.Errorf("close: %v", err)
	}
	if err := w.st.Close(); err != nil {
		w.t.Errorf("close: %v", err)
	}
	if len(w.bad) > 0 && os.Getenv("STAY_SEED") != "" {
		w.t.Log("who did what when:\n" + strings.Join(w.log, "\n"))
	}
	for i, problem := range w.bad {
		if i == 10 {
			w.t.Errorf("and %d more", len(w.bad)-i)
			break
		}
		w.t.Error(problem)
	}
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong(format, args...)
}

// whoAmI checks the user of a cookie.
func (w *world) whoAmI(c *cookie) {
	r := w.request("read", c)
	user := stay.SessionFrom(r.ctx).User()
	switch {
	case c.dead && user != "":
		w.problem("a cookie that was refused before is logged in as %q", user)
	case user != c.user && user != "", user != c.user && !c.dead && !c.doubt:
		w.problem("a cookie of %q is logged in as %q", c.user, user)
	}
	if c.dead {
		if err := w.add(c, inCart); !errors.Is(err, stay.ErrEnded) {
			w.problem("a change through a cookie that was refused before: %v", err)
		}
	}
}

// scan goes through everything that is stored.
func (w *world) scan(memory map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	times := memory
	places := map[place][]string{}
	for key := range w.keys {
		module, user, isState := moduleOf(key)
		if !isState {
			continue
		}
		w.mu.Unlock()
		recs, err := w.st.Load(context.Background(), []store.Read{{Key: key}})
		w.mu.Lock()
		if err != nil {
			w.wrong("load: %v", err)
			continue
		}
		if recs[0].Revision == 0 {
			continue
		}
		v, err := decode(module, recs[0].Value)
		if err != nil {
			w.wrong("record %q: %v", key, err)
			continue
		}
		items, id := stringsOf(v)
		if module == inTodos && id != user {
			w.wrong("record %q says that it belongs to %q", key, id)
		}
		for _, name := range items {
			times[name]++
		}
		if user != "" {
			w.look(place{module, user, 0}, items)
			places[place{module, user, 0}] = items
		}
	}
	for name, it := range w.items {
		where, must, mustNot := w.sits(it, w.tick, w.tick)
		switch {
		case times[name] > 1:
			w.wrong("item %s of %v is in %d states", name, it.place, times[name])
		case mustNot && times[name] > 0:
			w.wrong("item %s of %v must be gone and is stored", name, it.place)
		case must && where.user != "" && !slices.Contains(places[where], name):
			w.wrong("item %s of %v was acknowledged and is not stored in %v", name, it.place, where)
		}
	}
}
