package system_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

var errLost = errors.New("connection lost")

// When the store does not say what became of a write, the change is made
// exactly once, or the caller is told that nobody knows. It is never made
// twice, and what others do to the key meanwhile is not lost.
//
// Proves A21, E5.
func TestUnknownOutcomesNeverDouble(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func() storefault.Fault
		times int
		known bool // it comes out in time
	}{
		{"acknowledgement lost", func() storefault.Fault { return storefault.LoseAck(errLost) }, 1, true},
		{"lost again and again", func() storefault.Fault { return storefault.LoseAck(errLost) }, 5, true},
		{"not applied", func() storefault.Fault { return storefault.Drop(errLost) }, 1, true},
		{"not applied, again and again", func() storefault.Fault { return storefault.Drop(errLost) }, 5, true},
		{"applied later", func() storefault.Fault {
			g := storefault.NewGate()
			g.Open()
			return storefault.Late(g, errLost)
		}, 1, true},
		{"never said", func() storefault.Fault { return storefault.LoseAck(errLost) }, 0, false},
		{"never applied nor said", func() storefault.Fault { return storefault.Drop(errLost) }, 0, false},
		{"hangs after the work", storefault.HangAfter, 0, false},
		{"hangs before the work", storefault.Hang, 0, false},
	} {
		for _, session := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/session=%v", tc.name, session), func(t *testing.T) {
				mem := memstore.New()
				fault := batched(mem)
				o := &stay.Options{}
				if !tc.known {
					o.CommitTimeout = 50 * time.Millisecond
				}
				x := serve(t, fault, o)
				b := x.browser()
				click, read, key := "/total/click", "/total", "global/total/"
				if session {
					b.want("GET", "/", 200, "0")
					click, read, key = "/click", "/", counterRows
				}
				want := 0          // the least that it must be; sure is what was said to be
				for n := range 4 { // the first write ever, then others
					rule := fault.Add(storefault.Rule{Op: storefault.Commit, Match: touches(key), Times: tc.times, Fault: tc.fault()})
					a := b.do("POST", click)
					rule.Remove()
					if tc.known {
						want++
						if a.status != 200 || a.body != fmt.Sprint(want) {
							t.Errorf("change %d: %v, want 200 %d", n, a, want)
						}
						b.want("GET", read, 200, fmt.Sprint(want))
						continue
					}
					if a.status != 503 {
						t.Errorf("change %d: %v, want 503", n, a)
					}
					// Whatever it is, it was made once or not at all.
					before, err := number(b.do("GET", read).body)
					if err != nil || before < want || before > want+1 {
						t.Errorf("change %d: it was %d and is %d, %v", n, want, before, err)
					}
					b.want("POST", click, 200, fmt.Sprint(before+1))
					want = before + 1
				}
			})
		}
	}
}

// Many changes of one key at once while answers are lost at random places:
// those that were acknowledged are made once, those that are unknown at most
// once.
//
// Proves E5.
func TestUnknownOutcomesUnderLoad(t *testing.T) {
	mem := memstore.New()
	fault := batched(mem)
	x := serve(t, fault, &stay.Options{CommitTimeout: 30 * time.Millisecond})
	for i := range 40 {
		f := []storefault.Fault{storefault.LoseAck(errLost), storefault.Drop(errLost), storefault.Fail(errLost), storefault.HangAfter()}[i%4]
		fault.Add(storefault.Rule{Op: storefault.Commit, Skip: 3 * i, Times: 1 + i%3, Fault: f})
	}
	var mu sync.Mutex
	acked, unknown := 0, 0
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 60 {
				_, err := x.total.Update(t.Context(), add1)
				mu.Lock()
				switch stay.CodeOf(err) {
				case "":
					acked++
				case stay.ErrUnknown:
					unknown++
				case stay.ErrUnavailable:
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	n := count(t, x.total)
	t.Logf("%d acknowledged, %d unknown, the count is %d", acked, unknown, n)
	if n < acked || n > acked+unknown {
		t.Errorf("the count is %d after %d acknowledged and %d unknown changes", n, acked, unknown)
	}
	if unknown == 0 || acked == 0 {
		t.Error("the faults had no effect")
	}
}

// A caller that leaves after its change has joined a batch is told that nobody
// knows yet. The change is made all the same, once.
//
// Proves E1.
func TestCallerThatLeavesIsToldUnknown(t *testing.T) {
	fault := batched(memstore.New())
	x := serve(t, fault, nil)
	gate := storefault.NewGate()
	rule := fault.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := x.total.Update(ctx, add1)
		done <- err
	}()
	arrived(t, gate)
	rule.Remove()
	leave()
	err := await(t, "the caller", done)
	wantCode(t, "a caller that left", err, stay.ErrUnknown)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", err)
	}
	gate.Open()
	if c, err := x.total.Update(t.Context(), add1); err != nil || c.Count != 2 {
		t.Errorf("the next change: %+v, %v", c, err)
	}
}

// One that leaves while it waits for its turn has surely changed nothing.
//
// Proves E1.
func TestCallerThatLeavesBeforeItsTurnChangesNothing(t *testing.T) {
	x := serve(t, memstore.New(), nil)
	running, goOn := make(chan struct{}), make(chan struct{})
	holds := make(chan error, 1)
	go func() {
		_, err := x.total.Update(t.Context(), func(c *Counter) error { close(running); <-goOn; return add1(c) })
		holds <- err
	}()
	await(t, "the run", running)
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := x.total.Update(ctx, add1)
		done <- err
	}()
	leave()
	err := await(t, "the caller", done)
	wantCode(t, "a caller that left", err, stay.ErrBusy)
	close(goOn)
	if err := await(t, "the holder", holds); err != nil {
		t.Error(err)
	}
	if n := count(t, x.total); n != 1 {
		t.Errorf("the count is %d", n)
	}
}

