package sqlitestore

import (
	"context"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// A commit writes, checksums and syncs whole pages, and a hot record costs
	// a whole page, so small pages are cheap: for 36 records of 120 bytes out
	// of 10,000, pages of 8192 bytes cost a third more processor time than
	// these, and pages of 2048 bytes a tenth less. But a record that is longer
	// than a page, less some bytes, takes more pages. That makes 2048 more
	// expensive from values of 2 KB on, and with half a million records the
	// deeper trees make it more expensive. Pages of 4096 bytes are best or
	// second best at every size.
	pageSize = 4096
	minSize  = 16 * pageSize

	// applicationID marks a database as one of ours: "STAY".
	applicationID = 0x53544159
	// schemaVersion is the version of the tables below. If a file has a higher
	// one, this code does not know what it would be writing to. Triggers do not
	// raise the version: they preserve what every version expects.
	schemaVersion = 1
)

// statement names one of the statements below.
type statement int

const (
	begin statement = iota
	beginWrite
	commit
	rollback
	look
	get
	replace
	update
	insert
	remove
	getFloor
	setFloor
	settle
	listExpired
	listKeys
	dataVersion
	checkpointPassive
	checkpointRestart
	getApplication
	getVersion
	countTables
	countTriggers
	setPageSize
	setJournal
	createRecords
	createExpires
	createState
	fillState
	onDelete
	onReplace
	onInsert
	onMove
	onUpdate
	setApplication
	setVersion

	statements // how many there are
)

// statementText holds the text of every statement that the store runs.
//
// A record's expires is in milliseconds, or null for never, and its index holds
// only records that expire. A statement that assigns expires rewrites the index
// entry even if the value stays the same. So replace, which is what most writes
// are, requires the same expires instead of assigning it.
//
// The table has row numbers although it is queried by key. In a table WITHOUT
// ROWID, which saves one of two lookups, the rest of a row that is longer than
// a quarter of a page takes a separate page, and an update allocates and frees
// such pages: values of 1.2 KB take 2.5 times as much processor time to write
// and three times the space, small ones about the same.
//
// The floor is at least the revision of every record that was removed: a new
// record starts above it (C3). The store maintains it, and triggers do if
// records are changed by hand, in SQL (see byHand).
var statementText = [statements]string{
	begin:      `BEGIN`,
	beginWrite: `BEGIN IMMEDIATE`,
	commit:     `COMMIT`,
	rollback:   `ROLLBACK`,

	look: `SELECT revision FROM records WHERE key = ?`,
	get: `SELECT revision, expires, version,
		CASE WHEN revision = ?1 THEN NULL ELSE meta END,
		CASE WHEN revision = ?1 THEN NULL ELSE value END
		FROM records WHERE key = ?2`,
	replace: `UPDATE records SET revision = revision + 1, version = ?, meta = ?, value = ?
		WHERE key = ? AND revision = ? AND expires IS ?`,
	update: `UPDATE records SET revision = ?, expires = ?, version = ?, meta = ?, value = ?
		WHERE key = ?`,
	insert: `INSERT INTO records (revision, expires, version, meta, value, key)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`,
	remove:   `DELETE FROM records WHERE key = ?`,
	getFloor: `SELECT floor FROM state`,
	setFloor: `UPDATE state SET floor = ?`,
	settle:   `UPDATE state SET settled = settled + 1`,

	listExpired: `SELECT key, revision, expires, version, meta, value FROM records
		WHERE expires <= ? ORDER BY expires LIMIT ?`,
	listKeys: `SELECT key FROM records
		WHERE key >= ? AND key < ? AND (expires IS NULL OR expires > ?) ORDER BY key LIMIT ?`,

	dataVersion: `PRAGMA data_version`,

	checkpointPassive: `PRAGMA wal_checkpoint(PASSIVE)`,
	checkpointRestart: `PRAGMA wal_checkpoint(RESTART)`,

	getApplication: `PRAGMA application_id`,
	getVersion:     `PRAGMA user_version`,
	countTables:    `SELECT count(*) FROM sqlite_schema`,
	countTriggers:  `SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'records'`,
	setPageSize:    fmt.Sprintf(`PRAGMA page_size = %d`, pageSize),
	setJournal:     `PRAGMA journal_mode = WAL`,
	createRecords: `CREATE TABLE records (
		key      BLOB    NOT NULL PRIMARY KEY,
		revision INTEGER NOT NULL,
		expires  INTEGER,
		version  INTEGER NOT NULL,
		meta     BLOB,
		value    BLOB
	)`,
	createExpires: `CREATE INDEX records_expires ON records (expires) WHERE expires IS NOT NULL`,
	createState: `CREATE TABLE state (
		id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
		floor   INTEGER NOT NULL,
		settled INTEGER NOT NULL
	)`,
	fillState: `INSERT INTO state (id, floor, settled) VALUES (1, 0, 0)`,

	onDelete: `CREATE TRIGGER IF NOT EXISTS records_delete AFTER DELETE ON records BEGIN
		UPDATE state SET floor = max(floor, OLD.revision);
	END`,
	onReplace: `CREATE TRIGGER IF NOT EXISTS records_replace BEFORE INSERT ON records BEGIN
		UPDATE state SET floor = max(floor, ifnull((SELECT revision FROM records WHERE key = NEW.key), 0));
	END`,
	onInsert: `CREATE TRIGGER IF NOT EXISTS records_insert AFTER INSERT ON records
		WHEN NEW.revision <= (SELECT floor FROM state) BEGIN
		UPDATE records SET revision = (SELECT floor + 1 FROM state) WHERE key = NEW.key;
	END`,
	onMove: `CREATE TRIGGER IF NOT EXISTS records_move BEFORE UPDATE OF key ON records BEGIN
		UPDATE state SET floor = max(floor, ifnull((SELECT revision FROM records WHERE key = NEW.key), 0));
	END`,
	onUpdate: `CREATE TRIGGER IF NOT EXISTS records_update AFTER UPDATE ON records
		WHEN NEW.revision <= OLD.revision OR NEW.key <> OLD.key BEGIN
		UPDATE state SET floor = max(floor, OLD.revision, NEW.revision);
		UPDATE records SET revision = (SELECT floor + 1 FROM state) WHERE key = NEW.key;
	END`,

	setApplication: fmt.Sprintf(`PRAGMA application_id = %d`, applicationID),
	setVersion:     fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion),
}

