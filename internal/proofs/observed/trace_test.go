package observed_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

type spanKey struct{}

// spans are those that a test's App has made, as they were when they ended.
type spans struct {
	mu    sync.Mutex
	begun []stay.Span
	ended []stay.Span
}

func (s *spans) Start(ctx context.Context, span *stay.Span) (context.Context, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = append(s.begun, *span)
	return context.WithValue(ctx, spanKey{}, len(s.begun)), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = append(s.ended, *span)
	}
}

// next returns the span that ended first, and forgets it.
func (s *spans) next(t *testing.T) stay.Span {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ended) == 0 || len(s.ended) > len(s.begun) {
		t.Fatalf("%d spans have begun, %d have ended", len(s.begun), len(s.ended))
	}
	span := s.ended[0]
	s.ended = s.ended[1:]
	return span
}

func inSpan(ctx context.Context) bool { return ctx.Value(spanKey{}) != nil }

// The action, its calls and its functions of After get the context with the
// span, and the session as before; the span ends after all of that.
func TestSpanIsInTheContext(t *testing.T) {
	testkit.OnEachStore(t, func(t *testing.T, st store.Store) {
		tr := &spans{}
		app := testkit.NewApp(t, st, &stay.Options{Tracer: tr})
		after := false
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession, Actions: stay.Actions[testkit.Counter]{
			"inc": func(c *stay.Call, s *testkit.Counter) error {
				if !inSpan(c.Context()) || c.Session() == nil || stay.SessionFrom(c.Context()) != c.Session() {
					t.Error("the action's context lacks the span or the session")
				}
				c.After(func(ctx context.Context) {
					after = true
					if !inSpan(ctx) || stay.SessionFrom(ctx) == nil || len(tr.ended) > 0 {
						t.Error("After is not within the span and the session")
					}
				})
				return testkit.Increment(s)
			},
		}})
		ctx := testkit.NewBrowser(app).Ctx()
		if _, err := s.Do(ctx, "inc", nil); err != nil || !after {
			t.Fatal(err, after)
		}
		span := tr.next(t)
		if span.Module != "c" || span.Action != "inc" || span.Runs != 1 || span.Batch != 1 || span.Err != nil {
			t.Errorf("%+v", span)
		}
		testkit.MustUpdate(t, ctx, s)
		if span := tr.next(t); span.Module != "c" || span.Action != "" {
			t.Errorf("%+v", span)
		}
		if _, err := s.Get(ctx); err != nil || len(tr.begun) != 2 {
			t.Errorf("a read makes spans: %d, %v", len(tr.begun), err)
		}
	})
}

// Functions of After of a change whose caller has left are still in its trace.
func TestSpanAfterTheCallerHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, st, gate := &spans{}, testkit.BehindCommitter(memstore.New()), storefault.NewGate()
		app := testkit.NewApp(t, st, &stay.Options{Tracer: tr})
		after := make(chan bool, 1)
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Actions: stay.Actions[testkit.Counter]{
			"inc": func(c *stay.Call, s *testkit.Counter) error {
				c.After(func(ctx context.Context) { after <- inSpan(ctx) })
				return testkit.Increment(s)
			},
		}})
		st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Do(ctx, "inc", nil)
		testkit.WantCode(t, err, stay.ErrUnknown)
		if span := tr.next(t); !errors.Is(span.Err, stay.ErrUnknown) || span.Batch != 0 || span.Runs != 1 {
			t.Errorf("%+v", span)
		}
		gate.Open()
		if !<-after {
			t.Error("After has lost the span")
		}
	})
}

