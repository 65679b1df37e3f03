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

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A session begins with the first use of its state, never with a use of a
// Global state, and a change that changes nothing stores nothing.
//
// Proves B1, B12, S1, W2.
func TestSessionBeginsWithItsFirstUse(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	ctx, r := b.Request()
	testkit.MustUpdate(t, ctx, app.Global)
	if len(r.Issued) > 0 || r.WasUsed {
		t.Error("a Global state began a session")
	}
	if err := app.Global.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, r = b.Request()
	testkit.WantCount(t, ctx, app.Clicks, 0)
	testkit.WantCount(t, ctx, app.Notes, 0)
	if _, err := app.Clicks.Update(ctx, func(*testkit.Counter) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if len(r.Issued) != 1 || !r.WasUsed {
		t.Errorf("%d cookies were issued at the first use, want 1", len(r.Issued))
	}
	if keys := app.Rows(t); len(keys) > 0 {
		t.Errorf("changing nothing stored %q", keys)
	}
	ctx, r = b.Request()
	testkit.MustUpdate(t, ctx, app.Clicks)
	if len(r.Issued) > 0 {
		t.Error("a fresh cookie was issued again")
	}
	if keys := app.Rows(t); len(keys) != 2 {
		t.Errorf("the first change stored %q, want the state and the session", keys)
	}
}

// Only a cookie that this App has signed names a session.
//
// Proves B3, W1.
func TestBadTokensNameNoSession(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	good := b.Token
	testkit.WantCount(t, b.Ctx(), app.Clicks, 1) // it has been verified, and is remembered
	own := access.AppOf(app.App)
	foreign := own.Keyring([][]byte{[]byte(strings.Repeat("k", 32))})
	forged, err := foreign.Sign(t.Context(), &access.Token{ID: [16]byte{1, 2, 3}, Gen: 4})
	if err != nil {
		t.Fatal(err)
	}
	before := app.Rows(t)
	for _, token := range []string{
		"", "x", good[1:], good[:len(good)-1], good + "A", good + "=", strings.ToUpper(good), forged,
		"__proto__", strings.Repeat("A", 8000), "\x00\xff", good[:len(good)-4] + "AAAA",
	} {
		b.Token = token
		ctx, r := b.Request()
		testkit.WantCount(t, ctx, app.Clicks, 0)
		if len(r.Issued) != 1 {
			t.Errorf("token %.20q: no new session was begun", token)
		}
	}
	if after := app.Rows(t); !slices.Equal(before, after) {
		t.Errorf("bad tokens stored %q", after)
	}
	for _, key := range before {
		if strings.Contains(key, good[:16]) {
			t.Errorf("the key %q shows the cookie", key)
		}
	}
}

// Signing keys rotate: the first signs, all verify.
//
// Proves B2, W1.
func TestFirstKeySignsAndAllVerify(t *testing.T) {
	app := testkit.NewSessionApp(t)
	old, now := []byte(strings.Repeat("o", 32)), []byte(strings.Repeat("n", 32))
	b := testkit.NewBrowser(app.App)
	b.Ring = b.App.Keyring([][]byte{old})
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	b.Ring = b.App.Keyring([][]byte{now, old})
	testkit.WantCount(t, b.Ctx(), app.Clicks, 1)
	b.Ring = b.App.Keyring([][]byte{now})
	testkit.WantCount(t, b.Ctx(), app.Clicks, 0)
	testkit.WantPanic(t, func() { b.App.Keyring([][]byte{old, []byte("short")}) }, "key 1", "32")
}

// Each of many cookies names its session, also when it comes again with others
// in between.
//
// Proves W1.
func TestManyCookiesSayWhatWasSigned(t *testing.T) {
	app := testkit.NewSessionApp(t)
	ring := access.AppOf(app.App).Keyring(nil)
	const n = 10_000
	cookies := make([]string, n)
	for i := range cookies {
		var err error
		if cookies[i], err = ring.Sign(t.Context(), &access.Token{ID: [16]byte{byte(i), byte(i >> 8)}}); err != nil {
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
// as an unknown one. The state stays.
//
// Proves S5, W3.
func TestRenewRefusesTheOldCookie(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	old := testkit.NewBrowser(app.App)
	old.Token = b.Token
	ctx, r := b.Request()
	id := stay.SessionFrom(ctx).ID()
	if err := stay.SessionFrom(ctx).Renew(ctx); err != nil {
		t.Fatal(err)
	}
	if len(r.Issued) != 1 {
		t.Fatal("Renew issued no cookie")
	}
	testkit.MustUpdate(t, ctx, app.Clicks) // the request goes on with the new one
	testkit.WantCount(t, b.Ctx(), app.Clicks, 2)
	if got := stay.SessionFrom(b.Ctx()).ID(); got != id {
		t.Error("the ID changed")
	}

	ctx, r = old.Request()
	testkit.WantCount(t, ctx, app.Clicks, 0)
	testkit.WantCount(t, ctx, app.Notes, 0)
	for _, s := range []*stay.State[testkit.Counter]{app.Clicks, app.Notes} {
		_, err := s.Update(ctx, testkit.Increment)
		testkit.WantCode(t, err, stay.ErrEnded)
	}
	testkit.WantCode(t, stay.SessionFrom(ctx).Renew(ctx), stay.ErrEnded)
	testkit.WantCode(t, stay.SessionFrom(ctx).Destroy(ctx), stay.ErrEnded)
	if len(r.Issued) > 0 {
		t.Error("the answer to a renewed cookie replaces the new one")
	}
	app.Clock.Advance(time.Minute)
	ctx, r = old.Request()
	testkit.MustUpdate(t, ctx, app.Clicks)
	if len(r.Issued) != 1 {
		t.Error("after a minute an old cookie begins a new session")
	}
	testkit.WantCount(t, b.Ctx(), app.Clicks, 2)
}

// Destroy ends a session for good and leaves no state behind.
//
// Proves S5, W3.
func TestDestroyEndsASessionForGood(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	testkit.MustUpdate(t, b.Ctx(), app.Notes)
	old := testkit.NewBrowser(app.App)
	old.Token = b.Token
	ctx := b.Ctx()
	for range 2 {
		if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if b.Token != "" {
		t.Error("Destroy does not clear the cookie")
	}
	if keys := app.Rows(t); len(keys) != 1 {
		t.Errorf("%q is left, want the tombstone alone", keys)
	}
	_, err := app.Clicks.Update(ctx, testkit.Increment)
	testkit.WantCode(t, err, stay.ErrEnded)
	ctx, r := old.Request()
	testkit.WantCount(t, ctx, app.Clicks, 0)
	for _, s := range []*stay.State[testkit.Counter]{app.Clicks, app.Notes} {
		_, err := s.Update(ctx, testkit.Increment)
		testkit.WantCode(t, err, stay.ErrEnded)
	}
	if len(r.Issued) > 0 {
		t.Error("the answer to an ended cookie sets one")
	}
	_, err = app.Clicks.At(stay.SessionFrom(ctx).ID()).Update(t.Context(), testkit.Increment)
	testkit.WantCode(t, err, stay.ErrNotFound)
	app.Clock.Advance(time.Hour)
	ctx, _ = old.Request()
	testkit.WantCount(t, ctx, app.Notes, 0)
	testkit.MustUpdate(t, ctx, app.Clicks)
	if stay.SessionFrom(ctx).ID() == stay.SessionFrom(b.Ctx()).ID() {
		t.Error("two browsers have one session")
	}
}

// Ending a session that is not stored keeps it ended: its cookie may be in a
// request that is under way.
//
// Proves S5.
func TestDestroyOfAnUnstoredSessionKeepsItEnded(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	testkit.WantCount(t, b.Ctx(), app.Clicks, 0)
	parallel := testkit.NewBrowser(app.App)
	parallel.Token = b.Token
	ctx := b.Ctx()
	if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := app.Clicks.Update(parallel.Ctx(), testkit.Increment)
	testkit.WantCode(t, err, stay.ErrEnded)

	fresh, r := testkit.NewBrowser(app.App).Request()
	before := app.Rows(t)
	if err := stay.SessionFrom(fresh).Destroy(fresh); err != nil {
		t.Fatal(err)
	}
	if after := app.Rows(t); !slices.Equal(before, after) || len(r.Issued) > 0 {
		t.Error("ending a session that never was stores something or sets a cookie")
	}
	_, err = app.Clicks.Update(fresh, testkit.Increment)
	testkit.WantCode(t, err, stay.ErrEnded)
}

// A request in flight cannot bring back a destroyed session: no matter how far
// the first change is when the session ends, nothing is created.
//
// Proves S5.
func TestRequestInFlightCreatesNothingAfterDestroy(t *testing.T) {
	inner := memstore.New()
	st := storefault.Wrap(inner, &storefault.Options{Features: func(f store.Features) store.Features {
		f.Immediate, f.Durable = false, true
		return f
	}})
	app := testkit.NewApp(t, st, nil)
	clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
	other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.PerSession})
	b := testkit.NewBrowser(app)
	testkit.MustUpdate(t, b.Ctx(), other) // so the session has a record
	flying, ending := b.Ctx(), b.Ctx()

	inRun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	result := make(chan error, 1)
	go func() {
		_, err := clicks.Update(flying, func(c *testkit.Counter) error {
			once.Do(func() { close(inRun); <-goOn })
			return testkit.Increment(c)
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
		testkit.WantCode(t, err, stay.ErrEnded)
	}
	if err := <-destroyed; err != nil {
		t.Fatal(err)
	}
	for _, key := range testkit.Rows(t, inner) {
		if strings.HasPrefix(key, "session/") {
			t.Errorf("%q is stored for a session that has ended", key)
		}
	}
}

// A session slides while it is used, once in a tenth of the idle time, ends
// when it is not, and ends after its lifetime however much it is used.
//
// Proves S6.
func TestSessionSlidesAndExpires(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	commits := func() store.Revision {
		recs, err := app.Store.Load(t.Context(), []store.Read{{Key: "stay/session/" + stay.SessionFrom(b.Ctx()).ID()}})
		if err != nil {
			t.Fatal(err)
		}
		return recs[0].Revision
	}
	first := commits()
	app.Clock.Advance(time.Hour)
	testkit.WantCount(t, b.Ctx(), app.Clicks, 1)
	if commits() != first {
		t.Error("the session was written again after an hour")
	}
	for range 29 { // 29 days in steps of less than the idle time
		for range 2 {
			app.Clock.Advance(12 * time.Hour)
			ctx, r := b.Request()
			testkit.WantCount(t, ctx, app.Clicks, 1)
			if len(r.Issued) != 1 {
				t.Fatal("the cookie did not slide")
			}
		}
	}
	if commits() == first {
		t.Error("the session's record did not slide")
	}
	b2 := testkit.NewBrowser(app.App)
	b2.Token = b.Token
	app.Clock.Advance(24 * time.Hour) // beyond 30 days
	testkit.WantCount(t, b.Ctx(), app.Clicks, 0)

	b = testkit.NewBrowser(app.App)
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	app.Clock.Advance(24*time.Hour + time.Second)
	testkit.WantCount(t, b.Ctx(), app.Clicks, 0) // idle
}

// A session that stores nothing slides by its cookie alone.
//
// Proves S6.
func TestSessionWithoutRecordSlidesByItsCookie(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	testkit.MustUpdate(t, b.Ctx(), app.Notes)
	for range 10 {
		app.Clock.Advance(20 * time.Hour)
		testkit.MustUpdate(t, b.Ctx(), app.Notes)
	}
	testkit.WantCount(t, b.Ctx(), app.Notes, 11)
	if keys := app.Rows(t); len(keys) > 0 {
		t.Errorf("%q is stored", keys)
	}
}

// The sweeper removes expired sessions with their states, and ephemeral state
// that was not used.
//
// Proves A12, A15, S6.
func TestSweepRemovesExpiredSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		app := stay.New(st, &stay.Options{IdleTimeout: time.Hour})
		clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
		total := stay.Register(app, stay.Module[testkit.Counter]{Name: "total", Persist: stay.Global})
		for range 300 {
			testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), clicks)
		}
		testkit.MustUpdate(t, context.Background(), total)
		time.Sleep(50 * time.Minute) //nolint:forbidigo // the bubble's time
		b := testkit.NewBrowser(app)
		testkit.MustUpdate(t, b.Ctx(), clicks)
		if n := len(testkit.Rows(t, st)); n != 2*301+2 {
			t.Errorf("%d records before the end of the idle time", n)
		}
		time.Sleep(20 * time.Minute) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if keys := testkit.Rows(t, st); len(keys) != 4 {
			t.Errorf("%d records are left, want the live session, its state, the total and the keys", len(keys))
		}
		testkit.WantCount(t, b.Ctx(), clicks, 1)
		testkit.WantCount(t, context.Background(), total, 1)
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// The first use of state after the header was written is an error and stores
// nothing; a browser that has its cookie is not affected.
//
// Proves W2.
func TestFirstUseAfterTheHeaderIsAnError(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	ctx, r := b.Request()
	r.Sent = true
	_, err := app.Clicks.Update(ctx, testkit.Increment)
	testkit.WantCode(t, err, stay.ErrInternal)
	_, err = app.Clicks.Get(ctx)
	testkit.WantCode(t, err, stay.ErrInternal)
	if keys := app.Rows(t); len(keys) > 0 {
		t.Errorf("%q is stored", keys)
	}
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	ctx, r = b.Request()
	r.Sent = true
	testkit.MustUpdate(t, ctx, app.Clicks)
	testkit.WantCode(t, stay.SessionFrom(ctx).Renew(ctx), stay.ErrInternal)
}

// Parallel first changes of one new session make one session.
//
// Proves B12, S1.
func TestParallelFirstChangesMakeOneSession(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			st := open()
			app := testkit.NewApp(t, st, nil)
			var states []*stay.State[testkit.Counter]
			for _, n := range []string{"a", "b", "c", "d"} {
				states = append(states, stay.Register(app, stay.Module[testkit.Counter]{Name: n, Persist: stay.PerSession}))
			}
			b := testkit.NewBrowser(app)
			testkit.WantCount(t, b.Ctx(), states[0], 0) // gets the cookie
			var wg sync.WaitGroup
			for _, s := range states {
				for range 8 {
					wg.Go(func() { testkit.TryUpdate(t, b.Ctx(), s) })
				}
			}
			wg.Wait()
			for _, s := range states {
				testkit.WantCount(t, b.Ctx(), s, 8)
			}
			if n := len(testkit.Rows(t, st)); n != 6 {
				t.Errorf("%d records, want 4 states, a session and the keys", n)
			}
		})
	}
}
