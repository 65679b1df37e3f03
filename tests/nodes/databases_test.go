package nodes_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/sharded"
	"github.com/stay-go/stay/store/sqlitestore"
)

// A mortal store reaches its server until its node has made so many calls: then
// none of them is done any more, as if the node had been killed.
type mortal struct {
	store.Store
	left *atomic.Int64
}

var errDead = fmt.Errorf("the node is dead: %w", store.ErrUnavailable)

func (m mortal) dead() bool { return m.left.Add(-1) < 0 }

func (m mortal) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if m.dead() {
		return nil, errDead
	}
	return m.Store.Load(ctx, reads)
}

func (m mortal) Commit(ctx context.Context, groups []store.Group) []store.Result {
	if !m.dead() {
		return m.Store.Commit(ctx, groups)
	}
	results := make([]store.Result, len(groups))
	for i := range results {
		results[i] = store.Result{Outcome: store.Unknown, Err: errDead}
	}
	return results
}

func (m mortal) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return m.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}

func (m mortal) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	return m.Store.(store.Watcher).Watch(ctx, announce)
}

// A database opens handles on one database.
type database func() (store.Store, error)

func inMemory() database {
	all := memstore.Shared(64)
	return func() (store.Store, error) {
		s := all[0]
		all = all[1:]
		return s, nil
	}
}

// A member is a node on several databases, with the states of the test.
type member struct {
	app  *stay.App
	cart *stay.State[testkit.Cart]
	todo *stay.State[testkit.Todos]
	left *atomic.Int64
}

// A ground opens what a node keeps its records in. left is of its mortal stores.
type ground func(left *atomic.Int64) (store.Store, error)

// over is the ground of nodes on several databases.
func over(databases map[string]database) ground {
	return func(left *atomic.Int64) (store.Store, error) {
		stores := map[string]store.Store{}
		for name, open := range databases {
			s, err := open()
			if err != nil {
				return nil, err
			}
			stores[name] = mortal{s, left}
		}
		return sharded.OpenRouter(context.Background(), stores)
	}
}

// join starts a node that makes so many calls.
func join(t *testing.T, open ground, calls int64) (*member, error) {
	m := &member{left: &atomic.Int64{}}
	m.left.Store(1 << 40)
	below, err := open(m.left)
	if err != nil {
		return nil, err
	}
	s, err := sharded.New(below)
	if err != nil {
		return nil, err
	}
	m.app = stay.New(s, &stay.Options{
		Logger: slog.New(slog.DiscardHandler), OnError: func(*stay.Call, *stay.Error) {},
		MaxWait: 5 * time.Second, CommitTimeout: 5 * time.Second,
	})
	_, m.cart = testkit.UserModules(m.app)
	m.todo = stay.Register(m.app, testkit.TodosModule())
	t.Cleanup(func() { // also of a dead one, which has nothing to save
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = m.app.Close(ctx)
	})
	m.left.Store(calls)
	return m, nil
}

// Logins, logouts and changes of states of sessions, users and keys, on nodes that
// die at any call, over several databases: what was acknowledged is there, once,
// and so is what was repeated until it was acknowledged.
//
// Proves N1, E5, S5.
func TestNodesOnSeveralDatabases(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) map[string]database{
		"memory": func(*testing.T) map[string]database {
			return map[string]database{"one": inMemory(), "two": inMemory(), "three": inMemory()}
		},
		"SQLite": func(t *testing.T) map[string]database {
			all := map[string]database{}
			for _, name := range []string{"one", "two"} {
				file := filepath.Join(t.TempDir(), name+".db")
				all[name] = func() (store.Store, error) { return sqlitestore.Open(file, sqlitestore.Shared()) }
			}
			return all
		},
		"PostgreSQL": func(t *testing.T) map[string]database {
			server, err := pgserver.New(folder(t))
			check(t, err)
			t.Cleanup(server.Kill)
			all := map[string]database{}
			for _, name := range []string{"one", "two"} {
				url, err := server.NewDatabase(name)
				check(t, err)
				all[name] = func() (store.Store, error) { return pgstore.Open(context.Background(), url) }
			}
			return all
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, over(open(t)), 25)
			s.run()
			s.compare()
			t.Logf("%d nodes died", s.died)
		})
	}
}

// The numbers of a site.
const (
	siteNodes    = 3
	siteVisitors = 6
	siteUsers    = 2
)

// newSite starts the nodes of a site, whose visitors make so many changes each.
func newSite(t *testing.T, open ground, changes int) *site {
	s := &site{
		t: t, open: open, random: rand.New(rand.NewPCG(testseed.New(t), 1)), changes: changes,
		words: map[string][]string{}, tokens: map[string][]string{},
	}
	for range siteNodes {
		m, err := join(t, open, 100+s.random.Int64N(300))
		check(t, err)
		s.members = append(s.members, m)
	}
	return s
}

// run lets all visitors come, and waits until they have gone.
func (s *site) run() {
	var all sync.WaitGroup
	for i := range siteVisitors {
		r := s.fork()
		all.Go(func() { s.visit(fmt.Sprint("v", s.round, "-", i), userOf(i), r) })
	}
	all.Wait()
}

func userOf(i int) string { return fmt.Sprint("ann", i%siteUsers) }