// A span has the time that the change waited for its turn, its runs, the number
// of changes stored with it, and its outcome.
func TestSpanTellsWhatBecameOfTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, st, gate := &spans{}, testkit.BehindCommitter(memstore.New()), storefault.NewGate()
		s := stay.Register(testkit.NewApp(t, st, &stay.Options{Tracer: tr, OnError: testkit.Quiet}), stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
		rule := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
		var all sync.WaitGroup
		all.Go(func() { testkit.MustUpdate(t, t.Context(), s) })
		synctest.Wait() // the first is at the store
		for range 3 {
			all.Go(func() { testkit.MustUpdate(t, t.Context(), s) })
		}
		testkit.Sleep(time.Second)
		rule.Remove()
		gate.Open()
		all.Wait()
		first := 0
		for range 4 { // which end in any order
			span := tr.next(t)
			if span.Batch == 1 && span.Wait == 0 {
				first++
			} else if span.Batch != 3 || span.Wait != time.Second || span.Runs != 1 {
				t.Errorf("one that waited: %+v", span)
			}
		}
		if first != 1 {
			t.Errorf("%d were the first", first)
		}
		_, err := s.Update(t.Context(), func(*testkit.Counter) error { return stay.ErrDenied })
		if span := tr.next(t); !errors.Is(span.Err, err) || span.Batch != 0 {
			t.Errorf("a refusal: %+v", span)
		}
		if _, err := s.Update(t.Context(), func(*testkit.Counter) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if span := tr.next(t); span.Err != nil || span.Batch != 0 || span.Runs != 1 {
			t.Errorf("no change: %+v", span)
		}
	})
}

// A change that panics or ends its goroutine ends its span, as a failure, and
// the panic goes on as it was.
func TestSpanOfAPanic(t *testing.T) {
	tr := &spans{}
	s := stay.Register(testkit.NewApp(t, memstore.New(), &stay.Options{Tracer: tr, OnError: testkit.Quiet}), stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	for want, end := range map[any]func(){"mine": func() { panic("mine") }, nil: runtime.Goexit} {
		got := make(chan any)
		go func() {
			defer func() { got <- recover() }()
			_, _ = s.Update(t.Context(), func(*testkit.Counter) error { end(); return nil })
		}()
		if p := <-got; p != want {
			t.Errorf("panic %v, want %v", p, want)
		}
		span := tr.next(t)
		testkit.WantCode(t, span.Err, stay.ErrInternal)
	}
	if len(tr.begun) != 2 {
		t.Errorf("%d spans", len(tr.begun))
	}
}

// A key change is one span, with its functions of After.
func TestSpanOfALogin(t *testing.T) {
	tr := &spans{}
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Tracer: tr})
	type account struct {
		User string `json:"user" stay:"key"`
	}
	after := 0
	s := stay.Register(app, stay.Module[account]{
		Name: "account", Persist: stay.WithKey(func(a *account) string { return a.User }),
		Actions: stay.Actions[account]{"login": func(c *stay.Call, a *account) error {
			a.User = strings.ToLower("ANN")
			c.After(func(ctx context.Context) {
				if after++; !inSpan(ctx) {
					t.Error("After has lost the span")
				}
			})
			return nil
		}},
	})
	if _, err := s.Do(testkit.NewBrowser(app).Ctx(), "login", nil); err != nil || after != 1 {
		t.Fatal(err, after)
	}
	if span := tr.next(t); span.Action != "login" || span.Runs != 1 || len(tr.begun) != 1 {
		t.Errorf("%+v", span)
	}
}

// The wait is that for the first turn, however often the change runs after it.
func TestSpanOfReruns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, handles := &spans{}, memstore.Shared(2)
		module := stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global}
		s := stay.Register(testkit.NewApp(t, handles[0], &stay.Options{Tracer: tr}), module)
		other := stay.Register(testkit.NewApp(t, handles[1], nil), module)
		quicker := 2
		if _, err := s.Update(t.Context(), func(c *testkit.Counter) error {
			testkit.Sleep(time.Second)
			if quicker--; quicker >= 0 {
				testkit.MustUpdate(t, context.Background(), other)
			}
			return testkit.Increment(c)
		}); err != nil {
			t.Fatal(err)
		}
		if span := tr.next(t); span.Runs != 3 || span.Wait != 0 {
			t.Errorf("%+v", span)
		}
	})
}
