package natsstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// heartbeat is how often the client asks whether its server is still there. Two
	// that are not answered end the connection, and the next server is taken.
	heartbeat = time.Second
	heartless = 2

	// dialTimeout bounds connecting to one server.
	dialTimeout = 2 * time.Second

	// reconnectWait is how long the client waits before it tries the servers again.
	reconnectWait = 50 * time.Millisecond
)

// errForm shows nothing of what was given: where its password begins and ends is
// not certain.
var errForm = errors.New("natsstore: the URL cannot be parsed; its form is nats://user:password@host:4222, " +
	"with tls for TLS, %-escapes for special characters in the password, and commas between servers; parameters do not exist")

// parse returns the URLs of the servers.
func parse(given string) ([]string, error) {
	servers := strings.Split(given, ",")
	for i, server := range servers {
		servers[i] = strings.TrimSpace(server)
		u, err := url.Parse(servers[i])
		if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return nil, errForm
		}
		if u.Path != "" && u.Path != "/" {
			return nil, errForm
		}
	}
	return servers, nil
}

// connect makes the connection of a store, and gives up when ctx ends.
func (s *Store) connect(ctx context.Context, given string, dial nats.CustomDialer) (*nats.Conn, error) {
	servers, err := parse(given)
	if err != nil {
		return nil, err
	}
	if dial == nil {
		dial = &net.Dialer{Timeout: dialTimeout}
	}
	opening, opened := context.WithTimeout(ctx, maxRead)
	defer opened()
	d := &dialer{CustomDialer: dial, opening: opening}
	o := nats.GetDefaultOptions()
	o.Servers = servers
	o.Name = "stay"
	o.CustomDialer = d
	o.Timeout = dialTimeout
	o.MaxReconnect = -1
	o.ReconnectWait, o.ReconnectJitter, o.ReconnectJitterTLS = reconnectWait, reconnectWait, 2*reconnectWait
	o.ReconnectBufSize = -1 // nothing is sent later than now
	o.PingInterval, o.MaxPingsOut = heartbeat, heartless
	o.FlusherTimeout = s.attempt // its callers hold a lock of the connection
	o.ReconnectOnFlusherError = true
	o.IgnoreAuthErrorAbort = true // secrets change while programs run
	// Callers get their errors. The default prints them, with subjects.
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			s.denied.CompareAndSwap(nil, &err)
		}
	}
	o.NoCallbacksAfterClientClose = true
	type result struct {
		nc  *nats.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		nc, err := o.Connect()
		done <- result{nc, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-opening.Done():
		d.abandon()
		if r = <-done; r.err == nil {
			r.nc.Close()
			r.err = context.Cause(opening)
		}
	}
	if r.err != nil {
		if err := ctx.Err(); err != nil {
			r.err = err
		}
		return nil, unavailable(fmt.Errorf("%w: %w", errNotSent, r.err))
	}
	d.done()
	return r.nc, nil
}
