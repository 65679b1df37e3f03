package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// transact sends the statements that queue adds as one transaction, which must
// begin before until: queue gets this time by the server's clock. It repeats a
// transaction that lost a conflict with another or that was not sent.
func (s *Store) transact(ctx context.Context, until time.Time, queue func(b *pgx.Batch, deadline time.Time)) error {
	const tries = 10
	for try := 1; ; try++ {
		err := s.send(ctx, until, queue)
		if err == nil || try == tries || !repeatable(err) {
			return err
		}
		if pause(ctx, time.Duration(try)*time.Millisecond) != nil {
			return err
		}
	}
}

// send sends a transaction once. One round trip does: the statements of a batch
// are one transaction.
func (s *Store) send(ctx context.Context, until time.Time, queue func(b *pgx.Batch, deadline time.Time)) error {
	c, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	var b pgx.Batch
	if s.local != nil {
		b.Queue(beginLocal)
		s.local.queue(&b)
		b.Queue(syncLocal)
	}
	queue(&b, deadline(c, until))
	s.announcer.ask(&b)
	if s.local != nil {
		b.Queue(commitLocal)
	}
	err = c.SendBatch(ctx, &b).Close()
	if notReplicated(c.Conn()) && err == nil {
		return errNotReplicated
	}
	if err != nil && c.Conn().PgConn().TxStatus() == 'E' {
		_, _ = c.Exec(ctx, `ROLLBACK`) // else Release closes the connection
	}
	return err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
