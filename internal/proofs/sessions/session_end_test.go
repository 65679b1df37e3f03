package sessions_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// awaitEnded returns when the session with this ID is known to have ended,
// which is before Destroy has deleted its states.
func awaitEnded(t *testing.T, s *stay.State[testkit.Counter], id string) {
	t.Helper()
	ctx := testkit.Soon(t)
	for ctx.Err() == nil {
		if _, err := s.At(id).Get(ctx); errors.Is(err, stay.ErrNotFound) {
			return
		}
	}
	t.Error("the session does not end")
}

// Renew refuses the old cookie even when a first change that was resolved with
// an older one is in the same call of the store: memory then has the stored
// record of the session.
//
// Proves S5.
func TestRenewBesideAStaleFirstChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := testkit.BehindCommitter(memstore.New())
		app := testkit.NewApp(t, st, nil)
		first := stay.Register(app, stay.Module[testkit.Counter]{Name: "first", Persist: stay.PerSession})
		second := stay.Register(app, stay.Module[testkit.Counter]{Name: "second", Persist: stay.PerSession})
		global := stay.Register(app, stay.Module[testkit.Counter]{Name: "global", Persist: stay.Global})
		background := context.Background()
		b := testkit.NewBrowser(app)
		ctx := b.Ctx()
		testkit.MustUpdate(t, ctx, first) // stores the session
		record := "stay/session/" + stay.SessionFrom(ctx).ID()

		// A first change runs, resolved before the session is renewed.
		inRun, goOn := make(chan struct{}), make(chan struct{})
		stale := make(chan error, 1)
		staleCtx := b.Ctx()
		go func() {
			var once sync.Once
			_, err := second.Update(staleCtx, func(c *testkit.Counter) error {
				once.Do(func() { close(inRun); <-goOn })
				return testkit.Increment(c)
			})
			stale <- err
		}()
		<-inRun
		if err := stay.SessionFrom(b.Ctx()).Renew(background); err != nil {
			t.Fatal(err)
		}
		renewedOnce := b.Token

		// While the store is busy, the change joins the queue, and behind it a
		// second renewal.
		busy := storefault.NewGate()
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/global/", Fault: storefault.Stop(busy)})
		go func() { testkit.TryUpdate(t, background, global) }()
		if _, err := busy.Arrived(background); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		synctest.Wait()
		renewed := make(chan error, 1)
		renewing := b.With(b.Token)
		go func() { renewed <- stay.SessionFrom(renewing.Ctx()).Renew(background) }()
		synctest.Wait()

		// The change is refused by the store; the renewal follows, and waits
		// there while a request reads the session.
		atRenew := storefault.NewGate()
		renewRule := st.Add(storefault.Rule{Op: storefault.Commit, Key: record, Skip: 1, Fault: storefault.Stop(atRenew)})
		rule.Remove()
		busy.Open()
		if _, err := atRenew.Arrived(background); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		testkit.WantCount(t, b.With(renewedOnce).Ctx(), first, 1)
		renewRule.Remove()
		atRenew.Open()
		if err := <-renewed; err != nil {
			t.Fatal(err)
		}
		testkit.WantCode(t, <-stale, stay.ErrEnded)

		_, err := first.Update(b.With(renewedOnce).Ctx(), testkit.Increment)
		testkit.WantCode(t, err, stay.ErrEnded)
		token := renewing.Token
		testkit.WantCount(t, renewing.Ctx(), first, 1)
		testkit.MustUpdate(t, renewing.Ctx(), first)
		if renewing.Token != token {
			t.Error("the new cookie was replaced by that of a new session")
		}
	})
}

