package redisstore_test

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store/redisstore"
)

// shared is the server of all tests that do not stop it. It syncs each change, which
// takes a disk long.
var shared = storekit.Share(storekit.Memory(), func(dir string) (*redisserver.Server, error) { return redisserver.New(dir) })

func TestMain(m *testing.M) {
	code := m.Run()
	shared.End()
	os.Exit(code)
}

// theServer returns the shared server.
func theServer(t testing.TB) *redisserver.Server {
	t.Helper()
	s, err := shared.Get()
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
	text, err := s.Ask(storekit.Within(t), words...)
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

// open opens a store with connections of its own.
func open(t testing.TB, url string, options ...redisstore.Option) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(storekit.Within(t), url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
