package natsstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/process"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
)

// streams returns what manages streams.
func streams(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(connect(t, url))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// settings returns the settings of a stream that a store has made.
func settings(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := js.Stream(storekit.Within(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

// TestOpenAtOnce proves that the first stores of a place may be opened at the same
// time.
func TestOpenAtOnce(t *testing.T) {
	for name, url := range map[string]string{"one": theServer(t), "three": theCluster(t)} {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for range 6 {
				all.Go(func() {
					st, err := natsstore.Open(context.Background(), url, natsstore.Name("at-once"))
					if err != nil {
						t.Error(err)
						return
					}
					_ = st.Close()
				})
			}
			all.Wait()
		})
	}
}

// TestReplicasAndSyncDecideWhatIsPromised proves that a stream has three replicas in a
// cluster and one elsewhere, that only what is durable is said to be, and that another
// number of replicas than asked for is refused.
//
// Proves C5.
func TestReplicasAndSyncDecideWhatIsPromised(t *testing.T) {
	single, three := theServer(t), theCluster(t)
	for _, c := range []struct {
		name     string
		url      string
		options  []natsstore.Option
		replicas int
		durable  bool
	}{
		{"alone", single, nil, 1, false},
		{"alone, synced", single, []natsstore.Option{natsstore.SyncAlways()}, 1, true},
		{"cluster", three, nil, 3, true},
		{"cluster, one", three, []natsstore.Option{natsstore.Replicas(1)}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := fmt.Sprint("durable", places.Add(1))
			st := open(t, c.url, append(c.options, natsstore.Name(name))...)
			if f := st.Features(); f.Durable != c.durable || f.StaleReads != 0 || f.Expire || !f.Groups {
				t.Errorf("%+v", f)
			}
			if got := settings(t, streams(t, c.url), name).Replicas; got != c.replicas {
				t.Errorf("%d replicas", got)
			}
			_, err := natsstore.Open(storekit.Within(t), c.url, natsstore.Name(name), natsstore.Replicas(5))
			if err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), fmt.Sprintf("has %d replicas, and 5", c.replicas)) {
				t.Error(err)
			}
		})
	}
	js := streams(t, single)
	open(t, single, natsstore.Name("in-memory"))
	config := settings(t, js, "in-memory")
	if err := js.DeleteStream(storekit.Within(t), "in-memory"); err != nil {
		t.Fatal(err)
	}
	config.Storage = jetstream.MemoryStorage
	if _, err := js.CreateStream(storekit.Within(t), config); err != nil {
		t.Fatal(err)
	}
	if open(t, single, natsstore.Name("in-memory"), natsstore.SyncAlways()).Features().Durable {
		t.Error("a stream in memory counts as durable")
	}
}

// TestOtherStreamsAreRefused proves that a stream that would lose records or lacks
// what a store needs is refused, with what is wrong, and is left as it was.
//
// Proves C5.
func TestOtherStreamsAreRefused(t *testing.T) {
	url := theServer(t)
	js := streams(t, url)
	for say, change := range map[string]func(c *jetstream.StreamConfig){
		"metadata":                  func(c *jetstream.StreamConfig) { c.Metadata = nil },
		"newer version":             func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"stay.format": "99"} },
		"its subjects":              func(c *jetstream.StreamConfig) { c.Subjects = []string{c.Name + ".r.>"} },
		"its retention":             func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"discard must be new":       func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"max_age":                   func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"max_msgs_per_subject":      func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 },
		"allow_atomic":              func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"allow_msg_ttl":             func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false },
		"subject_delete_marker_ttl": func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = time.Hour },
		"allow_direct":              func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"no_ack":                    func(c *jetstream.StreamConfig) { c.NoAck, c.AllowAtomicPublish = true, false },
		"messages have":             func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 },
	} {
		t.Run(say, func(t *testing.T) {
			name := fmt.Sprint("refused", places.Add(1))
			_ = open(t, url, natsstore.Name(name)).Close()
			config := settings(t, js, name)
			if err := js.DeleteStream(storekit.Within(t), name); err != nil {
				t.Fatal(err)
			}
			change(&config)
			if _, err := js.CreateStream(storekit.Within(t), config); err != nil {
				t.Fatal(err)
			}
			st, err := natsstore.Open(storekit.Within(t), url, natsstore.Name(name))
			if err == nil {
				_ = st.Close()
				t.Fatal("opened")
			}
			if say == "no_ack" {
				say = "allow_atomic" // which servers do not allow beside no_ack
			}
			if !strings.Contains(err.Error(), say) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%v, want %q in it, and not that trying again helps", err, say)
			}
		})
	}
}

