package sse

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Servers tell streams when their server shuts down: http.Server waits for streams,
// and does not end their requests. The zero value is ready, and its methods may be
// called concurrently.
type Servers struct {
	mu sync.Mutex
	// all are closed when the server begins to shut down. One that has done so
	// stays: a request that was on its way must find it closed. A program has few.
	all map[*http.Server]chan struct{}
	met atomic.Pointer[http.Server] // the last of those that Meet has seen
}

// Meet notes the server that serves r: a server tells of its end only those whom it
// knows when it begins. So a server is to be met before its first stream, or a stream
// whose request is on its way then would hold it up.
func (s *Servers) Meet(r *http.Request) {
	if server, _ := r.Context().Value(http.ServerContextKey).(*http.Server); server != nil && s.met.Load() != server {
		s.Down(r)
		s.met.Store(server)
	}
}

// Down returns what is closed when the server that serves r begins to shut down. It
// is nil, which is never closed, if nothing is known of a server.
func (s *Servers) Down(r *http.Request) <-chan struct{} {
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if server == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	down := s.all[server]
	if down == nil {
		down = make(chan struct{})
		if s.all == nil {
			s.all = map[*http.Server]chan struct{}{}
		}
		s.all[server] = down
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(down) })) // Shutdown may be called again
	}
	return down
}
