package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	// maxConns is how many connections a store has at most. Each call that is under
	// way has one for itself: a large value or a lost packet holds up no other.
	maxConns = 32

	// idleConn is how long a connection is kept that nobody uses.
	idleConn = time.Minute

	// bufferSize is the size of the buffers of a connection.
	bufferSize = 16 << 10

	// dialTimeout bounds connecting, unless the URL does.
	dialTimeout = 5 * time.Second

	// heartbeat is how long a connection may be silent before the client asks
	// whether the server is still there.
	heartbeat = 5 * time.Second

	// trusted is how long after its last use nobody looks whether a connection has
	// been closed by the server.
	trusted = 10 * time.Millisecond
)

// connections completes what a client is made of. Nothing is sent twice: what has
// been sent may have been done.
func (s *Store) connections(o rueidis.ClientOption) rueidis.ClientOption {
	o.DisableRetry = true
	o.DisableCache = true
	o.DisableAutoPipelining = true
	o.PipelineMultiplex = -1
	o.BlockingPoolSize = maxConns
	o.BlockingPoolCleanup = idleConn
	o.ReadBufferEachConn, o.WriteBufferEachConn = bufferSize, bufferSize
	o.Dialer.KeepAlive = heartbeat
	o.ConnWriteTimeout = max(maxRead, 2*s.attempt)
	if o.ClientName == "" {
		o.ClientName = "stay"
	}
	if o.Dialer.Timeout <= 0 {
		o.Dialer.Timeout = dialTimeout
	}
	dial := o.DialCtxFn
	if dial == nil {
		dial = dialTCP
	}
	o.DialCtxFn = func(ctx context.Context, address string, d *net.Dialer, t *tls.Config) (net.Conn, error) {
		c, err := dial(ctx, address, d, t)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotSent, err)
		}
		return s.conns.add(c), nil
	}
	return o
}

// listening changes what a client is made of for one that only listens: its
// connection is given up within an attempt.
func (s *Store) listening(o rueidis.ClientOption) rueidis.ClientOption {
	o.DisableAutoPipelining = false
	o.ConnWriteTimeout = s.attempt
	return o
}

func dialTCP(ctx context.Context, address string, d *net.Dialer, t *tls.Config) (net.Conn, error) {
	if t == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{NetDialer: d, Config: t}).DialContext(ctx, "tcp", address)
}

// connect makes a client, and gives up when ctx ends.
func connect(ctx context.Context, o rueidis.ClientOption) (rueidis.Client, error) {
	var opening atomic.Bool
	var mu sync.Mutex
	var unhook []func() bool
	opening.Store(true)
	dial := o.DialCtxFn
	o.DialCtxFn = func(d context.Context, address string, dialer *net.Dialer, t *tls.Config) (net.Conn, error) {
		if !opening.Load() {
			return dial(d, address, dialer, t)
		}
		d, cancel := context.WithCancel(d)
		defer cancel()
		stop := context.AfterFunc(ctx, cancel)
		defer stop()
		c, err := dial(d, address, dialer, t)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			unhook = append(unhook, context.AfterFunc(ctx, func() { _ = c.Close() }))
		}
		return c, err
	}
	client, err := rueidis.NewClient(o)
	opening.Store(false)
	mu.Lock()
	defer mu.Unlock()
	for _, stop := range unhook {
		stop()
	}
	if err == nil {
		err = ctx.Err() // its connections may be closed
	} else if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil && client != nil {
		client.Close()
	}
	return client, err
}

var (
	// errNotSent means that a command was not sent.
	errNotSent = errors.New("no connection")

	// errStale means that the server has closed a connection while nobody used it.
	// It comes with errNotSent.
	errStale = errors.New("the server has closed an idle connection")
)

// A conn is a connection that knows whether it is of any use. What is written to
// one that the server has closed would be lost, and nobody could tell whether it
// was done.
type conn struct {
	net.Conn
	all  *conns
	used atomic.Int64 // when something was last read or written, in nanoseconds
}

// conns are the connections that are open.
type conns struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

func (cs *conns) add(inner net.Conn) net.Conn {
	c := &conn{Conn: inner, all: cs}
	c.used.Store(time.Now().UnixNano())
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.open == nil {
		cs.open = map[*conn]struct{}{}
	}
	cs.open[c] = struct{}{}
	return c
}

// close closes all of them.
func (cs *conns) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		_ = c.Conn.Close()
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	now := time.Now().UnixNano()
	if now-c.used.Load() > int64(trusted) && closedByPeer(c.Conn) {
		return 0, fmt.Errorf("%w: %w", errNotSent, errStale)
	}
	c.used.Store(now)
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.used.Store(time.Now().UnixNano())
	return n, err
}

// do sends a command, and returns when ctx ends even if nothing has been answered.
// The command itself goes on for limit at most: to end it with ctx would break a
// connection, which others may use too. The caller has called begin.
func (s *Store) do(ctx context.Context, limit time.Duration, send func(context.Context) rueidis.RedisResult) rueidis.RedisResult {
	if err := ctx.Err(); err != nil {
		return rueidis.NewErrorResult(fmt.Errorf("%w: %w", errNotSent, err))
	}
	answer := make(chan rueidis.RedisResult, 1)
	sending, cancel := context.WithTimeout(s.waiting, limit)
	s.sends.Go(func() {
		defer cancel()
		for {
			r := send(sending)
			// Each connection is stale once.
			if !errors.Is(r.Error(), errStale) {
				answer <- r
				return
			}
		}
	})
	select {
	case r := <-answer:
		return r
	case <-ctx.Done():
	}
	select {
	case r := <-answer:
		return r
	default:
		return rueidis.NewErrorResult(ctx.Err())
	}
}
