package nodes_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/pgserver"
	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/redisstore"
)

// onPostgres returns stores on one database, as several processes have them.
func onPostgres(t *testing.T, n int) (stores []store.Store) {
	t.Helper()
	server, err := pgserver.New(folder(t))
	check(t, err)
	t.Cleanup(server.Kill)
	for range n {
		s, err := pgstore.Open(t.Context(), server.URL())
		check(t, err)
		t.Cleanup(func() { _ = s.Close() })
		stores = append(stores, s)
	}
	return stores
}

// onRedis does the same on Redis.
func onRedis(t *testing.T, n int) (stores []store.Store) {
	t.Helper()
	server, err := redisserver.New(folder(t))
	check(t, err)
	t.Cleanup(server.Kill)
	for range n {
		s, err := redisstore.Open(t.Context(), server.URL())
		check(t, err)
		t.Cleanup(func() { _ = s.Close() })
		stores = append(stores, s)
	}
	return stores
}

// Nodes that sweep at the same time run OnExpire once for each state, and not for
// one that is used at another node.
//
// Proves A15, S6, N1.
func TestExpiryOnSeveralNodes(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL", func(t *testing.T) { expiryOnSeveralNodes(t, onPostgres(t, 3)) })
	t.Run("Redis", func(t *testing.T) { expiryOnSeveralNodes(t, onRedis(t, 3)) })
}

func expiryOnSeveralNodes(t *testing.T, stores []store.Store) {
	const sessions = 100
	clock := testkit.NewClock()
	var told [2]atomic.Int32 // of states that are used, and of others
	var apps []*testkit.Expiring
	var carts []*stay.State[testkit.Counter]
	for _, s := range stores {
		app := testkit.NewExpiring(t, s, clock)
		apps = append(apps, app)
		carts = append(carts, stay.Register(app.App, stay.Module[testkit.Counter]{
			Name: "cart", Persist: stay.PerSession,
			OnExpire: func(_ *stay.Call, c *testkit.Counter) { told[min(c.Count-1, 1)].Add(1) },
		}))
	}
	var used []*testkit.Browser
	for i := range sessions {
		b := testkit.NewBrowser(apps[i%3].App)
		testkit.MustUpdate(t, b.Ctx(), carts[i%3])
		if i%10 == 0 {
			testkit.MustUpdate(t, b.Ctx(), carts[i%3])
			used = append(used, b)
		}
	}
	sweep := func() {
		var wg sync.WaitGroup
		for range 3 {
			for _, app := range apps {
				wg.Go(func() { testkit.Sweep(app.App) })
			}
			wg.Wait()
		}
	}
	clock.Advance(40 * time.Minute) // the idle timeout is an hour
	for i, b := range used {
		used[i] = b.On(apps[(i+1)%3].App) // with the cookie that the session has then
		testkit.WantCount(t, used[i].Ctx(), carts[(i+1)%3], 2)
	}
	clock.Advance(40 * time.Minute)
	sweep()
	if others, inUse := told[0].Load(), told[1].Load(); int(others) != sessions-len(used) || inUse != 0 {
		t.Errorf("OnExpire was told of %d states of %d, and of %d that are in use", others, sessions-len(used), inUse)
	}
	for i, b := range used {
		testkit.WantCount(t, b.On(apps[i%3].App).Ctx(), carts[i%3], 2)
	}
	clock.Advance(3 * time.Hour)
	sweep()
	if n := told[1].Load(); int(n) != len(used) {
		t.Errorf("OnExpire was told of %d states of %d", n, len(used))
	}
}

