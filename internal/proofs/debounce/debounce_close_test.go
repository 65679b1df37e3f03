package debounce_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// However sessions are used beside changes that are saved later, by several
// requests at once that renew, slide, log in and out, reset, delete and evict,
// first changes among them, and whenever the App is closed: after the close all
// acknowledged changes are stored, once and in their place, except those of
// deleted states and of destroyed sessions.
//
// Proves A14, E7, S1, S5.
func TestCloseStoresEverythingUnderStress(t *testing.T) {
	const rounds = 30
	seed := testseed.New(t)
	for round := range uint64(rounds) {
		closeInUse(t, rand.New(rand.NewPCG(seed, round)))
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

// A closing is an App that is closed while it is used, or just after.
type closing struct {
	t      *testing.T
	app    *stay.App
	clock  *testkit.Clock
	turns  int // of each request after the other
	faulty bool

	drafts []*stay.State[testkit.Cart]  // of sessions
	scrap  *stay.State[testkit.Cart]    // of sessions, changed by one at a time
	own    *stay.State[testkit.Counter] // of sessions, stored at once
	carts  *stay.State[testkit.Cart]    // of users
	steps  atomic.Int64                 // turns that have begun
	passed atomic.Int64                 // time
}

// An ack is an acknowledged item and its session: a request whose cookie was
// replaced a while ago begins another session.
type ack struct{ item, id string }

// A leaver is a browser that makes several requests at once.
type leaver struct {
	*closing
	name string
	b    *testkit.Browser
	id   string // of its first session

	verbs sync.Mutex // held for what replaces the cookie
	mu    sync.Mutex
	token string

	put, bought []ack // to drafts and carts
	scraps      []string
	doubtful    bool            // what scraps are stored
	destroyed   map[string]bool // sessions
}

func closeInUse(t *testing.T, random *rand.Rand) {
	mem := memstore.New()
	st := storefault.Wrap(testkit.Unclosed{Store: mem}, nil)
	if random.IntN(3) > 0 {
		st = testkit.BehindCommitter(testkit.Unclosed{Store: mem})
		pause := func() time.Duration { return time.Duration(random.IntN(1500)) * time.Microsecond }
		st.Add(storefault.Rule{Op: storefault.Commit, Match: testkit.Every(1 + random.Uint64N(6)), Fault: storefault.Delay(pause(), pause())})
	}
	x := &closing{t: t, clock: testkit.NewClock(), turns: 5 + random.IntN(60), faulty: random.IntN(4) == 0}
	if x.faulty {
		for n, f := range map[uint64]storefault.Fault{7: storefault.LoseAck(nil), 11: storefault.Fail(nil), 13: storefault.Drop(nil)} {
			st.Add(storefault.Rule{Op: storefault.Commit, Match: testkit.Every(n), Fault: f})
		}
	}
	opts := &stay.Options{Clock: x.clock.Now, IdleTimeout: 2 * time.Hour, Guests: stay.GuestStored, OnError: x.complain}
	if random.IntN(3) == 0 {
		opts.MaxInstances = 12 + random.IntN(20)
	}
	x.app = stay.New(st, opts)
	delays := []time.Duration{time.Microsecond, 200 * time.Microsecond, 2 * time.Millisecond, 10 * time.Millisecond, time.Hour}
	x.register(delays[random.IntN(len(delays))])
	if random.IntN(4) == 0 {
		access.AppOf(x.app).Evict(true)
	}
	var work sync.WaitGroup
	leavers := make([]*leaver, 1+random.IntN(3))
	for i := range leavers {
		l := x.arrive(fmt.Sprint("l", i))
		leavers[i] = l
		for worker := range 1 + random.IntN(5) {
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			work.Go(func() { l.use(worker, own) })
		}
	}
	idle := make(chan struct{})
	go func() { work.Wait(); close(idle) }()
	x.await(idle, random.Int64N(int64(2*x.turns*len(leavers))))
	if err := x.app.Close(testkit.Soon(t)); err != nil {
		t.Errorf("close: %v", err)
	}
	<-idle
	x.compare(mem, leavers)
}

// complain gets failures. If a session is renewed all the time, its first
// states may have to wait.
func (x *closing) complain(_ *stay.Call, e *stay.Error) {
	if !x.faulty && e.Code != stay.ErrClosed && !strings.Contains(e.Error(), "kept changing") {
		x.t.Errorf("OnError was told %v", e)
	}
}

func (x *closing) register(debounce time.Duration) {
	for i := range 2 {
		x.drafts = append(x.drafts, stay.Register(x.app, stay.Module[testkit.Cart]{Name: fmt.Sprint("draft", i), Persist: stay.PerSession, Debounce: debounce}))
	}
	x.scrap = stay.Register(x.app, stay.Module[testkit.Cart]{Name: "scrap", Persist: stay.PerSession, Debounce: debounce, Expiry: 10 * time.Hour})
	x.own = stay.Register(x.app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
	x.carts = stay.Register(x.app, stay.Module[testkit.Cart]{
		Name: "cart", Persist: stay.PerUser, Debounce: debounce,
		Adopt: func(stored, guest *testkit.Cart) error {
			stored.Items = append(stored.Items, guest.Items...)
			return nil
		},
	})
}

// await returns when so many turns have begun, or all are over.
func (x *closing) await(idle chan struct{}, turns int64) {
	for x.steps.Load() < turns {
		select {
		case <-idle:
			return
		case <-time.After(50 * time.Microsecond):
		}
	}
}

// arrive begins a session that nothing is stored for.
func (x *closing) arrive(name string) *leaver {
	l := &leaver{closing: x, name: name, b: testkit.NewBrowser(x.app), destroyed: map[string]bool{}}
	ctx := l.b.Ctx()
	if _, err := x.own.Get(ctx); err != nil {
		x.t.Fatal(err)
	}
	l.token, l.id = l.b.Token, stay.SessionFrom(ctx).ID()
	return l
}

// pass lets time pass, less in all than sessions are kept for.
func (x *closing) pass(d time.Duration) {
	if x.passed.Add(int64(d)) < int64(100*time.Minute) {
		x.clock.Advance(d)
	}
}

// use does one thing after the other.
func (l *leaver) use(worker int, random *rand.Rand) {
	for n := range l.turns {
		l.steps.Add(1)
		item := fmt.Sprint(l.name, ".", worker, ".", n)
		user := fmt.Sprint("u", random.IntN(3))
		draft := l.drafts[random.IntN(2)]
		switch what := random.IntN(40); {
		case what < 13:
			l.add(l.request(), draft, &l.put, item)
		case what < 15:
			l.addTwo(l.request(), draft, item)
		case what == 15:
			l.addTwo(testkit.NewBrowser(l.app).Ctx(), draft, item) // as the first request of a session
		case what < 20:
			l.add(l.request(), l.carts, &l.bought, item)
		case what < 24:
			if worker == 0 {
				l.tear(random, item)
			}
		case what < 27:
			_, _ = l.own.Update(l.request(), testkit.Increment)
		case what < 30:
			l.replace(func(ctx context.Context, s *stay.Session) error { return s.Renew(ctx) })
		case what < 32:
			l.replace(func(ctx context.Context, s *stay.Session) error { return s.Login(ctx, user) })
		case what == 32:
			l.replace(func(ctx context.Context, s *stay.Session) error { return s.Logout(ctx) })
		case what == 33:
			access.AppOf(l.app).Evict(false)
		case what == 34:
			l.pass(time.Duration(random.IntN(15)) * time.Minute)
		case what == 35 && random.IntN(20) == 0:
			l.destroy()
		default:
			if _, err := draft.Get(l.request()); err != nil && stay.CodeOf(err) != stay.ErrClosed && stay.CodeOf(err) != stay.ErrBusy && !l.faulty {
				l.t.Errorf("Get: %v", err)
			}
		}
	}
}

func (l *leaver) request() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.With(l.token).Ctx()
}

func (l *leaver) add(ctx context.Context, state *stay.State[testkit.Cart], to *[]ack, item string) {
	if _, err := state.Update(ctx, testkit.Put(item)); err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		*to = append(*to, ack{item, access.AppOf(l.app).NameOf(stay.SessionFrom(ctx))})
	}
}

// addTwo changes a state twice at once in one request.
func (l *leaver) addTwo(ctx context.Context, state *stay.State[testkit.Cart], item string) {
	var both sync.WaitGroup
	for _, end := range []string{".a", ".b"} {
		both.Go(func() { l.add(ctx, state, &l.put, item+end) })
	}
	both.Wait()
}

// tear makes one of the changes that are not only additions.
func (l *leaver) tear(random *rand.Rand, item string) {
	ctx, left := l.request(), []string(nil)
	var err error
	switch random.IntN(6) {
	case 0:
		_, err = l.scrap.Reset(ctx)
	case 1:
		_, err = l.scrap.ResetAll(ctx)
	case 2:
		err = l.scrap.Delete(ctx)
	default:
		_, err = l.scrap.Update(ctx, testkit.Put(item))
		left = append(slices.Clone(l.scraps), item)
	}
	switch {
	case access.AppOf(l.app).NameOf(stay.SessionFrom(ctx)) != l.id:
	case err == nil:
		l.scraps = left
	case stay.CodeOf(err) == stay.ErrUnknown:
		l.doubtful = true
	}
}

// replace does what gives the session another cookie.
func (l *leaver) replace(verb func(context.Context, *stay.Session) error) {
	l.verbs.Lock()
	defer l.verbs.Unlock()
	b := l.b.With(l.token)
	ctx := b.Ctx()
	if err := verb(ctx, stay.SessionFrom(ctx)); err == nil {
		l.mu.Lock()
		l.token = b.Token
		l.mu.Unlock()
	}
}

func (l *leaver) destroy() {
	l.verbs.Lock()
	defer l.verbs.Unlock()
	s := stay.SessionFrom(l.request())
	_ = s.Destroy(context.Background())
	l.mu.Lock()
	l.destroyed[access.AppOf(l.app).NameOf(s)] = true
	l.mu.Unlock()
}

// compare compares the stored items with the acknowledged ones.
func (x *closing) compare(st store.Store, leavers []*leaver) {
	keys, err := st.(store.Lister).List(context.Background(), x.clock.Now(), "", "", 100_000)
	if err != nil {
		x.t.Fatal(err)
	}
	scraps, places := map[string][]string{}, map[string][]string{}
	for _, key := range keys {
		kind, id := key[:strings.LastIndexByte(key, '/')], key[strings.LastIndexByte(key, '/')+1:]
		if kind == "stay/session" || !strings.Contains(key, "/cart/") && !strings.HasPrefix(key, "session/") {
			continue
		}
		var c testkit.Cart
		if err := json.Unmarshal([]byte(x.stored(st, key)), &c); err != nil {
			x.t.Fatal(err)
		}
		if kind == "session/scrap" {
			scraps[id] = c.Items
			continue
		}
		for _, item := range c.Items {
			places[item] = append(places[item], key)
		}
	}
	for _, l := range leavers {
		for _, a := range l.put {
			if in := places[a.item]; !l.destroyed[a.id] && (len(in) != 1 || !strings.HasSuffix(in[0], a.id)) {
				x.t.Errorf("%s, put into a draft of %s, is in %q", a.item, a.id, in)
			}
		}
		for _, a := range l.bought {
			if in := places[a.item]; len(in) != 1 && (len(in) > 1 || !l.destroyed[a.id]) {
				x.t.Errorf("%s, put into a cart by %s, is in %q", a.item, a.id, in)
			}
		}
		if !l.doubtful && !l.destroyed[l.id] && !slices.Equal(scraps[l.id], l.scraps) {
			x.t.Errorf("the scraps of %s are %q, want %q", l.id, scraps[l.id], l.scraps)
		}
	}
}

func (x *closing) stored(st store.Store, key string) string {
	recs, err := st.Load(context.Background(), []store.Read{{Key: key}})
	if err != nil {
		x.t.Fatal(err)
	}
	return string(recs[0].Value)
}
