package redisstore_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// shared is the server of all tests that do not stop it. TestMain stops it.
var shared = sync.OnceValues(func() (*redisserver.Server, error) {
	dir, err := os.MkdirTemp("", "redisstore")
	if err != nil {
		return nil, err
	}
	s, err := redisserver.New(dir)
	if err != nil {
		_ = os.RemoveAll(dir)
	}
	return s, err
})

var started atomic.Bool // whether a test has asked for the shared server

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if s, err := shared(); err == nil {
			s.Kill()
			_ = os.RemoveAll(s.Dir())
		}
	}
	os.Exit(code)
}

// theServer returns the shared server.
func theServer(t testing.TB) *redisserver.Server {
	t.Helper()
	started.Store(true)
	s, err := shared()
	check(t, err)
	return s
}

// ownServer returns a server that is for this test alone.
func ownServer(t *testing.T, settings ...string) *redisserver.Server {
	t.Helper()
	s, err := redisserver.New(t.TempDir(), settings...)
	check(t, err)
	t.Cleanup(s.Kill)
	return s
}

// check skips the test if Redis is missing, or fails it if it must not be.
func check(t testing.TB, err error) {
	t.Helper()
	need.NoError(t, err, redisserver.ErrMissing)
}

// ask runs a command on a server.
func ask(t *testing.T, s *redisserver.Server, words ...string) string {
	t.Helper()
	text, err := s.Ask(within(t), words...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var places atomic.Int64

// place returns a name that no other test has.
func place() redisstore.Option { return redisstore.Name(fmt.Sprint("test", places.Add(1))) }

// startAgain starts a server that has ended.
func startAgain(t *testing.T, s *redisserver.Server) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

// as is the URL of a server for a user.
func as(s *redisserver.Server, user, password string) string {
	return strings.Replace(s.URL(), "://", "://"+url.UserPassword(user, password).String()+"@", 1)
}

// within returns a context that ends the test if it hangs.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open opens a store with connections of its own.
func open(t testing.TB, url string, options ...redisstore.Option) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(within(t), url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// one commits one group.
func one(s store.Store, writes ...store.Write) store.Result {
	return s.Commit(context.Background(), []store.Group{writes})[0]
}

// put commits one write that must be applied.
func put(t testing.TB, s store.Store, key string, base store.Revision, value string) store.Revision {
	t.Helper()
	r := one(s, store.Write{Key: key, Base: base, Value: []byte(value)})
	if r.Outcome != store.Applied {
		t.Fatalf("put %q: %v: %v", key, r.Outcome, r.Err)
	}
	return r.Revisions[0]
}

// load loads one record.
func load(t testing.TB, s store.Store, key string) store.Record {
	t.Helper()
	records, err := s.Load(within(t), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return records[0]
}
