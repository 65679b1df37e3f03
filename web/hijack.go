package web

import (
	"bufio"
	"errors"
	"log/slog"
	"net"
)

// hijacked returns a connection that was taken over before the header was sent.
// If a cookie waits and no code has asked for the header since it was issued,
// the connection is watched: what is written to it may lack the cookie.
func (x *exchange) hijacked(conn net.Conn, buf *bufio.ReadWriter) (net.Conn, *bufio.ReadWriter) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.issued || x.askedSince {
		return conn, buf
	}
	x.unanswered = true
	watched := &watchedConn{conn, x}
	if buf.Writer.Buffered() == 0 {
		buf.Writer.Reset(watched)
	}
	return watched, buf
}

// checkHijack is called when an answer begins on a connection that was taken
// over. Code that has asked for the header is assumed to send it, because that
// cannot be seen: upgraders get the header before they take over, and
// httputil.ReverseProxy asks afterwards.
func (x *exchange) checkHijack() {
	x.mu.Lock()
	lost := x.unanswered && !x.askedSince
	x.unanswered = false
	x.mu.Unlock()
	if lost {
		x.warn(slog.LevelError, "stay: a connection was taken over before the session's cookie was sent, so the session is lost: pass w.Header() to the WebSocket upgrader, or use the session in a page before")
	}
}

// A watchedConn calls its exchange when it is written to.
type watchedConn struct {
	net.Conn
	x *exchange
}

// Write implements net.Conn.
func (c *watchedConn) Write(b []byte) (int, error) {
	c.x.checkHijack()
	return c.Conn.Write(b)
}

// NetConn returns the connection itself, like the method of tls.Conn.
func (c *watchedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes the writing half, like the connections of net and tls.
func (c *watchedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
