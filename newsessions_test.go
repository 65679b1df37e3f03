package stay_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// onBoundedApp runs the test in a bubble, on each way to commit, with an App
// that lets so many sessions begin in a second.
func onBoundedApp(t *testing.T, perSecond int, test func(t *testing.T, app *stay.App, st store.Store)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := open()
				test(t, newApp(t, st, &stay.Options{
					MaxNewSessions: perSecond,
					OnError:        func(_ *stay.Call, e *stay.Error) { t.Errorf("OnError was told %v", e) },
				}), st)
			})
		})
	}
}

// However many begin at once, no more sessions than MaxNewSessions are stored
// in a second. Who is refused has left nothing, reads on and is let in a
// second later; sessions that are stored go on (S1).
func TestS1MaxNewSessions(t *testing.T) {
	onBoundedApp(t, 10, func(t *testing.T, app *stay.App, st store.Store) {
		clicks := stay.Register(app, stay.Module[counter]{Name: "clicks", Persist: stay.PerSession})
		browsers := make([]*browser, 50)
		refused := make([]bool, len(browsers))
		var in atomic.Int32
		attempt := func(only func(i int) bool) {
			var wg sync.WaitGroup
			for i, b := range browsers {
				if !only(i) {
					continue
				}
				wg.Go(func() {
					_, err := clicks.Update(b.ctx(), increment)
					if refused[i] = err != nil; refused[i] {
						wantCode(t, err, stay.ErrBusy)
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
			browsers[i] = newBrowser(app)
		}
		wasRefused := func(i int) bool { return refused[i] }

		attempt(func(int) bool { return true })
		if in.Load() != 10 {
			t.Errorf("%d sessions began at once, want 10", in.Load())
		}
		if n := len(rows(t, st)); n != 2*10+1 {
			t.Errorf("%d records are stored, want those of 10 sessions and the keys", n)
		}
		for i, b := range browsers {
			want := 1
			if refused[i] {
				want = 0
			} else {
				mustUpdate(t, b.ctx(), clicks)
				want++
			}
			wantCount(t, b.ctx(), clicks, want)
		}
		attempt(wasRefused)
		if in.Load() != 10 {
			t.Errorf("%d sessions began, want 10", in.Load())
		}
		pass(200 * time.Millisecond)
		attempt(wasRefused)
		if in.Load() != 12 {
			t.Errorf("%d sessions began in a second and a fifth, want 12", in.Load())
		}
		for range 10 { // an hour of nothing does not add up
			pass(6 * time.Minute)
		}
		attempt(wasRefused)
		if in.Load() != 22 {
			t.Errorf("%d sessions began, want 10 more", in.Load())
		}
		for !t.Failed() && in.Load() < 50 {
			pass(time.Second)
			attempt(wasRefused)
		}
		for _, b := range browsers {
			mustUpdate(t, b.ctx(), clicks)
		}
	})
}

// Ending or renewing a session that has no record stores one, and counts. What
// stores nothing for the session does not (S1, S5).
func TestS1MaxNewSessionsVerbs(t *testing.T) {
	onBoundedApp(t, 1, func(t *testing.T, app *stay.App, st store.Store) {
		clicks := stay.Register(app, stay.Module[counter]{Name: "clicks", Persist: stay.PerSession})
		total := stay.Register(app, stay.Module[counter]{Name: "total", Persist: stay.Global})
		draft := stay.Register(app, stay.Module[counter]{Name: "draft"})
		browsers := []*browser{newBrowser(app), newBrowser(app), newBrowser(app)}
		for _, b := range browsers {
			wantCount(t, b.ctx(), clicks, 0) // sets the cookie
			mustUpdate(t, b.ctx(), draft)
			mustUpdate(t, b.ctx(), total)
		}
		before := len(rows(t, st))
		mustUpdate(t, browsers[0].ctx(), clicks)

		wantCode(t, stay.SessionFrom(browsers[1].ctx()).Renew(context.Background()), stay.ErrBusy)
		wantCode(t, stay.SessionFrom(browsers[2].ctx()).Destroy(context.Background()), stay.ErrBusy)
		if n := len(rows(t, st)); n != before+2 {
			t.Errorf("%d records are stored, want %d", n, before+2)
		}
		for _, b := range browsers {
			wantCount(t, b.ctx(), draft, 1)
		}
		if err := stay.SessionFrom(browsers[0].ctx()).Renew(context.Background()); err != nil {
			t.Errorf("a stored session is not renewed: %v", err)
		}
		pass(time.Second)
		if err := stay.SessionFrom(browsers[1].ctx()).Renew(context.Background()); err != nil {
			t.Errorf("a second later: %v", err)
		}
		pass(time.Second)
		if err := stay.SessionFrom(browsers[2].ctx()).Destroy(context.Background()); err != nil {
			t.Errorf("two seconds later: %v", err)
		}
	})
}

// A session that is stored while another request of it runs is not refused
// (S1).
func TestS1MaxNewSessionsOfStoredSession(t *testing.T) {
	onBoundedApp(t, 1, func(t *testing.T, app *stay.App, _ store.Store) {
		first := stay.Register(app, stay.Module[counter]{Name: "first", Persist: stay.PerSession})
		second := stay.Register(app, stay.Module[counter]{Name: "second", Persist: stay.PerSession})
		b := newBrowser(app)
		wantCount(t, b.ctx(), first, 0)
		runs := 0
		_, err := second.Update(b.ctx(), func(c *counter) error {
			if runs++; runs == 1 {
				done := make(chan struct{})
				go func() {
					defer close(done)
					mustUpdateAsync(t, b.ctx(), first)
				}()
				<-done
			}
			return increment(c)
		})
		if err != nil {
			t.Errorf("after %d runs: %v", runs, err)
		}
		wantCount(t, b.ctx(), first, 1)
		wantCount(t, b.ctx(), second, 1)
	})
}

// A change that is refused by the store, or fails by itself, does not stand in
// the way of those after it for longer than a second (S1).
func TestS1MaxNewSessionsAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := behindCommitter(stores["immediate"]())
		app := newApp(t, st, &stay.Options{MaxNewSessions: 1, OnError: func(*stay.Call, *stay.Error) {}})
		clicks := stay.Register(app, stay.Module[counter]{Name: "clicks", Persist: stay.PerSession})
		b := newBrowser(app)
		wantCount(t, b.ctx(), clicks, 0)
		mine := errors.New("not today")
		for range 3 {
			if _, err := clicks.Update(b.ctx(), func(*counter) error { return mine }); !errors.Is(err, mine) {
				t.Errorf("the action's error became %v", err)
			}
		}
		st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Fail(nil)})
		_, err := clicks.Update(b.ctx(), increment)
		wantCode(t, err, stay.ErrUnavailable)
		pass(time.Second)
		mustUpdate(t, b.ctx(), clicks)
	})
}

// A request whose changes are saved later begins one session, however many
// states it changes (S1, A14).
func TestS1A14MaxNewSessionsCountsARequestOnce(t *testing.T) {
	onBoundedApp(t, 2, func(t *testing.T, app *stay.App, _ store.Store) {
		ctx := newBrowser(app).ctx()
		for i := range 5 {
			s := stay.Register(app, stay.Module[counter]{Name: fmt.Sprint("s", i), Persist: stay.PerSession, Debounce: time.Minute})
			mustUpdate(t, ctx, s)
		}
	})
}
