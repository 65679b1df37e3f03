package redisstore_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// TestOpenAtOnce proves that the first stores of a place may be opened at the same
// time, and leave nothing but the mark of their format.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			st, err := redisstore.Open(context.Background(), s.URL())
			if err != nil {
				t.Error(err)
				return
			}
			_ = st.Close()
		})
	}
	all.Wait()
	if keys := ask(t, s, "KEYS", "*"); keys != "{stay}:format" {
		t.Errorf("the server has %q", keys)
	}
}

// TestSettingsDecideWhatIsPromised proves that a store is durable only where the
// server's configuration says so, and is refused by a server that may evict records.
//
// Proves C5.
func TestSettingsDecideWhatIsPromised(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	ask(t, s, "ACL", "SETUSER", "app", "on", ">hush", "~{stay}*", "&{stay}*", "+@read", "+@write", "+@scripting", "+@connection", "+@pubsub", "+time", "+info")
	ask(t, s, "ACL", "SETUSER", "blind", "on", ">hush", "~{stay}*", "&{stay}*", "+@all", "-@dangerous")
	app, blind := as(s, "app", "hush"), as(s, "blind", "hush")
	assume := []redisstore.Option{redisstore.AssumeDurable()}
	for _, c := range []struct {
		name     string
		settings string
		url      string
		options  []redisstore.Option
		durable  bool
		refused  string
	}{
		{name: "always", settings: "appendonly yes appendfsync always", url: s.URL(), durable: true},
		{name: "everysec", settings: "appendfsync everysec", url: s.URL()},
		{name: "everysec, assumed", settings: "appendfsync everysec", url: s.URL(), options: assume},
		{name: "no log", settings: "appendonly no", url: s.URL()},
		{name: "not while it is rewritten", settings: "no-appendfsync-on-rewrite yes", url: s.URL()},
		{name: "hidden", url: app},
		{name: "hidden, assumed", url: app, options: assume, durable: true},
		{name: "volatile", settings: "maxmemory-policy volatile-lru", url: s.URL(), durable: true},
		{name: "evicting", settings: "maxmemory-policy allkeys-lru", url: s.URL(), refused: "maxmemory-policy allkeys-lru"},
		{name: "evicting, hidden", settings: "maxmemory-policy allkeys-lfu", url: app, options: assume, refused: "maxmemory-policy allkeys-lfu"},
		{name: "nothing shows", url: blind, refused: "AssumeDurable"},
		{name: "nothing shows, assumed", url: blind, options: assume, durable: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			defaults := "appendonly yes appendfsync always no-appendfsync-on-rewrite no maxmemory-policy noeviction "
			ask(t, s, append([]string{"CONFIG", "SET"}, strings.Fields(merge(defaults, c.settings))...)...)
			st, err := redisstore.Open(storekit.Within(t), c.url, c.options...)
			if c.refused != "" {
				if err == nil {
					_ = st.Close()
					t.Fatal("opened")
				}
				if !strings.Contains(err.Error(), c.refused) || errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%v, want %q in it, and not that trying again helps", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			if got := st.Features().Durable; got != c.durable {
				t.Errorf("Durable is %v", got)
			}
			rev := storekit.Put(t, st, c.name, 0, "x")
			if r := storekit.One(st, store.Write{Op: store.Delete, Key: c.name, Base: rev}); r.Outcome != store.Applied {
				t.Errorf("%v: %v", r.Outcome, r.Err)
			}
		})
	}
}

// TestServiceWithoutConfig proves that a server without the command CONFIG is asked for
// what it shows, and one that evicts records is found out all the same.
//
// Proves C5.
func TestServiceWithoutConfig(t *testing.T) {
	t.Parallel()
	s := ownServer(t, `rename-command CONFIG ""`)
	if st := open(t, s.URL()); st.Features().Durable {
		t.Error("durable, and nobody has said so")
	}
	if st := open(t, s.URL(), redisstore.AssumeDurable()); !st.Features().Durable {
		t.Error("not durable, although the operator says so")
	}
	evicting := ownServer(t, `rename-command CONFIG ""`, "maxmemory-policy allkeys-random")
	if st, err := redisstore.Open(storekit.Within(t), evicting.URL(), redisstore.AssumeDurable()); err == nil || !strings.Contains(err.Error(), "allkeys-random") {
		t.Errorf("%v, %v", st, err)
	}
}

