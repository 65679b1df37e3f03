package keys_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// The modules of a world. The second and third are PerUser.
const (
	inTodos = iota // WithKey; the guest's items are appended
	inCart         // appended
	inNotes        // KeepStored
	worldModules
)

// A world is a store, the processes that work on it one after the other, and an
// oracle: it records which request did what as which user, and the outcome, and
// knows what must be true of every state that is read. Every added item is
// unique, and belongs to the user as whom the request added it.
type world struct {
	t      testing.TB
	guests stay.GuestMode
	st     *storefault.Store
	// between, if set, goes between each process and the store.
	between func(store.Store) store.Store
	// turn, if set, is called by those who have one.
	turn func()

	calm bool // nothing goes wrong

	mu      sync.Mutex
	tick    int
	p       *process
	keys    map[string]bool // every key that was ever written
	items   map[string]*item
	deletes map[place][]*span
	logins  map[int][]*passage // of a guest
	revokes map[string][]*span
	lost    map[int]bool // guests whose state may be gone
	guest   int          // the last one
	cookies []*cookie
	bad     []string
	log     []string
}

// A place is where items are: with a user, or a guest. A guest's number is
// given up when the key changes; todos and the PerUser modules count by
// themselves.
type place struct {
	module int
	user   string
	guest  int
}

type outcome uint8

const (
	underWay outcome = iota
	acked
	failed
	doubtful
)

// A span is when something was asked for and answered, in ticks.
type span struct {
	from, to int
	how      outcome
}

type passage struct {
	*span
	user string // the user whom it reaches
}

// An item is an item that a request has added, and the user as whom.
type item struct {
	span
	place place
	never bool // made by a change whose other effects must be dropped
}

// A cookie is a browser's cookie: one generation of one session.
type cookie struct {
	value       string
	owner, user string // of todos; of the PerUser modules
	asOwner     *span  // what made the owner so
	todosGuest  int
	userGuest   int
	made        int
	dead        bool // an answer has said so
	doubt       bool // the outcome is unknown
	changes     int  // that may have replaced it
	replaced    int  // that have
}

// A process is one App, until it is closed or crashes.
type process struct {
	app   *stay.App
	todos *stay.State[testkit.Todos]
	carts [worldModules]*stay.State[testkit.Cart]
	ring  access.Keyring
	life  *mortal
}

// A mortal store refuses everything after its process has crashed.
type mortal struct {
	store.Store
	dead atomic.Bool
}

func (m *mortal) Features() store.Features {
	f := m.Store.Features()
	f.List = false
	return f
}

var errCrashed = fmt.Errorf("crashed: %w", store.ErrUnavailable)

func (m *mortal) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if m.dead.Load() {
		return nil, errCrashed
	}
	recs, err := m.Store.Load(ctx, reads)
	if m.dead.Load() {
		return nil, errCrashed
	}
	return recs, err
}

func (m *mortal) Commit(ctx context.Context, groups []store.Group) []store.Result {
	if m.dead.Load() {
		return make([]store.Result, len(groups))
	}
	res := m.Store.Commit(ctx, groups)
	if m.dead.Load() {
		return make([]store.Result, len(groups))
	}
	return res
}

func (m *mortal) Close() error { return nil }

func newWorld(t testing.TB, inner store.Store, immediate bool, guests stay.GuestMode, s *stepper) *world {
	w := &world{
		t: t, guests: guests, between: s.between, turn: s.turn, keys: map[string]bool{}, items: map[string]*item{}, deletes: map[place][]*span{},
		logins: map[int][]*passage{}, revokes: map[string][]*span{}, lost: map[int]bool{},
	}
	w.st = storefault.Wrap(inner, &storefault.Options{
		Features: func(f store.Features) store.Features {
			f.Immediate, f.Durable = immediate, true
			return f
		},
		Hook: func(c storefault.Call) {
			if c.Op == storefault.Commit {
				w.mu.Lock()
				defer w.mu.Unlock()
				for _, key := range c.Keys {
					w.keys[key] = true
				}
			}
		},
	})
	w.start()
	return w
}

// worldClock stands still, so that a cookie that was ended is refused for as
// long as the test lasts.
func worldClock() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

func (w *world) start() {
	p := &process{life: &mortal{Store: w.st}}
	if w.between != nil {
		p.life.Store = w.between(w.st)
	}
	p.app = stay.New(p.life, &stay.Options{
		Clock: worldClock, Guests: w.guests, OnError: testkit.Quiet, CommitTimeout: 40 * time.Millisecond, MaxWait: time.Second,
	})
	m := testkit.TodosModule()
	m.Adopt = func(stored, guest *testkit.Todos) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}
	p.todos = stay.Register(p.app, m)
	p.carts[inCart] = stay.Register(p.app, stay.Module[testkit.Cart]{Name: "cart", Persist: stay.PerUser, Adopt: func(stored, guest *testkit.Cart) error {
		stored.Items = append(stored.Items, guest.Items...)
		return nil
	}})
	p.carts[inNotes] = stay.Register(p.app, stay.Module[testkit.Cart]{Name: "notes", Persist: stay.PerUser})
	p.ring = access.AppOf(p.app).Keyring([][]byte{[]byte(strings.Repeat("k", 32))})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p = p
}

// restart ends the process and starts another one on the same store. A crash is
// a restart without notice: the answers of the process from then on reach
// nobody.
func (w *world) restart(crash bool) {
	w.mu.Lock()
	p := w.p
	w.mu.Unlock()
	if crash {
		w.crash()
		w.start()
	}
	if err := p.app.Close(context.Background()); err != nil {
		w.t.Errorf("close: %v", err)
	}
	if !crash {
		w.mu.Lock()
		w.loseGuests()
		w.mu.Unlock()
		w.start()
	}
}

// crash ends the process as others see it.
func (w *world) crash() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p.life.dead.Store(true)
	w.loseGuests()
}

func (w *world) loseGuests() {
	if w.guests == stay.GuestMemory {
		for g := 1; g <= w.guest; g++ {
			w.lost[g] = true
		}
	}
}

// wrong notes what must not be.
func (w *world) wrong(format string, args ...any) {
	w.bad = append(w.bad, fmt.Sprintf(format, args...))
}

// note keeps what happened, for those who replay a failure.
func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *world) hasTurn() {
	if w.turn != nil {
		w.turn()
	}
}

func (w *world) now() int {
	w.tick++
	return w.tick
}

func (w *world) newGuest() int {
	w.guest++
	return w.guest
}

func stringsOf(v any) (items []string, owner string) {
	switch v := v.(type) {
	case *testkit.Todos:
		return v.Items, v.Owner.ID
	case *testkit.Cart:
		return v.Items, ""
	}
	return nil, ""
}

// decode reads a record.
func decode(module int, value []byte) (any, error) {
	var v any = new(testkit.Cart)
	if module == inTodos {
		v = new(testkit.Todos)
	}
	return v, json.Unmarshal(value, v)
}

// prefixes of the keys of users.
var worldPrefix = [worldModules]string{"key/todos/", "user/cart/", "user/notes/"}

// moduleOf returns the module of a record.
func moduleOf(key string) (module int, user string, isState bool) {
	for m, prefix := range worldPrefix {
		if user, ok := strings.CutPrefix(key, prefix); ok {
			return m, user, true
		}
	}
	for m, name := range []string{"todos", "cart", "notes"} {
		if strings.HasPrefix(key, "guest/"+name+"/") {
			return m, "", true
		}
	}
	return 0, "", false
}
