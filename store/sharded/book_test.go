package sharded_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sharded"
)

// A book knows what a simulation has done, and compares it with what is stored.
// The records under logs hold the names of the operations that have written them,
// the first first. There is a token if an odd number of operations with "t" in
// their names has written the log beside it. Of the two flags, at most one is set
// at any time: each is set by a group that checks that the other is not.
type book struct {
	t    *testing.T
	mu   sync.Mutex
	ops  map[string]*operation
	logs map[string][]string // the longest that somebody knows
	revs map[string]string   // key and revision: the value
}

var (
	logKeys   = []string{"a", "bb", "ccc", "user/x/u", "session/x/s"}
	token     = "token"
	flags     = []string{"flag1", "flag22"}
	simBounds = 3 * time.Second // what a healthy process waits at most when others have stopped
)

// An operation is a group, with what became of it.
type operation struct {
	name    string
	appends []string
	checks  map[string]int // how long a log was that must not change
	outcome store.Outcome  // Conflict for all that have changed nothing
	err     error          // why it was rejected
}

func newBook(t *testing.T) *book {
	return &book{t: t, ops: map[string]*operation{}, logs: map[string][]string{}, revs: map[string]string{}}
}

func simContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

// fill creates the logs.
func (b *book) fill(s *sharded.Store) {
	ctx, cancel := simContext()
	defer cancel()
	for _, key := range logKeys {
		if res := s.Commit(ctx, []store.Group{{{Key: key}}})[0]; res.Outcome != store.Applied {
			b.t.Errorf("creating a log: %v (%v)", res.Outcome, res.Err)
		}
	}
}

// entries are the names in a log.
func entries(value []byte) []string { return strings.Fields(string(value)) }

// act makes some operations as one goroutine of a process.
func (b *book) act(p *process, r *rand.Rand, name string, n int) {
	held := map[string]store.Record{}
	for i := range n {
		if p.dead {
			return
		}
		id := fmt.Sprintf("%s.%d", name, i)
		ctx, cancel := simContext()
		switch k := r.IntN(20); {
		case k < 2:
			_, _ = p.s.Expired(ctx, time.Now(), 1+r.IntN(20))
		case k < 3:
			b.list(ctx, p.s)
		case k < 7:
			_, _ = b.read(ctx, p.s, held, pick(r, logKeys))
		case k < 10:
			b.flag(ctx, p, r)
		default:
			b.update(ctx, p, r, held, id)
		}
		cancel()
	}
}

// pick returns some of the keys.
func pick(r *rand.Rand, keys []string) []string {
	keys = slices.Clone(keys)
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys[:1+r.IntN(min(3, len(keys)))]
}

// read reads logs, and checks that they have everything that was known when it began.
func (b *book) read(ctx context.Context, s *sharded.Store, held map[string]store.Record, keys []string) (map[string]store.Record, error) {
	reads := make([]store.Read, len(keys))
	before := make([]int, len(keys))
	b.mu.Lock()
	for i, key := range keys {
		reads[i] = store.Read{Key: key, Have: held[key].Revision}
		before[i] = len(b.logs[key])
	}
	b.mu.Unlock()
	recs, err := s.Load(ctx, reads)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[string]store.Record{}
	for i, rec := range recs {
		if h := held[rec.Key]; rec.Revision != 0 && rec.Revision == h.Revision {
			rec = h
		}
		held[rec.Key], found[rec.Key] = rec, rec
		b.saw(rec)
		if got := entries(rec.Value); slices.Contains(logKeys, rec.Key) && len(got) < before[i] {
			b.t.Errorf("log %q has %d entries after somebody has known %d: %v", rec.Key, len(got), before[i], b.logs[rec.Key])
		}
	}
	return found, nil
}

// saw compares a record with others of its key, and remembers it.
func (b *book) saw(rec store.Record) {
	if rec.Revision == 0 {
		return
	}
	id := fmt.Sprint(rec.Key, "@", rec.Revision)
	if old, ok := b.revs[id]; ok && old != string(rec.Value) {
		b.t.Errorf("revision %d of %q is %q and %q", rec.Revision, rec.Key, old, rec.Value)
	}
	b.revs[id] = string(rec.Value)
	if slices.Contains(logKeys, rec.Key) {
		b.knows(rec.Key, entries(rec.Value))
	}
}

// knows compares a log with the longest one.
func (b *book) knows(key string, got []string) {
	known := b.logs[key]
	n := min(len(got), len(known))
	if !slices.Equal(got[:n], known[:n]) {
		b.t.Errorf("log %q is %v and %v", key, got, known)
	}
	if len(got) > len(known) {
		b.logs[key] = got
	}
}