// merge puts settings in the place of others with the same name.
func merge(defaults, settings string) string {
	merged := strings.Fields(defaults)
	words := strings.Fields(settings)
	for i := 0; i < len(words); i += 2 {
		for j := 0; j < len(merged); j += 2 {
			if merged[j] == words[i] {
				merged[j+1] = words[i+1]
			}
		}
	}
	return strings.Join(merged, " ")
}

// TestMissingRightsShowAtOnce proves that a user who may not do all that the scripts
// do is refused when the store is opened, and not in the middle of a commit.
func TestMissingRightsShowAtOnce(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	for _, missing := range []string{"eval", "set", "zadd", "zrem", "del", "hset", "getrange"} {
		ask(t, s, "ACL", "SETUSER", missing, "on", ">hush", "~{stay}*", "&{stay}*", "+@all", "-"+missing)
		st, err := redisstore.Open(storekit.Within(t), as(s, missing, "hush"))
		if err == nil {
			_ = st.Close()
			t.Errorf("opened without the right to %s", missing)
		} else if strings.Contains(err.Error(), "hush") {
			t.Error(err)
		}
	}
	st, err := redisstore.Open(storekit.Within(t), as(s, "set", "hush"), redisstore.Name("other"))
	if err == nil {
		_ = st.Close()
		t.Error("opened without a right to the keys")
	}
}

