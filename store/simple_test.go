package store_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storetest"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// A shelf is a store.Simple in memory that a test can make fail.
type shelf struct {
	mu    sync.Mutex
	saved map[string][]byte
	calls []string // "save key", "delete key", in order
	// before is called before each call, after is called after it; the call
	// returns their error.
	before, after func(call string) error
	closed        int
}

func newShelf() *shelf { return &shelf{saved: map[string][]byte{}} }

func (s *shelf) do(ctx context.Context, call string, work func()) error {
	s.mu.Lock()
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(call); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	work()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	if after != nil {
		return after(call)
	}
	return nil
}

func (s *shelf) Load(ctx context.Context, key string) (value []byte, err error) {
	err = s.do(ctx, "load "+key, func() { value = s.saved[key] })
	return value, err
}

func (s *shelf) Save(ctx context.Context, key string, value []byte) error {
	return s.do(ctx, "save "+key, func() { s.saved[key] = value })
}

func (s *shelf) Delete(ctx context.Context, key string) error {
	return s.do(ctx, "delete "+key, func() { delete(s.saved, key) })
}

func (s *shelf) Close() error {
	s.closed++
	return nil
}

// fail makes the calls with these texts return errTest, before or after they
// are done.
func (s *shelf) fail(before, after []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failing := func(calls []string) func(string) error {
		return func(call string) error {
			if slices.Contains(calls, call) {
				return errTest
			}
			return nil
		}
	}
	s.before, s.after = failing(before), failing(after)
}

var errTest = errors.New("test")

// Proves A13, C1, C2, C3, C4, C5, C6, C7.
func TestSimpleConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{New: func(*testing.T) func(*testing.T) store.Store {
		s := newShelf()
		return func(*testing.T) store.Store { return store.FromSimple(s) }
	}})
}

func commit(t *testing.T, s store.Store, want store.Outcome, g ...store.Write) store.Result {
	t.Helper()
	res := s.Commit(t.Context(), []store.Group{g})[0]
	if res.Outcome != want {
		t.Fatalf("outcome %v (%v), want %v", res.Outcome, res.Err, want)
	}
	return res
}

func put(key, value string, base store.Revision) store.Write {
	return store.Write{Key: key, Base: base, Value: []byte(value)}
}

// value returns the value stored under a key, "" if there is none.
func value(t *testing.T, s store.Store, key string) string {
	t.Helper()
	recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatalf("Load(%q): %v", key, err)
	}
	return string(recs[0].Value)
}

// Names are safe for files, short, and as many as there are keys.
//
// Proves C6.
func TestSimpleNames(t *testing.T) {
	sh := newShelf()
	s := store.FromSimple(sh)
	defer s.Close()
	safe := regexp.MustCompile(`^[a-z0-9_=-]([a-z0-9_.=-]{0,198}[a-z0-9_=-])?$`)
	keys := []string{
		".", "..", "...", ".a", "a.", "a.b", "a/b", "a=2fb", "a", "A", "=", "=sha256-", "\x00", "\xff", "é",
		"con", "a b", "stay/session/x", strings.Repeat("k", 200), strings.Repeat("k", 201), strings.Repeat("/", 66),
		strings.Repeat("/", 67), strings.Repeat("k", store.MaxKey),
	}
	for b := range 256 {
		keys = append(keys, "b"+string([]byte{byte(b)}))
	}
	for _, key := range keys {
		commit(t, s, store.Applied, put(key, "v", 0))
	}
	for name := range sh.saved {
		if !safe.MatchString(name) || len(name) > 200 {
			t.Errorf("name %q is not safe", name)
		}
	}
	if len(sh.saved) != len(keys) {
		t.Errorf("%d keys have %d names", len(keys), len(sh.saved))
	}
	for _, want := range []string{
		"stay=2fsession=2fx", "a.b", "=2ea", "a=2e", "=41",
		"=sha256-ebf0ead0a3b837bc388d6a36c93833fff64a0a8bc8198fc0f1b7b5031dddd254",
	} {
		if _, ok := sh.saved[want]; !ok {
			t.Errorf("no key is saved as %q", want)
		}
	}
}

// Files of earlier versions have the present form of saved records, so it must
// not change unnoticed.
func TestSimpleEnvelope(t *testing.T) {
	sh := newShelf()
	s := store.FromSimple(sh)
	defer s.Close()
	w := put("key", "a\nvalue", 0)
	w.Meta, w.Version, w.Expires = []byte("meta"), 3, now.Add(time.Hour+time.Microsecond)
	rev := commit(t, s, store.Applied, w).Revisions[0]
	want := fmt.Sprintf(`{"stay":1,"rev":%d,"expires":1793538000000,"version":3,"meta":"bWV0YQ=="}`+"\na\nvalue", rev)
	if got := string(sh.saved["key"]); got != want {
		t.Errorf("saved %q, want %q", got, want)
	}
	long := strings.Repeat("k", 201)
	commit(t, s, store.Applied, put(long, "v", 0))
	for name, raw := range sh.saved {
		if strings.HasPrefix(name, "=sha256-") && !strings.Contains(string(raw), `"key":"a2tr`) {
			t.Errorf("a key that its name does not tell is not in the envelope: %q", raw)
		}
	}
}

