package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

var overRules = []rule{
	{
		name: "C2 a process stops within a group",
		why: "A store on other stores may need several calls for a group over several homes. Its process may stop before or after each of them: " +
			"the group is applied whole or not at all, and who comes along sees one of the two from then on.",
		needs: needs{over: true, groups: true},
		check: func(e *env) { checkStops(e, false) },
	},
	{
		name: "C2 others write after a process has stopped within a group",
		why: "Nobody may have to wait for a process that has stopped: who writes one of its records waits a moment at most, " +
			"and then the group is applied whole or not at all.",
		needs: needs{over: true, groups: true},
		check: func(e *env) { checkStops(e, true) },
	},
	{
		name: "C6 an answer is lost within a group",
		why: "One of the calls of a group may have no answer. What the store says of the group is true all the same, and a group that is " +
			"repeated until that is known is applied once.",
		needs: needs{over: true, groups: true},
		check: checkLostWithin,
	},
}

// moment is how long others wait at most for a process that has stopped.
const moment = 5 * time.Second

// A cut lets so many calls of the stores below go through. The next one is done,
// or not, and has no answer. After it no call is done, or all go through.
type cut struct {
	mu      sync.Mutex
	left    int
	does    bool // the call without an answer is done
	goesOn  bool
	reached bool
}

// pass reports whether a call is done, and whether it has an answer.
func (c *cut) pass() (does, answers bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.left > 0:
		c.left--
		return true, true
	case !c.reached:
		c.reached = true
		return c.does, false
	}
	return c.goesOn, c.goesOn
}

func (c *cut) wasReached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reached
}

// wrap returns a store as the process reaches it.
func (c *cut) wrap(s store.Store) store.Store { return cutStore{s, c} }

type cutStore struct {
	store.Store
	cut *cut
}

var errCut = fmt.Errorf("storetest: no answer: %w", store.ErrUnavailable)

func (s cutStore) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if _, answers := s.cut.pass(); !answers {
		return nil, errCut
	}
	return s.Store.Load(ctx, reads)
}

func (s cutStore) Commit(ctx context.Context, groups []store.Group) []store.Result {
	does, answers := s.cut.pass()
	if does {
		if results := s.Store.Commit(ctx, groups); answers {
			return results
		}
	}
	results := make([]store.Result, len(groups))
	for i := range results {
		results[i] = store.Result{Outcome: store.Unknown, Err: errCut}
	}
	return results
}

func (s cutStore) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return s.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}

func (s cutStore) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	return s.Store.(store.Watcher).Watch(ctx, announce)
}

// A wide group has every kind of write, over several homes.
type wide struct {
	group   store.Group
	created string
	// old are the records before, by their keys.
	old map[string]store.Write
	at  map[string]store.Revision
}

// wide makes a group of records of its own.
func (e *env) wide(name string) *wide {
	e.t.Helper()
	w := &wide{created: "stay/session/" + name, old: map[string]store.Write{}, at: map[string]store.Revision{}}
	for _, key := range []string{"session/m/" + name, "user/m/" + name, "stay/user/" + name, "key/m/" + name} {
		w.old[key] = put(key, 0, "old of "+key)
		w.at[key] = e.apply(w.old[key])[0]
	}
	w.group = store.Group{
		put(w.created, 0, "new"), del("session/m/"+name, w.at["session/m/"+name]),
		put("user/m/"+name, w.at["user/m/"+name], "new"), check("stay/user/"+name, w.at["stay/user/"+name]),
		put("key/m/"+name, w.at["key/m/"+name], "new"), check("global/"+name+"/", 0),
	}
	return w
}

// applied reads the records of the group, and reports whether it was applied. It
// fails the rule if that is so for a part of them.
func (e *env) applied(w *wide, when string) bool {
	e.t.Helper()
	var recs []store.Record
	var there []bool
	for range 2 { // a group may be applied between two reads
		recs, there = e.loadAll(readsOf(w.group)...), nil
		for i, wr := range w.group {
			if wr.Op == store.Check {
				if recs[i].Revision != wr.Base {
					e.t.Fatalf("%s: what is checked only: %s, want revision %d", when, recordText(recs[i]), wr.Base)
				}
				continue
			}
			there = append(there, recs[i].Revision != wr.Base)
		}
		if !slices.Contains(there, !there[0]) {
			break
		}
	}
	if slices.Contains(there, !there[0]) {
		e.t.Fatalf("%s: a part of the group is there: %v of %s", when, there, describe(w.group))
	}
	for i, wr := range w.group {
		want, rev := wr, recs[i].Revision
		switch {
		case wr.Op == store.Check, wr.Op != store.Put && there[0], !there[0]:
			want = w.old[wr.Key]
			want.Key = wr.Key
			if rev == 0 {
				want = store.Write{Key: wr.Key}
			}
		}
		if err := sameRecord(recs[i], want, rev); err != nil {
			e.t.Fatalf("%s: %v", when, err)
		}
	}
	return there[0]
}

func readsOf(g store.Group) []store.Read {
	reads := make([]store.Read, len(g))
	for i := range g {
		reads[i].Key = g[i].Key
	}
	return reads
}