// TestNewerKeysAreRefused proves that a store does not touch what a newer version
// has written, and says what to do.
func TestNewerKeysAreRefused(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	ask(t, s, "SET", "{stay}:format", "99")
	st, err := redisstore.Open(storekit.Within(t), s.URL())
	if err == nil {
		_ = st.Close()
		t.Fatal("opened")
	}
	if !strings.Contains(err.Error(), `format "99"`) || !strings.Contains(err.Error(), "newer version") || errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// TestOtherValuesAreCorrupt proves that what is no record is reported as damage, and
// is not overwritten.
//
// Proves C2, C6.
func TestOtherValuesAreCorrupt(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	rev := storekit.Put(t, st, "list", 0, "x")
	for key, words := range map[string][]string{
		"short":       {"SET", "{stay}:r:short", "x"},
		"no revision": {"SET", "{stay}:r:no revision", strings.Repeat("\x01", 24) + "\x7f\x7f\x7f\x7f"},
		"list":        {"EVAL", "redis.call('DEL', KEYS[1]); return redis.call('LPUSH', KEYS[1], 'x')", "1", "{stay}:r:list"},
	} {
		ask(t, s, words...)
		_, err := st.Load(storekit.Within(t), []store.Read{{Key: key}})
		if key != "list" && !errors.Is(err, store.ErrCorrupt) || err == nil {
			t.Errorf("%s: %v, want that it is corrupt", key, err)
		}
		if r := storekit.One(st, store.Write{Key: key}); r.Outcome != store.Rejected && r.Outcome != store.Unknown || r.Err == nil {
			t.Errorf("%s: %v: %v", key, r.Outcome, r.Err)
		}
		if r := storekit.One(st, store.Write{Key: key, Base: rev}, store.Write{Key: "beside " + key}); r.Outcome == store.Applied {
			t.Errorf("%s: %v: %v", key, r.Outcome, r.Err)
		}
		if got := storekit.Load(t, st, "beside "+key); got.Revision != 0 {
			t.Errorf("%+v: half of a group is there", got)
		}
	}
}

// TestRecordsDeletedByHand proves that a record may be deleted with DEL: its key can
// be created again with a higher revision, and the sweep goes on behind it.
//
// Proves C3, C4.
func TestRecordsDeletedByHand(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	past := time.Now().Add(-time.Hour)
	var revs [2]store.Revision
	for i, key := range []string{"a", "b"} {
		revs[i] = storekit.One(st, store.Write{Key: key, Expires: past}).Revisions[0]
	}
	ask(t, s, "DEL", "{stay}:r:a")
	if keys, err := st.List(storekit.Within(t), past.Add(-time.Hour), "", "", 10); err != nil || len(keys) != 1 || keys[0] != "b" {
		t.Errorf("%q, %v", keys, err)
	}
	for range 2 { // the first one may find that a record is missing
		expired, err := st.Expired(storekit.Within(t), time.Now(), 1)
		if err != nil || len(expired) > 1 {
			t.Fatalf("%+v, %v", expired, err)
		}
		if len(expired) == 1 && expired[0].Key != "b" {
			t.Errorf("%+v", expired)
		}
	}
	if n := ask(t, s, "ZCARD", "{stay}:expires"); n != "1" {
		t.Errorf("%s records are in the index", n)
	}
	if r := storekit.One(st, store.Write{Key: "a", Base: revs[0]}); r.Outcome != store.Conflict {
		t.Errorf("%v: %v", r.Outcome, r.Err)
	}
	if rev := storekit.Put(t, st, "a", 0, "again"); rev <= revs[0] {
		t.Errorf("revision %d after %d", rev, revs[0])
	}
}

// TestIndexesHoldWhatIsThere proves that the indexes have what is stored and nothing
// else, whatever happens to the expiry of a record.
//
// Proves C4.
func TestIndexesHoldWhatIsThere(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	st := open(t, s.URL())
	want := func(expires, names string) {
		t.Helper()
		if got := ask(t, s, "ZRANGE", "{stay}:expires", "0", "-1", "WITHSCORES"); got != expires {
			t.Errorf("expires: %q, want %q", got, expires)
		}
		if got := ask(t, s, "ZRANGE", "{stay}:names", "0", "-1"); got != names {
			t.Errorf("names: %q, want %q", got, names)
		}
	}
	var rev store.Revision
	for _, c := range []struct {
		at      time.Time
		expires string
	}{{time.UnixMilli(1700000000123), "key\n1700000000123"}, {time.UnixMilli(-5), "key\n-5"}, {time.Time{}, ""}, {time.UnixMilli(0), "key\n0"}} {
		rev = storekit.One(st, store.Write{Key: "key", Base: rev, Expires: c.at}).Revisions[0]
		want(c.expires, "key")
	}
	if r := storekit.One(st, store.Write{Op: store.Delete, Key: "key", Base: rev}); r.Outcome != store.Applied {
		t.Fatal(r.Outcome, r.Err)
	}
	want("", "")
}

// TestOpenEndsWithItsContext proves that Open gives up a server that says nothing
// when its context ends.
func TestOpenEndsWithItsContext(t *testing.T) {
	s := theServer(t)
	p, err := faultnet.Listen(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Hold(faultnet.ToServer)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	st, err := redisstore.Open(ctx, "redis://"+p.Address())
	if err == nil {
		_ = st.Close()
		t.Fatal("opened")
	}
	if !errors.Is(err, store.ErrUnavailable) || time.Since(began) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}

	hangs := at(t, s)
	hangs.Dialer.Timeout = time.Hour
	hangs.DialCtxFn = func(ctx context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	canceled, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if st, err := redisstore.OpenWith(canceled, hangs, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", st, err)
	}
}

// TestOptionsAreChecked proves that options which cannot work are refused.
func TestOptionsAreChecked(t *testing.T) {
	for name, option := range map[string]redisstore.Option{
		"Attempt": redisstore.Attempt(0), "braces": redisstore.Name("a}b"), "no name": redisstore.Name(""),
	} {
		if st, err := redisstore.Open(storekit.Within(t), "redis://127.0.0.1:1", option); err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

// TestClientIsLeftOpen proves that closing a store leaves the program's client as it
// is.
//
// Proves C7.
func TestClientIsLeftOpen(t *testing.T) {
	o := at(t, theServer(t))
	client, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	st, err := redisstore.New(storekit.Within(t), client, place())
	if err != nil {
		t.Fatal(err)
	}
	storekit.Put(t, st, "key", 0, "x")
	_ = st.Close()
	if err := client.Do(storekit.Within(t), client.B().Ping().Build()).Error(); err != nil {
		t.Error(err)
	}
}
