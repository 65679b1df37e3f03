package presence_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A node is one of several on one store.
type node struct {
	app   *stay.App
	store *storefault.Store
	news  *stay.State[counter]
	tasks *stay.State[counter]
}

func inNodes(t *testing.T, n int, test func(t *testing.T, nodes []*node)) {
	inSmallNodes(t, n, stay.Options{}, test)
}

// inSmallNodes is inNodes with bounds.
func inSmallNodes(t *testing.T, n int, opts stay.Options, test func(t *testing.T, nodes []*node)) {
	opts.OnError, opts.MaxWait = testkit.Quiet, 5*time.Second
	synctest.Test(t, func(t *testing.T) {
		var nodes []*node
		for _, s := range memstore.Shared(n) {
			st := storefault.Wrap(s, nil)
			app := testkit.NewApp(t, st, &opts)
			nodes = append(nodes, &node{
				app: app, store: st,
				news:  stay.Register(app, stay.Module[counter]{Name: "news", Persist: stay.Global, Presence: true}),
				tasks: stay.Register(app, stay.Module[counter]{Name: "tasks", Persist: stay.PerUser, Presence: true}),
			})
		}
		test(t, nodes)
	})
}

// records returns the keys of the records that say who is present.
func records(t *testing.T, s store.Store) (keys []string) {
	t.Helper()
	for _, row := range testkit.AllRows(t, s) {
		if strings.HasPrefix(row, "stay/present/") {
			keys = append(keys, strings.Fields(row)[0])
		}
	}
	return keys
}

// The pages of all nodes are shown together, a session with pages on two as one. A
// page that comes or goes elsewhere is seen after ten seconds at most, and what
// shows who is present is woken.
//
// Proves L24, L26.
func TestNodesSayWhoIsPresent(t *testing.T) {
	inNodes(t, 2, func(t *testing.T, nodes []*node) {
		a, b := nodes[0], nodes[1]
		ann, bob := newVisitor(t, a.app, "ann"), newVisitor(t, a.app, "bob")
		shows := open(t, ann.Ctx(), a.news)
		testkit.Sleep(15 * time.Second)
		shows.yields()
		onB := open(t, bob.On(b.app).Ctx(), b.news)
		testkit.Sleep(time.Second) // to ask is to know
		wantPresent(t, t.Context(), a.news, "ann/1", "bob/1")
		wantPresent(t, t.Context(), b.news, "ann/1", "bob/1")
		testkit.Sleep(10 * time.Second)
		testkit.WantEqual(t, "yields at A as bob comes to B", shows.yields(), 1)
		open(t, bob.Ctx(), a.news)
		testkit.Sleep(2 * time.Second)
		wantPresent(t, t.Context(), b.news, "ann/1", "bob/2")
		testkit.Sleep(time.Minute)
		shows.yields()
		testkit.Sleep(time.Minute)
		testkit.WantEqual(t, "yields while nothing happens", shows.yields(), 0)
		onB.close()
		testkit.Sleep(12 * time.Second)
		wantPresent(t, t.Context(), a.news, "ann/1", "bob/1")
		testkit.Sleep(10 * time.Second)
		testkit.WantEqual(t, "yields at A as bob leaves B", shows.yields(), 1)
		wantPresent(t, ann.Ctx(), a.tasks)
	})
}

// What a node that has died, or has lost its store, has said is believed for thirty
// seconds. The record goes with the last who is in it: it is deleted, or has expired
// and is swept.
//
// Proves L26.
func TestWhatADeadNodeSaidIsForgotten(t *testing.T) {
	inNodes(t, 2, func(t *testing.T, nodes []*node) {
		a, b := nodes[0], nodes[1]
		ann, bob := newVisitor(t, a.app, "ann"), newVisitor(t, a.app, "bob")
		open(t, bob.On(b.app).Ctx(), b.news)
		open(t, bob.On(b.app).Ctx(), b.tasks)
		testkit.Sleep(time.Second)
		shows := open(t, ann.Ctx(), a.news)
		testkit.Sleep(15 * time.Second)
		wantPresent(t, t.Context(), a.news, "bob/1", "ann/1")
		wantPresent(t, t.Context(), a.tasks.At("bob"), "bob/1")
		shows.yields()

		gone := b.store.Add(storefault.Rule{Fault: storefault.Fail(errors.New("no network"))})
		testkit.Sleep(19 * time.Second)
		wantPresent(t, t.Context(), a.news, "bob/1", "ann/1")
		testkit.Sleep(5600 * time.Millisecond) // before it is written again
		wantPresent(t, t.Context(), a.news, "ann/1")
		wantPresent(t, t.Context(), a.tasks.At("bob"))
		testkit.Sleep(10 * time.Second)
		testkit.WantEqual(t, "yields as the node is forgotten", shows.yields(), 1)
		testkit.WantEqual(t, "records", fmt.Sprint(records(t, a.store)), "[stay/present/global/news/ stay/present/user/tasks/bob]")
		testkit.Sleep(3 * time.Minute)
		testkit.WantEqual(t, "records after a sweep", fmt.Sprint(records(t, a.store)), "[stay/present/global/news/]")
		shows.close()
		testkit.Sleep(15 * time.Second)
		testkit.WantEqual(t, "records of nobody", fmt.Sprint(records(t, a.store)), "[]")
		gone.Remove() // so that the App can be closed
	})
}