// A value that is not an envelope is returned whole, does not count as absent,
// and other keys still work.
func TestSimpleForeignBytes(t *testing.T) {
	for _, raw := range []string{
		"", "x", "{}", "{}\n", `{"stay":2,"rev":5}` + "\nvalue", `{"stay":1,"rev":0}` + "\n", `{"stay":1,"rev":5,"key":"eA=="}` + "\n",
		`{"stay":1,"rev":18446744073709551615}` + "\n", `{"stay":1,"rev":5` + "\n",
	} {
		sh := newShelf()
		sh.saved["key"] = []byte(raw)
		s := store.FromSimple(sh)
		recs, err := s.Load(t.Context(), []store.Read{{Key: "key"}, {Key: "other"}})
		if err != nil || recs[0].Revision != 1 || string(recs[0].Value) != raw || recs[1].Revision != 0 {
			t.Errorf("Load of %q = %+v, %v", raw, recs, err)
		}
		commit(t, s, store.Conflict, put("key", "new", 0))
		commit(t, s, store.Applied, put("other", "new", 0))
		if got := string(sh.saved["key"]); got != raw {
			t.Errorf("%q became %q", raw, got)
		}
		commit(t, s, store.Applied, store.Write{Op: store.Delete, Key: "key", Base: 1})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Revisions are at least the clock, and grow when it stands still or has been
// set back.
//
// Proves C3.
func TestSimpleRevisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still
		sh := newShelf()
		s := store.FromSimple(sh)
		defer s.Close()
		first := commit(t, s, store.Applied, put("key", "v", 0)).Revisions[0]
		if first < store.Revision(time.Now().UnixNano()) {
			t.Errorf("revision %d is less than the clock, %d", first, time.Now().UnixNano())
		}
		if second := commit(t, s, store.Applied, put("key", "v", first)).Revisions[0]; second <= first {
			t.Errorf("revision %d after %d", second, first)
		}
		ahead := store.Revision(time.Now().Add(time.Hour).UnixNano())
		sh.saved["ahead"] = fmt.Appendf(nil, `{"stay":1,"rev":%d}`+"\nvalue", ahead)
		if rev := commit(t, s, store.Applied, put("ahead", "v", ahead)).Revisions[0]; rev <= ahead {
			t.Errorf("revision %d after %d", rev, ahead)
		}
	})
}

// The writes of a group are made in their order, so a crash leaves no record
// that names a missing one.
func TestSimpleWritesGroupsInOrder(t *testing.T) {
	sh := newShelf()
	s := store.FromSimple(sh)
	defer s.Close()
	commit(t, s, store.Applied, put("b", "b", 0), put("c", "x", 0), put("a", "a", 0), put("aa", "s", 0))
	var saves []string
	for _, call := range sh.calls {
		if strings.HasPrefix(call, "save") {
			saves = append(saves, call)
		}
	}
	if want := []string{"save b", "save c", "save a", "save aa"}; !slices.Equal(saves, want) {
		t.Errorf("order is %q, want %q", saves, want)
	}
}

// A Save that takes for ever holds up only its own key, in the same call and in
// others, and a caller that waits for the key leaves with its context.
func TestSimpleSlowKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sh := newShelf()
		s := store.FromSimple(sh)
		release := make(chan struct{})
		sh.before = func(call string) error {
			if call == "save slow" {
				<-release
			}
			return nil
		}
		done := make(chan []store.Result, 1)
		go func() {
			done <- s.Commit(t.Context(), []store.Group{{put("slow", "v", 0)}, {put("beside", "v", 0)}})
		}()
		synctest.Wait()
		if value(t, s, "beside") != "v" {
			t.Error("a key of the same call waits for the slow one")
		}
		commit(t, s, store.Applied, put("other", "v", 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if res := s.Commit(ctx, []store.Group{{put("a", "v", 0), put("slow", "w", 0)}})[0]; res.Outcome != store.Rejected || !errors.Is(res.Err, context.DeadlineExceeded) {
			t.Errorf("a commit that waits for the slow key: %v (%v)", res.Outcome, res.Err)
		}
		if _, err := s.Load(ctx, []store.Read{{Key: "slow"}}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a read that waits for the slow key: %v", err)
		}
		commit(t, s, store.Applied, put("a", "v", 0)) // its lock was given back

		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		if len(closed) != 0 || sh.closed != 0 {
			t.Error("Close did not wait for the call that is under way")
		}
		close(release)
		if err := <-closed; err != nil || sh.closed != 1 {
			t.Errorf("Close: %v, the Simple was closed %d times", err, sh.closed)
		}
		for _, res := range <-done {
			if res.Outcome != store.Applied {
				t.Errorf("slow call: %v (%v)", res.Outcome, res.Err)
			}
		}
		if err := s.Close(); err != nil || sh.closed != 1 {
			t.Errorf("Close again: %v, the Simple was closed %d times", err, sh.closed)
		}
	})
}

// An expired record stays until its key is used again: the store has no clock.
//
// Proves C4.
func TestSimpleKeepsExpired(t *testing.T) {
	sh := newShelf()
	s := store.FromSimple(sh)
	defer s.Close()
	w := put("key", "v", 0)
	w.Expires = now.Add(-time.Hour)
	w.Base = commit(t, s, store.Applied, w).Revisions[0]
	if got := value(t, s, "key"); got != "v" || len(sh.saved) != 1 {
		t.Errorf("the expired record holds %q, %d records are left", got, len(sh.saved))
	}
	commit(t, s, store.Conflict, put("key", "w", 0))
	commit(t, s, store.Applied, put("key", "w", w.Base))
}
