package pgstore

import (
	"hash/fnv"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stay-go/stay/store"
)

const (
	// timeline is the server's timeline in the high bits of a revision. It is
	// added to the sequence, so a sequence of more than 40 bits does no harm.
	timeline = `(SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint << 40)`

	// All statements lock records in one order, the greatest key first, so that they
	// do not wait for each other in a circle. replace takes its writes in this order.
	replace = `
WITH w AS MATERIALIZED (
	SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::int8[], $5::bytea[], $6::bytea[])
		WITH ORDINALITY AS t(key, base, expires, version, meta, value, i)
)
UPDATE stay_records r SET rev = ` + timeline + ` + nextval('stay_rev'),
	expires = w.expires, version = w.version, meta = w.meta, value = w.value
FROM w WHERE r.key = w.key AND r.rev = w.base AND clock_timestamp() < $7::timestamptz
RETURNING w.i, r.rev`

	// replaceChecked is replace for groups that also check records. First it locks
	// those, with all records from the smallest of them on, and compares the
	// revisions that they have now, whatever its snapshot has. What is locked does
	// not change until the update. The update itself locks the others, which are
	// one in each group: to lock them twice would cost a fifth more.
	replaceChecked = `
WITH w AS MATERIALIZED (
	SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::int8[], $5::bytea[], $6::bytea[], $8::int4[], $9::int2[])
		WITH ORDINALITY AS t(key, base, expires, version, meta, value, grp, op, i)
), locked AS MATERIALIZED (
	SELECT w.i, r.rev FROM w JOIN stay_records r ON r.key = w.key WHERE w.key >= $10 FOR NO KEY UPDATE OF r
), c AS MATERIALIZED (
	SELECT w.*, bool_and((w.key < $10 OR locked.rev IS NOT DISTINCT FROM w.base)
		AND clock_timestamp() < $7::timestamptz) OVER (PARTITION BY w.grp) AS ok
	FROM w LEFT JOIN locked ON locked.i = w.i ORDER BY w.i
)
UPDATE stay_records r SET rev = ` + timeline + ` + nextval('stay_rev'),
	expires = c.expires, version = c.version, meta = c.meta, value = c.value
FROM c WHERE c.ok AND c.op = 0 AND r.key = c.key AND (c.key >= $10 OR r.rev = c.base)
RETURNING c.i, r.rev`

	// A record that is not there cannot be locked, so whoever needs its absence
	// takes a lock in its place.
	lockCreations = `SELECT pg_advisory_xact_lock(h) FROM unnest($1::int8[]) h`
	lockRecords   = `SELECT 1 FROM stay_records WHERE key = ANY($1::bytea[]) ORDER BY key DESC FOR UPDATE`

	// apply sees what the locks have waited for, since each statement has its own
	// snapshot. The time is compared inside the window, because it may be over
	// between two writes of a group.
	apply = `
WITH w AS MATERIALIZED (
	SELECT * FROM unnest($1::int4[], $2::int2[], $3::bytea[], $4::int8[], $5::int8[], $6::int8[], $7::bytea[], $8::bytea[])
		WITH ORDINALITY AS t(grp, op, key, base, expires, version, meta, value, i)
), seen AS MATERIALIZED (
	SELECT w.*, coalesce(r.rev, 0) AS cur,
		bool_and(coalesce(r.rev, 0) = w.base AND clock_timestamp() < $9::timestamptz) OVER (PARTITION BY w.grp) AS ok
	FROM w LEFT JOIN stay_records r ON r.key = w.key
), c AS MATERIALIZED (
	SELECT *, CASE WHEN ok AND op = 0 THEN ` + timeline + ` + nextval('stay_rev') ELSE cur END AS rev FROM seen
), updated AS (
	UPDATE stay_records r SET rev = c.rev, expires = c.expires, version = c.version, meta = c.meta, value = c.value
	FROM c WHERE c.ok AND c.op = 0 AND c.base <> 0 AND r.key = c.key
), inserted AS (
	INSERT INTO stay_records (key, rev, expires, version, meta, value)
	SELECT key, rev, expires, version, meta, value FROM c WHERE ok AND op = 0 AND base = 0
), deleted AS (
	DELETE FROM stay_records r USING c WHERE c.ok AND c.op = 1 AND c.base <> 0 AND r.key = c.key
)
SELECT c.i, c.ok, c.rev, r.expires, r.version, r.meta, r.value
FROM c LEFT JOIN stay_records r ON r.key = c.key AND NOT c.ok AND c.cur <> c.base`
)

// writes are the arguments of a statement, one array for each column.
type writes struct {
	groups   []int32
	ops      []int16
	keys     [][]byte
	bases    []int64
	expires  []pgtype.Int8
	versions []int64
	metas    [][]byte
	values   [][]byte
}

func (ws *writes) add(group int, w *store.Write) {
	ws.groups = append(ws.groups, int32(group))
	ws.ops = append(ws.ops, int16(w.Op))
	ws.keys = append(ws.keys, []byte(w.Key))
	ws.bases = append(ws.bases, int64(w.Base))
	ws.versions = append(ws.versions, int64(w.Version))
	ws.expires = append(ws.expires, pgtype.Int8{Int64: w.Expires.UnixMilli(), Valid: !w.Expires.IsZero()})
	ws.metas = append(ws.metas, notNil(w.Meta))
	ws.values = append(ws.values, notNil(w.Value))
}

// lockFrom returns the smallest key that must be locked before anything is
// replaced: of what is checked, and of groups that replace several records, as
// these are replaced all or none.
func lockFrom(groups []store.Group, places []int) []byte {
	var least string
	for _, i := range places {
		g := groups[i]
		puts := 0
		for j := range g {
			if g[j].Op == store.Put {
				puts++
			}
		}
		for j := range g {
			if (puts > 1 || g[j].Op == store.Check) && (least == "" || g[j].Key < least) {
				least = g[j].Key
			}
		}
	}
	return []byte(least)
}

// notNil returns b, or no bytes instead of nil, which would be NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// locks names the locks of the records that must be absent, in the order in which
// everybody takes them. All processes must agree on the names.
func (ws *writes) locks() []int64 {
	var locks []int64
	for i, base := range ws.bases {
		if base == 0 {
			h := fnv.New64a()
			_, _ = h.Write(ws.keys[i])
			locks = append(locks, int64(h.Sum64()))
		}
	}
	slices.Sort(locks)
	return slices.Compact(locks)
}