// A diary notes in which order things happened.
type diary struct {
	mu    sync.Mutex
	lines []string
	wrote chan struct{}
}

func newDiary() *diary { return &diary{wrote: make(chan struct{}, 64)} }

func (d *diary) write(line string) {
	d.mu.Lock()
	d.lines = append(d.lines, line)
	d.mu.Unlock()
	d.wrote <- struct{}{}
}

func (d *diary) want(t *testing.T, lines ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, lines) {
		t.Errorf("what happened: %q, want %q", d.lines, lines)
	}
	d.lines = nil
}

// What an action puts off with Call.After is done once, in order, when the
// change is durable and the state is free, before Do returns; not when the run
// was dropped; by the App when the caller has left.
//
// Proves E4.
func TestAfter(t *testing.T) {
	mem := memstore.New()
	fault := batched(mem)
	d := newDiary()
	var total *stay.State[Counter]
	told := make(chan *stay.Error, 8)
	app := newApp(t, fault, &stay.Options{CommitTimeout: 50 * time.Millisecond, OnError: func(_ *stay.Call, e *stay.Error) { told <- e }})
	note := func(c *stay.Call, line string) {
		c.After(func(ctx context.Context) {
			// The change is visible, the state is free and can be changed.
			s, err := total.Update(ctx, func(s *Counter) error { s.Text = line; return nil })
			if err != nil {
				d.write(line + ": " + err.Error())
				return
			}
			d.write(fmt.Sprint(line, s.Count))
		})
	}
	total = stay.Register(app, stay.Module[Counter]{Name: "total", Persist: stay.Global, Actions: stay.Actions[Counter]{
		"add":     func(c *stay.Call, s *Counter) error { s.Count++; note(c, "a"); note(c, "b"); return nil },
		"nothing": func(c *stay.Call, _ *Counter) error { note(c, "n"); return nil },
		"refuse":  func(c *stay.Call, s *Counter) error { s.Count++; note(c, "r"); return stay.Invalid("", "no") },
		"panic":   func(c *stay.Call, s *Counter) error { s.Count++; note(c, "p"); panic("no") },
		"bad": func(c *stay.Call, s *Counter) error {
			s.Count++
			c.After(func(context.Context) { panic("in After") })
			note(c, "after the panic ")
			return nil
		},
	}})
	do := func(ctx context.Context, action string) error {
		_, err := total.Do(ctx, action, nil)
		return err
	}

	if err := do(t.Context(), "add"); err != nil {
		t.Fatal(err)
	}
	d.want(t, "a1", "b1")
	if err := do(t.Context(), "nothing"); err != nil {
		t.Fatal(err)
	}
	d.want(t, "n1")
	wantCode(t, "refused", do(t.Context(), "refuse"), stay.ErrInvalid)
	d.want(t)
	func() {
		defer func() { _ = recover() }()
		_ = do(t.Context(), "panic")
		t.Error("the panic did not come through")
	}()
	d.want(t)
	wantTold(t, told, stay.ErrInternal, "run")
	if err := do(t.Context(), "bad"); err != nil {
		t.Errorf("a panic in After is not the caller's: %v", err)
	}
	d.want(t, "after the panic 2")
	wantTold(t, told, stay.ErrInternal, "after")

	// Not when the commit fails.
	rule := fault.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Fail(nil)})
	wantCode(t, "rejected", do(t.Context(), "add"), stay.ErrUnavailable)
	d.want(t)
	rule.Remove()
	wantTold(t, told, stay.ErrUnavailable, "save")
	// Not when nobody knows.
	rule = fault.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Drop(nil)})
	wantCode(t, "unknown", do(t.Context(), "add"), stay.ErrUnknown)
	d.want(t)
	rule.Remove()
	wantTold(t, told, stay.ErrUnknown, "save")
	// But once it has come out that it was applied.
	fault.Add(storefault.Rule{Op: storefault.Commit, Times: 2, Fault: storefault.LoseAck(nil)})
	if err := do(t.Context(), "add"); err != nil {
		t.Error(err)
	}
	d.want(t, "a3", "b3")
	// Once for a run that was repeated after a conflict.
	changeBehind(t, mem, "global/total/")
	if err := do(t.Context(), "add"); err != nil {
		t.Error(err)
	}
	d.want(t, "a4", "b4")

	// The App does it when the caller has left, after the commit.
	for len(d.wrote) > 0 {
		<-d.wrote
	}
	gate := storefault.NewGate()
	stop := fault.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Stop(gate)})
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- do(ctx, "add") }()
	arrived(t, gate)
	stop.Remove()
	leave()
	wantCode(t, "a caller that left", await(t, "the caller", done), stay.ErrUnknown)
	d.want(t)
	gate.Open()
	await(t, "the first of After", d.wrote)
	await(t, "the second of After", d.wrote)
	d.want(t, "a5", "b5")
}

// wantTold checks what OnError is told next.
func wantTold(t *testing.T, told <-chan *stay.Error, code stay.Code, phase string) {
	t.Helper()
	if e := await(t, "OnError", told); e.Code != code || e.Phase != phase || e.Module != "total" {
		t.Errorf("OnError was told %v, want %q in phase %q", e, code, phase)
	}
}
