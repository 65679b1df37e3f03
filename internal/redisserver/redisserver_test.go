package redisserver_test

import (
	"fmt"
	"testing"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/redisserver"
)

// start starts a server that ends with the test. It skips the test if Redis is
// missing, or fails it if it must not be.
func start(t *testing.T) *redisserver.Server {
	t.Helper()
	s, err := redisserver.New(t.TempDir())
	need.NoError(t, err, redisserver.ErrMissing)
	t.Cleanup(s.Kill)
	return s
}

func want(t *testing.T, s *redisserver.Server, answer string, words ...string) {
	t.Helper()
	if got, err := s.Ask(t.Context(), words...); err != nil || got != answer {
		t.Errorf("%q: %q, %v, want %q", words, got, err, answer)
	}
}

// What was acknowledged is there after an end in good order, after a crash, and
// after a pause.
func TestAServerStartsAgain(t *testing.T) {
	s := start(t)
	want(t, s, "OK", "SET", "n", "1")
	for i, end := range []func(){s.Stop, s.Kill} {
		before := s.Address()
		end()
		if _, err := s.Ask(t.Context(), "PING"); err == nil {
			t.Error("a server that has ended answers")
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if s.Address() != before {
			t.Errorf("it was at %s, and is at %s", before, s.Address())
		}
		want(t, s, fmt.Sprint(i+2), "INCR", "n")
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	s.Resume()
	want(t, s, "3", "GET", "n")
	if _, err := s.Ask(t.Context(), "NONSENSE"); err == nil {
		t.Error("an error of the server is none")
	}
}
