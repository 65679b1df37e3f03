package observed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

func codesOf(all []stay.Measurement) (codes []stay.Code) {
	for _, one := range all {
		codes = append(codes, one.Code)
	}
	return codes
}

// A change whose caller's context was cancelled is measured as canceled,
// wherever it was, and its caller gets the usual code; an expired deadline is
// measured with the usual code.
func TestCallersWhoLeave(t *testing.T) {
	for what, c := range map[string]struct {
		code     stay.Code // the error that the caller gets
		patience time.Duration
		taken    bool // another has the turn
		during   storefault.Op
	}{
		"before it began":      {code: stay.ErrBusy},
		"waiting for its turn": {code: stay.ErrBusy, patience: time.Second, taken: true},
		"being loaded":         {code: stay.ErrUnavailable, patience: time.Second, during: storefault.Load},
		"being stored":         {code: stay.ErrUnknown, patience: time.Second, during: storefault.Commit},
	} {
		for _, measured := range []stay.Code{"canceled", c.code} {
			t.Run(fmt.Sprintf("%s/%s", what, measured), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testCallerLeaves(t, c.code, measured, c.patience, c.taken, c.during) })
			})
		}
	}
}

func testCallerLeaves(t *testing.T, code, want stay.Code, patience time.Duration, taken bool, during storefault.Op) {
	m, tr, st, gate := &testkit.Measured{}, &spans{}, testkit.BehindCommitter(memstore.New()), storefault.NewGate()
	app := testkit.NewApp(t, st, &stay.Options{Metrics: m, Tracer: tr, MaxWait: time.Minute})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	if during != storefault.Any {
		st.Add(storefault.Rule{Op: during, Times: 1, Fault: storefault.Stop(gate)})
	}
	leave := make(chan struct{})
	if taken {
		go func() { _, _ = s.Update(t.Context(), func(*testkit.Counter) error { <-leave; return nil }) }()
		synctest.Wait()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	if want == "canceled" {
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(patience, cancel)
		if patience == 0 {
			cancel()
		}
	}
	defer cancel()
	_, err := s.Update(ctx, testkit.Increment)
	testkit.WantCode(t, err, code)
	testkit.WantEqual(t, "measured", codesOf(m.Of("stay.update.duration")), []stay.Code{want})
	if span := tr.next(t); span.Code != want || !errors.Is(span.Err, code) {
		t.Errorf("the span has the code %q and the error %v, want %q", span.Code, span.Err, want)
	}
	close(leave)
	gate.Open()
}

// Only the caller's own leaving counts, and only where it is why the change
// failed.
func TestCanceledByOthers(t *testing.T) {
	m := &testkit.Measured{}
	s := stay.Register(testkit.NewApp(t, memstore.New(), &stay.Options{Metrics: m}), stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	for _, c := range []struct {
		err    error
		leaves bool
		want   stay.Code
	}{
		{context.Canceled, false, stay.ErrInternal}, // of something that the function had begun itself
		{fmt.Errorf("asking the bank: %w", context.Canceled), true, "canceled"},
		{stay.ErrDenied, true, stay.ErrDenied},
		{nil, true, ""},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		_, _ = s.Update(ctx, func(n *testkit.Counter) error {
			if c.leaves {
				cancel()
			}
			n.Count++
			return c.err
		})
		cancel()
		testkit.WantEqual(t, fmt.Sprint(c.err), codesOf(m.Of("stay.update.duration")), []stay.Code{c.want})
	}
}

// A panickyTracer panics when a span begins or when it ends.
type panickyTracer struct{ begins bool }

func (p panickyTracer) Start(ctx context.Context, _ *stay.Span) (context.Context, func()) {
	if p.begins {
		panic("tracer")
	}
	return ctx, func() { panic("tracer") }
}

// A Tracer that panics is reported, and no caller sees it: a stored change is
// acknowledged, and a panic of the change goes on as it was.
func TestTracersThatPanic(t *testing.T) {
	for _, begins := range []bool{true, false} {
		log, m := &logged{}, &testkit.Measured{}
		app := testkit.NewApp(t, memstore.New(), &stay.Options{
			Metrics: m, Tracer: panickyTracer{begins}, OnError: testkit.Quiet, Logger: slog.New(slog.NewTextHandler(log, nil)),
		})
		after := 0
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Actions: stay.Actions[testkit.Counter]{
			"inc": func(c *stay.Call, s *testkit.Counter) error {
				c.After(func(context.Context) { after++ })
				return testkit.Increment(s)
			},
		}})
		if _, err := s.Do(t.Context(), "inc", nil); err != nil || after != 1 {
			t.Errorf("error %v, After was called %d times", err, after)
		}
		testkit.WantCount(t, t.Context(), s, 1)
		if !strings.Contains(log.String(), "Tracer panicked") {
			t.Error("nothing was logged")
		}
		func() {
			defer func() { testkit.WantEqual(t, "panic", recover(), "mine") }()
			_, _ = s.Update(t.Context(), func(*testkit.Counter) error { panic("mine") })
		}()
		testkit.WantEqual(t, "measured", codesOf(m.Of("stay.update.duration")), []stay.Code{"", stay.ErrInternal})
	}
}

// noSpans is a Tracer that makes none.
type noSpans struct{}

func (noSpans) Start(ctx context.Context, _ *stay.Span) (context.Context, func()) { return ctx, nil }

// A Tracer may leave changes without a span.
func TestTracerWithoutSpan(t *testing.T) {
	log := &logged{}
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Tracer: noSpans{}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	testkit.MustUpdate(t, t.Context(), stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global}))
	testkit.WantEqual(t, "log", log.String(), "")
}

// The changes of a session are one span and one measurement each, by what was
// done and how it ended.
func TestChangesOfSessionsAreObserved(t *testing.T) {
	m, tr := &testkit.Measured{}, &spans{}
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Metrics: m, Tracer: tr})
	ctx := testkit.NewBrowser(app).Ctx()
	s := stay.SessionFrom(ctx)
	for _, c := range []struct {
		action string
		code   stay.Code
		do     func() error
	}{
		{"login", "", func() error { return s.Login(ctx, "ann") }},
		{"login", stay.ErrInvalid, func() error { return s.Login(ctx, "") }},
		{"renew", "", func() error { return s.Renew(ctx) }},
		{"logout", "", func() error { return s.Logout(ctx) }},
		{"destroy", "", func() error { return s.Destroy(ctx) }},
		{"renew", stay.ErrEnded, func() error { return s.Renew(ctx) }},
		{"revoke", "", func() error { return app.Revoke(ctx, "ann") }},
	} {
		testkit.WantEqual(t, c.action, stay.CodeOf(c.do()), c.code)
		if span := tr.next(t); span.Module != "" || span.Action != c.action || span.Code != c.code || len(tr.ended) > 0 {
			t.Errorf("%s: %+v", c.action, span)
		}
		all := m.Of("stay.session.change.duration")
		if len(all) != 1 || all[0].Action != c.action || all[0].Code != c.code || all[0].Module != "" {
			t.Errorf("%s: measured %+v", c.action, all)
		}
	}
}
