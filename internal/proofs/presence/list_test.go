package presence_test

import (
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
)

// Who has pages open that follow a state is listed by session, with the user: for
// a state of everybody, of a key, of a user and of a session. A page that has gone
// counts for ten seconds more.
//
// Proves A20, L24.
func TestPresentListsWhoHasPagesOpen(t *testing.T) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, st store.Store) {
		app := testkit.NewApp(t, st, nil)
		module := func(name string, persist stay.Strategy) *stay.State[counter] {
			return stay.Register(app, stay.Module[counter]{Name: name, Persist: persist, Presence: true})
		}
		news, tasks, own := module("news", stay.Global), module("tasks", stay.PerUser), module("own", stay.PerSession)
		guests := module("guests", nil)
		ann, bob := newVisitor(t, app, "ann"), newVisitor(t, app, "bob")
		began := time.Now()
		a := open(t, ann.Ctx(), news)
		open(t, ann.Ctx(), news)
		testkit.Sleep(time.Second)
		open(t, bob.Ctx(), news)
		open(t, testkit.NewBrowser(app).Ctx(), news)
		open(t, t.Context(), news) // no page of anybody
		wantPresent(t, t.Context(), news, "ann/2", "bob/1", "nobody/1")
		all, _ := news.Present(t.Context())
		if all[0].Session != ann.id || !all[0].Since.Equal(began) {
			t.Errorf("ann is %+v", all[0])
		}
		wantPresent(t, ann.Ctx(), tasks)

		open(t, ann.Ctx(), tasks)
		testkit.Sleep(time.Second)
		open(t, bob.Ctx(), tasks.At("ann")) // as an administrator's page
		wantPresent(t, ann.Ctx(), tasks, "ann/1", "bob/1")
		wantPresent(t, t.Context(), tasks.At("ann"), "ann/1", "bob/1")
		wantPresent(t, t.Context(), tasks.At("bob"))
		open(t, bob.Ctx(), own)
		wantPresent(t, bob.Ctx(), own, "bob/1")
		wantPresent(t, ann.Ctx(), own)
		wantPresent(t, t.Context(), own.At(bob.id), "bob/1")
		open(t, bob.Ctx(), guests)
		wantPresent(t, bob.Ctx(), guests, "bob/1")

		a.close()
		testkit.Sleep(9 * time.Second)
		wantPresent(t, t.Context(), news, "ann/2", "bob/1", "nobody/1")
		testkit.Sleep(time.Second)
		wantPresent(t, t.Context(), news, "ann/1", "bob/1", "nobody/1")
	})
}

// A session of App.Sessions has no page, so that an administrator who looks at a
// user's state does not make the user present.
//
// Proves L24.
func TestListedSessionsHaveNoPages(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefaultStore, _ store.Store) {
		news := stay.Register(app, stay.Module[counter]{Name: "news", Persist: stay.Global, Presence: true})
		tasks := stay.Register(app, stay.Module[counter]{Name: "tasks", Persist: stay.PerUser, Presence: true})
		newVisitor(t, app, "ann")
		for s, err := range app.Sessions(t.Context(), "ann") {
			testkit.NoError(t, err)
			open(t, stay.WithSession(t.Context(), s), news)
			open(t, stay.WithSession(t.Context(), s), tasks)
		}
		wantPresent(t, t.Context(), news)
		wantPresent(t, t.Context(), tasks.At("ann"))
	})
}

// A session that logs in and keeps its cookie goes on as the user's, in the state
// that it had on the page and in the one that it has now.
//
// Proves L24.
func TestALoginChangesWhoIsPresent(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{KeepCookieOnKeyChange: true}, func(t *testing.T, app *stay.App, _ *storefaultStore, _ store.Store) {
		notes := stay.Register(app, stay.Module[counter]{Name: "notes", Persist: stay.PerUser, Presence: true})
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), notes)
		ctx := b.Ctx()
		open(t, ctx, notes)
		wantPresent(t, b.Ctx(), notes, "guest/1")
		testkit.Login(t, b, "ann")
		wantPresent(t, t.Context(), notes.At("ann"), "ann/1")
		testkit.Login(t, b, "bob")
		wantPresent(t, t.Context(), notes.At("bob"), "bob/1")
		testkit.Sleep(gone)
		wantPresent(t, t.Context(), notes.At("ann"))
	})
}

// A watch of a state whose presence counts sees it again when somebody has come or
// gone, and not when a page was loaded again. Of another state it does not.
//
// Proves L6, L24.
func TestAChangeOfWhoIsPresentIsSeen(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefaultStore, _ store.Store) {
		var d diary
		shown := stay.Register(app, stay.Module[counter]{Name: "shown", Persist: stay.Global, Presence: true})
		hooked := stay.Register(app, d.module("hooked", stay.Global))
		ann, bob := newVisitor(t, app, "ann"), newVisitor(t, app, "bob")
		for _, s := range []*stay.State[counter]{shown, hooked} {
			p := open(t, ann.Ctx(), s)
			testkit.Sleep(time.Second)
			p.yields()
			other := open(t, bob.Ctx(), s)
			testkit.Sleep(time.Second)
			wants := 0
			if s == shown {
				wants = 1
			}
			testkit.WantEqual(t, "yields as bob comes", p.yields(), wants)
			for range 3 {
				other.close()
				testkit.Sleep(5 * time.Second)
				other = open(t, bob.Ctx(), s)
			}
			testkit.Sleep(time.Minute)
			testkit.WantEqual(t, "yields as bob reloads", p.yields(), 0)
			other.close()
			testkit.Sleep(gone)
			testkit.WantEqual(t, "yields as bob goes", p.yields(), wants)
		}
	})
}

// What makes no sense is an error.
//
// Proves L24, L26.
func TestPresentFails(t *testing.T) {
	testkit.InBubble(t, true, stay.Options{}, func(t *testing.T, app *stay.App, _ *storefaultStore, mem store.Store) {
		plain := stay.Register(app, stay.Module[counter]{Name: "plain", Persist: stay.Global})
		own := stay.Register(app, stay.Module[counter]{Name: "own", Persist: stay.PerSession, Presence: true})
		_, err := plain.Present(t.Context())
		testkit.WantCode(t, err, stay.ErrInvalid)
		_, err = own.Present(t.Context())
		testkit.WantCode(t, err, stay.ErrNoSession)
		_, err = own.At("unknown").Present(t.Context())
		testkit.WantCode(t, err, stay.ErrNotFound)
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), own)
		open(t, b.Ctx(), own)
		open(t, b.Ctx(), plain)
		testkit.Sleep(time.Hour)
		for _, row := range testkit.AllRows(t, mem) {
			if len(row) > 13 && row[:13] == "stay/present/" {
				t.Errorf("a store with one owner has the record %s", row)
			}
		}
		testkit.NoError(t, app.Close(t.Context()))
		_, err = own.Present(b.Ctx())
		testkit.WantCode(t, err, stay.ErrClosed)
	})
}
