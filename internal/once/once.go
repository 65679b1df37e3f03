// Package once gives the changes of a request their names, so that each takes
// effect once, however often the request is sent.
package once

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// MaxID is how many bytes the id of a request may have.
const MaxID = 255

// A Request is what names the changes that are made with its context.
type Request struct {
	id       string
	print    uint32
	replayed atomic.Bool

	mu    sync.Mutex
	first target // of the first change
	n     uint32 // how many changes of it there were
	more  map[target]uint32
}

// A target is a state as a change names it: of the session, or of a key.
type target struct{ module, key string }

// New returns a Request with the id. print tells its content from others; 0 if
// it is not known.
func New(id string, print uint32) *Request { return &Request{id: id, print: print} }

// Valid reports whether the id has a length that is taken.
func (r *Request) Valid() bool { return len(r.id) >= 1 && len(r.id) <= MaxID }

// Print returns what tells the content from others.
func (r *Request) Print() uint32 { return r.print }

// Number returns how many changes of a module's state the request has made
// before: a request that is sent again makes them in the same order. Changes of
// different keys are counted apart, so their order does not matter.
func (r *Request) Number(module, key string) uint32 {
	t := target{module, key}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.n == 0:
		r.first = t
		fallthrough
	case r.first == t:
		r.n++
		return r.n - 1
	case r.more == nil:
		r.more = map[target]uint32{}
	}
	n := r.more[t]
	r.more[t] = n + 1
	return n
}

// Name returns the name of a change, which is not 0. Requests of different
// sessions with the same id make changes of different names.
func (r *Request) Name(session, module, action string, number uint32) uint64 {
	var buf [512]byte
	b := binary.BigEndian.AppendUint32(buf[:0], number)
	for _, part := range [...]string{r.id, session, module, action} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// Replay notes that a change had been made before.
func (r *Request) Replay() { r.replayed.Store(true) }

// Replayed reports whether a change had been made before.
func (r *Request) Replayed() bool { return r.replayed.Load() }

// Key finds the Request in a context.
type Key struct{}

// With returns ctx with the Request; nil: changes made with it have no names.
func With(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, Key{}, r)
}

// Of returns the Request of ctx, nil if there is none.
func Of(ctx context.Context) *Request {
	r, _ := ctx.Value(Key{}).(*Request)
	return r
}
