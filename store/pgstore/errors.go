package pgstore

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stay-go/stay/store"
)

// Codes of PostgreSQL's errors.
const (
	uniqueViolation       = "23505"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	insufficientPrivilege = "42501"
	dataCorrupted         = "XX001"
	indexCorrupted        = "XX002"
)

// rolledBack returns the server's error if it says that the transaction was
// rolled back, else nil. A FATAL error ends the connection, and may come when the
// transaction is already committed here and waits for a standby.
func rolledBack(err error) *pgconn.PgError {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR" {
		return pg
	}
	return nil
}

// repeatable reports whether a transaction changed nothing and may succeed at
// once if it is sent again.
func repeatable(err error) bool {
	if errors.Is(err, errNotSent) {
		return false
	}
	if pg := rolledBack(err); pg != nil {
		return pg.Code == deadlockDetected || pg.Code == serializationFailure || pg.Code == uniqueViolation
	}
	return pgconn.SafeToRetry(err)
}

// outcomeOf says what an error means for the groups of a transaction.
func outcomeOf(err error) store.Outcome {
	if errors.Is(err, errNotSent) || pgconn.SafeToRetry(err) || rolledBack(err) != nil {
		return store.Rejected
	}
	return store.Unknown
}

// errNotReplicated means that a transaction is committed on the server, which
// then stopped waiting for a standby.
var errNotReplicated = errors.New("the server stopped waiting for a synchronous standby")

// notReplicatedKey is where a connection keeps that the server has said so.
const notReplicatedKey = clockKey + " not replicated"

// noteNotReplicated notes the warning with which a server reports success after
// somebody has cancelled its wait for a standby. The text of the warning depends
// on the server's language; the function that it comes from does not.
func noteNotReplicated(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" {
		c.CustomData()[notReplicatedKey] = true
	}
}

// notReplicated reports whether there was this warning since the last call.
func notReplicated(c *pgx.Conn) bool {
	data := c.PgConn().CustomData()
	_, noted := data[notReplicatedKey]
	delete(data, notReplicatedKey)
	return noted
}
