package testkit

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
)

// Events records the calls of hooks, in order.
type Events struct {
	mu  sync.Mutex
	all []string
}

func (e *Events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, fmt.Sprintf(format, args...))
}

// Take returns the events since the last take.
func (e *Events) Take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// Want fails the test unless the events since the last take are these.
func (e *Events) Want(t *testing.T, want ...string) {
	t.Helper()
	if got := e.Take(); !slices.Equal(got, want) {
		t.Errorf("the hooks were told %q, want %q", got, want)
	}
}

// Watched is a module whose hooks record their calls.
func Watched(name string, persist stay.Strategy, e *Events) stay.Module[Counter] {
	m := stay.Module[Counter]{
		Name: name, Persist: persist,
		OnDestroyed: func(c *stay.Call, v *Counter) { e.add("destroyed %s %d", c.Module(), v.Count) },
		OnExpire:    func(c *stay.Call, v *Counter) { e.add("expired %s %d", c.Module(), v.Count) },
		OnError:     func(c *stay.Call, err *stay.Error) { e.add("error %s %s", err.Phase, err.Code) },
	}
	if persist == stay.Global {
		m.Expiry = 1000 * time.Hour // else it would never expire
	}
	return m
}

// Expiring is an App on a store that stays, with a clock.
type Expiring struct {
	*stay.App
	Store  store.Store
	Clock  *Clock
	Events *Events
}

// NewExpiring is an App on the store, which stays open when the App is closed.
func NewExpiring(t *testing.T, s store.Store, c *Clock) *Expiring {
	e := &Expiring{Store: s, Clock: c, Events: &Events{}}
	e.App = NewApp(t, Unclosed{s}, &stay.Options{
		Clock: c.Now, IdleTimeout: time.Hour, Lifetime: 24 * time.Hour, MaxNewSessions: 100_000,
		Logger:  slog.New(slog.DiscardHandler),
		OnError: func(_ *stay.Call, err *stay.Error) { e.Events.add("error %s %s", err.Phase, err.Code) },
	})
	return e
}

// Sweep lets time pass and removes the records that have expired by then. When
// it returns, the hooks of states that leave memory have been called.
func (e *Expiring) Sweep(d time.Duration) {
	e.Clock.Advance(d)
	Sweep(e.App)
	synctest.Wait()
}
