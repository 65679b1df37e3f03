package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// migrations are the steps from one version of the tables to the next. A step
// that was released never changes.
//
// A record's expires is in milliseconds, or null for never. Nearly all updates
// change neither it nor the key, and pages keep some room, so that PostgreSQL
// need not touch the indexes (HOT). Values are small or already compressed, so
// the server does not try to compress them. The sequence must not be cached by
// connections, or revisions of a key would not grow. The channel on which changes
// are announced has a name that nobody can guess, because any role may listen to a
// channel that it can name.
var migrations = []string{
	`
CREATE TABLE stay_records (
	key     bytea  NOT NULL PRIMARY KEY,
	rev     bigint NOT NULL,
	expires bigint,
	version bigint NOT NULL,
	meta    bytea  NOT NULL,
	value   bytea  NOT NULL
) WITH (fillfactor = 80);
ALTER TABLE stay_records ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX stay_records_expires ON stay_records (expires) WHERE expires IS NOT NULL;
CREATE SEQUENCE stay_rev CACHE 1;
CREATE TABLE stay_meta (
	id      integer NOT NULL PRIMARY KEY CHECK (id = 1),
	version integer NOT NULL,
	place   text    NOT NULL,
	channel text    NOT NULL DEFAULT 'stay_' || replace(gen_random_uuid()::text, '-', '')
);
INSERT INTO stay_meta (id, version, place) VALUES (1, 1, '');`,
}

const (
	// schemaLock is the advisory lock of whoever prepares the tables: "stay".
	schemaLock = 0x73746179

	// getPlace tells tables apart from a copy of them that was made with SQL: a
	// copy has other numbers. Copies of files, and so standbys, have the same.
	getPlace = `SELECT (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || 'stay_records'::regclass::oid`

	// raise moves the sequence above all revisions of a copy, and further, since
	// the tables that it was copied from may have gone on. This is more than can
	// have been written there.
	raise = `SELECT setval('stay_rev', 1099511627776 + greatest(
		(SELECT last_value FROM stay_rev), (SELECT max(rev) FROM stay_records) - ` + timeline + `))`
)

// prepare creates the tables, or changes those of an older version, while others
// that do the same wait.
func (s *Store) prepare(ctx context.Context) error {
	c, err := s.acquire(ctx)
	if err != nil {
		return unavailable(err)
	}
	defer c.Release()
	err = pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		if s.local != nil {
			if _, err := tx.Exec(ctx, setLocal, s.local.names, s.local.values); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, schemaLock); err != nil {
			return err
		}
		if err := migrate(ctx, tx); err != nil {
			return err
		}
		if err := settle(ctx, tx); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT channel FROM stay_meta`).Scan(&s.announcer.channel)
	})
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, errNewer):
		return err
	case errors.As(err, &pg) && pg.Code == insufficientPrivilege:
		return fmt.Errorf("pgstore: preparing the tables: %w: let the role create tables in this schema, or create them once with a role that may", err)
	case err != nil:
		return unavailable(fmt.Errorf("preparing the tables: %w", err))
	}
	return nil
}

// errNewer means that the tables are of a version that this code does not know.
var errNewer = errors.New("written by a newer version")

// migrate takes the steps that the tables lack.
func migrate(ctx context.Context, tx pgx.Tx) error {
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('stay_meta') IS NOT NULL`).Scan(&exists); err != nil {
		return err
	}
	version := 0
	if exists {
		if err := tx.QueryRow(ctx, `SELECT version FROM stay_meta`).Scan(&version); err != nil {
			return err
		}
	}
	if version > len(migrations) {
		return fmt.Errorf("pgstore: the tables have version %d, and this package knows %d: %w of this package, so use that one", version, len(migrations), errNewer)
	}
	for ; version < len(migrations); version++ {
		if _, err := tx.Exec(ctx, migrations[version], pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE stay_meta SET version = $1`, version+1); err != nil {
			return err
		}
	}
	return nil
}

// settle raises the sequence if the tables are not where they were.
func settle(ctx context.Context, tx pgx.Tx) error {
	var known, place string
	if err := tx.QueryRow(ctx, `SELECT place, (`+getPlace+`) FROM stay_meta`).Scan(&known, &place); err != nil {
		return err
	}
	if known == place {
		return nil
	}
	if known != "" {
		if _, err := tx.Exec(ctx, raise); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `UPDATE stay_meta SET place = $1`, place)
	return err
}
