package staytest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
)

type note struct {
	Text string `json:"text"`
}

func write(text string) func(*note) error {
	return func(n *note) error { n.Text = text; return nil }
}

// A stored state is decoded again from its JSON at each use; guests and ephemeral
// states, which nothing would bring back, stay.
//
// Proves M5.
func TestAppEvictsAfterEachUse(t *testing.T) {
	app := staytest.App(t, nil)
	restored := 0
	stored := stay.Register(app, stay.Module[note]{Name: "stored", Persist: stay.PerSession, OnCreated: func(c *stay.Call, _ *note) error {
		if c.Restored() {
			restored++
		}
		return nil
	}})
	ephemeral := stay.Register(app, stay.Module[note]{Name: "ephemeral"})
	ctx := staytest.Session(t, app)
	for _, state := range []*stay.State[note]{stored, ephemeral} {
		if _, err := state.Update(ctx, write("x")); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			staytest.Want(t, ctx, state, note{"x"})
		}
	}
	if restored != 3 {
		t.Errorf("the state was restored %d times for 3 reads", restored)
	}
}

// The App is closed when the test ends, what it logs is the test's, and
// options are copied.
func TestAppEndsWithTheTest(t *testing.T) {
	var state *stay.State[note]
	opts := &stay.Options{}
	text := failure(func(t testing.TB) {
		state = stay.Register(staytest.App(t, opts), stay.Module[note]{
			Name: "global", Persist: stay.Global,
			OnCreated: func(*stay.Call, *note) error { return errors.New("told in the log") },
		})
		if _, err := state.Get(t.Context()); err == nil {
			t.Errorf("no error")
		}
		t.Errorf("to see the output")
	})
	if !strings.Contains(text, "told in the log") || strings.Contains(text, "no error") || strings.Contains(text, "closing") {
		t.Errorf("the test said %q", text)
	}
	if _, err := state.Get(t.Context()); stay.CodeOf(err) != stay.ErrClosed {
		t.Errorf("after the test: %v, want ErrClosed", err)
	}
	if opts.Logger != nil {
		t.Error("the options were changed")
	}
}

// What is still under way when the test ends is a failure after 10 seconds,
// and no reason to wait for ever.
func TestAppReportsWhatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, over := make(chan struct{}), make(chan struct{})
		text := failure(func(t testing.TB) {
			state := stay.Register(staytest.App(t, nil), stay.Module[note]{Name: "global", Persist: stay.Global})
			go func() {
				defer close(over)
				_, _ = state.Update(context.Background(), func(*note) error { <-release; return nil })
			}()
			synctest.Wait()
		})
		if !strings.Contains(text, "closing the App") {
			t.Errorf("the test said %q", text)
		}
		close(release)
		<-over
	})
}

// A session's context goes on when the session is renewed, and as a new one
// when it was destroyed; others are others. It ends with the test.
func TestSessionGoesOn(t *testing.T) {
	var ended context.Context
	text := failure(func(t testing.TB) {
		app := staytest.App(t, nil)
		state := stay.Register(app, stay.Module[note]{Name: "note", Persist: stay.PerSession})
		ctx, other := staytest.Session(t, app), staytest.Session(t, app)
		ended = ctx
		id := stay.SessionFrom(ctx).ID()
		for _, text := range []string{"a", "b"} {
			if _, err := state.Update(ctx, write(text)); err != nil {
				t.Errorf("%v", err)
			}
			old := stay.WithSession(ctx, stay.SessionFrom(ctx))
			if err := stay.SessionFrom(ctx).Renew(ctx); err != nil {
				t.Errorf("%v", err)
			}
			staytest.Want(t, ctx, state, note{text})
			if _, err := state.Update(old, write("through the old cookie")); stay.CodeOf(err) != stay.ErrEnded {
				t.Errorf("a request from before: %v", err)
			}
			if now := stay.SessionFrom(ctx).ID(); now != id {
				t.Errorf("the session was %s and is %s", id, now)
			}
		}
		staytest.Want(t, other, state, note{})
		if err := stay.SessionFrom(ctx).Destroy(ctx); err != nil {
			t.Errorf("%v", err)
		}
		staytest.Want(t, ctx, state, note{})
		if _, err := state.Update(ctx, write("c")); err != nil {
			t.Errorf("after Destroy: %v", err)
		}
		staytest.Want(t, ctx, state, note{"c"})
		if now := stay.SessionFrom(ctx).ID(); now == id {
			t.Errorf("the session is the same after Destroy")
		}
	})
	if text != "" {
		t.Error(text)
	}
	if ended.Err() == nil {
		t.Error("the context goes on after the test")
	}
}