// The pages of a node that is closed have gone: they count for ten seconds more, as
// others do, and then all who look are told. A visitor who comes to another node
// meanwhile is there all the while, so a deployment does not show.
//
// Proves L24, L26.
func TestPagesOfANodeThatIsClosedHaveGone(t *testing.T) {
	inNodes(t, 2, func(t *testing.T, nodes []*node) {
		a, b := nodes[0], nodes[1]
		ann, bob, eve := newVisitor(t, a.app, "ann"), newVisitor(t, a.app, "bob"), newVisitor(t, a.app, "eve")
		open(t, bob.On(b.app).Ctx(), b.news)
		open(t, bob.On(b.app).Ctx(), b.tasks)
		testkit.Sleep(time.Second)
		open(t, eve.On(b.app).Ctx(), b.news)
		testkit.Sleep(time.Second)
		shows := open(t, ann.Ctx(), a.news)
		testkit.Sleep(14 * time.Second) // so that b has written five seconds ago
		wantPresent(t, t.Context(), a.news, "bob/1", "eve/1", "ann/1")
		shows.yields()

		testkit.NoError(t, b.app.Close(t.Context()))
		testkit.Sleep(5 * time.Second)
		open(t, eve.Ctx(), a.news)
		testkit.Sleep(4 * time.Second)
		wantPresent(t, t.Context(), a.news, "bob/1", "eve/2", "ann/1")
		if n := shows.yields(); n > 1 {
			t.Errorf("%d yields as eve comes back", n)
		}
		testkit.Sleep(1100 * time.Millisecond)
		wantPresent(t, t.Context(), a.news, "ann/1", "eve/1")
		wantPresent(t, t.Context(), a.tasks.At("bob"))
		testkit.WantEqual(t, "yields as bob has gone", shows.yields(), 1)
	})
}

// A store that hangs holds Close up for a second on account of who is present, or
// as any write does whose outcome is in doubt, until its context ends. What was said
// before is over after thirty seconds.
//
// Proves E7, L26.
func TestCloseDoesNotWaitForPresence(t *testing.T) {
	for op, most := range map[storefault.Op]time.Duration{storefault.Load: time.Second, storefault.Commit: 3 * time.Second} {
		t.Run(op.String(), func(t *testing.T) {
			inNodes(t, 2, func(t *testing.T, nodes []*node) {
				a, b := nodes[0], nodes[1]
				var pages []*page
				for i := range 40 { // more than are written at once
					user := fmt.Sprint("user ", i)
					pages = append(pages, open(t, newVisitor(t, a.app, user).On(b.app).Ctx(), b.tasks))
				}
				testkit.Sleep(2 * time.Second)
				access.AppOf(b.app).Evict(false)
				b.store.Add(storefault.Rule{Op: op, Fault: storefault.Hang()})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				began := time.Now()
				_ = b.app.Close(ctx)
				if took := time.Since(began); took > most {
					t.Errorf("Close took %v", took)
				}
				for _, p := range pages {
					<-p.ended
				}
				testkit.Sleep(31 * time.Second)
				wantPresent(t, t.Context(), a.tasks.At("user 1"))
			})
		})
	}
}

// What shows who is present is woken within a second or two by what happens on
// another node, also if this one has no room for what that says.
//
// Proves L26.
func TestPresenceElsewhereIsSeenThoughEvicted(t *testing.T) {
	inSmallNodes(t, 2, stay.Options{MaxInstances: 4}, func(t *testing.T, nodes []*node) {
		a, b := nodes[0], nodes[1]
		shows := open(t, newVisitor(t, a.app, "ann").Ctx(), a.news)
		testkit.Sleep(15 * time.Second)
		for i := range 5 {
			for n := range 8 { // which leaves no room
				testkit.MustUpdate(t, t.Context(), a.tasks.At(fmt.Sprint(n)))
			}
			shows.yields()
			open(t, newVisitor(t, b.app, fmt.Sprint("bob", i)).Ctx(), b.news)
			testkit.Sleep(2 * time.Second)
			testkit.WantEqual(t, fmt.Sprint("yields as visitor ", i, " comes to B"), shows.yields(), 1)
			testkit.Sleep(1500 * time.Millisecond)
		}
		n := a.store.Count(storefault.Load)
		testkit.Sleep(time.Minute)
		if n = a.store.Count(storefault.Load) - n; n > 60 {
			t.Errorf("%d reads in a minute in which nothing happens", n)
		}
	})
}

