package sqlitestore

import (
	"context"
	"errors"
)

// pool holds connections that callers borrow. A slot is nil if its connection
// must still be opened, at first or after it failed.
type pool struct {
	source source
	slots  chan *conn
}

func newPool(size int, src source) *pool {
	p := &pool{source: src, slots: make(chan *conn, size)}
	for range size {
		p.slots <- nil
	}
	return p
}

// take borrows a connection; the caller returns it with put or drop.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c := <-p.slots:
		if c != nil {
			return c, nil
		}
		c, err := p.source.open()
		if err != nil {
			p.slots <- nil
			return nil, err
		}
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pool) put(c *conn) { p.slots <- c }

// drop closes a connection that failed; the next caller opens another.
func (p *pool) drop(c *conn) {
	_ = c.close() // it is dropped because it is broken
	p.slots <- nil
}

// close closes every connection. No caller may hold or take one any more.
func (p *pool) close() error {
	var errs []error
	for range cap(p.slots) {
		if c := <-p.slots; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}
