package model_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/sqlitestore"
)

// A role is what a process of a site knows of its modules.
type role struct {
	name   string
	lacks  []string // modules that it does not register
	only   []string // if set, the modules that it registers
	noHook []string // modules whose OnExpire it does not have
}

func (r role) knows(sp *spec) bool {
	if r.only != nil {
		return slices.Contains(r.only, sp.name)
	}
	return !slices.Contains(r.lacks, sp.name)
}

func (r role) hears(sp *spec) bool {
	return sp.hook && r.knows(sp) && !slices.Contains(r.noHook, sp.name)
}

var (
	full  = role{name: "full"}
	older = role{name: "older", lacks: []string{"mine", "cart", "wish", "board", "desk", "doc"}, noHook: []string{"brief"}}
	job   = role{name: "job", only: []string{"doc"}}
)

// A ground is where a world stands: a store, and the processes on it.
type ground struct {
	name   string
	roles  []role // of the processes; nil = one that is full
	guests stay.GuestMode
	sticky bool // a browser always reaches the same process
	slow   bool // a call takes a while
	// open returns what opens the store of each process, as often as it is
	// started; what was stored stays.
	open func(t *testing.T, n int) func(i int) store.Store
}

// A kept store survives the App that closes it.
type kept struct{ store.Store }

func (kept) Close() error { return nil }

// List lists what the kept store does.
func (k kept) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return k.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}

func inMemory(*testing.T, int) func(int) store.Store {
	s := kept{memstore.New()}
	return func(int) store.Store { return s }
}

func inSharedMemory(_ *testing.T, n int) func(int) store.Store {
	all := memstore.Shared(n)
	return func(i int) store.Store { return kept{all[i]} }
}

func inFile(options ...sqlitestore.Option) func(t *testing.T, n int) func(int) store.Store {
	return func(t *testing.T, _ int) func(int) store.Store {
		file := filepath.Join(t.TempDir(), "app.db")
		return func(int) store.Store {
			s, err := sqlitestore.Open(file, options...)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
}

// onStores spreads homes over three stores.
func onStores(t *testing.T, n int) func(int) store.Store {
	var places [3][]*memstore.Store
	for k := range places {
		places[k] = memstore.Shared(n)
	}
	return func(i int) store.Store {
		router, err := sharded.OpenRouter(t.Context(), map[string]store.Store{
			"one": kept{places[0][i]}, "two": kept{places[1][i]}, "three": kept{places[2][i]},
		})
		if err != nil {
			t.Fatal(err)
		}
		s, err := sharded.New(router)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// A shelf is a store.Simple in memory.
type shelf struct {
	mu    sync.Mutex
	saved map[string][]byte
}

func (s *shelf) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved[key], nil
}

func (s *shelf) Save(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved[key] = value
	return nil
}

func (s *shelf) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.saved, key)
	return nil
}

func onShelf(*testing.T, int) func(int) store.Store {
	s := &shelf{saved: map[string][]byte{}}
	return func(int) store.Store { return store.FromSimple(s) }
}

var grounds = []ground{
	{name: "memory, guests in memory", open: inMemory},
	{name: "memory, guests stored", guests: stay.GuestStored, open: inMemory},
	{name: "two nodes", roles: []role{full, full}, open: inSharedMemory},
	{name: "three nodes", roles: []role{full, full, full}, open: inSharedMemory},
	{name: "two nodes, guests in memory", roles: []role{full, full}, guests: stay.GuestMemory, sticky: true, open: inSharedMemory},
	{name: "three programs", roles: []role{full, older, job}, open: inSharedMemory},
	{name: "sqlite", guests: stay.GuestStored, slow: true, open: inFile()},
	{name: "sqlite, guests in memory", slow: true, open: inFile()},
	{name: "sqlite, two nodes", roles: []role{full, full}, slow: true, open: inFile(sqlitestore.Shared())},
	{name: "sqlite, three programs", roles: []role{full, older, job}, slow: true, open: inFile(sqlitestore.Shared())},
	{name: "three stores, two nodes", roles: []role{full, full}, open: onStores},
	{name: "simple, guests in memory", open: onShelf},
	{name: "simple, guests stored", guests: stay.GuestStored, open: onShelf},
}

const (
	idleTimeout = 24 * time.Hour
	lifetime    = 10 * 24 * time.Hour
	quiet       = time.Minute // how long the answers to an old cookie are quiet
)

// A process is one App until it is restarted.
type process struct {
	role    role
	app     *stay.App
	door    access.App
	ring    access.Keyring
	modules map[string]*handle
	listed  time.Time // when its modules were last put into the list of modules, as far as is known
}

// start starts the process with this number.
func (w *world) start(i int) {
	p := &process{role: w.roles[i], modules: map[string]*handle{}}
	opts := &stay.Options{
		Clock: func() time.Time { return time.Unix(w.clock.Load(), 0) }, IdleTimeout: idleTimeout, Lifetime: lifetime,
		MaxNewSessions: 1_000_000, Logger: slog.New(slog.DiscardHandler), Guests: w.ground.guests, StickySessions: w.ground.sticky,
		OnError: func(_ *stay.Call, e *stay.Error) { w.failure(i, e) },
	}
	if len(w.roles) > 1 && !w.ground.sticky {
		opts.Guests = stay.GuestStored
	}
	p.app = stay.New(w.open(i), opts)
	for _, sp := range w.specs {
		if !p.role.knows(sp) {
			continue
		}
		var own store.Store
		if sp.side {
			own = w.openSide(i)
		}
		var told func(value)
		if p.role.hears(sp) {
			told = func(v value) { w.expired(i, sp, v) }
		}
		if sp.doc() {
			p.modules[sp.name] = register[Doc](p.app, sp, own, told)
		} else {
			p.modules[sp.name] = register[Page](p.app, sp, own, told)
		}
	}
	p.door = access.AppOf(p.app)
	p.ring = p.door.Keyring([][]byte{[]byte(strings.Repeat("k", 32))})
	p.listed = time.Unix(w.clock.Load(), 0)
	if was := w.processes[i]; was != nil {
		p.listed = was.listed
	}
	w.processes[i] = p
}

// newWorld starts all processes of a ground.
func newWorld(t *testing.T, g ground, seed uint64) *world {
	if g.roles == nil {
		g.roles = []role{full}
	}
	n := len(g.roles)
	w := &world{t: t, ground: g, roles: g.roles, open: g.open(t, n), processes: make([]*process, n), steps: newSteps(seed)}
	w.clock.Store(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Unix())
	if n == 1 {
		w.openSide = inMemory(t, n)
	} else {
		w.openSide = inSharedMemory(t, n)
	}
	probe := w.open(0)
	f := probe.Features()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	w.features = f
	for _, sp := range specs() {
		if sp.debounce && !f.SoleOwner {
			continue
		}
		sp.hook = sp.hook && (f.Expire || sp.side)
		w.specs = append(w.specs, sp)
	}
	for i := range n {
		w.start(i)
	}
	w.model = newModel(w)
	return w
}
