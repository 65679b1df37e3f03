package pgstore_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// A wire is what a store's connections go through. It can hold up what the store
// sends, and deliver it later, or lose what the server answers.
type wire struct {
	mu    sync.Mutex
	conns []*wireConn
}

// A wireConn is a connection to which a wire does something.
type wireConn struct {
	net.Conn
	mu   sync.Mutex
	held bool
	deaf bool
	late []byte // sent while it was held
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	inner, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &wireConn{Conn: inner}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
	return c, nil
}

// each does something to the connections that there are. New ones work.
func (w *wire) each(do func(*wireConn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.mu.Lock()
		do(c)
		c.mu.Unlock()
	}
}

func (w *wire) hold() { w.each(func(c *wireConn) { c.held = true }) }

// deafen loses the answers to what is sent from now on.
func (w *wire) deafen() { w.each(func(c *wireConn) { c.deaf = true }) }

// deliver sends what was held and waits until the server has answered it.
func (w *wire) deliver(t *testing.T) {
	t.Helper()
	some := false
	w.each(func(c *wireConn) {
		if !c.held || len(c.late) == 0 {
			return
		}
		some = true
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		terminate := []byte("X\x00\x00\x00\x04") // the server closes when it has answered what comes before
		if _, err := c.Conn.Write(append(c.late, terminate...)); err != nil {
			t.Errorf("deliver: %v", err)
		}
		_, _ = io.Copy(io.Discard, c.Conn)
		_ = c.Conn.Close()
	})
	if !some {
		t.Fatal("nothing was held")
	}
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		c.late = append(c.late, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deaf && err == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// Close leaves a connection open to the server while something is held.
func (c *wireConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		return c.SetReadDeadline(time.Unix(1, 0))
	}
	return c.Conn.Close()
}

// wired opens a store behind a wire.
func wired(t *testing.T, url string, options ...pgstore.Option) (*wire, store.Store) {
	t.Helper()
	w := &wire{}
	cfg := config(t, url)
	cfg.ConnConfig.DialFunc = w.dial
	s, err := pgstore.OpenPool(storekit.Within(t), cfg, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return w, s
}
