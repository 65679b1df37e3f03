package main

import "slices"

// A mutant is one line of the product, broken on purpose.
type mutant struct {
	name string // what the broken line does
	rule string // what it breaks, as in docs/rules.md
	file string // from the root of the repository
	// old stands in the file exactly once, and new takes its place. Texts are
	// as short as they can be, so that they outlive what happens around them.
	old, new string
	// tests are the packages that must notice, the quickest first.
	tests []string
}

// The packages that notice, in the order in which they are asked.
var (
	bySimulation = append([]string{"./internal/engine"}, by("changes")...)
	byRoot       = by("")
	byWeb        = []string{"./web"}
	byMemory     = []string{"./store/memstore"}
	bySQLite     = []string{"./store/sqlitestore"}
	byPostgres   = []string{"./store/pgstore"}
	byRedis      = []string{"./store/redisstore"}
	bySharded    = []string{"./store/sharded"}
	byNATS       = []string{"./store/natsstore"}
	byCloudflare = []string{"./store/cloudflarestore"}
)

// subjects are the folders of internal/proofs, the quickest tests first.
var subjects = []string{"signing", "values", "renames", "hooks", "observed", "logins", "nodes", "expiry", "changes", "keys", "sessions", "debounce", "memory", "watching", "once", "presence"}

// by are the packages that prove what package stay promises: first that of the
// subject which the mutant is about, if there is one, then the root and the
// others.
func by(subject string) (packages []string) {
	if subject != "" {
		packages = append(packages, "./internal/proofs/"+subject)
	}
	packages = append(packages, ".")
	for _, other := range subjects {
		if other != subject {
			packages = append(packages, "./internal/proofs/"+other)
		}
	}
	return append(packages, "./tests/faults")
}

var mutants = slices.Concat(coreMutants, storeMutants)