// Each App finds its own session in a context that carries several, and none if
// there is only that of another App.
//
// Proves B4, B12.
func TestEachAppFindsItsOwnSession(t *testing.T) {
	st := memstore.New()
	one, two := testkit.NewApp(t, st, nil), testkit.NewApp(t, memstore.New(), nil)
	ofOne := stay.Register(one, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	ofTwo := stay.Register(two, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	b := testkit.NewBrowser(two)
	testkit.MustUpdate(t, b.Ctx(), ofTwo)
	for _, ctx := range []context.Context{b.Ctx(), testkit.NewBrowser(two).Ctx()} {
		_, err := ofOne.Update(ctx, testkit.Increment)
		testkit.WantCode(t, err, stay.ErrNoSession)
		_, err = ofOne.Get(ctx)
		testkit.WantCode(t, err, stay.ErrNoSession)
	}
	if keys := testkit.Rows(t, st); len(keys) > 0 {
		t.Errorf("one App stored %q for sessions of another", keys)
	}

	outer := testkit.NewBrowser(one).Ctx()
	own := access.AppOf(two)
	both := own.Begin(outer, own.Keyring(nil), b.Token, &testkit.Response{Browser: b})
	testkit.MustUpdate(t, both, ofOne)
	testkit.MustUpdate(t, both, ofTwo)
	testkit.WantCount(t, outer, ofOne, 1)
	testkit.WantCount(t, b.Ctx(), ofTwo, 2)
	if got, want := stay.SessionFrom(both).ID(), stay.SessionFrom(b.Ctx()).ID(); got != want {
		t.Errorf("SessionFrom gives %q, want %q, which was put in last", got, want)
	}
	none := stay.WithSession(both, nil)
	for _, s := range []*stay.State[testkit.Counter]{ofOne, ofTwo} {
		_, err := s.Get(none)
		testkit.WantCode(t, err, stay.ErrNoSession)
	}
}

// The second of two requests that end a session leaves the browser alone: it
// may have a new session by then.
//
// Proves S5.
func TestSecondDestroyLeavesTheBrowserAlone(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	once, _ := b.Request()
	twice, r := b.Request()
	if err := stay.SessionFrom(once).Destroy(once); err != nil {
		t.Fatal(err)
	}
	testkit.MustUpdate(t, b.Ctx(), app.Clicks)
	if err := stay.SessionFrom(twice).Destroy(twice); err != nil {
		t.Fatal(err)
	}
	if len(r.Issued) > 0 {
		t.Errorf("the answer to an ended cookie set %q", r.Issued)
	}
	testkit.WantCount(t, b.Ctx(), app.Clicks, 1)
}

// Destroy honours its context while it waits for a state that is in use. The
// session has ended anyway, and OnError gets the states that it could not
// delete.
//
// Proves A21, S5.
func TestDestroyKeepsToItsContext(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			var told []*stay.Error // by Destroy
			app := testkit.NewApp(t, open(), &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) { told = append(told, e) }})
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
			b := testkit.NewBrowser(app)
			testkit.MustUpdate(t, b.Ctx(), s)
			token, running := b.Token, b.Ctx()
			inRun, goOn := make(chan struct{}), make(chan struct{})
			result := make(chan error, 1)
			go func() {
				var once sync.Once
				_, err := s.Update(running, func(c *testkit.Counter) error {
					once.Do(func() { close(inRun); <-goOn })
					return testkit.Increment(c)
				})
				result <- err
			}()
			<-inRun
			ctx, answer := b.Request()
			ctx, cancel := context.WithCancel(ctx)
			session, destroyed := stay.SessionFrom(ctx), make(chan error, 1)
			id, ended := session.ID(), make(chan struct{})
			answer.OnIssue = func() { close(ended) } // the cookie is cleared
			go func() { destroyed <- session.Destroy(ctx) }()
			<-ended
			cancel()
			if err := <-destroyed; err != nil {
				t.Errorf("Destroy: %v", err)
			}
			if len(told) != 1 || told[0].Module != "s" || told[0].Phase != "destroy" || !errors.Is(told[0], context.Canceled) {
				t.Errorf("OnError was told %v of the state that is left", told)
			}
			close(goOn)
			if err := <-result; err != nil {
				t.Errorf("a request that is under way may finish on a state that exists: %v", err)
			}
			ctx = b.With(token).Ctx()
			testkit.WantCount(t, ctx, s, 0)
			_, err := s.Update(ctx, testkit.Increment)
			testkit.WantCode(t, err, stay.ErrEnded)
			_, err = s.At(id).Get(t.Context())
			testkit.WantCode(t, err, stay.ErrNotFound)
		})
	}
}

