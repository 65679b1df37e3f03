package stay_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A journal is a store that remembers the groups it was asked to commit.
type journal struct {
	*storefault.Store
	mu     sync.Mutex
	groups [][]string // the sorted keys of each
}

func journalOf(s store.Store) *journal {
	j := &journal{}
	j.Store = storefault.Wrap(s, &storefault.Options{Hook: func(c storefault.Call) {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, g := range c.Groups {
			var keys []string
			for _, w := range g {
				if w.Op != store.Check && !ofAllPrograms(w.Key) {
					keys = append(keys, w.Key)
				}
			}
			slices.Sort(keys)
			if len(keys) > 0 {
				j.groups = append(j.groups, keys)
			}
		}
	}})
	return j
}

// take returns the groups since the last call, but for what was only checked
// and for the signing keys.
func (j *journal) take() [][]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	groups := j.groups
	j.groups = nil
	return groups
}

func wantGroups(t *testing.T, what string, got [][]string, want ...[]string) {
	t.Helper()
	for _, g := range want {
		slices.Sort(g)
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%s wrote %q, want %q", what, got, want)
	}
}

// onJournals runs the test on each store and with each way to keep guests,
// with a view of what is written.
func onJournals(t *testing.T, opts stay.Options, test func(t *testing.T, j *journal, app *stay.App)) {
	for name, open := range keyStores {
		for mode, guests := range guestModes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				j, o := journalOf(open()), opts
				o.Guests = guests
				test(t, j, newApp(t, j, &o))
			})
		}
	}
}

func load(t *testing.T, s store.Store, key string) store.Record {
	t.Helper()
	recs, err := s.Load(t.Context(), time.Now(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0]
}

func commit(t *testing.T, s store.Store, writes ...store.Write) {
	t.Helper()
	if res := s.Commit(t.Context(), time.Now(), []store.Group{writes}); res[0].Outcome != store.Applied {
		t.Fatalf("%+v", res[0])
	}
}

// known has the browser get its cookie, and returns the ID of its session.
func (b *browser) known(t *testing.T, s *stay.State[todos]) string {
	t.Helper()
	must(t)(s.Get(b.ctx()))
	return stay.SessionFrom(b.ctx()).ID()
}

// A16, S4: a key change writes the session's record, and the state of the key
// only if its bytes change; the state that was left is never written. Where
// the key stays nothing is.
func TestA16S4KeyChangesWriteWhatChanges(t *testing.T) {
	onJournals(t, stay.Options{}, func(t *testing.T, j *journal, app *stay.App) {
		s := stay.Register(app, todosModule())
		b := newBrowser(app)
		session := "stay/session/" + b.known(t, s)
		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "the login of a new user", j.take(), []string{"key/todos/ann", session})
		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "the same login again", j.take())
		must(t)(s.Update(b.ctx(), become("bob")))
		wantGroups(t, "a switch to a new user", j.take(), []string{"key/todos/bob", session})
		rev := load(t, j, "key/todos/ann").Revision
		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "a switch to a stored user", j.take(), []string{session})
		must(t)(s.Update(b.ctx(), become("")))
		wantGroups(t, "a logout", j.take(), []string{session})
		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "a login onto a record", j.take(), []string{session})
		if now := load(t, j, "key/todos/ann").Revision; now != rev {
			t.Errorf("the user's record went from revision %d to %d", rev, now)
		}
		must(t)(s.Update(b.ctx(), func(t *todos) error { t.Owner.Role = "admin"; return nil }))
		wantGroups(t, "a key field beside the key", j.take(), []string{"key/todos/ann"})
	})
}

