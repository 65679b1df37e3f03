package storetest

import (
	"context"
	"net"
	"sync"
	"time"
)

// A Dialer connects a store to its server. Client libraries take one: pgx as
// Config.DialFunc, net/http as Transport.DialContext, rueidis as
// ClientOption.DialCtxFn, nats.go as CustomDialer.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// A network is what a store's connections go through. It can hold up what the
// store sends on them, and deliver it after the store has closed them, as a
// router or a stopped server may do.
type network struct {
	mu    sync.Mutex
	conns []*conn
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	inner, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c, nil
}

func (n *network) each(do func(*conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.mu.Lock()
		do(c)
		c.mu.Unlock()
	}
}

// hold holds up everything that is sent on the connections there are. New ones
// work.
func (n *network) hold() { n.each(func(c *conn) { c.held = !c.closed }) }

// cut closes the connections that are held, as the store sees them.
func (n *network) cut() {
	n.each(func(c *conn) {
		if c.held {
			c.shut()
		}
	})
}

// deliver lets what was held arrive, each connection in its order, and waits for
// the server to deal with it. It reports whether there was anything.
func (n *network) deliver() (some bool) {
	n.each(func(c *conn) {
		if !c.held {
			return
		}
		some = some || len(c.late) > 0
		c.deliver()
	})
	return some
}

// close closes what is left.
func (n *network) close() { n.each(func(c *conn) { _ = c.Conn.Close() }) }

// A conn is a connection of the store, which may be held.
type conn struct {
	net.Conn
	mu     sync.Mutex
	held   bool
	closed bool   // for the store
	late   []byte // sent while it was held
}

// Write pretends to send what is held.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.held:
		c.late = append(c.late, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (n int, err error) {
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	if n, err = c.Conn.Read(b); c.isClosed() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close leaves a connection open to the server while something is held.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil
	case c.held:
		c.shut()
		return nil
	}
	c.closed = true
	return c.Conn.Close()
}

func (c *conn) SetDeadline(t time.Time) error      { return c.set(c.Conn.SetDeadline, t) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.set(c.Conn.SetReadDeadline, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.set(c.Conn.SetWriteDeadline, t) }

func (c *conn) set(deadline func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return deadline(t)
}

// shut ends what the store reads and sends.
func (c *conn) shut() {
	c.closed = true
	_ = c.Conn.SetDeadline(time.Unix(1, 0))
}

// deliver sends what was held and waits until the server has been silent for a
// while. Errors mean that the server has gone away.
func (c *conn) deliver() {
	defer func() { _ = c.Conn.Close() }()
	c.held, c.closed = false, true
	if len(c.late) == 0 {
		return
	}
	_ = c.Conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.Conn.Write(c.late); err != nil {
		return
	}
	wait := 5 * time.Second // for the first answer
	for buf := make([]byte, 4<<10); ; wait = 200 * time.Millisecond {
		_ = c.Conn.SetReadDeadline(time.Now().Add(wait))
		if _, err := c.Conn.Read(buf); err != nil {
			return
		}
	}
}
