package cloudflarestore

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/stay-go/stay/store"
)

const (
	// retryAfter is how long Watch waits before it connects to an object again.
	retryAfter = 250 * time.Millisecond

	// maxDials bounds how many connections Watch makes at a time.
	maxDials = 16

	// maxMessage bounds an announcement, in bytes.
	maxMessage = 1 << 20

	// maxWaiting bounds the changes that wait for their receiver.
	maxWaiting = 10_000
)

// Watch implements [store.Watcher] with a WebSocket to each object, over which the
// objects themselves announce what they change. An object sleeps meanwhile, and
// costs nothing. A connection that breaks or is silent for five attempts is made
// again. With [ObjectPerHome] it fails at once.
func (s *Store) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	if s.places.shards == 0 {
		return unavailable(errors.New("nothing knows all objects, so none is watched"))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.closing, func() { cancel(errClosed) })
	defer stop()

	in := &inbox{more: make(chan struct{}, 1)}
	var missing atomic.Int64 // how many objects nobody has listened to yet
	missing.Store(int64(s.places.shards))
	room := make(chan struct{}, maxDials)
	var listeners sync.WaitGroup
	for _, object := range s.places.all() {
		listeners.Go(func() {
			first := true
			opened := func() {
				if first {
					first = false
					missing.Add(-1)
				}
				if missing.Load() == 0 {
					in.add(nil, true) // what is applied from now on is announced
				}
			}
			heard := func(changes []store.Change) {
				if missing.Load() == 0 {
					in.add(changes, false)
				}
			}
			for ctx.Err() == nil {
				_ = s.listen(ctx, object, room, opened, heard) // the next one says that announcements are missing
				_ = pause(ctx, retryAfter)
			}
		})
	}
	for ctx.Err() == nil {
		select {
		case <-in.more:
			if changes, lost := in.take(); lost || len(changes) > 0 {
				announce(changes, lost)
			}
		case <-ctx.Done():
		}
	}
	listeners.Wait()
	return unavailable(context.Cause(ctx))
}

// listen hears what an object announces until the connection breaks or ctx ends.
func (s *Store) listen(ctx context.Context, object string, room chan struct{}, opened func(), heard func([]store.Change)) error {
	select {
	case room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	conn, err := s.dial(ctx, object)
	<-room
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxMessage)
	opened()

	ctx, cancel := context.WithCancel(ctx)
	var pings sync.WaitGroup
	defer pings.Wait()
	defer cancel()
	pings.Go(func() {
		for pause(ctx, 2*s.attempt) == nil {
			if conn.Write(ctx, websocket.MessageText, []byte("ping")) != nil {
				return
			}
		}
	})
	for {
		changes, err := hear(ctx, conn, 5*s.attempt)
		if err != nil {
			return err
		}
		if len(changes) > 0 {
			heard(changes)
		}
	}
}

func (s *Store) dial(ctx context.Context, object string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.attempt)
	defer cancel()
	header := s.header()
	header.Set("Stay-Object", object)
	conn, _, err := websocket.Dial(ctx, s.url.String(), &websocket.DialOptions{HTTPClient: s.client, HTTPHeader: header}) //nolint:bodyclose // the library does it
	return conn, err
}

// hear returns the next announcement, or nothing if the object shows that it is
// there.
func hear(ctx context.Context, conn *websocket.Conn, patience time.Duration) ([]store.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, text, err := conn.Read(ctx)
	if err != nil || string(text) == "pong" {
		return nil, err
	}
	var said []announced
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	changes := make([]store.Change, len(said))
	for i := range said {
		changes[i] = store.Change(said[i])
	}
	return changes, nil
}

// announced is a change as objects write it: a key and a revision.
type announced store.Change

func (a *announced) UnmarshalJSON(text []byte) error {
	var key []byte
	err := json.Unmarshal(text, &[]any{&key, &a.Revision})
	a.Key = string(key)
	return err
}

// An inbox keeps what is announced until its receiver takes it.
type inbox struct {
	more chan struct{} // has a value if there is something

	mu      sync.Mutex
	changes []store.Change
	lost    bool
}

func (in *inbox) add(changes []store.Change, lost bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.lost = in.lost || lost || len(in.changes)+len(changes) > maxWaiting; in.lost {
		in.changes = nil // anything may have changed
	} else {
		in.changes = append(in.changes, changes...)
	}
	select {
	case in.more <- struct{}{}:
	default:
	}
}

func (in *inbox) take() (changes []store.Change, lost bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	changes, lost = in.changes, in.lost
	in.changes, in.lost = nil, false
	return changes, lost
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