// cuts calls f with a handle that is cut at each call of a group, until the group
// has no more of them.
func (e *env) cuts(goesOn bool, f func(name string, c *cut, s store.Store)) {
	e.t.Helper()
	for n := 0; ; n++ {
		reached := false
		for _, does := range []bool{false, true} {
			c := &cut{left: 1 << 30, does: does, goesOn: goesOn}
			s := e.place.over(c.wrap)
			e.handles = append(e.handles, s)
			c.mu.Lock()
			c.left = n // opening took what it took
			c.mu.Unlock()
			name := fmt.Sprintf("%d-not-done", n)
			if does {
				name = fmt.Sprintf("%d-done", n)
			}
			f(name, c, s)
			reached = reached || c.wasReached()
		}
		if !reached {
			return
		}
		if n > 100 {
			e.t.Fatalf("a group has taken %d calls", n)
		}
	}
}

// checkStops stops a process at each call of a group.
func checkStops(e *env, writes bool) {
	e.cuts(false, func(name string, c *cut, s store.Store) {
		w := e.wide(name)
		res := s.Commit(e.ctx, []store.Group{w.group})[0]
		when := fmt.Sprintf("a process that stopped after %s calls, and was told: %s", name, resultText(res))
		if !c.wasReached() {
			when = "a process that did not stop, and was told: " + resultText(res)
			if res.Outcome != store.Applied {
				e.t.Fatalf("%s, want applied", when)
			}
		}
		began := time.Now()
		if writes {
			// One key after the other, each as it is found.
			for i, wr := range w.group {
				rec := e.load(wr.Key)
				again := put(wr.Key, rec.Revision, string(rec.Value))
				if rec.Revision == 0 {
					again = del(wr.Key, 0)
				}
				for {
					res := e.one(again)
					if res.Outcome == store.Applied {
						if again.Op == store.Put {
							e.wantValue(wr.Key, res.Revisions[0], string(rec.Value))
						}
						break
					}
					if res.Outcome != store.Conflict || time.Since(began) > moment {
						e.t.Fatalf("%s: write %d by another process: %s", when, i, resultText(res))
					}
					rec = res.Current[0]
					if again = put(wr.Key, rec.Revision, string(rec.Value)); rec.Revision == 0 {
						again = del(wr.Key, 0)
					}
				}
			}
			e.wantValues(w, res, when)
		} else {
			was := e.applied(w, when)
			if res.Outcome == store.Applied && !was || (res.Outcome == store.Conflict || res.Outcome == store.Rejected) && was {
				e.t.Fatalf("%s: applied is %v", when, was)
			}
			for range 3 {
				if is := e.applied(w, when); is != was {
					e.t.Fatalf("%s: applied was %v and is %v", when, was, is)
				}
			}
		}
		if took := time.Since(began); took > moment {
			e.t.Fatalf("%s: others have waited for it for %v", when, took)
		}
		if err := s.Close(); err != nil {
			e.t.Fatalf("Close: %v", err)
		}
	})
}

// wantValues checks that all values are those before the group, or all after it,
// whatever their revisions.
func (e *env) wantValues(w *wide, res store.Result, when string) {
	e.t.Helper()
	var there []bool
	for i, rec := range e.loadAll(readsOf(w.group)...) {
		switch wr := w.group[i]; wr.Op {
		case store.Put:
			there = append(there, string(rec.Value) == "new")
		case store.Delete:
			there = append(there, rec.Revision == 0)
		}
	}
	if slices.Contains(there, !there[0]) || res.Outcome == store.Applied && !there[0] {
		e.t.Fatalf("%s: after others wrote, a part of the group is there: %v of %s", when, there, describe(w.group))
	}
}

// checkLostWithin loses the answer to each call of a group, or the call, and
// repeats the group as Stay does.
func checkLostWithin(e *env) {
	e.cuts(true, func(name string, _ *cut, s store.Store) {
		w := e.wide(name)
		repeated := false
		for began := time.Now(); ; {
			res := s.Commit(e.ctx, []store.Group{w.group})[0]
			if err := wellFormedResult(w.group, res); err != nil {
				e.t.Fatalf("call %s lost: %v", name, err)
			}
			when := fmt.Sprintf("call %s lost, and the group was told: %s", name, resultText(res))
			if res.Outcome == store.Unknown {
				if repeated = true; time.Since(began) > moment {
					e.t.Fatalf("%s: nobody knows for long", when)
				}
				continue
			}
			was := e.applied(w, when)
			if res.Outcome == store.Applied && !was || !repeated && res.Outcome != store.Applied && was {
				e.t.Fatalf("%s: applied is %v", when, was)
			}
			if res.Outcome == store.Applied {
				for i, rec := range e.loadAll(readsOf(w.group)...) {
					if rec.Revision != res.Revisions[i] {
						e.t.Fatalf("%s: %s, want revision %d", when, recordText(rec), res.Revisions[i])
					}
				}
			}
			break
		}
		if err := s.Close(); err != nil {
			e.t.Fatalf("Close: %v", err)
		}
	})
}