// Two releases change the states of users at once, and neither loses what only
// the other knows.
//
// Proves M2, N1.
func TestReleasesSideBySide(t *testing.T) {
	type later struct {
		Count int    `json:"count"`
		Note  string `json:"note"`
	}
	stores := onPostgres(t, 2)
	before, after := testkit.NewApp(t, stores[0], nil), testkit.NewApp(t, stores[1], nil)
	old := stay.Register(before, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerUser})
	now := stay.Register(after, stay.Module[later]{Name: "c", Persist: stay.PerUser, Initial: later{Note: "none"}})
	const users, each = 4, 20
	var wg sync.WaitGroup
	for i := range users {
		name := fmt.Sprint("user ", i)
		testkit.MustUpdate(t, t.Context(), old.At(name))
		testkit.Change(t, t.Context(), now.At(name), func(s *later) error { s.Note = name; return nil })
		wg.Go(func() {
			for range each {
				testkit.TryUpdate(t, t.Context(), old.At(name))
			}
		})
		wg.Go(func() {
			for range each {
				if _, err := now.At(name).Update(t.Context(), func(s *later) error { s.Count++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range users {
		name := fmt.Sprint("user ", i)
		testkit.WantState(t, t.Context(), now.At(name), fmt.Sprintf(`{"count":%d,"note":%q}`, 1+2*each, name))
		testkit.WantCount(t, t.Context(), old.At(name), 1+2*each)
	}
}

// A session goes on through rotations of the signing keys, at whichever node each
// of its requests arrives.
//
// Proves W1, N1.
func TestKeysRotateOnSeveralNodes(t *testing.T) {
	const days = 40 // keys rotate after 30
	clock := testkit.NewClock()
	var apps []*stay.App
	var states []*stay.State[testkit.Counter]
	for _, s := range onPostgres(t, 3) {
		app := testkit.NewApp(t, s, &stay.Options{Clock: clock.Now, IdleTimeout: 48 * time.Hour, Lifetime: 2 * days * 24 * time.Hour})
		apps = append(apps, app)
		states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession}))
	}
	b := testkit.NewBrowser(apps[0])
	for day := range days {
		here, there := day%3, (day+1)%3
		b = b.On(apps[here])
		testkit.MustUpdate(t, b.Ctx(), states[here])
		testkit.WantCount(t, b.On(apps[there]).Ctx(), states[there], day+1)
		clock.Advance(24 * time.Hour)
		testkit.Sweep(apps[there])
	}
}

// After a failover that has lost the latest writes, every node shows what the new
// primary has, and goes on from there.
//
// Proves C3, E3, N1.
func TestAFailoverThatLosesWritesIsSeenByEveryNode(t *testing.T) {
	ctx := t.Context()
	first, err := pgserver.New(folder(t))
	check(t, err)
	t.Cleanup(first.Kill)
	second, err := first.Standby(folder(t))
	check(t, err)
	t.Cleanup(second.Kill)
	var states []*stay.State[testkit.Counter]
	for range 2 {
		s, err := pgstore.Open(ctx, first.URLBy(first.Address()+","+second.Address()))
		check(t, err)
		app := testkit.NewApp(t, s, &stay.Options{OnError: testkit.Quiet})
		states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global}))
	}
	testkit.MustUpdate(t, ctx, states[0])
	testkit.MustUpdate(t, ctx, states[1])
	check(t, second.CatchUp(ctx, first))
	check(t, second.Detach(ctx))
	for range 3 {
		testkit.MustUpdate(t, ctx, states[0])
	}
	testkit.WantCount(t, ctx, states[1], 5)

	first.Kill()
	check(t, second.Promote(ctx))
	for _, s := range states {
		for late := time.Now().Add(patience); time.Now().Before(late); pause(10 * time.Millisecond) {
			if _, err := s.Get(ctx); err == nil {
				break
			}
		}
		testkit.WantCount(t, ctx, s, 2)
	}
	for i := range 4 {
		testkit.MustUpdate(t, ctx, states[i%2])
		testkit.WantCount(t, ctx, states[1-i%2], 3+i)
	}
}

// A node that has lost its way to the server says so with 503 and when to try
// again, while the others go on. When the way is back it serves, without a
// restart, what the others have done.
//
// Proves A5, W6, N1.
func TestANodeWithoutItsServerAnswers503(t *testing.T) {
	c := newCluster(t, brisk)
	r := newRun(c, newHistory(t.Name(), 1))
	lost, other := 0, 1
	own := func(node int, cookie string) reply { return r.request(node, "POST", "/own/add", cookie, nil) }
	first := own(lost, "")
	if first.outcome != ok || first.cookie == nil {
		t.Fatalf("%+v", first)
	}
	cookie := first.cookie.Value
	c.nodes[lost].network(func(p *faultnet.Proxy) { p.Hold(faultnet.ToServer | faultnet.ToClient) })
	for range 3 {
		q := own(lost, cookie)
		if q.outcome == ok || q.status != http.StatusServiceUnavailable {
			t.Errorf("a node without its server answers %d: %s", q.status, q.text)
		}
		if q := own(other, cookie); q.outcome != ok {
			t.Errorf("the other node: %s", q.text)
		}
	}
	c.nodes[lost].network((*faultnet.Proxy).Release)
	var q reply
	for late := time.Now().Add(patience); q.outcome != ok && time.Now().Before(late); pause(10 * time.Millisecond) {
		q = r.request(lost, "GET", "/own", cookie, nil)
	}
	if q.outcome != ok || q.answer.Count < 4 {
		t.Errorf("when the server is back: %+v, want what the other node has counted", q)
	}
	for _, wrong := range r.Wrong {
		t.Error(wrong)
	}
}
