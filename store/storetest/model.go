package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/store"
)

var modelRules = []rule{
	{
		name:  "Model",
		why:   "Random calls are answered like those to a map that obeys the contract. The calls that led to the difference are listed above.",
		check: checkModel,
	},
	{
		name:  "Model concurrent",
		why:   "Random changes from many goroutines form one line of revisions for each key: every applied write replaced what the one before it left.",
		check: func(e *env) { checkHistory(e, e.store) },
	},
}

// A model is the contract as a map, for calls that come one after another.
type model struct {
	e       *env
	r       *rand.Rand
	keys    []string
	records map[string]*store.Record
	given   map[string][]store.Revision
	trace   []string
}

func checkModel(e *env) {
	const runs, steps = 3, 250
	for run := range runs {
		m := &model{
			e:       e,
			r:       e.rand(uint64(run)),
			records: map[string]*store.Record{},
			given:   map[string][]store.Revision{},
		}
		for i := range 6 {
			m.keys = append(m.keys, fmt.Sprintf("run%d\x00\xff%d", run, i))
		}
		for range steps {
			if err := m.step(); err != nil {
				e.t.Logf("%s\n", strings.Join(m.trace[max(0, len(m.trace)-25):], "\n"))
				e.t.Fatalf("run %d, call %d: %v", run, len(m.trace), err)
			}
		}
	}
}