// update appends the name of an operation to some logs, if others do not change.
func (b *book) update(ctx context.Context, p *process, r *rand.Rand, held map[string]store.Record, id string) {
	keys := pick(r, logKeys)
	toggles := r.IntN(4) == 0
	if toggles {
		keys = append(slices.DeleteFunc(keys, func(k string) bool { return k == "a" }), "a", token)
		id += "t"
	}
	recs, err := b.read(ctx, p.s, held, keys)
	if err != nil {
		return
	}
	op := &operation{name: id, checks: map[string]int{}}
	var g store.Group
	for _, key := range keys {
		rec := recs[key]
		w := store.Write{Op: store.Put, Key: key, Base: rec.Revision}
		switch {
		case key == token && rec.Revision != 0:
			w.Op = store.Delete
		case key == token:
			w.Value = []byte(id)
		case r.IntN(3) == 0 && key != "a":
			w.Op = store.Check
			op.checks[key] = len(entries(rec.Value))
		default:
			op.appends = append(op.appends, key)
			w.Value = []byte(string(rec.Value) + " " + id)
			w.Meta = [][]byte{nil, {3, 1}, {0x80, 9}, {0xff}}[r.IntN(4)]
		}
		g = append(g, w)
	}
	b.mu.Lock()
	b.ops[id] = op
	b.mu.Unlock()
	b.commit(ctx, p, r, op, g)
}

// commit commits the group of an operation, and repeats it if its outcome is not
// known, as Stay does.
func (b *book) commit(ctx context.Context, p *process, r *rand.Rand, op *operation, g store.Group) {
	unknown := false
	for !p.dead {
		res := p.s.Commit(ctx, []store.Group{g})[0]
		b.mu.Lock()
		switch res.Outcome {
		case store.Applied:
			op.outcome = store.Applied
			for i, w := range g {
				if slices.Contains(op.appends, w.Key) {
					b.saw(store.Record{Key: w.Key, Revision: res.Revisions[i], Value: w.Value})
				}
			}
		case store.Conflict:
			if !unknown {
				op.outcome = store.Conflict
			}
			if !slices.ContainsFunc(res.Current, func(rec store.Record) bool { return rec.Revision != g[index(g, rec.Key)].Base }) {
				b.t.Errorf("a conflict with the revisions that the group named: %v", res.Current)
			}
		case store.Rejected:
			if !unknown {
				op.outcome, op.err = store.Conflict, res.Err
			}
		case store.Unknown:
			unknown = true
		}
		b.mu.Unlock()
		if res.Outcome != store.Unknown || r.IntN(4) == 0 {
			return
		}
	}
}

func index(g store.Group, key string) int {
	return slices.IndexFunc(g, func(w store.Write) bool { return w.Key == key })
}

// flag sets a flag if the other one is not set, or takes it back.
func (b *book) flag(ctx context.Context, p *process, r *rand.Rand) {
	i := r.IntN(2)
	recs, err := p.s.Load(ctx, []store.Read{{Key: flags[i]}, {Key: flags[1-i]}})
	if err != nil {
		return
	}
	if recs[0].Revision == 0 && recs[1].Revision != 0 {
		return
	}
	// Both are as they were read, at one moment, or the group conflicts.
	g := store.Group{{Key: flags[i], Base: recs[0].Revision, Value: []byte("set")}, {Op: store.Check, Key: flags[1-i], Base: recs[1].Revision}}
	if recs[0].Revision != 0 {
		g[0].Op = store.Delete
	}
	if res := p.s.Commit(ctx, []store.Group{g})[0]; res.Outcome == store.Applied && recs[1].Revision != 0 {
		b.t.Errorf("both flags are set")
	}
}

// list checks that the logs are listed, and nothing that callers have not written.
func (b *book) list(ctx context.Context, s *sharded.Store) {
	keys, err := s.List(ctx, time.Now(), "", "", 1000)
	if err != nil {
		return
	}
	known := slices.Concat(logKeys, flags, []string{token})
	for _, key := range keys {
		if !slices.Contains(known, key) {
			b.t.Errorf("List names %q", key)
		}
	}
	for _, key := range logKeys {
		if !slices.Contains(keys, key) {
			b.t.Errorf("List does not name %q", key)
		}
	}
}

