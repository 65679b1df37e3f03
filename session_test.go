package stay_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// sessionApp has a counter of each browser, on a clock that moves.
type sessionApp struct {
	*stay.App
	store *memstore.Store
	clock *clock
	clicks,
	notes, // ephemeral
	global *stay.State[counter]
}

func newSessionApp(t *testing.T) *sessionApp {
	st, clock := memstore.New(), newClock()
	app := newApp(t, st, &stay.Options{Clock: clock.Now})
	return &sessionApp{
		App: app, store: st, clock: clock,
		clicks: stay.Register(app, stay.Module[counter]{Name: "clicks", Persist: stay.PerSession}),
		notes:  stay.Register(app, stay.Module[counter]{Name: "notes"}),
		global: stay.Register(app, stay.Module[counter]{Name: "global", Persist: stay.Global}),
	}
}

// rows returns the keys in the store but those of all programs.
func (a *sessionApp) rows(t *testing.T) []string {
	t.Helper()
	keys, err := a.store.List(t.Context(), a.clock.Now(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, ofAllPrograms)
}

// A session begins with the first use of its state, never with that of a
// Global one, and what changes nothing stores nothing (B1, B12, S1, W2).
func TestB1B12S1W2FirstUse(t *testing.T) {
	app := newSessionApp(t)
	b := newBrowser(app.App)
	ctx, r := b.request()
	mustUpdate(t, ctx, app.global)
	if len(r.issued) > 0 || r.used {
		t.Error("a Global state began a session")
	}
	if err := app.global.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, r = b.request()
	wantCount(t, ctx, app.clicks, 0)
	wantCount(t, ctx, app.notes, 0)
	if _, err := app.clicks.Update(ctx, func(*counter) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if len(r.issued) != 1 || !r.used {
		t.Errorf("%d cookies were issued at the first use, want 1", len(r.issued))
	}
	if keys := app.rows(t); len(keys) > 0 {
		t.Errorf("changing nothing stored %q", keys)
	}
	ctx, r = b.request()
	mustUpdate(t, ctx, app.clicks)
	if len(r.issued) > 0 {
		t.Error("a fresh cookie was issued again")
	}
	if keys := app.rows(t); len(keys) != 2 {
		t.Errorf("the first change stored %q, want the state and the session", keys)
	}
}

// Nothing that was not signed here names a session (B3, W1).
func TestB3W1BadTokens(t *testing.T) {
	app := newSessionApp(t)
	b := newBrowser(app.App)
	mustUpdate(t, b.ctx(), app.clicks)
	good := b.token
	wantCount(t, b.ctx(), app.clicks, 1) // it has been verified, and is remembered
	own := bridge.AppOf(app.App)
	foreign := own.Keyring([][]byte{[]byte(strings.Repeat("k", 32))})
	forged, err := foreign.Sign(t.Context(), &bridge.Token{ID: [16]byte{1, 2, 3}, Gen: 4})
	if err != nil {
		t.Fatal(err)
	}
	before := app.rows(t)
	for _, token := range []string{
		"", "x", good[1:], good[:len(good)-1], good + "A", good + "=", strings.ToUpper(good), forged,
		"__proto__", strings.Repeat("A", 8000), "\x00\xff", good[:len(good)-4] + "AAAA",
	} {
		b.token = token
		ctx, r := b.request()
		wantCount(t, ctx, app.clicks, 0)
		if len(r.issued) != 1 {
			t.Errorf("token %.20q: no new session was begun", token)
		}
	}
	if after := app.rows(t); !slices.Equal(before, after) {
		t.Errorf("bad tokens stored %q", after)
	}
	for _, key := range before {
		if strings.Contains(key, good[:16]) {
			t.Errorf("the key %q shows the cookie", key)
		}
	}
}

// Signing keys rotate: the first signs, all verify (W1).
func TestW1KeyRotation(t *testing.T) {
	app := newSessionApp(t)
	old, now := []byte(strings.Repeat("o", 32)), []byte(strings.Repeat("n", 32))
	b := newBrowser(app.App)
	b.ring = b.app.Keyring([][]byte{old})
	mustUpdate(t, b.ctx(), app.clicks)
	b.ring = b.app.Keyring([][]byte{now, old})
	wantCount(t, b.ctx(), app.clicks, 1)
	b.ring = b.app.Keyring([][]byte{now})
	wantCount(t, b.ctx(), app.clicks, 0)
	wantPanic(t, func() { b.app.Keyring([][]byte{old, []byte("short")}) }, "key 1", "32")
}

// Each of many cookies says what was signed, also when it comes again, with the
// others in between (W1).
func TestW1ManyCookies(t *testing.T) {
	app := newSessionApp(t)
	ring := bridge.AppOf(app.App).Keyring(nil)
	const n = 10_000
	cookies := make([]string, n)
	for i := range cookies {
		var err error
		if cookies[i], err = ring.Sign(t.Context(), &bridge.Token{ID: [16]byte{byte(i), byte(i >> 8)}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i, c := range cookies {
			got, err := ring.Verify(t.Context(), c)
			if err != nil || got == nil || got.ID != [16]byte{byte(i), byte(i >> 8)} {
				t.Fatalf("cookie %d says %+v, %v", i, got, err)
			}
		}
	}
}

// After Renew the old cookie is refused: for a minute without a new one, then
// as one that nobody knows. The state stays (S5).
func TestS5Renew(t *testing.T) {
	app := newSessionApp(t)
	b := newBrowser(app.App)
	mustUpdate(t, b.ctx(), app.clicks)
	old := newBrowser(app.App)
	old.token = b.token
	ctx, r := b.request()
	id := stay.SessionFrom(ctx).ID()
	if err := stay.SessionFrom(ctx).Renew(ctx); err != nil {
		t.Fatal(err)
	}
	if len(r.issued) != 1 {
		t.Fatal("Renew issued no cookie")
	}
	mustUpdate(t, ctx, app.clicks) // the request goes on with the new one
	wantCount(t, b.ctx(), app.clicks, 2)
	if got := stay.SessionFrom(b.ctx()).ID(); got != id {
		t.Error("the ID changed")
	}

	ctx, r = old.request()
	wantCount(t, ctx, app.clicks, 0)
	wantCount(t, ctx, app.notes, 0)
	for _, s := range []*stay.State[counter]{app.clicks, app.notes} {
		_, err := s.Update(ctx, increment)
		wantCode(t, err, stay.ErrEnded)
	}
	wantCode(t, stay.SessionFrom(ctx).Renew(ctx), stay.ErrEnded)
	wantCode(t, stay.SessionFrom(ctx).Destroy(ctx), stay.ErrEnded)
	if len(r.issued) > 0 {
		t.Error("the answer to a renewed cookie replaces the new one")
	}
	app.clock.Advance(time.Minute)
	ctx, r = old.request()
	mustUpdate(t, ctx, app.clicks)
	if len(r.issued) != 1 {
		t.Error("after a minute an old cookie begins a new session")
	}
	wantCount(t, b.ctx(), app.clicks, 2)
}

// Destroy ends a session for good and leaves no state behind (S5).
func TestS5Destroy(t *testing.T) {
	app := newSessionApp(t)
	b := newBrowser(app.App)
	mustUpdate(t, b.ctx(), app.clicks)
	mustUpdate(t, b.ctx(), app.notes)
	old := newBrowser(app.App)
	old.token = b.token
	ctx := b.ctx()
	for range 2 {
		if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if b.token != "" {
		t.Error("Destroy does not clear the cookie")
	}
	if keys := app.rows(t); len(keys) != 1 {
		t.Errorf("%q is left, want the tombstone alone", keys)
	}
	_, err := app.clicks.Update(ctx, increment)
	wantCode(t, err, stay.ErrEnded)
	ctx, r := old.request()
	wantCount(t, ctx, app.clicks, 0)
	for _, s := range []*stay.State[counter]{app.clicks, app.notes} {
		_, err := s.Update(ctx, increment)
		wantCode(t, err, stay.ErrEnded)
	}
	if len(r.issued) > 0 {
		t.Error("the answer to an ended cookie sets one")
	}
	_, err = app.clicks.At(stay.SessionFrom(ctx).ID()).Update(t.Context(), increment)
	wantCode(t, err, stay.ErrNotFound)
	app.clock.Advance(time.Hour)
	ctx, _ = old.request()
	wantCount(t, ctx, app.notes, 0)
	mustUpdate(t, ctx, app.clicks)
	if stay.SessionFrom(ctx).ID() == stay.SessionFrom(b.ctx()).ID() {
		t.Error("two browsers have one session")
	}
}

// Ending a session that nothing is known of keeps it ended (S5): its cookie
// may be in a request that is under way.
func TestS5DestroyUnstored(t *testing.T) {
	app := newSessionApp(t)
	b := newBrowser(app.App)
	wantCount(t, b.ctx(), app.clicks, 0)
	parallel := newBrowser(app.App)
	parallel.token = b.token
	ctx := b.ctx()
	if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := app.clicks.Update(parallel.ctx(), increment)
	wantCode(t, err, stay.ErrEnded)

	fresh, r := newBrowser(app.App).request()
	before := app.rows(t)
	if err := stay.SessionFrom(fresh).Destroy(fresh); err != nil {
		t.Fatal(err)
	}
	if after := app.rows(t); !slices.Equal(before, after) || len(r.issued) > 0 {
		t.Error("ending a session that never was stores something or sets a cookie")
	}
	_, err = app.clicks.Update(fresh, increment)
	wantCode(t, err, stay.ErrEnded)
}

// A request in flight cannot bring back a destroyed session: wherever the
// first change is when the session ends, nothing is created (S5).
func TestS5InFlightCreatesNothing(t *testing.T) {
	inner := memstore.New()
	st := storefault.Wrap(inner, &storefault.Options{Features: func(f store.Features) store.Features {
		f.Immediate, f.Durable = false, true
		return f
	}})
	app := newApp(t, st, nil)
	clicks := stay.Register(app, stay.Module[counter]{Name: "clicks", Persist: stay.PerSession})
	other := stay.Register(app, stay.Module[counter]{Name: "other", Persist: stay.PerSession})
	b := newBrowser(app)
	mustUpdate(t, b.ctx(), other) // so the session has a record
	flying, ending := b.ctx(), b.ctx()

	inRun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	result := make(chan error, 1)
	go func() {
		_, err := clicks.Update(flying, func(c *counter) error {
			once.Do(func() { close(inRun); <-goOn })
			return increment(c)
		})
		result <- err
	}()
	<-inRun
	// Destroy waits for the turn of the state it deletes, but the session has
	// ended before.
	destroyed := make(chan error, 1)
	go func() { destroyed <- stay.SessionFrom(ending).Destroy(ending) }()
	id := stay.SessionFrom(ending).ID()
	for {
		if _, err := other.At(id).Get(t.Context()); errors.Is(err, stay.ErrNotFound) {
			break
		}
	}
	close(goOn)
	// The change comes before the delete that waits behind it, or is refused.
	if err := <-result; err != nil {
		wantCode(t, err, stay.ErrEnded)
	}
	if err := <-destroyed; err != nil {
		t.Fatal(err)
	}
	for _, key := range rows(t, inner) {
		if strings.HasPrefix(key, "session/") {
			t.Errorf("%q is stored for a session that has ended", key)
		}
	}
}

// A session slides while it is used, once in a tenth of the idle time, ends
// when it is not, and ends after its lifetime however much it is used (S6).
func TestS6SlideAndExpire(t *testing.T) {
	app := newSessionApp(t)
	b := newBrowser(app.App)
	mustUpdate(t, b.ctx(), app.clicks)
	commits := func() store.Revision {
		recs, err := app.store.Load(t.Context(), app.clock.Now(), []store.Read{{Key: "stay/session/" + stay.SessionFrom(b.ctx()).ID()}})
		if err != nil {
			t.Fatal(err)
		}
		return recs[0].Revision
	}
	first := commits()
	app.clock.Advance(time.Hour)
	wantCount(t, b.ctx(), app.clicks, 1)
	if commits() != first {
		t.Error("the session was written again after an hour")
	}
	for range 29 { // 29 days in steps of less than the idle time
		for range 2 {
			app.clock.Advance(12 * time.Hour)
			ctx, r := b.request()
			wantCount(t, ctx, app.clicks, 1)
			if len(r.issued) != 1 {
				t.Fatal("the cookie did not slide")
			}
		}
	}
	if commits() == first {
		t.Error("the session's record did not slide")
	}
	b2 := newBrowser(app.App)
	b2.token = b.token
	app.clock.Advance(24 * time.Hour) // beyond 30 days
	wantCount(t, b.ctx(), app.clicks, 0)

	b = newBrowser(app.App)
	mustUpdate(t, b.ctx(), app.clicks)
	app.clock.Advance(24*time.Hour + time.Second)
	wantCount(t, b.ctx(), app.clicks, 0) // idle
}

// A session that stores nothing slides by its cookie alone (S6).
func TestS6SlideWithoutRecord(t *testing.T) {
	app := newSessionApp(t)
	b := newBrowser(app.App)
	mustUpdate(t, b.ctx(), app.notes)
	for range 10 {
		app.clock.Advance(20 * time.Hour)
		mustUpdate(t, b.ctx(), app.notes)
	}
	wantCount(t, b.ctx(), app.notes, 11)
	if keys := app.rows(t); len(keys) > 0 {
		t.Errorf("%q is stored", keys)
	}
}

// The sweeper removes expired sessions with their states, and ephemeral state
// that was not used (A15, S6, A12).
func TestA15Sweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		app := stay.New(st, &stay.Options{IdleTimeout: time.Hour})
		clicks := stay.Register(app, stay.Module[counter]{Name: "clicks", Persist: stay.PerSession})
		total := stay.Register(app, stay.Module[counter]{Name: "total", Persist: stay.Global})
		for range 300 {
			mustUpdate(t, newBrowser(app).ctx(), clicks)
		}
		mustUpdate(t, context.Background(), total)
		time.Sleep(50 * time.Minute) //nolint:forbidigo // the bubble's time
		b := newBrowser(app)
		mustUpdate(t, b.ctx(), clicks)
		if n := len(rows(t, st)); n != 2*301+2 {
			t.Errorf("%d records before the end of the idle time", n)
		}
		time.Sleep(20 * time.Minute) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if keys := rows(t, st); len(keys) != 4 {
			t.Errorf("%d records are left, want the live session, its state, the total and the keys", len(keys))
		}
		wantCount(t, b.ctx(), clicks, 1)
		wantCount(t, context.Background(), total, 1)
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// First use of state after the header was written is an error and stores
// nothing; a browser that has its cookie is not concerned (W2).
func TestW2FirstUseTooLate(t *testing.T) {
	app := newSessionApp(t)
	b := newBrowser(app.App)
	ctx, r := b.request()
	r.sent = true
	_, err := app.clicks.Update(ctx, increment)
	wantCode(t, err, stay.ErrInternal)
	_, err = app.clicks.Get(ctx)
	wantCode(t, err, stay.ErrInternal)
	if keys := app.rows(t); len(keys) > 0 {
		t.Errorf("%q is stored", keys)
	}
	mustUpdate(t, b.ctx(), app.clicks)
	ctx, r = b.request()
	r.sent = true
	mustUpdate(t, ctx, app.clicks)
	wantCode(t, stay.SessionFrom(ctx).Renew(ctx), stay.ErrInternal)
}

// Parallel first changes of one new session make one session (B12, S1).
func TestB12ParallelFirstChanges(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			st := open()
			app := newApp(t, st, nil)
			var states []*stay.State[counter]
			for _, n := range []string{"a", "b", "c", "d"} {
				states = append(states, stay.Register(app, stay.Module[counter]{Name: n, Persist: stay.PerSession}))
			}
			b := newBrowser(app)
			wantCount(t, b.ctx(), states[0], 0) // gets the cookie
			var wg sync.WaitGroup
			for _, s := range states {
				for range 8 {
					wg.Go(func() { mustUpdateAsync(t, b.ctx(), s) })
				}
			}
			wg.Wait()
			for _, s := range states {
				wantCount(t, b.ctx(), s, 8)
			}
			if n := len(rows(t, st)); n != 6 {
				t.Errorf("%d records, want 4 states, a session and the keys", n)
			}
		})
	}
}

func mustUpdateAsync(t *testing.T, ctx context.Context, s *stay.State[counter]) {
	if _, err := s.Update(ctx, increment); err != nil {
		t.Error(err)
	}
}
