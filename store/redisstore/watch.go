package redisstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay/store"
)

// retryAfter is how long Watch waits before it connects again.
const retryAfter = 250 * time.Millisecond

// Watch implements [store.Watcher] with a channel of its own, on which the scripts
// themselves announce what they change, so a change is announced even if the
// process that asked for it has died. It does not need the server's notifications
// about keys (notify-keyspace-events). While nobody watches, nothing is announced.
// The connection is made again whenever it breaks.
func (s *Store) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.closing, func() { cancel(errClosed) })
	defer stop()

	in := newInbox()
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for {
			_ = s.listen(ctx, in) // the next one says that announcements are missing
			if pause(ctx, retryAfter) != nil {
				return
			}
		}
	}()
	for ctx.Err() == nil {
		select {
		case <-in.more:
			if changes, lost := in.take(); lost || len(changes) > 0 {
				announce(changes, lost)
			}
		case <-ctx.Done():
		}
	}
	<-listening
	if err := context.Cause(ctx); errors.Is(err, store.ErrClosed) {
		return err
	}
	return unavailable(context.Cause(ctx))
}

// listen puts what is announced into the inbox until a connection breaks or ctx
// ends.
func (s *Store) listen(ctx context.Context, in *inbox) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client, err := s.listener(ctx)
	if err != nil {
		return err
	}
	if !s.foreign {
		defer client.Close()
	}
	var missing atomic.Int64 // how many parts nobody listens to yet
	missing.Store(int64(len(s.parts)))
	var all sync.WaitGroup
	for _, p := range s.parts {
		all.Go(func() {
			begun := rueidis.WithOnSubscriptionHook(ctx, func(sub rueidis.PubSubSubscription) {
				if sub.Kind == "ssubscribe" && missing.Add(-1) == 0 {
					in.add(nil, true) // what is applied from now on is announced
				}
			})
			subscribe := client.B().Ssubscribe().Channel(p.key(ofChanges)).Build()
			cancel(client.Receive(begun, subscribe, func(m rueidis.PubSubMessage) {
				if missing.Load() <= 0 {
					in.add(parseChanges(m.Message))
				}
			}))
		})
	}
	all.Wait()
	return context.Cause(ctx)
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
