package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// onBoundedApp runs the test in a bubble, on each way to commit, with an App
// that lets so many sessions begin in a second.
func onBoundedApp(t *testing.T, perSecond int, test func(t *testing.T, app *stay.App, st store.Store)) {
	for name, open := range testkit.Stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := open()
				test(t, testkit.NewApp(t, st, &stay.Options{
					MaxNewSessions: perSecond,
					OnError:        func(_ *stay.Call, e *stay.Error) { t.Errorf("OnError was told %v", e) },
				}), st)
			})
		})
	}
}

// However many begin at once, no more sessions than MaxNewSessions are stored
// in a second. Who is refused has left nothing, reads on and is let in a second
// later; sessions that are stored go on.
//
// Proves S1.
func TestNoMoreSessionsBeginThanMaxNewSessions(t *testing.T) {
	onBoundedApp(t, 10, func(t *testing.T, app *stay.App, st store.Store) {
		clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
		browsers := make([]*testkit.Browser, 50)
		refused := make([]bool, len(browsers))
		var in atomic.Int32
		attempt := func(only func(i int) bool) {
			var wg sync.WaitGroup
			for i, b := range browsers {
				if !only(i) {
					continue
				}
				wg.Go(func() {
					_, err := clicks.Update(b.Ctx(), testkit.Increment)
					if refused[i] = err != nil; refused[i] {
						testkit.WantCode(t, err, stay.ErrBusy)
						var e *stay.Error
						if errors.As(err, &e) && (e.Message == "" || e.Module != "clicks" || e.KeyHash == "") {
							t.Errorf("the error is %+v", e)
						}
						return
					}
					in.Add(1)
				})
			}
			wg.Wait()
		}
		for i := range browsers {
			browsers[i] = testkit.NewBrowser(app)
		}
		wasRefused := func(i int) bool { return refused[i] }

		attempt(func(int) bool { return true })
		if in.Load() != 10 {
			t.Errorf("%d sessions began at once, want 10", in.Load())
		}
		if n := len(testkit.Rows(t, st)); n != 2*10+1 {
			t.Errorf("%d records are stored, want those of 10 sessions and the keys", n)
		}
		for i, b := range browsers {
			want := 1
			if refused[i] {
				want = 0
			} else {
				testkit.MustUpdate(t, b.Ctx(), clicks)
				want++
			}
			testkit.WantCount(t, b.Ctx(), clicks, want)
		}
		attempt(wasRefused)
		if in.Load() != 10 {
			t.Errorf("%d sessions began, want 10", in.Load())
		}
		testkit.Sleep(200 * time.Millisecond)
		attempt(wasRefused)
		if in.Load() != 12 {
			t.Errorf("%d sessions began in a second and a fifth, want 12", in.Load())
		}
		for range 10 { // an hour of nothing does not add up
			testkit.Sleep(6 * time.Minute)
		}
		attempt(wasRefused)
		if in.Load() != 22 {
			t.Errorf("%d sessions began, want 10 more", in.Load())
		}
		for !t.Failed() && in.Load() < 50 {
			testkit.Sleep(time.Second)
			attempt(wasRefused)
		}
		for _, b := range browsers {
			testkit.MustUpdate(t, b.Ctx(), clicks)
		}
	})
}

