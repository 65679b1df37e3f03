package pgstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sessionSettings are those of connections of our own. The planner is to read
// records in the order in which a statement names them, so that rows are locked
// in one order: on a small table it would prefer a hash join and a scan of all.
// The server is to notice within half a minute that a client has gone, as its
// transaction may hold locks.
var sessionSettings = map[string]string{
	"enable_hashjoin":               "off",
	"enable_mergejoin":              "off",
	"enable_seqscan":                "off",
	"jit":                           "off",
	"plan_cache_mode":               "force_generic_plan",
	"default_transaction_isolation": "read committed",
	"default_transaction_read_only": "off",
	"statement_timeout":             "0",
	"lock_timeout":                  "0",
	"tcp_keepalives_idle":           "10",
	"tcp_keepalives_interval":       "5",
	"tcp_keepalives_count":          "3",
}

const (
	// beginForeign, setForeign and commitForeign do for one transaction on a
	// user's connection what sessionSettings do for ours.
	beginForeign = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`
	setForeign   = `SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
	set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
	set_config('plan_cache_mode', 'force_generic_plan', true),
	set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),
	set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
		ELSE current_setting('synchronous_commit') END, true)`
	commitForeign = `COMMIT`

	// A server may ask for more than "on", but not for less.
	setSync = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

	// connectTimeout bounds connecting, unless the URL does: pgxpool's default is
	// two minutes.
	connectTimeout = 5 * time.Second

	// clockAge is how old the reading of a server's clock may be.
	clockAge = time.Minute
)

// configure prepares the configuration of a pool of our own.
func (s *Store) configure(cfg *pgxpool.Config) {
	conn := cfg.ConnConfig
	for name, value := range sessionSettings {
		conn.RuntimeParams[name] = value
	}
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "stay"
	}
	if conn.ValidateConnect == nil {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, setSync)
		return err
	}
	cfg.PingTimeout = s.attempt / 2

	// pgx gives a connection that has failed up to 15 seconds to end in good
	// order, and meanwhile it takes a place in the pool.
	dial := conn.DialFunc
	conn.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, conn.ConnectTimeout)
		defer cancel()
		return dial(ctx, network, address)
	}
	cfg.BeforeClose = func(c *pgx.Conn) {
		if !c.IsClosed() {
			return
		}
		t := time.NewTimer(s.attempt)
		defer t.Stop()
		select {
		case <-c.PgConn().CleanupDone():
		case <-t.C:
			_ = c.PgConn().Conn().Close()
		}
	}
}

// errNotSent means that a transaction was not sent.
var errNotSent = errors.New("no connection")

// acquire takes a connection to a primary, whose clock was read not long ago. An
// error wraps errNotSent.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	data := c.Conn().PgConn().CustomData()
	if known, ok := data[clockKey].(reading); ok && time.Since(known.at) < clockAge {
		return c, nil
	}
	read, err := readClock(ctx, c)
	if err != nil {
		c.Release()
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	data[clockKey] = read
	return c, nil
}

// clockKey is where a connection keeps the reading of its server's clock.
const clockKey = "github.com/stay-go/stay/store/pgstore"

// A reading of a server's clock: at the time at, by ours, it was server or later.
type reading struct{ server, at time.Time }

func readClock(ctx context.Context, c *pgxpool.Conn) (r reading, err error) {
	var standby bool
	if err := c.QueryRow(ctx, `SELECT clock_timestamp(), pg_is_in_recovery()`).Scan(&r.server, &standby); err != nil {
		return r, err
	}
	if standby {
		_ = c.Conn().Close(ctx) // it may be the primary next time
		return r, errors.New("the server is a standby")
	}
	r.at = time.Now()
	return r, nil
}

// deadline returns a time by the server's clock that has passed there when until
// has passed here.
func deadline(c *pgxpool.Conn, until time.Time) time.Time {
	r, _ := c.Conn().PgConn().CustomData()[clockKey].(reading)
	return r.server.Add(until.Sub(r.at))
}
