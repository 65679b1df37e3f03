package keys_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A key change writes the session's record, and the state of the key only if
// its bytes change; the state that was left is never written. Where the key
// stays nothing is.
//
// Proves A16, S4.
func TestKeyChangesWriteWhatChanges(t *testing.T) {
	testkit.OnJournals(t, stay.Options{}, func(t *testing.T, j *testkit.Journal, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		b := testkit.NewBrowser(app)
		session := "stay/session/" + b.Known(t, s)
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.WantGroups(t, "the login of a new user", j.Take(), []string{"key/todos/ann", session})
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.WantGroups(t, "the same login again", j.Take())
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("bob")))
		testkit.WantGroups(t, "a switch to a new user", j.Take(), []string{"key/todos/bob", session})
		rev := testkit.RecordOf(t, j, "key/todos/ann").Revision
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.WantGroups(t, "a switch to a stored user", j.Take(), []string{session})
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("")))
		testkit.WantGroups(t, "a logout", j.Take(), []string{session})
		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.WantGroups(t, "a login onto a record", j.Take(), []string{session})
		if now := testkit.RecordOf(t, j, "key/todos/ann").Revision; now != rev {
			t.Errorf("the user's record went from revision %d to %d", rev, now)
		}
		testkit.Must(t)(s.Update(b.Ctx(), func(t *testkit.Todos) error { t.Owner.Role = "admin"; return nil }))
		testkit.WantGroups(t, "a key field beside the key", j.Take(), []string{"key/todos/ann"})
	})
}

// A login, of a WithKey module and of a session, is one group: the session's
// record, the states of the new key and those of guests that are adopted. A
// rejected login has changed nothing, not even the cookie.
//
// Proves S4.
func TestLoginIsOneGroup(t *testing.T) {
	testkit.OnJournals(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, j *testkit.Journal, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		p, c := testkit.UserModules(app)
		b := testkit.NewBrowser(app)
		id := b.Known(t, s)
		session := "stay/session/" + id
		testkit.Must(t)(s.Update(b.Ctx(), testkit.AddItem("guest")))
		testkit.Change(t, b.Ctx(), p, testkit.Name("Guest"))
		testkit.Change(t, b.Ctx(), c, testkit.Put("book"))
		var ofKey, ofUser []string // what guests have in the store
		for _, key := range slices.Concat(j.Take()...) {
			switch {
			case key == "guest/todos/"+id:
				ofKey = append(ofKey, key)
			case strings.HasPrefix(key, "guest/"):
				ofUser = append(ofUser, key)
			}
		}

		token := b.Token
		rule := j.Add(storefault.Rule{Op: storefault.Commit, Key: session, Fault: storefault.Fail(nil)})
		_, err := s.Update(b.Ctx(), testkit.Become("ann"))
		testkit.WantCode(t, err, stay.ErrUnavailable)
		ctx := b.Ctx()
		testkit.WantCode(t, stay.SessionFrom(ctx).Login(ctx, "ann"), stay.ErrUnavailable)
		rule.Remove()
		if b.Token != token {
			t.Error("the cookie was renewed")
		}
		testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"","role":""},"items":["guest"],"theme":"light"}`)
		testkit.WantState(t, b.Ctx(), p, `{"name":"Guest"}`)
		testkit.WantState(t, b.Ctx(), c, `{"items":["book"]}`)
		for _, key := range []string{"key/todos/ann", "user/profile/ann", "user/cart/ann"} {
			if rec := testkit.RecordOf(t, j, key); rec.Revision != 0 {
				t.Errorf("%s is stored as %s", key, rec.Value)
			}
		}
		j.Take()

		testkit.Must(t)(s.Update(b.Ctx(), testkit.Become("ann")))
		testkit.WantGroups(t, "the login by key", j.Take(), slices.Concat([]string{"key/todos/ann", session}, ofKey))
		testkit.Login(t, b, "ann")
		testkit.WantGroups(t, "Login", j.Take(), slices.Concat([]string{"user/profile/ann", "user/cart/ann", "stay/user/ann", session}, ofUser))
		testkit.Logout(t, b)
		testkit.WantGroups(t, "Logout", j.Take(), []string{"stay/user/ann", session})
		testkit.WantState(t, b.Ctx(), s, `{"owner":{"id":"ann","role":"r-ann"},"items":["guest"],"theme":"light"}`)
	})
}

// Two sessions that switch between the same keys in opposite directions never
// wait for each other.
//
// Proves A9, S4.
func TestSwitchesCrosswiseDoNotWaitForEachOther(t *testing.T) {
	testkit.OnKeyStores(t, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, testkit.TodosModule())
		ctx := testkit.Soon(t)
		users := []string{"ann", "bob"}
		var wg sync.WaitGroup
		for i := range 4 {
			b := testkit.NewBrowser(app)
			wg.Go(func() {
				for n := range 20 {
					if ctx.Err() != nil {
						t.Error("the switches wait for each other")
						return
					}
					if _, err := s.Update(b.Ctx(), testkit.Become(users[(i+n)%2])); err != nil {
						t.Errorf("switch: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// Changes that come while the store is busy are one write for each key and one
// call for all keys.
//
// Proves A14, E2.
func TestChangesShareACommit(t *testing.T) {
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
		app := testkit.NewApp(t, st, nil)
		const keys, each = 5, 20
		var states []*stay.State[testkit.Counter]
		for i := range keys {
			states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: fmt.Sprintf("c%d", i), Persist: stay.Global}))
		}
		busy := stay.Register(app, stay.Module[testkit.Counter]{Name: "busy", Persist: stay.Global})
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/busy/", Fault: storefault.Stop(gate)})
		var wg sync.WaitGroup
		wg.Go(func() { testkit.TryUpdate(t, t.Context(), busy) })
		if _, err := gate.Arrived(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			for range each {
				wg.Go(func() { testkit.TryUpdate(t, t.Context(), s) })
			}
		}
		synctest.Wait()
		rule.Remove()
		gate.Open()
		wg.Wait()
		for _, s := range states {
			testkit.WantCount(t, t.Context(), s, each)
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