// A site is nodes that are replaced when they die, and what visitors were told.
type site struct {
	t       *testing.T
	open    ground
	changes int

	mu      sync.Mutex
	random  *rand.Rand
	members []*member
	died    int
	round   int
	done    int                 // changes that were acknowledged
	words   map[string][]string // of each user's cart and list
	tokens  map[string][]string // of each user, the cookies of those who are logged in
}

// renew begins a round, in which visitors use other words. Those who have gone stay
// logged in.
func (s *site) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
}

// fork returns numbers that nothing else takes.
func (s *site) fork() *rand.Rand {
	s.mu.Lock()
	defer s.mu.Unlock()
	return rand.New(rand.NewPCG(s.random.Uint64(), 2))
}

// member returns a node. One that is dead was just replaced.
func (s *site) member(r *rand.Rand) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := r.IntN(len(s.members))
	if s.members[i].left.Load() < 0 {
		m, err := join(s.t, s.open, 100+s.random.Int64N(300))
		switch {
		case errors.Is(err, store.ErrUnavailable): // it tries again, as under a supervisor
			pause(10 * time.Millisecond)
			return s.members[i]
		case err != nil:
			s.t.Errorf("a node that takes the place of a dead one: %v", err)
			return s.members[i]
		}
		s.died++
		s.members[i] = m
	}
	return s.members[i]
}

// insist does something at one node after the other until it succeeds.
func (s *site) insist(r *rand.Rand, b *testkit.Browser, what string, do func(m *member, ctx context.Context) error) bool {
	for began := time.Now(); ; {
		m := s.member(r)
		on := b.On(m.app)
		err := do(m, on.Ctx())
		b.Token = on.Token
		if err == nil {
			return true
		}
		if time.Since(began) > patience {
			s.t.Errorf("%s: %v", what, err)
			return false
		}
	}
}

// visit is one visitor, of several that log in as the user.
func (s *site) visit(name, user string, r *rand.Rand) {
	b := testkit.NewBrowser(s.member(r).app)
	login := func(_ *member, ctx context.Context) error {
		if stay.SessionFrom(ctx).User() == user {
			return nil
		}
		return stay.SessionFrom(ctx).Login(ctx, user)
	}
	if !s.insist(r, b, "login", login) {
		return
	}
	for i := range s.changes {
		word := fmt.Sprintf("%s.%d", name, i)
		what, key := "cart", "cart of "+user
		do := func(m *member, ctx context.Context) error {
			_, err := m.cart.Update(stay.Once(ctx, word), testkit.Put(word))
			return err
		}
		switch k := r.IntN(10); {
		case k < 2: // out and in
			what, word = "logout", ""
			do = func(_ *member, ctx context.Context) error { return stay.SessionFrom(ctx).Logout(ctx) }
		case k < 5: // a state whose key the change itself gives, and the session moves there
			what, key = "list", "list of "+user
			do = func(m *member, ctx context.Context) error {
				_, err := m.todo.Update(stay.Once(ctx, "become "+word), testkit.Become(user))
				if err == nil {
					_, err = m.todo.Update(stay.Once(ctx, word), testkit.AddItem(word))
				}
				return err
			}
		}
		if !s.insist(r, b, what, do) {
			return
		}
		if word == "" && !s.insist(r, b, "login", login) {
			return
		}
		if word != "" {
			s.mu.Lock()
			s.words[key] = append(s.words[key], word)
			s.done++
			s.mu.Unlock()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[user] = append(s.tokens[user], b.Token)
}

// compare compares the states with what visitors were told.
func (s *site) compare() {
	m, err := join(s.t, s.open, 1<<40)
	check(s.t, err)
	for i := range siteUsers {
		user := userOf(i)
		cart, err := m.cart.At(user).Get(s.t.Context())
		check(s.t, err)
		list, err := m.todo.At(user).Get(s.t.Context())
		check(s.t, err)
		for what, got := range map[string][]string{"cart of ": cart.Items, "list of ": list.Items} {
			want := slices.Sorted(slices.Values(s.words[what+user]))
			if got := slices.Sorted(slices.Values(got)); !slices.Equal(got, want) {
				s.t.Errorf("%s%s has %q, want %q", what, user, got, want)
			}
		}
		s.compareSessions(m, user)
	}
}

// compareSessions finds halves of logins: whoever is logged in is in the list of the
// user's sessions, once, and what is in the list is logged in.
func (s *site) compareSessions(m *member, user string) {
	listed := map[string]int{}
	for session, err := range m.app.Sessions(s.t.Context(), user) {
		check(s.t, err)
		listed[session.ID()]++
		if session.User() != user {
			s.t.Errorf("a session of %q is listed as one of %q", session.User(), user)
		}
	}
	for _, token := range s.tokens[user] {
		b := testkit.NewBrowser(m.app)
		b.Token = token
		ctx := b.Ctx()
		_, err := m.cart.Get(ctx)
		check(s.t, err)
		session := stay.SessionFrom(ctx)
		if is := session.User(); is != user || listed[session.ID()] != 1 {
			s.t.Errorf("a visitor is logged in as %q, want %q, and %d times in the list", is, user, listed[session.ID()])
		}
	}
}