// Nobody is asked or told without need: a page costs a write each ten seconds for
// each state, however many pages there are, and none when nobody is there any more
// or the module does not show who is present.
//
// Proves L26.
func TestWhatPresenceCostsTheStore(t *testing.T) {
	inNodes(t, 1, func(t *testing.T, nodes []*node) {
		a := nodes[0]
		var d diary
		m := d.module("hooked", stay.Global)
		hooked := stay.Register(a.app, m)
		ann := newVisitor(t, a.app, "ann")
		var pages []*page
		for range 20 {
			pages = append(pages, open(t, ann.Ctx(), a.news), open(t, ann.Ctx(), hooked))
		}
		testkit.Sleep(time.Minute)
		written := func(of time.Duration) int {
			n := a.store.Count(storefault.Commit)
			testkit.Sleep(of)
			return a.store.Count(storefault.Commit) - n
		}
		if n := written(100 * time.Second); n < 9 || n > 11 {
			t.Errorf("%d writes in 100 seconds", n)
		}
		for _, p := range pages {
			p.close()
		}
		testkit.Sleep(time.Minute)
		if n := written(time.Hour); n != 0 {
			t.Errorf("%d writes after all have gone", n)
		}
		testkit.WantEqual(t, "records", len(records(t, a.store)), 0)
	})
}

// What happens on one node has the others write nothing.
//
// Proves L26.
func TestNodesDoNotAnswerEachOther(t *testing.T) {
	inNodes(t, 2, func(t *testing.T, nodes []*node) {
		a, b := nodes[0], nodes[1]
		open(t, newVisitor(t, a.app, "bob").On(b.app).Ctx(), b.news)
		testkit.Sleep(15 * time.Second)
		n := b.store.Count(storefault.Commit)
		for i := range 8 {
			open(t, newVisitor(t, a.app, fmt.Sprint("ann", i)).Ctx(), a.news)
			testkit.Sleep(12500 * time.Millisecond)
		}
		wantPresent(t, t.Context(), b.news, "bob/1", "ann0/1", "ann1/1", "ann2/1", "ann3/1", "ann4/1", "ann5/1", "ann6/1", "ann7/1")
		if n = b.store.Count(storefault.Commit) - n; n > 11 {
			t.Errorf("%d writes in 100 seconds", n)
		}
	})
}

// The part of a node has a bound: sessions that do not fit are a number.
//
// Proves L26.
func TestWhatANodeSaysHasABound(t *testing.T) {
	inNodes(t, 2, func(t *testing.T, nodes []*node) {
		a, b := nodes[0], nodes[1]
		long := strings.Repeat("u", 500)
		for i := range 200 {
			v := newVisitor(t, a.app, fmt.Sprint(long, i))
			open(t, v.Ctx(), a.news)
		}
		testkit.Sleep(2 * time.Second)
		all, err := b.news.Present(t.Context())
		testkit.NoError(t, err)
		pages := 0
		for _, p := range all {
			pages += p.Pages
		}
		if last := all[len(all)-1]; pages != 200 || last.Session != "" || last.Pages < 100 || len(all) < 30 {
			t.Errorf("%d pages in %d lines, the last with %d", pages, len(all), last.Pages)
		}
		if n := len(testkit.RecordOf(t, a.store, "stay/present/global/news/").Value); n > 100<<10 {
			t.Errorf("the record has %d bytes", n)
		}
	})
}

// What all nodes say together has a bound, too: beyond it the pages of a node are a
// number, and no node is left out.
//
// Proves L26.
func TestWhatAllNodesSayHasABound(t *testing.T) {
	const many, each = 24, 8
	inSmallNodes(t, many, stay.Options{MaxState: 32 << 10}, func(t *testing.T, nodes []*node) {
		long := strings.Repeat("u", 500)
		for n, node := range nodes {
			for i := range each {
				open(t, newVisitor(t, node.app, fmt.Sprint(long, n, "-", i)).Ctx(), node.news)
			}
		}
		testkit.Sleep(15 * time.Second)
		all, err := nodes[0].news.Present(t.Context())
		testkit.NoError(t, err)
		pages := 0
		for _, p := range all {
			pages += p.Pages
		}
		if pages != many*each {
			t.Errorf("%d pages, want %d", pages, many*each)
		}
	})
}

// The records of presence are no states: Keys does not list them, and the end of a
// session leaves none behind.
//
// Proves L26.
func TestRecordsOfPresenceAreNoStates(t *testing.T) {
	inNodes(t, 2, func(t *testing.T, nodes []*node) {
		a := nodes[0]
		ann := newVisitor(t, a.app, "ann")
		testkit.MustUpdate(t, ann.Ctx(), a.tasks)
		open(t, ann.Ctx(), a.tasks)
		testkit.Sleep(2 * time.Second)
		var keys []string
		for key, err := range a.tasks.Keys(t.Context()) {
			testkit.NoError(t, err)
			keys = append(keys, key)
		}
		testkit.WantEqual(t, "keys", fmt.Sprint(keys), "[ann]")
		sessions := 0
		for _, err := range a.app.AllSessions(t.Context(), "") {
			testkit.NoError(t, err)
			sessions++
		}
		testkit.WantEqual(t, "sessions", sessions, 1)
		testkit.NoError(t, stay.SessionFrom(ann.Ctx()).Destroy(ann.Ctx()))
		testkit.Sleep(15 * time.Second)
		testkit.WantEqual(t, "records", len(records(t, a.store)), 0)
	})
}
