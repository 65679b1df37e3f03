package main

// storeMutants break the stores.
var storeMutants = []mutant{
	// The stores.
	{
		"a write in memory does not look at the revision", "C2", "store/memstore/memstore.go",
		"return w.Base == rec.Revision", "return true", byMemory,
	},
	{
		"a write on disk does not look at the revision", "C2", "store/sqlitestore/tx.go",
		"uint64(revision) == uint64(group[i].Base)", "true", bySQLite,
	},
	{
		"commits are not synced to the disk", "C5", "store/sqlitestore/conn.go",
		`pragma("synchronous", "FULL")`, `pragma("synchronous", "OFF")`, bySQLite,
	},
	{
		"a revision does not say which timeline it is of", "C3", "store/pgstore/write.go",
		"::bigint << 40)", "::bigint * 0)", byPostgres,
	},
	{
		"a group in PostgreSQL may begin at any time", "C6", "store/pgstore/write.go",
		"clock_timestamp() < $9::timestamptz", "$9::timestamptz IS NOT NULL", byPostgres,
	},
	{
		"a replacement in PostgreSQL may begin at any time", "C6", "store/pgstore/write.go",
		"r.rev = w.base AND clock_timestamp() < $7::timestamptz", "r.rev = w.base AND $7::timestamptz IS NOT NULL", byPostgres,
	},
	{
		"what a group in PostgreSQL checks may change before its commit", "C2", "store/pgstore/write.go",
		" FOR NO KEY UPDATE OF r", "", byPostgres,
	},
	{
		"two transactions in PostgreSQL wait for each other's records", "C2", "store/pgstore/write.go",
		"ORDER BY key DESC FOR UPDATE", "ORDER BY key FOR UPDATE", byPostgres,
	},
	{
		"an error that ends the connection counts as a rollback", "C6", "store/pgstore/errors.go",
		`pg.SeverityUnlocalized == "ERROR"`, `pg.SeverityUnlocalized != ""`, byPostgres,
	},
	{
		"creations of one record do not wait for each other", "C2", "store/pgstore/commit.go",
		"if len(locks) > 0", "if false", byPostgres,
	},
	{
		"revisions of a restored dump go on where the dump ended", "C3", "store/pgstore/schema.go",
		"1099511627776 + greatest", "0 + greatest", byPostgres,
	},
	{
		"a commit that its standby does not have is acknowledged", "C5", "store/pgstore/errors.go",
		`n.Routine == "SyncRepWaitForLSN"`, `n.Routine == ""`, byPostgres,
	},
	{
		"a proxy is taken for the server", "C2", "store/pgstore/settings.go",
		"pid != c.PgConn().PID()", "false", byPostgres,
	},
	{
		"rows are locked in any order behind a proxy", "C2", "store/pgstore/conn.go",
		"newLocals(others, planning, transactionSettings)", "newLocals(others, transactionSettings)", byPostgres,
	},
	{
		"a standby answers reads behind a proxy", "C1", "store/pgstore/read.go",
		"if standby", "if false", byPostgres,
	},
	{
		"nobody is told that announcements were lost", "C5", "store/pgstore/watch.go",
		"inbox.add(nil, true)", "inbox.add(nil, false)", byPostgres,
	},
	{
		"a watch that has just begun misses the first changes", "C5", "store/pgstore/announce.go",
		"return a.watched || time.Since(a.known) > a.freshness", "return a.watched", byPostgres,
	},
	{
		"a group in Redis may arrive at any time", "C6", "store/redisstore/commit.lua",
		"if fence and tonumber", "if false and tonumber", byRedis,
	},
	{
		"the fence in Redis is not raised", "C6", "store/redisstore/commit.lua",
		"if ARGV[3] == '1' then", "if ARGV[3] == '2' then", byRedis,
	},
	{
		"what got no answer does not raise the fence", "C6", "store/redisstore/commit.go",
		"p.fence.doubt(epoch)", "_ = epoch", byRedis,
	},
	{
		"an answer from Redis that did not come is a refusal", "C6", "store/redisstore/errors.go",
		"return store.Unknown", "return store.Rejected", byRedis,
	},
	{
		"a connection that Redis has closed is used", "C6", "store/redisstore/conn.go",
		"&& closedByPeer(c.Conn)", "&& closedByPeer(nil)", byRedis,
	},
	{
		"half of a group is applied in Redis", "C2", "store/redisstore/commit.lua",
		"refused[first] = true", "refused[i] = true", byRedis,
	},
	{
		"a full Redis refuses deletions", "C2", "store/redisstore/commit.go",
		`code(err) == "OOM" && len(others) > 0`, `code(err) == "OOM" && false`, byRedis,
	},
	{
		"revisions in Redis do not know the time", "C3", "store/redisstore/commit.lua",
		"rev = time[1] * 1000000 + time[2]", "rev = time[1] * 0 + 1", byRedis,
	},
	{
		"revisions in Redis know the time alone", "C3", "store/redisstore/commit.lua",
		"if tonumber(ARGV[5]) >= rev then", "if false then", byRedis,
	},
	{
		"a deletion in Redis leaves nothing behind", "C3", "store/redisstore/commit.lua",
		"if deleted > tonumber(", "if 0 > tonumber(", byRedis,
	},
	{
		"an expiry that changes stays in the index of Redis", "C4", "store/redisstore/commit.lua",
		"if expires ~= expired then", "if expired == '' then", byRedis,
	},
	{
		"a Redis that syncs every second counts as durable", "C5", "store/redisstore/settings.go",
		`config["appendfsync"] == "always"`, `config["appendfsync"] != "no"`, byRedis,
	},
	{
		"a Redis that evicts records is taken", "C5", "store/redisstore/settings.go",
		`strings.HasPrefix(policy, "allkeys-")`, `strings.HasPrefix(policy, "none-")`, byRedis,
	},
	{
		"a replica of Redis answers reads", "C1", "store/redisstore/script.go",
		"rueidis.NewLuaScript(allowOOM + loadSource)", "rueidis.NewLuaScript(loadSource)", byRedis,
	},
	{
		"nobody is told that announcements of Redis were lost", "C5", "store/redisstore/watch.go",
		"in.add(nil, true)", "in.add(nil, false)", byRedis,
	},
	// Groups over several homes.
	{
		"a reader gets what a group that is not decided would make", "C1", "store/sharded/load.go",
		"v.lock.become(pending, v.at)", "v.lock.become(committed, v.at)", bySharded,
	},
	{
		"what stands in the way is taken for aborted, and nobody is told", "C2", "store/sharded/load.go",
		"ended, err := s.abort(ctx, late)", "ended := make([]fate, len(late))\n\tfor i := range ended {\n\t\tended[i] = aborted\n\t}", bySharded,
	},
	{
		"locks become new records before the group is decided", "C2", "store/sharded/across.go",
		"return t.decide(t.parts[last])", "_ = s.release(ctx, t.locks, map[string]fate{t.tx: committed})\n\treturn t.decide(t.parts[last])", bySharded,
	},
	{
		"the last home decides before the others are locked", "C2", "store/sharded/across.go",
		"for _, part := range t.parts[:last] {", "if res, again := t.decide(t.parts[last]); res.Outcome != store.Applied || again {\n\t\treturn res, again\n\t}\n\tfor _, part := range t.parts[:last] {", bySharded,
	},
	{
		"what a group over homes checks is not locked", "C2", "store/sharded/across.go",
		"put[i] = l.write(t.views[j].at)", "if put[i] = l.write(t.views[j].at); l.next == keep {\n\t\t\t\tput[i] = t.views[j].on(t.g[j])\n\t\t\t}", bySharded,
	},
	{
		"what a group over homes says is absent is not locked", "C2", "store/sharded/form.go",
		"if l.old.Revision == 0 {\n\t\tw.Expires", "if l.old.Revision == 0 && l.next != replace {\n\t\treturn store.Write{Op: store.Check, Key: l.old.Key}\n\t}\n\tif l.old.Revision == 0 {\n\t\tw.Expires", bySharded,
	},
	{
		"a group is forgotten while a lock of it may be left", "C2", "store/sharded/across.go",
		"map[string]fate{t.tx: committed}) == nil {", "map[string]fate{t.tx: committed}) != errBusy {", bySharded,
	},
	{
		"a sweep forgets a group without finishing it", "C2", "store/sharded/sweep.go",
		"f == committed && s.finish(ctx, raw.Key, keys) != nil", "f == committed && keys == nil", bySharded,
	},
	{
		"a sweep forgets a group that its process may ask for", "C6", "store/sharded/sweep.go",
		"if time.Now().Before(raw.Expires) {", "if false {", bySharded,
	},
	{
		"a decision whose answer was lost counts as aborted", "C6", "store/sharded/across.go",
		"switch f, _, _ := fateOf(res.Current[0]); f {", "switch f := aborted; f {", bySharded,
	},
	{
		"a group in doubt may be decided after later ones", "C6", "store/sharded/commit.go",
		"open := s.settle(ctx, groups)", "open := map[string]string(nil)", bySharded,
	},
	{
		"a record has another revision once its lock is gone", "C3", "store/sharded/load.go",
		"}, rec.Revision)", "}, 0)", bySharded,
	},
	{
		"revisions are those of the store below", "C3", "store/sharded/form.go",
		"return 2 * below", "return below", bySharded,
	},
	{
		"a lock is never given up", "C2", "store/sharded/known.go",
		"return time.Since(l.first) >= pushTime", "return false", bySharded,
	},
	{
		"homes are locked in any order", "C2", "store/sharded/across.go",
		"cmp.Or(len(b)-len(a), cmp.Compare(a, b))", "cmp.Compare(t.tx+a, t.tx+b)*0 + rand.IntN(3) - 1", bySharded,
	},
	{
		"a caller's Meta is taken for the store's own", "C6", "store/sharded/form.go",
		"case len(w.Meta) > 0 && w.Meta[0] >= escaped:", "case len(w.Meta) < 0:", bySharded,
	},
	{
		"List does not look for groups that are not finished", "C2", "store/sharded/sweep.go",
		"if err == nil && f == committed {", "if err == nil && f == pending {", bySharded,
	},
	{
		"a router opens stores that belong to others", "C5", "store/sharded/layout.go",
		"case !slices.Equal(got.Names, names):", "case false && !slices.Equal(got.Names, names):", bySharded,
	},
	{
		"a router takes an empty store for one of its own", "C5", "store/sharded/layout.go",
		"if first.Ready {\n\t\t\t\treturn fmt", "if first.Ready && rev != 0 {\n\t\t\t\treturn fmt", bySharded,
	},
	{
		"a router announces before all stores do", "C5", "store/sharded/router_watch.go",
		"if w.waits > 0 {", "if w.waits > len(w.places) {", bySharded,
	},
	{
		"a router announces nothing while one of its stores cannot", "C5", "store/sharded/router_watch.go",
		"w.waits == 0 && w.up == 0:", "true:", bySharded,
	},
	{
		"what a silent database has to be asked for holds up each read", "E8", "store/sharded/silent.go",
		"s.until[reads[i].Key] = time.Now().Add(fateTime)", "_ = i", by("nodes"),
	},
	{
		"a replica of NATS that is behind answers reads", "C1", "store/natsstore/read.go",
		"if upTo < floor {", "if upTo < 0*floor {", byNATS,
	},
	{
		"an answer of NATS that is cut off counts as whole", "C1", "store/natsstore/read.go",
		"if err != nil || rest == 0 {", "if err != nil || rest >= 0 {", byNATS,
	},
	{
		"a write in NATS does not look at the revision", "C2", "store/natsstore/publish.go",
		"m.Header.Set(hdrExpected, strconv", "m.Header.Set(\"Stay-Expected\", strconv", byNATS,
	},
	{
		"what a group in NATS checks is not looked at", "C2", "store/natsstore/publish.go",
		"m.Header.Set(hdrExpectedOf, m.Subject)", "_, seq = hdrExpectedOf, 0", byNATS,
	},
	{
		"a revision of NATS that nobody was given meets the mark of a deletion", "C2", "store/natsstore/commit.go",
		"possible = possible && ok", "possible = possible || ok", byNATS,
	},
	{
		"nothing in NATS takes the place of a deleted record", "C2", "store/natsstore/commit.go",
		"over[i] = there[i].seq", "_ = there[i].seq", byNATS,
	},
	{
		"an expired record in NATS is dropped at once", "C4", "store/natsstore/publish.go",
		"w.Expires.Sub(now), 0)+marks)", "w.Expires.Sub(now), 0)+0)", byNATS,
	},
	{
		"a stream of NATS with one replica counts as durable", "C5", "store/natsstore/stream.go",
		"(s.synced || s.replicas >= manyReplicas)", "(s.synced || s.replicas >= 1)", byNATS,
	},
	{
		"a stream of NATS that drops old records is taken", "C5", "store/natsstore/stream.go",
		"{c.MaxAge == 0, ", "{c.MaxAge >= 0, ", byNATS,
	},
	{
		"nobody is told that announcements of NATS were lost", "C5", "store/natsstore/watch.go",
		"announce(nil, true)", "announce(nil, false)", byNATS,
	},
	{
		"an answer of NATS that did not come is a refusal", "C6", "store/natsstore/publish.go",
		"case !ok:\n\t\treturn inDoubt", "case !ok:\n\t\treturn refused", byNATS,
	},
	{
		"a full stream of NATS leaves doubts", "C6", "store/natsstore/publish.go",
		`strings.HasPrefix(r.Description, "maximum ")`, `strings.HasPrefix(r.Description, "minimum ")`, byNATS,
	},
	{
		"a group may arrive at an object at any time", "C6", "store/cloudflarestore/worker.js",
		"if (fence && fence.epoch > epoch)", "if (false && fence.epoch > epoch)", byCloudflare,
	},
	{
		"an object does not raise its fence", "C6", "store/cloudflarestore/worker.js",
		"if (raise) this.raise(node, epoch);", "if (false) this.raise(node, epoch);", byCloudflare,
	},
	{
		"what got no answer from an object is forgotten", "C6", "store/cloudflarestore/fence.go",
		"f.doubts[object] = max(f.doubts[object], epoch)", "_ = epoch", byCloudflare,
	},
	{
		"an answer of a Worker that did not come is a refusal", "C6", "store/cloudflarestore/client.go",
		"return !refused && !errors.Is(err, errNotSent)", "return refused && !errors.Is(err, errNotSent)", byCloudflare,
	},
	{
		"what a Worker never got is in doubt", "C6", "store/cloudflarestore/client.go",
		"if !connected.Load() {", "if false && !connected.Load() {", byCloudflare,
	},
	{
		"a commit waits for a Worker as long as its caller", "C6", "store/cloudflarestore/commit.go",
		"ctx, cancel := context.WithTimeout(ctx, limit)", "ctx, cancel := context.WithTimeout(ctx, 1000*limit)", byCloudflare,
	},
	{
		"what an object has made is refused since it fails afterwards", "C6", "store/cloudflarestore/worker.js",
		"this.remind(object, book);\n      return done;",
		"try { this.remind(object, book); } catch (e) { return { results: [{ failed: String(e) }] }; }\n      return done;", byCloudflare,
	},
	{
		"half of a group stays in an object", "C2", "store/cloudflarestore/worker.js",
		"return { revs: this.ctx.storage.transactionSync(() => group.map((w, i) => this.write(w, heads[i]))) };", "return { revs: group.map((w, i) => this.write(w, heads[i])) };", byCloudflare,
	},
	{
		"an object that fails fails the others", "C2", "store/cloudflarestore/worker.js",
		"return { error: String(e) };", "throw e;", byCloudflare,
	},
	{
		"revisions of objects do not know the time", "C3", "store/cloudflarestore/worker.js",
		"Math.max(Date.now() * 1000, (head", "Math.max(1, (head", byCloudflare,
	},
	{
		"revisions of objects know the time alone", "C3", "store/cloudflarestore/worker.js",
		"(head ? head.revision : this.floor()) + 1)", "1)", byCloudflare,
	},
	{
		"a deletion in an object leaves nothing behind", "C3", "store/cloudflarestore/worker.js",
		"if (revision > this.floor()) this.setMark", "if (false) this.setMark", byCloudflare,
	},
	{
		"an expiry that changes is not stored by an object", "C4", "store/cloudflarestore/worker.js",
		"if (expires !== head.expires) this.sql", "if (false) this.sql", byCloudflare,
	},
	{
		"a book is not told of what expires", "C4", "store/cloudflarestore/worker.js",
		"at = await this.tell(object, book);", "at = coming.at;", byCloudflare,
	},
	{
		"a book is not corrected", "C4", "store/cloudflarestore/worker.js",
		"if (book && found.length === 0) await this.correct", "if (false) await this.correct", byCloudflare,
	},
	{
		"a book believes what it is told last", "C4", "store/cloudflarestore/worker.js",
		"WHERE excluded.number > homes.number", "WHERE excluded.number > 0", byCloudflare,
	},
	{
		"the first names of some objects count as the first of all", "C4", "store/cloudflarestore/read.go",
		"return keys[:n+1], false", "return keys[:max(n+1, len(keys))], false", byCloudflare,
	},
	{
		"whoever asks for nothing gets tables", "A17", "store/cloudflarestore/worker.js",
		`if (!this.tables.has("records")) return null;`, `this.need("records");`, byCloudflare,
	},
	{
		"an object without records keeps its storage", "A17", "store/cloudflarestore/worker.js",
		"await this.ctx.storage.deleteAll();", "return;", byCloudflare,
	},
	{
		"an object goes with what has come last", "A17", "store/cloudflarestore/worker.js",
		"if (!this.empty() || this.coming.size > 0) return; // something", "if (false) return; // something", byCloudflare,
	},
	{
		"strangers share an object", "A17", "store/cloudflarestore/place.go",
		`return p.name + "/home/" + hex.EncodeToString(sum[:])`, `return p.name + "/home/" + hex.EncodeToString(sum[:0])`, byCloudflare,
	},
	{
		"another number of objects is taken", "C5", "store/cloudflarestore/cloudflarestore.go",
		"if known != want {", "if false && known != want {", byCloudflare,
	},
	{
		"a Worker answers everybody", "C5", "store/cloudflarestore/worker.js",
		"if (!(await allowed(request, env)))", "if (false)", byCloudflare,
	},
	{
		"the secret before the present one is not accepted", "C5", "store/cloudflarestore/worker.js",
		"[env.STAY_SECRET, env.STAY_SECRET_OLD]", "[env.STAY_SECRET]", byCloudflare,
	},
	{
		"a Worker has a secret that can be guessed", "C5", "store/cloudflarestore/worker.js",
		"if (!env.STAY_SECRET || env.STAY_SECRET.length < minSecret) {", "if (false) {", byCloudflare,
	},
	{
		"a redirection gets the secret", "C5", "store/cloudflarestore/client.go",
		"return http.ErrUseLastResponse", "return nil", byCloudflare,
	},
	{
		"the secret is sent in plain text", "C5", "store/cloudflarestore/client.go",
		"(err != nil || !ip.IsLoopback())", "(err != nil || ip.IsMulticast())", byCloudflare,
	},
	{
		"nobody is told that announcements of objects were lost", "C5", "store/cloudflarestore/watch.go",
		"in.add(nil, true) //", "in.add(nil, false) //", byCloudflare,
	},
}