// TestValuesAreAsLargeAsMessages proves that MaxValue follows the server's
// max_payload, that stay.New refuses states that would be larger, and that the largest
// value and meta come back.
//
// Proves C6.
func TestValuesAreAsLargeAsMessages(t *testing.T) {
	st := open(t, theServer(t), place())
	if got := st.Features().MaxValue; got != 1<<20-16<<10 {
		t.Errorf("MaxValue is %d", got)
	}
	func() {
		defer func() {
			if say := fmt.Sprint(recover()); !strings.Contains(say, "set MaxState to 1032192 or less") {
				t.Error(say)
			}
		}()
		stay.New(st, nil)
	}()
	large := open(t, ownServer(t, "max_payload: 4MB").URL())
	if got := large.Features().MaxValue; got != 4<<20-16<<10 {
		t.Errorf("MaxValue is %d", got)
	}
	value := strings.Repeat("x", large.Features().MaxValue)
	key := strings.Repeat("k", store.MaxKey)
	r := storekit.One(large, store.Write{Key: key, Value: []byte(value), Meta: make([]byte, 5000), Expires: time.Now().Add(time.Hour)})
	if r.Outcome != store.Applied {
		t.Fatal(r.Outcome, r.Err)
	}
	if got := storekit.Load(t, large, key); string(got.Value) != value || len(got.Meta) != 5000 {
		t.Errorf("%d and %d bytes", len(got.Value), len(got.Meta))
	}
	if r := storekit.One(large, store.Write{Key: "both", Value: []byte(value), Meta: []byte(value)}); r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrTooLarge) {
		t.Error(r.Outcome, r.Err)
	}
}

// TestExpiryIsTheServers proves that what expires is dropped an hour later, and
// nothing else is, that marks of deletion go too, and that a module that needs to
// hear of expiry is refused.
//
// Proves C4.
func TestExpiryIsTheServers(t *testing.T) {
	url := theServer(t)
	name := fmt.Sprint("expiry", places.Add(1))
	st := open(t, url, natsstore.Name(name))
	stream, err := streams(t, url).Stream(storekit.Within(t), name)
	if err != nil {
		t.Fatal(err)
	}
	ttl := func(of string) time.Duration {
		t.Helper()
		m, err := stream.GetLastMsgForSubject(storekit.Within(t), name+".r."+of)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Nats-TTL") == "" {
			return 0
		}
		d, err := time.ParseDuration(m.Header.Get("Nats-TTL") + "s")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	about := func(got, want time.Duration) bool { return got > want-time.Minute && got < want+time.Minute }
	storekit.Put(t, st, "never", 0, "x")
	gone := storekit.Put(t, st, "gone", 0, "x")
	storekit.One(st, store.Write{Op: store.Delete, Key: "gone", Base: gone})
	for key, at := range map[string]time.Time{"past": time.UnixMilli(0), "soon": time.Now().Add(time.Hour), "far": time.Now().AddDate(200, 0, 0)} {
		if r := storekit.One(st, store.Write{Key: key, Expires: at}); r.Outcome != store.Applied {
			t.Fatal(r.Outcome, r.Err)
		}
	}
	for subject, want := range map[string]time.Duration{
		"bmV2ZXI._._": 0, "Z29uZQ._._": time.Hour, "cGFzdA._._": time.Hour, "c29vbg._._": 2 * time.Hour, "ZmFy._._": 0,
	} {
		if got := ttl(subject); want == 0 && got != 0 || want != 0 && !about(got, want) {
			t.Errorf("%s lives for %v, want %v", subject, got, want)
		}
	}
	app := stay.New(st, &stay.Options{MaxState: 1 << 16, Logger: slog.New(slog.DiscardHandler)})
	defer app.Close(context.Background())
	defer func() {
		if say := fmt.Sprint(recover()); !strings.Contains(say, "Features.Expire") {
			t.Error(say)
		}
	}()
	stay.Register(app, stay.Module[struct{}]{Name: "cart", Persist: stay.Global, Expiry: time.Hour, OnExpire: func(*stay.Call, *struct{}) {}})
}