// byHand are the triggers that make revisions grow when somebody deletes,
// replaces or edits records in SQL, as operators do. SQL that does not mention
// revisions would leave the old one with a new value, or let it come back with
// a new record. Then a process that holds the old value would get the answer
// that nothing has changed. The store's own connections have triggers switched
// off (see conn.connect), so these cost it nothing.
var byHand = []statement{onDelete, onReplace, onInsert, onMove, onUpdate}

// prepare checks that the database is ours and creates what it lacks.
func (s *Store) prepare() error {
	ctx := context.Background()
	var c *conn
	err := patiently(ctx, busyWait, func() (err error) {
		c, err = s.writer.take(ctx)
		return err
	})
	if err != nil {
		return openError(s.path, err)
	}
	defer s.writer.put(c)
	err = patiently(ctx, busyWait, func() error { return c.ownLog(s.path) })
	if err != nil {
		return openError(s.path, err)
	}
	err = patiently(ctx, busyWait, func() error {
		// Each attempt starts at the check, since another process may have
		// created the tables in the meantime.
		err := s.create(c)
		if err != nil {
			c.rollback()
		}
		return err
	})
	return openError(s.path, err)
}

func (s *Store) create(c *conn) error {
	var lacks []statement
	var fresh bool
	check := func() (err error) {
		lacks, fresh, err = s.check(c)
		return err
	}
	if err := c.snapshot(check); err != nil {
		return err
	}
	if fresh {
		// The size of pages cannot change once the journal is a log.
		if _, err := c.exec(setPageSize); err != nil {
			return err
		}
	}
	r := c.query(setJournal)
	mode := ""
	if r.next() {
		mode = r.text(0)
	}
	if err := r.close(); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("sqlitestore: %s: SQLite cannot keep a write-ahead log there (journal mode %q): put the file on a local disk", s.path, mode)
	}
	// Even if nothing is missing, this shows whether the log can be written.
	switch _, err := c.exec(beginWrite); {
	case len(lacks) == 0 && busy(err):
		return nil // another process is writing
	case err != nil:
		return err
	}
	if err := check(); err != nil {
		return err
	}
	for _, id := range lacks {
		if _, err := c.exec(id); err != nil {
			return err
		}
	}
	if fresh {
		schema, err := c.one(schemaOf)
		if err == nil {
			err = c.addMark(uint32(schema.n))
		}
		if err != nil {
			return err
		}
	}
	s.started = fresh
	return c.commit()
}

// check returns the statements that create what the database lacks, and whether
// it is still empty. An error says that this code may not write to the
// database. It is called in a transaction, because another process may be
// creating the tables.
func (s *Store) check(c *conn) (lacks []statement, fresh bool, err error) {
	var found [4]int64
	for i, id := range []statement{getApplication, getVersion, countTables, countTriggers} {
		if found[i], err = c.number(id); err != nil {
			return nil, false, err
		}
	}
	application, version, tables, triggers := found[0], found[1], found[2], found[3]
	switch {
	case application == 0 && version == 0 && tables == 0:
		lacks = append(lacks, createRecords, createExpires, createState, fillState)
		return append(append(lacks, byHand...), setApplication, setVersion), true, nil
	case application != applicationID:
		return nil, false, anotherPrograms(s.path)
	case version > schemaVersion:
		return nil, false, fmt.Errorf("sqlitestore: %s was written by a newer version of sqlitestore (schema %d, this one reads up to %d): update the module or open another file", s.path, version, schemaVersion)
	case version != schemaVersion:
		return nil, false, fmt.Errorf("sqlitestore: %s has the unknown schema %d: restore it from a backup or open another file", s.path, version)
	case triggers < int64(len(byHand)):
		return byHand, false, nil // made by a version that had no triggers
	}
	return nil, false, nil
}

// openError adds to an error of opening what to do about it.
func openError(path string, err error) error {
	if err == nil || code(err) == 0 {
		return err
	}
	switch code(err) & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", notADatabase(path), err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return unwritable(path, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("sqlitestore: %w", damage(path, err))
	}
	return unavailable(fmt.Errorf("opening %s: %w", path, err))
}
