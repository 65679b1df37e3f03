package sse

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
)

// Servers tell streams when their server shuts down: http.Server waits for streams,
// and does not end their requests. The zero value is ready, and its methods may be
// called concurrently.
type Servers struct {
	mu sync.Mutex
	// all end when the server begins to shut down. One that has done so stays: a
	// request that was on its way must find it at its end. A program has few.
	all map[*http.Server]context.Context
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

// Down returns what ends when the server that serves r begins to shut down: never,
// if nothing is known of a server.
func (s *Servers) Down(r *http.Request) context.Context {
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if server == nil {
		return context.Background()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	down := s.all[server]
	if down == nil {
		ctx, end := context.WithCancel(context.Background())
		if s.all == nil {
			s.all = map[*http.Server]context.Context{}
		}
		s.all[server], down = ctx, ctx
		server.RegisterOnShutdown(end)
	}
	return down
}