// TestFullStream proves that a stream that is full rejects groups, keeps its records,
// and still lets them be read.
//
// Proves C2, C6.
func TestFullStream(t *testing.T) {
	url := theServer(t)
	js := streams(t, url)
	name := fmt.Sprint("full", places.Add(1))
	st := open(t, url, natsstore.Name(name))
	rev := storekit.Put(t, st, "key", 0, "x")
	config := settings(t, js, name)
	config.MaxBytes = 4 << 10
	if _, err := js.UpdateStream(storekit.Within(t), config); err != nil {
		t.Fatal(err)
	}
	for _, g := range []store.Group{
		{{Key: "large", Value: make([]byte, 8<<10)}},
		{{Key: "key", Base: rev}, {Key: "large", Value: make([]byte, 8<<10)}},
	} {
		if r := storekit.One(st, g...); r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrUnavailable) || !strings.Contains(r.Err.Error(), "maximum bytes") {
			t.Errorf("%v: %v, want rejected", r.Outcome, r.Err)
		}
	}
	if got := storekit.Load(t, st, "key"); got.Revision != rev || string(got.Value) != "x" {
		t.Errorf("%+v", got)
	}
	storekit.Put(t, st, "key", rev, "y")
}

// TestOtherMessagesAreCorrupt proves that what is no record is reported as damage, and
// is not overwritten.
//
// Proves C2, C6.
func TestOtherMessagesAreCorrupt(t *testing.T) {
	url := theServer(t)
	name := fmt.Sprint("corrupt", places.Add(1))
	st := open(t, url, natsstore.Name(name))
	nc := connect(t, url)
	if _, err := nc.Request(name+".r.a2V5._._", []byte("junk"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Load(storekit.Within(t), []store.Read{{Key: "key"}}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%v, want that it is corrupt", err)
	}
	if r := storekit.One(st, store.Write{Key: "key"}, store.Write{Key: "beside"}); r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrCorrupt) {
		t.Errorf("%v: %v", r.Outcome, r.Err)
	}
	if got := storekit.Load(t, st, "beside"); got.Revision != 0 {
		t.Errorf("%+v: half of a group is there", got)
	}
	if _, err := nc.Request(name+".r.junk", []byte("x"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if keys, err := st.List(storekit.Within(t), time.Now(), "", "", 10); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%q, %v", keys, err)
	}
}

// TestRecordsDeletedByHand proves that the subject of a record may be purged: its key
// can be created again with a higher revision.
//
// Proves C3.
func TestRecordsDeletedByHand(t *testing.T) {
	url := theServer(t)
	name := fmt.Sprint("hand", places.Add(1))
	st := open(t, url, natsstore.Name(name))
	rev := storekit.Put(t, st, "global/counter/", 0, "x")
	stream, err := streams(t, url).Stream(storekit.Within(t), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(storekit.Within(t), jetstream.WithPurgeSubject(name+".r.Z2xvYmFsLw.Y291bnRlci8._")); err != nil {
		t.Fatal(err)
	}
	if r := storekit.One(st, store.Write{Key: "global/counter/", Base: rev}); r.Outcome != store.Conflict {
		t.Errorf("%v: %v", r.Outcome, r.Err)
	}
	if next := storekit.Put(t, st, "global/counter/", 0, "again"); next <= rev {
		t.Errorf("revision %d after %d", next, rev)
	}
}

// TestOpenEndsWithItsContext proves that Open gives up a server that says nothing
// when its context ends, and says so when there is none.
func TestOpenEndsWithItsContext(t *testing.T) {
	p, err := faultnet.Listen(strings.TrimPrefix(theServer(t), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Hold(faultnet.ToServer | faultnet.ToClient)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	st, err := natsstore.Open(ctx, "nats://"+p.Address())
	if err == nil {
		_ = st.Close()
		t.Fatal("opened")
	}
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 1500*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	port, err := process.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := natsstore.Open(storekit.Within(t), fmt.Sprint("nats://127.0.0.1:", port)); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// TestOptionsAreChecked proves that options which cannot work are refused.
func TestOptionsAreChecked(t *testing.T) {
	for name, option := range map[string]natsstore.Option{
		"Attempt": natsstore.Attempt(0), "dots": natsstore.Name("a.b"), "no name": natsstore.Name(""), "two": natsstore.Replicas(2),
	} {
		if st, err := natsstore.Open(storekit.Within(t), "nats://127.0.0.1:1", option); err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

// TestConnectionIsLeftOpen proves that closing a store leaves the program's connection
// as it is.
//
// Proves C7.
func TestConnectionIsLeftOpen(t *testing.T) {
	url := theServer(t)
	nc := connect(t, url)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := natsstore.New(storekit.Within(t), js, place())
	if err != nil {
		t.Fatal(err)
	}
	storekit.Put(t, st, "key", 0, "x")
	_ = st.Close()
	if err := nc.FlushTimeout(time.Minute); err != nil || nc.Status() != nats.CONNECTED {
		t.Error(nc.Status(), err)
	}
}
