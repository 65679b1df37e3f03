package sse

import (
	"net/http"
	"sync"
)

// Servers tell streams when their server shuts down: http.Server waits for streams,
// and does not end their requests. The zero value is ready, and its method may be
// called concurrently.
type Servers struct {
	mu sync.Mutex
	// all are closed when the server begins to shut down. One that has done so
	// stays: a request that was on its way must find it closed. A program has few.
	all map[*http.Server]chan struct{}
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