// A change may ask the session that its own request is ending: neither waits
// for the other.
//
// Proves E8, S5.
func TestDestroyBesideAChangeOfItsOwnRequest(t *testing.T) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			app := testkit.NewApp(t, open(), &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) { t.Errorf("told of %v", e) }})
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
			b := testkit.NewBrowser(app)
			testkit.MustUpdate(t, b.Ctx(), s)
			ctx := b.Ctx()
			session := stay.SessionFrom(ctx)
			id := session.ID()
			inRun, ended := make(chan struct{}), make(chan struct{})
			result := make(chan error, 1)
			go func() {
				var once sync.Once
				_, err := s.Update(ctx, func(c *testkit.Counter) error {
					once.Do(func() { close(inRun); <-ended })
					if got := session.ID(); got != "" {
						t.Errorf("the ID is %q in the run, want that of no session", got)
					}
					return testkit.Increment(c)
				})
				result <- err
			}()
			<-inRun
			destroyed := make(chan error, 1)
			go func() { destroyed <- session.Destroy(testkit.Soon(t)) }()
			awaitEnded(t, s, id)
			close(ended)
			if err := <-destroyed; err != nil {
				t.Errorf("Destroy: %v", err)
			}
			if err := <-result; err != nil {
				t.Errorf("Update: %v", err)
			}
		})
	}
}

// A session whose cookie was not sent yet ends without a trace; if it may have
// been sent, the end is stored, so that the cookie stays refused.
//
// Proves S5.
func TestDestroyBeforeTheCookieIsSentLeavesNoTrace(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	ctx, r := b.Request()
	testkit.WantCount(t, ctx, app.Clicks, 0)
	before := app.Rows(t)
	if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	if after := app.Rows(t); !slices.Equal(after, before) {
		t.Errorf("%q is stored for a session that nobody knows", after)
	}
	if len(r.Issued) != 2 || b.Token != "" {
		t.Errorf("the response keeps a cookie of the session: %q", r.Issued)
	}
	_, err := app.Clicks.Update(ctx, testkit.Increment)
	testkit.WantCode(t, err, stay.ErrEnded)

	ctx, r = b.Request()
	testkit.WantCount(t, ctx, app.Clicks, 0)
	sent := b.Token
	r.Sent = true
	if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	if keys := app.Rows(t); len(keys) != 1 || !strings.HasPrefix(keys[0], "stay/session/") {
		t.Errorf("%q is stored, want a tombstone", keys)
	}
	_, err = app.Clicks.Update(b.With(sent).Ctx(), testkit.Increment)
	testkit.WantCode(t, err, stay.ErrEnded)
}

// A brokenRing cannot sign.
type brokenRing struct{ access.Keyring }

func (brokenRing) Sign(context.Context, *access.Token) (string, error) {
	return "", stay.ErrUnavailable
}

// A renewal that is stored has happened, also when its cookie cannot be made:
// that is reported, to a hook that may ask for the session.
//
// Proves E1, S5.
func TestRenewalWhoseCookieCannotBeSigned(t *testing.T) {
	for verb, do := range map[string]func(*stay.Session, context.Context) error{
		"renew": (*stay.Session).Renew,
		"login": func(s *stay.Session, ctx context.Context) error { return s.Login(ctx, "ann") },
	} {
		t.Run(verb, func(t *testing.T) {
			reported := make(chan string, 1)
			app := testkit.NewApp(t, memstore.New(), &stay.Options{OnError: func(c *stay.Call, e *stay.Error) {
				reported <- e.Phase + " of " + c.Session().ID()
			}})
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
			b := testkit.NewBrowser(app)
			testkit.MustUpdate(t, b.Ctx(), s)
			broken := *b
			broken.Ring = brokenRing{b.Ring}
			ctx := broken.Ctx()
			id := stay.SessionFrom(ctx).ID()
			done := make(chan error, 1)
			go func() { done <- do(stay.SessionFrom(ctx), ctx) }()
			select {
			case err := <-done:
				testkit.NoError(t, err)
			case <-testkit.Soon(t).Done():
				t.Fatal("it does not return")
			}
			if got := <-reported; got != "sign of "+id {
				t.Errorf("reported %q", got)
			}
			testkit.MustUpdate(t, ctx, s)
			_, err := s.Update(b.Ctx(), testkit.Increment)
			testkit.WantCode(t, err, stay.ErrEnded)
		})
	}
}
