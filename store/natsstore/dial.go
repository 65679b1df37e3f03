package natsstore

import (
	"context"
	"net"
	"sync"

	"github.com/nats-io/nats.go"
)

// A dialer dials for a client, which has no context while it connects for the first
// time.
type dialer struct {
	nats.CustomDialer
	mu      sync.Mutex
	opening context.Context // nil once the client is connected
	conns   []net.Conn      // made while opening
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	opening := d.opening
	d.mu.Unlock()
	if opening == nil {
		return d.CustomDialer.Dial(network, address)
	}
	if err := opening.Err(); err != nil {
		return nil, err
	}
	c, err := d.CustomDialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if opening.Err() != nil {
		_ = c.Close()
		return nil, opening.Err()
	}
	d.conns = append(d.conns, c)
	return c, nil
}

// abandon ends what is being opened.
func (d *dialer) abandon() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		_ = c.Close()
	}
}

// done says that the client is connected.
func (d *dialer) done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opening, d.conns = nil, nil
}