// However many begin at once, a browser has one session. A login by an action is
// seen by the next call, whether the guest has used the session before or not,
// and so is a logout.
//
// Proves A7, A8, B11.
func TestSessionGoesOnWhenTheKeyChanges(t *testing.T) {
	type Note struct {
		User string `json:"user" stay:"key"`
		Text string `json:"text"`
	}
	for _, guest := range []string{"", "a guest's"} {
		app := staytest.App(t, nil)
		note := stay.Register(app, stay.Module[Note]{
			Name: "note", Persist: stay.WithKey(func(n *Note) string { return n.User }),
		})
		ctx := staytest.Session(t, app)
		set := func(fn func(*Note)) {
			t.Helper()
			if _, err := note.Update(ctx, func(n *Note) error { fn(n); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		set(func(n *Note) { n.Text = guest })
		id := stay.SessionFrom(ctx).ID()
		set(func(n *Note) { n.User = "ann" })
		staytest.Want(t, ctx, note, Note{User: "ann", Text: guest})
		set(func(n *Note) { n.Text = "ann's" })
		set(func(n *Note) { n.User = "" })
		staytest.Want(t, ctx, note, Note{})
		set(func(n *Note) { n.User = "ann" })
		staytest.Want(t, ctx, note, Note{User: "ann", Text: "ann's"})
		if guest != "" && stay.SessionFrom(ctx).ID() != id {
			t.Error("it is another session now")
		}
	}
}

// Proves B11.
func TestParallelFirstUseIsOneSession(t *testing.T) {
	app := staytest.App(t, nil)
	state := stay.Register(app, stay.Module[Counter]{Name: "counter", Persist: stay.PerSession})
	ctx := staytest.Session(t, app)
	const n = 20
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := state.Update(ctx, func(c *Counter) error { c.Count++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	staytest.Want(t, ctx, state, Counter{Count: n})
}

// The server of a browser ends with the test, also when a request does not.
func TestBrowserEndsWithTheTest(t *testing.T) {
	var client *http.Client
	var address string
	inside, over := make(chan struct{}), make(chan error, 1)
	text := failure(func(t testing.TB) {
		client, address = staytest.Browser(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(inside)
			<-r.Context().Done()
		}))
		go func() {
			resp, err := client.Get(address)
			if err == nil {
				_ = resp.Body.Close()
			}
			over <- err
		}()
		<-inside
	})
	if text != "" {
		t.Error(text)
	}
	if err := <-over; err == nil {
		t.Error("the request was answered")
	}
	if resp, err := client.Get(address); err == nil {
		_ = resp.Body.Close()
		t.Error("the server goes on")
	}
}

// A Clock moves only when the test moves it.
func TestClock(t *testing.T) {
	c := staytest.NewClock()
	began := c.Now()
	if want := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC); !began.Equal(want) {
		t.Errorf("it begins at %v", began)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { c.Advance(time.Second); _ = c.Now() })
	}
	wg.Wait()
	c.Advance(-time.Second)
	if d := c.Now().Sub(began); d != 9*time.Second {
		t.Errorf("it moved by %v", d)
	}
}
