// Package faultnet passes TCP connections on, and lets tests decide what goes
// wrong on the way.
package faultnet

import (
	"net"
	"sync"
	"time"
)

// A Direction is one of the two of a connection.
type Direction uint8

// The directions may be combined with |.
const (
	ToServer Direction = 1 << iota
	ToClient
)

// A Proxy passes connections on to one address. Without a fault it changes
// nothing. Its methods may be called concurrently.
type Proxy struct {
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	delay  time.Duration
	held   Direction
	freed  chan struct{} // closed when nothing is held any more
	links  map[*link]struct{}
}

// Listen returns a proxy in front of an address, on a port of its own.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: l, links: map[*link]struct{}{}}
	p.work.Go(p.accept)
	return p, nil
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Delay makes everything arrive later by d, in either direction.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Hold keeps what is sent in a direction until Release, and then delivers it in
// order, also if its sender has closed the connection meanwhile.
func (p *Proxy) Hold(d Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == 0 {
		p.freed = make(chan struct{})
	}
	p.held |= d
}

// Release delivers what Hold has kept.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != 0 {
		p.held = 0
		close(p.freed)
	}
}

// Cut closes the connections that there are. What is on its way is lost.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end()
	}
}

// Close cuts everything and waits for the end of the proxy's goroutines.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.connect(client) })
	}
}

func (p *Proxy) connect(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server, ended: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = struct{}{}
	if p.closed {
		l.end()
	}
	p.mu.Unlock()
	var ways sync.WaitGroup
	ways.Go(func() {
		// The server learns that the client has gone after what the client has sent.
		if p.pass(l, client, server, ToServer) {
			_ = server.(*net.TCPConn).CloseWrite()
		}
	})
	ways.Go(func() {
		p.pass(l, server, client, ToClient)
		l.end() // when the server has gone there is nothing left to deliver
	})
	ways.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// A link is one connection through the proxy.
type link struct {
	client, server net.Conn
	once           sync.Once
	ended          chan struct{}
}

func (l *link) end() {
	l.once.Do(func() {
		close(l.ended)
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// A chunk is what one call of Read has brought.
type chunk struct {
	bytes   []byte
	arrived time.Time
}

// pass passes on what one side sends, and reports whether all of it was
// delivered when the side had ended.
func (p *Proxy) pass(l *link, from, to net.Conn, d Direction) bool {
	const queue = 4096 // chunks on their way
	chunks := make(chan chunk, queue)
	p.work.Go(func() {
		defer close(chunks)
		for {
			b := make([]byte, 16<<10)
			n, err := from.Read(b)
			if n > 0 {
				select {
				case chunks <- chunk{b[:n], time.Now()}:
				case <-l.ended:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range chunks {
		if !p.await(l, c, d) {
			return false
		}
		if _, err := to.Write(c.bytes); err != nil && d == ToServer {
			return false
		}
		// A client that has gone misses the answer, and the server goes on.
	}
	return true
}

// await waits until a chunk may be delivered, and reports false if the link ends
// first.
func (p *Proxy) await(l *link, c chunk, d Direction) bool {
	for {
		p.mu.Lock()
		wait := time.Until(c.arrived.Add(p.delay))
		freed := p.freed
		held := p.held&d != 0
		p.mu.Unlock()
		switch {
		case held:
			select {
			case <-freed:
			case <-l.ended:
				return false
			}
		case wait > 0:
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-l.ended:
				t.Stop()
				return false
			}
		default:
			return true
		}
	}
}
