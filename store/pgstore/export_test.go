package pgstore

import "time"

// Heartbeat sets how long the connection of Watch may be silent.
func Heartbeat(d time.Duration) Option { return func(s *Store) { s.heartbeat = d } }

// Freshness sets how long it counts that nobody watches.
func Freshness(d time.Duration) Option { return func(s *Store) { s.announcer.freshness = d } }

// OpenPool opens a store with a pool of its own, of which the test has the
// configuration.
var OpenPool = openPool