// end compares what is stored in the end, as a healthy process finds it.
func (b *book) end(s *sharded.Store) {
	ctx, cancel := context.WithTimeout(context.Background(), simBounds)
	defer cancel()
	for _, key := range slices.Concat(logKeys, flags, []string{token}) {
		recs, err := s.Load(ctx, []store.Read{{Key: key}})
		if err != nil {
			b.t.Errorf("Load in the end: %v", err)
			return
		}
		w := store.Write{Key: key, Base: recs[0].Revision, Value: recs[0].Value}
		if w.Base == 0 {
			w.Op = store.Delete
		}
		if res := s.Commit(ctx, []store.Group{{w}})[0]; res.Outcome != store.Applied {
			b.t.Errorf("%q cannot be written in the end: %v (%v)", key, res.Outcome, res.Err)
			return
		}
	}
	recs, err := b.read(ctx, s, map[string]store.Record{}, slices.Concat(logKeys, flags, []string{token}))
	if err != nil {
		b.t.Errorf("Load in the end: %v", err)
		return
	}
	logs := map[string][]string{}
	for _, key := range logKeys {
		logs[key] = entries(recs[key].Value)
		if len(logs[key]) < len(b.logs[key]) {
			b.t.Errorf("log %q has lost entries: %v, was %v", key, logs[key], b.logs[key])
		}
	}
	b.whole(logs)
	b.oneOrder(logs)
	toggles := 0
	for _, name := range logs["a"] {
		if strings.HasSuffix(name, "t") {
			toggles++
		}
	}
	if (recs[token].Revision != 0) != (toggles%2 == 1) {
		b.t.Errorf("after %d toggles the token has revision %d", toggles, recs[token].Revision)
	}
	b.list(ctx, s)
}

// whole checks that operations are in all of their logs or in none, as they were
// answered.
func (b *book) whole(logs map[string][]string) {
	for key, log := range logs {
		for i, name := range log {
			if slices.Contains(log[:i], name) {
				b.t.Errorf("log %q has %s twice", key, name)
			}
		}
	}
	for name, op := range b.ops {
		n := 0
		for _, key := range op.appends {
			if slices.Contains(logs[key], name) {
				n++
			}
		}
		if n != 0 && n != len(op.appends) {
			b.t.Errorf("%s is in %d of the logs %v", name, n, op.appends)
		}
		if op.outcome == store.Applied && n == 0 && len(op.appends) > 0 || op.outcome == store.Conflict && n > 0 {
			b.t.Errorf("%s was answered as %v (%v), and is in %d of the logs %v", name, op.outcome, op.err, n, op.appends)
		}
	}
}

// oneOrder checks that all operations can have happened one after another.
func (b *book) oneOrder(logs map[string][]string) {
	after := map[string]map[string]bool{}
	edge := func(a, z string) {
		if after[a] == nil {
			after[a] = map[string]bool{}
		}
		if a != z {
			after[a][z] = true
		}
	}
	for _, log := range logs {
		for i := 1; i < len(log); i++ {
			edge(log[i-1], log[i])
		}
	}
	for name, op := range b.ops {
		if len(op.appends) == 0 || !slices.Contains(logs[op.appends[0]], name) {
			continue // not applied, or nobody knows
		}
		for key, n := range op.checks {
			if n > 0 {
				edge(logs[key][n-1], name)
			}
			if n < len(logs[key]) {
				edge(name, logs[key][n])
			}
		}
	}
	state := map[string]int{} // 1 = under way, 2 = done
	var visit func(name string) bool
	visit = func(name string) bool {
		if state[name] != 0 {
			return state[name] == 2
		}
		state[name] = 1
		for next := range after[name] {
			if !visit(next) {
				return false
			}
		}
		state[name] = 2
		return true
	}
	for name := range after {
		if !visit(name) {
			b.t.Errorf("no order of the operations explains the logs %v, with %s in a circle", logs, name)
			return
		}
	}
}

// clean checks that nothing of the groups is left below after a sweep a day later.
func (b *book) clean(s *sharded.Store, places [][]*memstore.Store) {
	for range 2 {
		if _, err := s.Expired(context.Background(), time.Now(), 100); err != nil {
			b.t.Errorf("Expired in the end: %v", err)
		}
	}
	for _, handles := range places {
		m := handles[len(handles)-1]
		keys, err := m.List(context.Background(), time.Time{}, "", "", 1000)
		if err != nil {
			b.t.Error(err)
		}
		for _, key := range keys {
			recs, err := m.Load(context.Background(), []store.Read{{Key: key}})
			if err != nil {
				b.t.Error(err)
			}
			switch rec := recs[0]; {
			case strings.HasPrefix(key, "stay/tx/"):
				b.t.Errorf("the record of a group is left: %q", rec.Value)
			case len(rec.Meta) > 0 && rec.Meta[0] == 0x82:
				b.t.Errorf("%q is locked in the end", key)
			}
		}
	}
}