// Ending or renewing a session that has no record stores one, and counts. What
// stores nothing for the session does not.
//
// Proves S1, S5.
func TestEndingASessionWithoutRecordCountsAsNew(t *testing.T) {
	onBoundedApp(t, 1, func(t *testing.T, app *stay.App, st store.Store) {
		clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
		total := stay.Register(app, stay.Module[testkit.Counter]{Name: "total", Persist: stay.Global})
		draft := stay.Register(app, stay.Module[testkit.Counter]{Name: "draft"})
		browsers := []*testkit.Browser{testkit.NewBrowser(app), testkit.NewBrowser(app), testkit.NewBrowser(app)}
		for _, b := range browsers {
			testkit.WantCount(t, b.Ctx(), clicks, 0) // sets the cookie
			testkit.MustUpdate(t, b.Ctx(), draft)
			testkit.MustUpdate(t, b.Ctx(), total)
		}
		before := len(testkit.Rows(t, st))
		testkit.MustUpdate(t, browsers[0].Ctx(), clicks)

		testkit.WantCode(t, stay.SessionFrom(browsers[1].Ctx()).Renew(context.Background()), stay.ErrBusy)
		testkit.WantCode(t, stay.SessionFrom(browsers[2].Ctx()).Destroy(context.Background()), stay.ErrBusy)
		if n := len(testkit.Rows(t, st)); n != before+2 {
			t.Errorf("%d records are stored, want %d", n, before+2)
		}
		for _, b := range browsers {
			testkit.WantCount(t, b.Ctx(), draft, 1)
		}
		if err := stay.SessionFrom(browsers[0].Ctx()).Renew(context.Background()); err != nil {
			t.Errorf("a stored session is not renewed: %v", err)
		}
		testkit.Sleep(time.Second)
		if err := stay.SessionFrom(browsers[1].Ctx()).Renew(context.Background()); err != nil {
			t.Errorf("a second later: %v", err)
		}
		testkit.Sleep(time.Second)
		if err := stay.SessionFrom(browsers[2].Ctx()).Destroy(context.Background()); err != nil {
			t.Errorf("two seconds later: %v", err)
		}
	})
}

// A session that is stored while another request of it runs is not refused.
//
// Proves S1.
func TestStoredSessionIsNotRefusedAsNew(t *testing.T) {
	onBoundedApp(t, 1, func(t *testing.T, app *stay.App, _ store.Store) {
		first := stay.Register(app, stay.Module[testkit.Counter]{Name: "first", Persist: stay.PerSession})
		second := stay.Register(app, stay.Module[testkit.Counter]{Name: "second", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.WantCount(t, b.Ctx(), first, 0)
		runs := 0
		_, err := second.Update(b.Ctx(), func(c *testkit.Counter) error {
			if runs++; runs == 1 {
				done := make(chan struct{})
				go func() {
					defer close(done)
					testkit.TryUpdate(t, b.Ctx(), first)
				}()
				<-done
			}
			return testkit.Increment(c)
		})
		if err != nil {
			t.Errorf("after %d runs: %v", runs, err)
		}
		testkit.WantCount(t, b.Ctx(), first, 1)
		testkit.WantCount(t, b.Ctx(), second, 1)
	})
}

// A change that is refused by the store, or fails by itself, does not stand in
// the way of those after it for longer than a second.
//
// Proves S1.
func TestFailuresDoNotUseUpNewSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := testkit.BehindCommitter(testkit.Stores["immediate"]())
		app := testkit.NewApp(t, st, &stay.Options{MaxNewSessions: 1, OnError: func(*stay.Call, *stay.Error) {}})
		clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
		b := testkit.NewBrowser(app)
		testkit.WantCount(t, b.Ctx(), clicks, 0)
		mine := errors.New("not today")
		for range 3 {
			if _, err := clicks.Update(b.Ctx(), func(*testkit.Counter) error { return mine }); !errors.Is(err, mine) {
				t.Errorf("the action's error became %v", err)
			}
		}
		st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Fail(nil)})
		_, err := clicks.Update(b.Ctx(), testkit.Increment)
		testkit.WantCode(t, err, stay.ErrUnavailable)
		testkit.Sleep(time.Second)
		testkit.MustUpdate(t, b.Ctx(), clicks)
	})
}

// A request whose changes are saved later begins one session, however many
// states it changes.
//
// Proves A14, S1.
func TestRequestCountsAsOneNewSession(t *testing.T) {
	onBoundedApp(t, 2, func(t *testing.T, app *stay.App, _ store.Store) {
		ctx := testkit.NewBrowser(app).Ctx()
		for i := range 5 {
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: fmt.Sprint("s", i), Persist: stay.PerSession, Debounce: time.Minute})
			testkit.MustUpdate(t, ctx, s)
		}
	})
}
