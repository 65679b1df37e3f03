package pgstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectTimeout bounds connecting, unless the URL does: pgxpool's default is
	// two minutes.
	connectTimeout = 5 * time.Second

	// clockAge is how old the reading of a server's clock may be. Behind a
	// proxy the server of a connection may change.
	clockAge        = time.Minute
	clockAgeProxied = 5 * time.Second
)

// configure prepares the configuration of a pool of our own, and finds out
// whether it leads to a proxy.
func (s *Store) configure(ctx context.Context, cfg *pgxpool.Config) error {
	conn := cfg.ConnConfig
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "stay"
	}
	conn.OnNotice = noteNotReplicated
	findPrimary(conn)
	if err := s.probe(ctx, conn); err != nil {
		return err
	}
	if s.proxied {
		conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	} else {
		maps.Copy(conn.RuntimeParams, planning)
		maps.Copy(conn.RuntimeParams, sessionSettings)
		cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, syncSession)
			return err
		}
	}
	cfg.PingTimeout = s.attempt / 2
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
	return nil
}

// findPrimary makes the connection one to the primary of several hosts, and bounds
// how long each of them may take.
func findPrimary(conn *pgx.ConnConfig) {
	if conn.ValidateConnect == nil {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	// pgx gives a connection that has failed up to 15 seconds to end in good
	// order, and meanwhile it takes a place in the pool.
	dial := conn.DialFunc
	conn.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, conn.ConnectTimeout)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// probe connects as a proxy allows it, and takes from conn the settings that a
// proxy refuses if there is one.
func (s *Store) probe(ctx context.Context, conn *pgx.ConnConfig) error {
	passes, others := split(conn.RuntimeParams)
	cfg := conn.Copy()
	cfg.RuntimeParams = passes
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return unavailable(fmt.Errorf("%w: %w", errNotSent, err))
	}
	defer func() { _ = c.Close(ctx) }()
	if s.proxied, err = proxied(ctx, c); err != nil {
		return unavailable(err)
	}
	if s.proxied {
		conn.RuntimeParams = passes
		s.local = newLocals(others, planning, transactionSettings)
	}
	return nil
}

// errNotSent means that a transaction was not sent.
var errNotSent = errors.New("no connection")

// errStandby means that a server does not take writes, and reads what is late.
var errStandby = errors.New("the server is a standby")

// acquire takes a connection to a primary, whose clock was read not long ago. An
// error wraps errNotSent.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	data := c.Conn().PgConn().CustomData()
	if known, ok := data[clockKey].(reading); ok && time.Since(known.at) < s.clockAge() {
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

func (s *Store) clockAge() time.Duration {
	if s.proxied {
		return clockAgeProxied
	}
	return clockAge
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
		return r, errStandby
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
