package pgstore

import (
	"errors"

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
