package natsstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stay-go/stay/store"
)

const (
	// retryAfter is how long Watch waits before it begins again.
	retryAfter = 250 * time.Millisecond

	// maxInbox is how many changes wait for whoever watches; more of them are lost.
	maxInbox = 4096

	// maxAnnounced is how many changes are announced at once.
	maxAnnounced = 512

	// silent is how long a consumer may say nothing, as heartbeats, until it is given
	// up.
	silent = 3 * heartbeat
)

// Watch implements [store.Watcher] with a consumer of the stream, which gets what
// was stored, without the values, so a change is announced even if the process that
// made it has died. The consumer is made again whenever messages of it are missing.
// Records that the server drops are not announced.
func (s *Store) Watch(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.closing, func() { cancel(errClosed) })
	defer stop()
	for {
		_ = s.listen(ctx, announce) // the next one says that announcements are missing
		if pause(ctx, retryAfter) != nil {
			break
		}
	}
	if err := context.Cause(ctx); errors.Is(err, store.ErrClosed) {
		return err
	}
	return unavailable(context.Cause(ctx))
}

// errMissing means that messages of a consumer are missing.
var errMissing = errors.New("announcements are missing")

// listen announces what is stored until messages are missing or ctx ends.
func (s *Store) listen(ctx context.Context, announce func(changes []store.Change, lost bool)) error {
	sub, err := s.nc.SubscribeSync(s.nc.NewInbox())
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(maxInbox, -1); err != nil {
		return err
	}
	making, cancel := context.WithTimeout(ctx, s.attempt)
	defer cancel()
	consumer, err := s.js.CreatePushConsumer(making, s.name, jetstream.ConsumerConfig{
		DeliverSubject: sub.Subject, DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckNonePolicy,
		FilterSubject: s.name + ofRecord + ">", HeadersOnly: true, MemoryStorage: true, Replicas: 1,
		IdleHeartbeat: heartbeat, InactiveThreshold: silent,
	})
	if err != nil {
		return err
	}
	defer func() { // nobody waits; without this, the server finds out by itself
		_ = s.nc.Publish(s.api+"CONSUMER.DELETE."+s.name+"."+consumer.CachedInfo().Name, nil)
	}()
	announce(nil, true) // what is applied from now on is announced
	in := delivery{store: s}
	for {
		changes, err := in.next(ctx, sub)
		if len(changes) > 0 {
			announce(changes, false)
		}
		if err != nil {
			return err
		}
	}
}

// A delivery counts the messages of a consumer.
type delivery struct {
	store *Store
	got   uint64
}

// next waits for a message, and returns its change and those of all that are there
// already, also with an error.
func (d *delivery) next(ctx context.Context, sub *nats.Subscription) (changes []store.Change, err error) {
	waiting, cancel := context.WithTimeout(ctx, silent)
	defer cancel()
	m, err := sub.NextMsgWithContext(waiting)
	for err == nil {
		c, some, wrong := d.change(m)
		if wrong != nil {
			return changes, wrong
		}
		if some {
			changes = append(changes, c)
		}
		if n, _, _ := sub.Pending(); n == 0 || len(changes) == maxAnnounced {
			return changes, nil
		}
		m, err = sub.NextMsgWithContext(waiting)
	}
	return changes, err
}

// change returns what a message says; some is false if it is a heartbeat.
func (d *delivery) change(m *nats.Msg) (c store.Change, some bool, err error) {
	if m.Header.Get("Status") != "" {
		last, err := strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64)
		if err != nil || last != d.got {
			return c, false, errMissing
		}
		return c, false, nil
	}
	about, err := m.Metadata()
	if err != nil {
		return c, false, err
	}
	if d.got++; about.Sequence.Consumer != d.got {
		return c, false, errMissing
	}
	if c.Key, err = d.store.keyOf(m.Subject); err != nil {
		return c, false, err
	}
	if m.Header.Get(nats.MsgSize) != "0" {
		c.Revision = revisionOf(about.Sequence.Stream)
	}
	return c, true, nil
}