// coreMutants break what all stores share.
var coreMutants = []mutant{
	// Turns, batches and what their members are told.
	{
		"a change is acknowledged before it is stored", "E1", "internal/engine/turn.go",
		"m.working = next\n\t\tm.batch.push(w)\n\tcase",
		"m.working = next\n\t\te.own = done\n\t\tm.batch.push(&member{tell: make(chan verdict, 1), ctx: w.ctx, op: w.op})\n\tcase",
		bySimulation,
	},
	{
		"readers see a change before it is stored", "E3", "internal/engine/update.go",
		"eff := in.m.finish(w, how, next, late)",
		"eff := in.m.finish(w, how, next, late)\n\tin.publish(in.m.working)",
		by("changes"),
	},
	{
		"what a rejected batch did is not rolled back", "E1", "internal/engine/turn.go",
		"m.working = m.committed", "_ = m.committed", bySimulation,
	},
	{
		"two have the turn at once", "E8", "internal/engine/turn.go",
		"case m.holder == nil && !m.shut", "case !m.shut", bySimulation,
	},
	{
		"the turn is kept after a panic", "E10", "internal/engine/update.go",
		"told = e.finish(in, w, how, next)", "if returned {\n\t\t\ttold = e.finish(in, w, how, next)\n\t\t}", byRoot,
	},
	{
		"a change is used again while the store works on it", "E4", "state_change.go",
		"if err == nil {\n\t\t*o = op{}", "if true {\n\t\t*o = op{}", by("changes"),
	},
	{
		"what is read without the cache leaves memory first", "E6", "internal/engine/cache.go",
		"!one.used.Swap(false) ||", "true ||", by("memory"),
	},
	{
		"what comes back leaves memory like what came once", "E6", "internal/engine/cache.go",
		"case in.segment == usedOnce && later:", "case later && false:", by("memory"),
	},
	{
		"a request that uses a state twice comes back to it", "E6", "internal/engine/load.go",
		"later: !ref.First", "later: true", by("memory"),
	},
	{
		"what is loaded ahead of its use counts as used twice", "E6", "internal/engine/cache.go",
		"later := u.later && !in.early", "later := u.later", by("memory"),
	},
	{
		"a session's record and its state are loaded one after the other", "B9", "session_store.go",
		"ss.app.engine.Ahead(ctx, engine.Ref{Kind: ss.kind, Key: key}, engine.Ref{Kind: next.kind, Key: key})", "_ = ctx", by("memory"),
	},
	{
		"a user's record and state are loaded one after the other", "B9", "session_store.go",
		"if next != nil && next.scope == scopeUser {", "if false {", by("memory"),
	},
	{
		"what does not exist takes a place of what does", "E6", "internal/engine/load.go",
		"in.kind.cache.setAside(in)", "_ = in", by("memory"),
	},
	{
		"what values take in memory is not counted", "E6", "internal/engine/update.go",
		"next.weight = weigh(bytes)", "_ = bytes", by("memory"),
	},
	{
		"any number may wait for one state", "E6", "internal/engine/turn.go",
		"case m.waiting.n+m.batch.n >= m.limits.waiters:", "case false:", bySimulation,
	},
	// What the store answers.
	{
		"a write that is sent again after a lost answer runs twice", "E5", "internal/engine/outgoing.go",
		"return vanished // applied", "continue // applied", by("changes"),
	},
	{
		"a rejection of the second sending counts for the first", "E5", "internal/engine/outgoing.go",
		"if r.sent > 1 {", "if false {", by("changes"),
	},
	{
		"a conflict counts as success", "E5", "internal/engine/outgoing.go",
		"return conflicted // with others", "return vanished", by("changes"),
	},
	{
		"a write that is sent again after its record was deleted runs twice", "E5", "internal/engine/outgoing.go",
		"\treturn lost\n", "\treturn conflicted\n", by("nodes"),
	},
	{
		"a call that hangs holds up all other writes", "E8", "internal/engine/committer.go",
		"more := l.standIns < maxCommits-1", "more := false", by("nodes"),
	},
	{
		"any number of calls is made while the store hangs", "E6", "internal/engine/committer.go",
		"more := l.standIns < maxCommits-1", "more := true", by("nodes"),
	},
	{
		"two calls under way write the same key", "E5", "internal/engine/committer.go",
		"range l.under {", "range l.under[:0] {", by("nodes"),
	},
	{
		"a call that hangs is waited for until all patience is over", "E8", "internal/engine/attempt.go",
		"firstAttempt = 2 * time.Second", "firstAttempt = time.Hour", by("nodes"),
	},
	{
		"a slow store is taken for a broken one", "E8", "internal/engine/attempt.go",
		"firstAttempt << min(r.tries, 8)", "firstAttempt", by("nodes"),
	},
	{
		"a write that the store had no time for fails", "E8", "internal/engine/attempt.go",
		"if res.Outcome != store.Rejected ||", "if true ||", by("nodes"),
	},
	{
		"everybody waits for a store that is gone", "E6", "internal/engine/outage.go",
		"l.features.Immediate || l.pulse.probed.Swap(true)", "true", by("nodes"),
	},
	{
		"an outage never ends", "E8", "internal/engine/outage.go",
		"o != nil && p.outage.CompareAndSwap(o, nil)", "o != nil && false", by("nodes"),
	},
	{
		"one write without an answer is an outage", "E8", "internal/engine/outage.go",
		"l.askWithin(ctx, firstAttempt)\n\tif l.pulse", "l.askWithin(ctx, firstAttempt)\n\tif false && l.pulse", by("nodes"),
	},
	{
		"a write in doubt is given up in an outage", "E5", "internal/engine/backend.go",
		"err != nil && r.sent == 0", "err != nil", by("nodes"),
	},
	{
		"a state created anew has the birth of the one before", "K8", "internal/engine/meta.go",
		"v.birth = Birth(by.Birth())", "v.birth = 1", by("keys"),
	},
	{
		"a record keeps no birth when it is written again", "K7", "internal/engine/meta.go",
		"if base.Revision == 0 {", "if true {", by("keys"),
	},
	{
		"a record is shown after it has expired", "A15", "internal/engine/fetch.go",
		"!rec.Expires.IsZero() && rec.Expired(e.cfg.Now())", "false", by("expiry"),
	},
	{
		"a change overwrites an expired record that a hook must hear of", "A15", "internal/engine/load.go",
		"v.overExpired() == 0", "true", by("expiry"),
	},
	{
		"a change is stored although its state has expired while it ran", "A15", "internal/engine/commit.go",
		"base.expires != 0 && base.expired(e.cfg.Now())", "false", by("expiry"),
	},
	{
		"a state is shown after it has expired", "A15", "internal/engine/load.go",
		"!v.expired(ref.Now) || ", "true || ", by("expiry"),
	},
	// Debounce.
	{
		"a state leaves memory before it is saved", "A14", "internal/engine/evict.go",
		" || !in.clean()", "", by("debounce"),
	},
	{
		"a login goes on although what was kept back could not be saved", "A14", "internal/engine/group.go",
		"err := e.saveNow(ctx, p.in); err != nil", "err := e.saveNow(ctx, p.in); false", by("debounce"),
	},
	{
		"a save of unknown outcome is forgotten", "E5", "internal/engine/save.go",
		"d.doubtful = s\n", "_ = s\n", by("debounce"),
	},
	// Sessions and keys.
	{
		"a request under way changes what its session has left", "S5", "internal/engine/update.go",
		"ref.Guard != nil && !ref.Guard.Valid(in.m.committed)", "false", by("keys"),
	},
	{
		"a request under way brings back a session that has ended", "S5", "state_resolve.go",
		"all := r.companions(r.version)", "all := []engine.Companion(nil)", by("sessions"),
	},
	{
		"ids are stored as they are", "B3", "internal/keyspace/keyspace.go",
		"sum := sha256.Sum256(id[:])", "sum := sha256.Sum256(nil)\n\tcopy(sum[:], id[:])", by("sessions"),
	},
	{
		"a cookie is taken without its signature", "W1", "internal/signing/ring.go",
		"hmac.Equal(s.sum, sum[:len(s.sum)])", "len(s.sum) <= len(sum)", byRoot,
	},
	{
		"cookies of the long format are given up", "W1", "internal/signing/token.go",
		"case longFormat:\n\t\treturn sha256.Size\n", "case longFormat:\n\t\treturn 0\n", by("signing"),
	},
	{
		"any format of a cookie is one that is known", "W1", "internal/signing/token.go",
		"\t}\n\treturn 0\n", "\t}\n\treturn sha256.Size / 2\n", by("signing"),
	},
	{
		"everybody has the state of one session", "B4", "module_registry.go",
		"target{kind: m.kind, id: id}", "target{kind: m.kind, id: strings.Repeat(\"0\", 32)}", byRoot,
	},
	{
		"a cookie works on after it was replaced", "S5", "session_visit.go",
		"case v.gen < rec.Gen:\n", "case v.gen < rec.Gen:\n\t\tv.gen = rec.Gen\n\t\treturn true, time.Time{}\n\tcase false:\n", by("sessions"),
	},
	{
		"a session works on after it was destroyed", "S5", "session_visit.go",
		"case rec.past().Ended != 0:\n", "case false:\n", by("sessions"),
	},
	{
		"a session works on after its user has revoked it", "S7", "session_store.go",
		"return u.Epoch != rec.past().Epoch, ", "return false, ", by("logins"),
	},
	{
		"a switch takes the state of one key to the other", "K4", "state_move.go",
		"v := m.schema.Clone(there.Value)", "v := m.schema.Clone(mv.left.result)", by("keys"),
	},
	{
		"a session is attached to whatever has its key by now", "K8", "module_registry.go",
		"v.Revision != 0 && v.Birth() == t.birth", "v.Revision != 0", by("keys"),
	},
	{
		"what is read is the state itself", "M1", "state.go",
		"return s.module.schema.Clone(v).(*S), nil", "return v.(*S), nil", byRoot,
	},
	{
		"a record that cannot be read counts as absent", "M3", "module_type.go",
		"return engine.Loaded{}, t.corrupt(key, err)\n\t\t}\n\t\tif", "l.Value, err = t.schema.Initial(), nil\n\t\t}\n\t\tif", byRoot,
	},
	{
		"all nodes sweep at once", "A15", "internal/sweep/sweep.go",
		"if len(recs) > 0 && !s.Store", "if len(recs) < 0 && !s.Store", by("nodes"),
	},
	{
		"a node that died keeps the others from sweeping", "A15", "internal/sweep/hint.go",
		"|| !res.Current[0].Expired(now)", "|| true", by("nodes"),
	},
	{
		"a sweep does not look again once it has claimed", "A15", "internal/sweep/due.go",
		"case rec.Revision == d.expired[i].Revision:", "case true:", by("expiry"),
	},
	{
		"memory is taken for the truth on a shared store", "N1", "base.go",
		"b != nil && !b.Features().SoleOwner", "b != nil && b == nil", by("nodes"),
	},
	{
		"a read takes over a load that began before it", "N1", "internal/engine/prefetch.go",
		"joined[b] = append(joined[b], read{in: in, ref: i})", "_ = joined[b]", by("nodes"),
	},
	{
		"a read takes the answer of a call that was sent before it", "N1", "internal/engine/query.go",
		"l.answer(all)\n\t}\n}",
		"l.answer(all)\n\t}\n\tif q == nil {\n\t\treturn\n\t}\n\tfor _, late := range l.queries.gather(q)[1:] {\n\t\tif len(late.reads) == 1 && late.reads[0] == q.reads[0] {\n\t\t\tlate.recs, late.err = q.recs, q.err\n\t\t} else {\n\t\t\tl.answer([]*query{late})\n\t\t}\n\t\tall = append(all, late)\n\t}\n}",
		bySimulation,
	},
	{
		"a record that two callers read with different revisions is left out", "N1", "internal/engine/query.go",
		"case reads[i].Have != r.Have:", "case false:", bySimulation,
	},
	{
		"a record that cannot be read fails those who read others", "E8", "internal/engine/query.go",
		"len(all) > 1 && l.causedByRecord(err)", "false", bySimulation,
	},
	{
		"what one database does not answer holds up what others hold", "E8", "internal/engine/engine.go",
		"ok && b.features.Places", "false && ok && b.features.Places", by("nodes"),
	},
	{
		"a record about which a database that is down has to be asked fails those who read others", "E8", "internal/engine/query.go",
		"if l.placer == nil || l.pulse", "if true || l.pulse", by("nodes"),
	},
	{
		"a node stops sweeping because a database that it does not need is down", "A15", "internal/sweep/hint.go",
		"s.hint.lost = s.Store.Features().Places", "s.hint.lost = false", by("nodes"),
	},
	{
		"a new day stops all changes until the list of modules is written", "E8", "module_catalog.go",
		"if !renews && c.current()", "if renews {\n\t\tc.registered.Add(1)\n\t}\n\tif !renews && c.current()", by("nodes"),
	},
	{
		"a deletion that is read counts as older than all else", "N1", "internal/engine/prefetch.go",
		"(v.recordRevision() == 0) != (now.recordRevision() == 0)", "false", by("nodes"),
	},
	{
		"a late answer brings an old record into memory", "N1", "internal/engine/companions.go",
		"if !k.Backend.features.SoleOwner {", "if false {", bySimulation,
	},
	{
		"a late answer takes back what another node has made since", "N1", "internal/engine/conclude.go",
		"in.snapshot.Load().Revision > in.m.working.Revision", "false", by("nodes"),
	},
	{
		"what was overtaken is kept", "E1", "internal/engine/turn.go",
		"m.committed, m.working = v, v\n\tm.waiting", "m.committed = v\n\tm.waiting", bySimulation,
	},
	{
		"a batch that runs again waits behind the others", "E8", "internal/engine/turn.go",
		"m.waiting.putBefore(&m.batch)\n\tm.shut", "for w := m.batch.take(); w != nil; {\n\t\tnext := w.next\n\t\tw.next, w.prev = nil, nil\n\t\tm.waiting.push(w)\n\t\tw = next\n\t}\n\tm.shut", bySimulation,
	},
	{
		"a deletion does not ask for the record", "E5", "internal/engine/update.go",
		"how == deleted && ref.Unasked", "false", by("nodes"),
	},
	{
		"a deletion leaves no tombstone", "E5", "internal/engine/removal.go",
		"base.Revision == 0 || !base.inDoubt()", "true", by("nodes"),
	},
	{
		"a tombstone leaves with the next sweep", "E5", "internal/sweep/tombstone.go",
		"rec.Expired(until)", "rec.Expired(until) || true", by("nodes"),
	},
	{
		"a node whose clock is behind reads a tombstone", "E5", "internal/engine/fetch.go",
		" || deleted {", " {", by("nodes"),
	},
	{
		"a conflict is a reason to read the record", "E4", "internal/engine/commit.go",
		"how == conflicted && b.movesOn(res)", "how == conflicted && false", by("nodes"),
	},
	{
		"a change whose caller has left runs again", "E4", "internal/engine/overtaken.go",
		"case abandoned:\n\t\treturn false", "case abandoned:\n\t\tw.tell <- queued", by("nodes"),
	},
	{
		"who has lost twice does not join", "E4", "internal/engine/contest.go",
		"len(c.rota) > 0 || c.losses >= maxLosses", "len(c.rota) > 0", by("nodes"),
	},
	{
		"a node that always wins does not look for others", "E4", "internal/engine/contest.go",
		"if now.Sub(last) < lookTime {", "if true {", by("nodes"),
	},
	{
		"each commit looks for others", "E4", "internal/engine/contest.go",
		"if now.Sub(last) < lookTime {", "if false {", by("nodes"),
	},
	{
		"a node writes in another node's turn", "E4", "internal/engine/contest.go",
		"return !c.mine || c.rota.at(cs.node) < 0", "return false", by("nodes"),
	},
	{
		"a dead node keeps its turn", "E4", "internal/engine/attend.go",
		"case c.late(a.contests.node):", "case false:", by("nodes"),
	},
	{
		"a node that has what it wants stays in the rota", "E4", "internal/engine/attend.go",
		"next := c.rota.without(a.contests.node)", "next := c.rota", by("nodes"),
	},
	{
		"a change runs in vain before its turn", "E4", "internal/engine/update.go",
		"if e.mustWait(in, w) {", "if false {", by("observed"),
	},
	{
		"a turn in which nothing is written does not end", "E4", "internal/engine/instance.go",
		"if a.pass != nil {", "if false {", by("nodes"),
	},
	{
		"a rota that cannot be read is not replaced", "E4", "internal/engine/contest.go",
		"c.rev, c.rota, c.last = rec.Revision, readRota(rec), -1", "c.rota, c.last = readRota(rec), -1\n\t\tif c.rota != nil {\n\t\t\tc.rev = rec.Revision\n\t\t}", by("nodes"),
	},
	{
		"a change waits for a turn after its context is over", "E4", "internal/engine/update.go",
		"if in.m.aside {", "if false {", by("nodes"),
	},
	{
		"losers wait for longer than a round trip", "E4", "internal/engine/retry.go",
		"max(e.roundTrip(), time.Millisecond)", "time.Minute", bySimulation,
	},
	{
		"a change does not check the session that it was made for", "N1", "state_resolve.go",
		"list := []engine.Companion{{Kind: r.ss.kind, Key: r.session, Base: r.latest}}", "var list []engine.Companion", by("nodes"),
	},
	{
		"a change does not check that its user has not revoked the session", "N1", "state_resolve.go",
		"return append(list, engine.Companion{Kind: r.ss.users, Key: user, Base: r.user}), true", "return list, true", by("nodes"),
	},
	{
		"what changes nothing is answered from memory", "N1", "internal/engine/turn.go",
		"e.own = unproven", "e.own = done", bySimulation,
	},
	{
		"what changed nothing stands although the store has moved on", "N1", "internal/engine/update.go",
		"e.Peek(in.kind, in.key) != from", "from == nil", by("nodes"),
	},
	{
		"a session that is to slide is taken from memory", "S5", "session_cookie.go",
		"!v.carried && (due || late)", "false && (due || late)", by("nodes"),
	},
	{
		"a session that was not asked about counts as used", "S5", "session_cookie.go",
		"return v.seen(ver), true", "v.carried = true\n\treturn v.seen(ver), true", by("nodes"),
	},
	{
		"an ended cookie is refused until the clock has caught up", "S5", "session_visit.go",
		"now.Sub(since).Abs() < grace", "now.Sub(since) < grace",
		[]string{"./tests/faults"},
	},
	// Programs with different modules on one store.
	{
		"a state is stored before its module is listed", "A15", "module_catalog.go",
		"!s.catalog.current() && storesState", "false && storesState", by("nodes"),
	},
	{
		"a sweep removes what another program has a hook of", "A15", "internal/sweep/sweep.go",
		"if !s.hookElsewhere(&rec) {", "if true {", by("nodes"),
	},
	{
		"what ends with its session is not told to the program with the hook", "A15", "internal/sweep/due.go",
		"if d.hookElsewhere[rec.Key] {", "if false {", by("nodes"),
	},
	{
		"a guest that waits is not taken along", "K2", "state_resolve.go",
		"m.guestWaits(rec) && !nested(ctx)", "m.guestWaits(rec) && false", by("nodes"),
	},
	{
		"a login has no guest wait for the program that knows the module", "K2", "session_login.go",
		"rec.wait(module, l.user)", "_ = module", by("nodes"),
	},
	{
		"Destroy leaves states of modules that its program does not have", "S5", "session_store.go",
		"c.deleteForeign(ctx, id, rec)", "c.deleteForeign(ctx, \"\", rec)", by("nodes"),
	},
	// Modules that had other names.
	{
		"a state that moves to the new name stays under the old one, too", "A3", "internal/rename/commit.go",
		"pl.add(st, under, store.Write{Op: store.Delete, Base: base})", "_ = base", by("renames"),
	},
	{
		"a state of a renamed module is created beside one of the release before", "A5", "internal/rename/commit.go",
		"pl.add(st, i+1, store.Write{Op: store.Check})", "_ = i", by("renames"),
	},
	{
		"a session loses its key when the module is renamed", "S3", "session_store.go",
		"rec.rename(r.former, r.now)", "_ = r", by("renames"),
	},
	// Watches.
	{
		"a state is read before it is watched", "L3", "state_follow.go",
		"\t\tmoved := f.enter(s, at)\n", "\t\tmoved := false\n\t\tdefer f.enter(s, at)\n", by("watching"),
	},
	{
		"a commit wakes nobody", "L5", "internal/engine/instance.go",
		"case !was.alike(v):", "case false:", by("watching"),
	},
	{
		"a deleted state wakes nobody", "L5", "internal/engine/evict.go",
		"if last != nil { // a load", "if false { // a load", by("watching"),
	},
	{
		"a state that is lost with the memory wakes nobody", "L5", "internal/engine/evict.go",
		"if in.again() {", "if true {", by("watching"),
	},
	{
		"what is swept after its eviction wakes nobody", "L5", "internal/engine/evict.go",
		"e.changed(k, key) // whoever saw", "// whoever saw", by("watching"),
	},
	{
		"a load that finds a later version wakes nobody", "L5", "internal/engine/instance.go",
		"b != nil && !b.features.SoleOwner {", "false && b != nil {", by("watching"),
	},
	{
		"a wake is lost while nobody waits for it", "L1", "internal/engine/watch.go",
		"make(chan struct{}, 1)", "make(chan struct{})", by("watching"),
	},
	{
		"a goroutine wakes many once, and never again", "L2", "internal/engine/watch.go",
		"t.told = false", "t.told = true", bySimulation,
	},
	{
		"who ends a watch ends those of others", "L5", "internal/engine/watch.go",
		"last == 0 {", "true {", bySimulation,
	},
	{
		"a watch outlives its session", "L4", "state_follow.go",
		"at = append(at, place{r.ss.kind, r.session})\n", "", by("watching"),
	},
	{
		"a watch outlives a revocation", "L4", "state_follow.go",
		`user != "" {`, `user == "?" {`, by("watching"),
	},
	{
		"a request goes on to watch after its own login", "L4", "state_follow.go",
		"f.cookie.gen == r.gen", "true", by("watching"),
	},
	{
		"a state expires unseen", "L5", "state_follow.go",
		"\t\tf.expect(s, now, v.Expires(), r.ends()...)\n", "\t\t_ = now\n", by("watching"),
	},
	{
		"a watch begins with what memory remembers", "L3", "state_follow.go",
		"if s.settled || n == 1 && c.shared() {", "if true {", by("watching"),
	},
	{
		"the same content is yielded again", "L6", "state_follow.go",
		"first || !v.is.alike(last)", "first || !v.is.alike(last) || true", by("watching"),
	},
	{
		"a watch goes on after Close has begun", "L6", "state_follow.go",
		"ending := c.app.engine.Ending().Done()", "ending := make(chan struct{})", by("watching"),
	},
	// What other nodes change.
	{
		"what another node has changed is not read", "L34", "internal/engine/nodes.go",
		"n.due[s] = c.Revision", "_ = rev", by("watching"),
	},
	{
		"a load under way hides what another node has changed", "L34", "internal/engine/nodes_compare.go",
		"if in == was.in && was.have != nil {", "if true {", by("watching"),
	},
	{
		"what another node has changed wakes nobody while it is not in memory", "L34", "internal/engine/nodes_compare.go",
		"n.engine.changed(s.kind, s.key)", "_ = s", by("watching"),
	},
	{
		"a record that cannot be read hides what is watched beside it", "L34", "internal/engine/nodes_compare.go",
		"(len(some) == 1 ||", "(true ||", by("watching"),
	},
	{
		"memory is read for each announcement, newer or not", "L34", "internal/engine/nodes.go",
		"if _, have, known := n.have(s); !known || rev == 0 || rev > have.Have {", "if _, have, known := n.have(s); true || known || rev > have.Have {", by("watching"),
	},
	{
		"a round compares nothing", "L35", "internal/engine/nodes.go",
		"err := n.compare(ctx, some)", "if round {\n\t\t\tsome = nil\n\t\t}\n\t\terr := n.compare(ctx, some)", by("watching"),
	},
	{
		"rounds go on when nobody watches", "L35", "internal/engine/nodes.go",
		"if len(n.watched) == 0 {", "if false {", by("watching"),
	},
	{
		"rounds take all the time", "L35", "internal/engine/nodes.go",
		"roundShare * time.Since(began)", "0", by("watching"),
	},
	{
		"announcements that end do not begin again", "L36", "internal/engine/nodes.go",
		"if errors.Is(err, errors.ErrUnsupported) {", "if true || errors.Is(err, errors.ErrUnsupported) {", by("watching"),
	},
	{
		"lost announcements are overlooked", "L36", "internal/engine/nodes.go",
		"n.lost = n.lost || lost", "_ = lost", by("watching"),
	},
	{
		"a change under a former name wakes nobody", "M6", "internal/rename/rename.go",
		"c.Key = at.p.key(0, id)", "_ = id",
		[]string{"./internal/rename"},
	},
	// Changes that take effect once.
	{
		"what came again is made again", "L28", "internal/engine/update.go",
		"\tcase known:\n\t\top.(NamedOp).Known()", "\tcase known && false:\n\t\top.(NamedOp).Known()", by("once"),
	},
	{
		"a name is looked up in what is stored, not in what is on its way", "L28", "internal/engine/update.go",
		"work.knows(name)", "in.m.committed.knows(name)", by("once"),
	},
	{
		"a dropped run and the next write to the same memory", "L28", "internal/engine/once.go",
		"r.used.CompareAndSwap(n.to, n.to+meta.ActionSize)", "n.to >= 0", bySimulation,
	},
	{
		"names are not part of what is written", "L27", "internal/engine/meta.go",
		", Actions: v.names().list()", "", by("once"),
	},
	{
		"a node does not look at the names that others have kept", "L28", "internal/engine/meta.go",
		"known := loadedNames(b)", "known := names{}", by("once"),
	},
	{
		"a save does not count names as a change", "L32", "internal/engine/save.go",
		" && v.names() == base.names()", "", by("once"),
	},
	{
		"a login leaves the guest's names behind", "L32", "module_hooks.go",
		"return engine.Result{Value: v, From: guest}, !fits, nil", "return engine.Result{Value: v}, !fits, nil", by("once"),
	},
	{
		"a guest who is too large keeps the names", "L32", "module_hooks.go",
		"if writable, err := m.fits(v); !writable || err != nil {", "if err == nil {", by("once"),
	},
	{
		"a guest who is too large for a key keeps the names", "L32", "state_move.go",
		"mv.unwritable = !fits", "mv.unwritable = true", by("once"),
	},
	{
		"a logout with an id leaves no trace", "L32", "state_move.go",
		` && mv.naming.request == nil {`, " {", by("once"),
	},
	{
		"another content passes for the same", "L29", "internal/engine/version.go",
		"return false, errReused", "return true, nil", by("once"),
	},
	{
		"what is called after a change is called again", "L29", "state_change.go",
		"o.naming.known, o.call = true, nil", "o.naming.known = true", by("once"),
	},
	{
		"names stay for ever", "L31", "internal/engine/once.go",
		"nameMinutes = 24 * 60", "nameMinutes = 24 * 60 * 60", by("once"),
	},
	{
		"a redirect of what was made leads to other sites", "L29", "web/once.go",
		"isLocal(page) && navigates(r)", `page != "" && navigates(r)`, byWeb,
	},
	{
		"the boundary of a form is content", "L29", "web/once.go",
		`boundary := []byte(params["boundary"])`, `boundary := []byte("?" + params["boundary"])`, byWeb,
	},
	// Live pages.
	{
		"the first change of a pause wakes nobody", "L12", "internal/engine/watch.go",
		"!w.Paced || !w.changed.Swap(true)", "!w.Paced || w.changed.Swap(true)", byWeb,
	},
	{
		"a stream hears of its end with the next change only", "L17", "web/stream.go",
		"context.AfterFunc(ctx, poke)", "context.AfterFunc(ctx, func() {})", byWeb,
	},
	{
		"the deadline of a stream is left to the next response", "L13", "web/stream.go",
		"if !s.until.IsZero() {", "if false {", byWeb,
	},
	{
		"a rendering of an older version is sent", "L11", "web/live_render.go",
		"r != nil && r.key == key", "r != nil", byWeb,
	},
	// HTTP.
	{
		"a request of another site is served", "W7", "web/sessions.go",
		"s.checkOrigin(r); err != nil", "s.checkOrigin(r); false", byWeb,
	},
	{
		"an old browser's request of another site is served", "W7", "internal/origin/origin.go",
		`return first(h["Origin"]) == ""`, "return true", byWeb,
	},
	{
		"a request of a neighbour's site is served", "W7", "internal/origin/origin.go",
		`case "same-origin", "none":`, `case "same-origin", "same-site", "none":`, byWeb,
	},
	{
		"the answer leaves before the change is stored", "W5", "web/handlers.go",
		"return u.recorder.err()", "u.recorder.send()\n\treturn u.recorder.err()", byWeb,
	},
	{
		"a cookie says what another one said", "W1", "internal/signing/cache.go",
		"[]byte(value)) == 0", "[]byte(value)) < 0", byRoot,
	},
	{
		"what a failed run did to the header is sent", "W5", "web/recorder.go",
		"clear(h)\n", "_ = h\n", byWeb,
	},
	{
		"scripts can read the cookie", "W1", "web/cookie.go",
		"HttpOnly: true,", "HttpOnly: false,", byWeb,
	},
}
