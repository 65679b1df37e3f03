package pgstore

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// planning are settings of the planner. It is to read records in the order in
// which a statement names them, so that rows are locked in one order: on a small
// table it would prefer a hash join and a scan of all.
var planning = map[string]string{
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
	"enable_seqscan":   "off",
	"jit":              "off",
	"plan_cache_mode":  "force_generic_plan",
}

// sessionSettings are further ones of connections of our own. The server is to
// notice within half a minute that a client has gone, as its transaction may hold
// locks. It is to warn when it stops waiting for a standby.
var sessionSettings = map[string]string{
	"default_transaction_isolation": "read committed",
	"default_transaction_read_only": "off",
	"statement_timeout":             "0",
	"lock_timeout":                  "0",
	"client_min_messages":           "warning",
	"tcp_keepalives_idle":           "10",
	"tcp_keepalives_interval":       "5",
	"tcp_keepalives_count":          "3",
}

// transactionSettings are further ones of transactions on connections that others
// use too.
var transactionSettings = map[string]string{
	"statement_timeout":   "0",
	"lock_timeout":        "0",
	"client_min_messages": "warning",
}

const (
	// beginLocal, setLocal, syncLocal and commitLocal do for one transaction what
	// the settings of a connection do for all.
	beginLocal  = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`
	setLocal    = `SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS s(name, value)`
	syncLocal   = `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`
	commitLocal = `COMMIT`

	// A server may ask for more than "on", but not for less.
	syncSession = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`
)

// A locals is settings that are made for each transaction, since the connection
// cannot keep them.
type locals struct{ names, values []string }

func newLocals(parts ...map[string]string) *locals {
	all := map[string]string{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	l := &locals{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		l.names, l.values = append(l.names, name), append(l.values, all[name])
	}
	return l
}

// queue adds the statement that makes the settings to a transaction.
func (l *locals) queue(b *pgx.Batch) { b.Queue(setLocal, l.names, l.values) }

// passed are the settings that a proxy sets itself on whichever connection to the
// server a client gets. It refuses most others.
var passed = []string{"application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings", "options"}

// split divides the settings of a URL into those that a proxy passes on and the
// others.
func split(params map[string]string) (passes, others map[string]string) {
	passes, others = map[string]string{}, map[string]string{}
	for name, value := range params {
		if slices.Contains(passed, strings.ToLower(name)) {
			passes[name] = value
		} else {
			others[name] = value
		}
	}
	return passes, others
}

// proxied reports whether the server at the other end of a connection is a proxy
// that lends connections: it makes up the number of the process that serves us.
func proxied(ctx context.Context, c *pgx.Conn) (bool, error) {
	var pid uint32
	err := c.QueryRow(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeExec).Scan(&pid)
	return pid != c.PgConn().PID(), err
}