// S4: a login, of a WithKey module and of a session, is one group: the
// session's record, the states that it reaches and those of guests that are
// used up. What is rejected has changed nothing, not even the cookie.
func TestS4OneGroup(t *testing.T) {
	onJournals(t, stay.Options{OnError: quiet}, func(t *testing.T, j *journal, app *stay.App) {
		s := stay.Register(app, todosModule())
		p, c := userModules(app)
		b := newBrowser(app)
		id := b.known(t, s)
		session := "stay/session/" + id
		must(t)(s.Update(b.ctx(), addItem("guest")))
		change(t, b.ctx(), p, name("Guest"))
		change(t, b.ctx(), c, put("book"))
		var ofKey, ofUser []string // what guests have in the store
		for _, key := range slices.Concat(j.take()...) {
			switch {
			case key == "guest/todos/"+id:
				ofKey = append(ofKey, key)
			case strings.HasPrefix(key, "guest/"):
				ofUser = append(ofUser, key)
			}
		}

		token := b.token
		rule := j.Add(storefault.Rule{Op: storefault.Commit, Key: session, Fault: storefault.Fail(nil)})
		_, err := s.Update(b.ctx(), become("ann"))
		wantCode(t, err, stay.ErrUnavailable)
		ctx := b.ctx()
		wantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrUnavailable)
		rule.Remove()
		if b.token != token {
			t.Error("the cookie was renewed")
		}
		wantState(t, b.ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
		wantState(t, b.ctx(), p, `{"name":"Guest"}`)
		wantState(t, b.ctx(), c, `{"items":["book"]}`)
		for _, key := range []string{"key/todos/ann", "user/profile/ann", "user/cart/ann"} {
			if rec := load(t, j, key); rec.Revision != 0 {
				t.Errorf("%s is stored as %s", key, rec.Value)
			}
		}
		j.take()

		must(t)(s.Update(b.ctx(), become("ann")))
		wantGroups(t, "the login by key", j.take(), slices.Concat([]string{"key/todos/ann", session}, ofKey))
		login(t, b, "ann")
		wantGroups(t, "Login", j.take(), slices.Concat([]string{"user/profile/ann", "user/cart/ann", "stay/user/ann", session}, ofUser))
		logout(t, b)
		wantGroups(t, "Logout", j.take(), []string{"stay/user/ann", session})
		wantState(t, b.ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["guest"],"theme":"light"}`)
	})
}

// S4: two sessions that switch between the same keys in opposite directions
// never wait for each other.
func TestS4SwitchesCrosswise(t *testing.T) {
	onKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, todosModule())
		ctx := soon(t)
		users := []string{"ann", "bob"}
		var wg sync.WaitGroup
		for i := range 4 {
			b := newBrowser(app)
			wg.Go(func() {
				for n := range 20 {
					if ctx.Err() != nil {
						t.Error("the switches wait for each other")
						return
					}
					if _, err := s.Update(b.ctx(), become(users[(i+n)%2])); err != nil {
						t.Errorf("switch: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// E2, A14: changes that come while the store is busy are one write for each
// key and one call for all keys.
func TestE2A14ChangesShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var groups []int // of each call
		gate := storefault.NewGate()
		st := storefault.Wrap(memstore.New(), &storefault.Options{
			Features: func(f store.Features) store.Features { f.Immediate = false; return f },
			Hook: func(c storefault.Call) {
				if c.Op == storefault.Commit {
					mu.Lock()
					groups = append(groups, len(c.Groups))
					mu.Unlock()
				}
			},
		})
		app := newApp(t, st, nil)
		const keys, each = 5, 20
		var states []*stay.State[counter]
		for i := range keys {
			states = append(states, stay.Register(app, stay.Module[counter]{Name: fmt.Sprintf("c%d", i), Persist: stay.Global}))
		}
		busy := stay.Register(app, stay.Module[counter]{Name: "busy", Persist: stay.Global})
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/busy/", Fault: storefault.Stop(gate)})
		var wg sync.WaitGroup
		wg.Go(func() { mustUpdateAsync(t, t.Context(), busy) })
		if _, err := gate.Arrived(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			for range each {
				wg.Go(func() { mustUpdateAsync(t, t.Context(), s) })
			}
		}
		synctest.Wait()
		rule.Remove()
		gate.Open()
		wg.Wait()
		for _, s := range states {
			wantCount(t, t.Context(), s, each)
		}
		writes := 0
		for _, n := range groups {
			writes += n
		}
		// One batch of each key was waiting; the others of a key could join
		// the next one.
		if len(groups) < 2 || groups[1] != keys || writes > 1+keys*each/4 {
			t.Errorf("%d changes were %d writes in calls of %v", keys*each, writes, groups)
		}
	})
}
