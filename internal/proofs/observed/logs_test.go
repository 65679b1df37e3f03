package observed_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// logged is a log that a test reads.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Whatever fails, the log names no user, key, session, cookie or value of a
// state, and neither do measurements and spans.
//
// Proves B3.
func TestNothingSecretInTheLog(t *testing.T) {
	const user, table, value = "ann@example.com", "table-4711", "hunter2"
	log, m, tr, clk := &logged{}, &testkit.Measured{}, &spans{}, testkit.NewClock()
	st := testkit.BehindCommitter(memstore.New())
	app := testkit.NewApp(t, st, &stay.Options{
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: m, Tracer: tr,
		Clock: clk.Now, MaxState: 256, MaxGuests: 2, Development: true, CommitTimeout: 10 * time.Millisecond,
	})
	type note struct {
		Table string `json:"table" stay:"key"`
		Text  string `json:"text"`
	}
	notes := stay.Register(app, stay.Module[note]{Name: "notes", Persist: stay.WithKey(func(n *note) string { return n.Table })})
	cart := stay.Register(app, stay.Module[testkit.Counter]{Name: "cart", Persist: stay.PerUser})
	late := stay.Register(app, stay.Module[testkit.Counter]{
		Name: "late", Persist: stay.PerSession, Debounce: time.Hour,
		OnDestroyed: func(*stay.Call, *testkit.Counter) { panic("no") },
	})

	b := testkit.NewBrowser(app)
	tokens := map[string]bool{}
	step := func(fn func(ctx context.Context)) {
		defer func() { _ = recover() }()
		defer func() { tokens[b.Token] = true }()
		fn(b.Ctx())
	}
	scenario := func() {
		step(func(ctx context.Context) { // a login and a logout, with a change that is dropped
			_, _ = notes.Update(ctx, func(n *note) error { n.Table, n.Text = table, value; return nil })
		})
		step(func(ctx context.Context) {
			_, _ = notes.Update(ctx, func(n *note) error { n.Table, n.Text = "", value+"!"; return nil })
		})
		step(func(ctx context.Context) { _ = stay.SessionFrom(ctx).Login(ctx, user) })
		step(func(ctx context.Context) {
			_, _ = cart.Update(ctx, func(c *testkit.Counter) error { c.Label = value + strings.Repeat("x", 150); return nil })
		})
		step(func(ctx context.Context) { _, _ = late.Update(ctx, testkit.Increment) })
		step(func(ctx context.Context) {
			_, _ = cart.Update(ctx, func(c *testkit.Counter) error { c.Label = value; panic("no") })
		})
		access.AppOf(app).Evict(false) // the next use has to load it
		step(func(context.Context) { _, _ = cart.At(user).Get(t.Context()) })
		step(func(context.Context) { _, _ = cart.At(user).Update(t.Context(), testkit.Increment) })
	}
	scenario()
	for _, op := range []storefault.Op{storefault.Load, storefault.Commit, storefault.Expired} {
		for _, fault := range []storefault.Fault{storefault.Fail(nil), storefault.Drop(nil)} {
			rule := st.Add(storefault.Rule{Op: op, Fault: fault})
			b = testkit.NewBrowser(app)
			scenario()
			testkit.Sweep(app)
			rule.Remove()
		}
	}
	for range 4 { // more guests than fit
		_, _ = notes.Update(testkit.NewBrowser(app).Ctx(), func(n *note) error { n.Text = value; return nil })
	}
	if err := app.Close(t.Context()); err != nil && !errors.Is(err, stay.ErrUnavailable) {
		t.Error(err)
	}

	text := log.String()
	if n := strings.Count(text, "level=ERROR"); n < 5 || !strings.Contains(text, "key_hash=") {
		t.Errorf("the log has %d failures; it should have more to tell:\n%s", n, text)
	}
	if strings.Contains(text, `=""`) {
		t.Errorf("the log has attributes without a value:\n%s", text)
	}
	for _, one := range m.All {
		text += "\n" + one.Module + " " + string(one.Code) + " " + one.Phase
	}
	for _, span := range tr.ended {
		text += "\n" + span.Module + " " + span.Action
	}
	delete(tokens, "")
	if len(tokens) < 3 {
		t.Errorf("%d tokens were issued", len(tokens))
	}
	for token := range tokens {
		for i := range len(token) - 16 {
			if strings.Contains(text, token[i:i+16]) {
				t.Fatalf("part of the cookie %q is in\n%s", token, text)
			}
		}
	}
	for _, secret := range []string{user, table, value} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in\n%s", secret, text)
		}
	}
}

// A logout or switch that also changes other fields, which are dropped, is
// logged for developers; one that changes only the key is not.
func TestDroppedFieldsAreLogged(t *testing.T) {
	type note struct {
		Table string `json:"table" stay:"key"`
		Text  string `json:"text"`
	}
	log := &logged{}
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Development: true, Logger: slog.New(slog.NewTextHandler(log, nil))})
	notes := stay.Register(app, stay.Module[note]{Name: "notes", Persist: stay.WithKey(func(n *note) string { return n.Table })})
	b := testkit.NewBrowser(app)
	for _, to := range []struct {
		note
		lines int
	}{{note{"a", "login"}, 0}, {note{"", "login"}, 0}, {note{"a", "login"}, 0}, {note{"b", "switch"}, 1}, {note{"", "logout"}, 2}} {
		if _, err := notes.Update(b.Ctx(), func(n *note) error { *n = to.note; return nil }); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "also changed other fields"); n != to.lines {
			t.Errorf("after %+v there are %d lines, want %d", to.note, n, to.lines)
		}
	}
}