// call records the next call.
func (m *model) call(format string, args ...any) {
	m.trace = append(m.trace, m.e.now.UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (m *model) step() error {
	switch n := m.r.IntN(100); {
	case n < 20:
		m.tick()
		return nil
	case n < 45:
		return m.load()
	case n < 88:
		return m.commit()
	case n < 94 && m.e.f.Expire:
		return m.expired()
	case n < 98 && m.e.f.List:
		return m.list()
	case n >= 98 && m.e.f.Durable:
		m.call("reopen")
		m.e.reopen()
	}
	return nil
}

// tick moves the time, mostly forwards and often to the exact moment at which a
// record expires.
func (m *model) tick() {
	if rec := m.records[m.key()]; rec != nil && rec.Expires.After(m.e.now) && m.r.IntN(2) == 0 {
		m.e.now = rec.Expires
	} else if m.r.IntN(4) > 0 {
		m.e.advance(time.Duration(m.r.IntN(20_000)) * time.Millisecond)
	} else {
		m.e.advance(-time.Duration(m.r.IntN(30_000)) * time.Millisecond)
	}
}

// highest returns the last revision that a key was given.
func (m *model) highest(key string) store.Revision {
	given := m.given[key]
	if len(given) == 0 {
		return 0
	}
	return given[len(given)-1]
}

// record returns the record of a key.
func (m *model) record(key string) store.Record {
	if rec := m.records[key]; rec != nil {
		return *rec
	}
	return store.Record{Key: key}
}

// key returns one of the keys.
func (m *model) key() string { return m.keys[m.r.IntN(len(m.keys))] }

// revision returns a revision that a caller may hold for the key: mostly the
// right one, otherwise an older one, none, or one that never existed.
func (m *model) revision(key string) store.Revision {
	switch m.r.IntN(10) {
	case 0:
		return 0
	case 1:
		return m.highest(key) + 1
	case 2:
		if old := m.given[key]; len(old) > 0 {
			return old[m.r.IntN(len(old))]
		}
	}
	return m.record(key).Revision
}

func (m *model) load() error {
	keys := slices.Clone(m.keys)
	m.r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	var reads []store.Read
	for _, key := range keys[:1+m.r.IntN(len(keys))] {
		read := store.Read{Key: key}
		if m.r.IntN(2) == 0 {
			read.Have = m.revision(key)
		}
		reads = append(reads, read)
	}
	m.call("load %d", len(reads))
	for i, got := range m.e.loadAll(reads...) {
		want := m.record(reads[i].Key)
		if want.Revision == reads[i].Have {
			want = store.Record{Key: want.Key, Revision: want.Revision}
		}
		if err := equalRecords(got, want); err != nil {
			return fmt.Errorf("Load with Have %d: %w", reads[i].Have, err)
		}
	}
	return nil
}

// write makes a random write.
func (m *model) write(key string) store.Write {
	w := store.Write{Op: store.Op(m.r.IntN(3)), Key: key, Base: m.revision(key)}
	if m.r.IntN(2) == 0 {
		w.Op = store.Put
	}
	if w.Op == store.Put {
		w.Value = fmt.Appendf(nil, "value %d", len(m.trace))
		w.Meta = fmt.Appendf(nil, "meta %d", m.r.IntN(100))
		w.Version = m.r.IntN(3)
		if m.r.IntN(2) == 0 {
			w.Expires = m.e.now.Add(time.Duration(m.r.Int64N(int64(time.Minute))) - 5*time.Second)
		}
	}
	return w
}

func (m *model) commit() error {
	keys := slices.Clone(m.keys)
	m.r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	var groups []store.Group
	var bad []bool
	for range 1 + m.r.IntN(3) {
		size := 1
		if m.e.f.Groups {
			size += m.r.IntN(3)
		}
		var g store.Group
		for range min(size, len(keys)) {
			g = append(g, m.write(keys[0]))
			keys = keys[1:]
		}
		if len(g) == 0 {
			break
		}
		isBad := m.r.IntN(20) == 0
		if isBad {
			g[m.r.IntN(len(g))].Key = ""
		}
		groups, bad = append(groups, g), append(bad, isBad)
	}
	texts := make([]string, len(groups))
	for i, g := range groups {
		texts[i] = describe(g)
	}
	m.call("commit %s", strings.Join(texts, " "))
	for i, res := range m.e.commit(groups...) {
		m.trace[len(m.trace)-1] += " " + resultText(res)
		if err := m.apply(groups[i], bad[i], res); err != nil {
			return fmt.Errorf("group %d: %w", i, err)
		}
	}
	return nil
}

// apply compares the result of a group with the model's answer and updates the
// model.
func (m *model) apply(g store.Group, bad bool, res store.Result) error {
	want := store.Applied
	for _, w := range g {
		if w.Base != m.record(w.Key).Revision {
			want = store.Conflict
		}
	}
	if bad {
		want = store.Rejected
	}
	if res.Outcome != want {
		return fmt.Errorf("%s, want %s", resultText(res), want)
	}
	if res.Outcome == store.Conflict {
		for i, w := range g {
			if rec := m.record(w.Key); w.Base != rec.Revision {
				if err := equalRecords(res.Current[i], rec); err != nil {
					return fmt.Errorf("conflict: %w", err)
				}
			}
		}
	}
	if res.Outcome != store.Applied {
		return nil
	}
	for i, w := range g {
		switch rev := res.Revisions[i]; {
		case w.Op == store.Put:
			if rev <= m.highest(w.Key) {
				return fmt.Errorf("%q was put at revision %d after %d", w.Key, rev, m.highest(w.Key))
			}
			m.given[w.Key] = append(m.given[w.Key], rev)
			m.records[w.Key] = &store.Record{
				Key: w.Key, Revision: rev, Value: w.Value, Meta: w.Meta, Version: w.Version,
				Expires: w.Expires.Truncate(time.Millisecond),
			}
		case w.Op == store.Delete && w.Base != 0:
			delete(m.records, w.Key)
		}
	}
	return nil
}

func (m *model) expired() error {
	if m.r.IntN(2) == 0 {
		m.e.advance(time.Duration(m.r.IntN(120)) * time.Second) // otherwise all would expire in the last minute
	}
	m.call("expired")
	found := map[string]bool{}
	for _, got := range m.e.expired(1000) {
		if !slices.Contains(m.keys, got.Key) {
			continue // of another run
		}
		rec := m.records[got.Key]
		if rec == nil || !rec.Expired(m.e.now) {
			return fmt.Errorf("Expired returned %s", recordText(got))
		}
		if err := equalRecords(got, *rec); err != nil {
			return fmt.Errorf("Expired: %w", err)
		}
		found[got.Key] = true
	}
	for key, rec := range m.records {
		if rec.Expired(m.e.now.Add(-time.Minute)) && !found[key] {
			return fmt.Errorf("Expired did not return %s", recordText(*rec))
		}
	}
	return nil
}

func (m *model) list() error {
	prefix, bound, limit := m.keys[0][:5], m.key(), 1+m.r.IntN(len(m.keys))
	m.call("list after %q, limit %d", bound, limit)
	var want []string
	for _, key := range m.keys {
		if rec := m.record(key); key > bound && rec.Revision != 0 && !rec.Expired(m.e.now) {
			want = append(want, key)
		}
	}
	if got := m.e.list(prefix, bound, limit); !slices.Equal(got, want[:min(limit, len(want))]) {
		return fmt.Errorf("List: %q, want %q", got, want)
	}
	return nil
}

func equalRecords(got, want store.Record) error {
	return sameRecord(got, store.Write{
		Key: want.Key, Value: want.Value, Meta: want.Meta, Version: want.Version, Expires: want.Expires,
	}, want.Revision)
}
