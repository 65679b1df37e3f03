package engine

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

type says string

func (s says) run(any) (Result, error)      { return Result{Value: string(s)}, nil }
func (says) Committed(context.Context)      {}
func (groupSays) Committed(context.Context) {}

type oneOp struct {
	says
	ref Ref
}

func (o oneOp) Resolve(context.Context, bool) (*Ref, error) { return &o.ref, nil }
func (o oneOp) Run(v any, _ *Version) (Result, error)       { return o.run(v) }

type groupSays struct {
	with func()
	what []Result
}

func (g groupSays) Run([]*Version, Birth) ([]Result, error) {
	g.with()
	return g.what, nil
}

// A caller that waits for a guest whose state a login has adopted gets its
// answer when the session is already at the user, so that no caller that
// resolves again works as the guest.
//
// Proves S4.
func TestGuestsAreGivenBackLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Config{
			Now: time.Now, Logger: slog.Default(), MaxInstances: 10, MaxBytes: 1 << 20, MaxGuests: 10, GuestIdle: time.Hour,
			MaxState: 1000, MaxWaiters: 10, MaxWait: time.Second, CommitTimeout: time.Second, Report: func(*Kind, string, string, error) {},
		})
		guests, sessions := e.Kind(Kind{Name: "guest", Type: texts{}}), e.Kind(Kind{Name: "session", Type: texts{}})
		if _, err := e.Update(t.Context(), oneOp{says: "here", ref: Ref{Kind: guests}}); err != nil {
			t.Fatal(err)
		}
		waiter := &member{tell: make(chan verdict)} // the goroutine that answers it waits for it
		in := e.guests.peek(guests, "")
		op := groupSays{what: []Result{{Delete: true}, {Value: "moved"}}, with: func() {
			in.lock()
			defer in.unlock()
			if told := in.m.enter(waiter); told != queued {
				t.Errorf("the waiter is told %d", told)
			}
		}}
		go func() {
			refs := []Ref{{Kind: guests, Last: true}, {Kind: sessions}}
			if _, again, err := e.UpdateGroup(context.Background(), refs, op); again || err != nil {
				t.Errorf("again %v, %v", again, err)
			}
		}()
		synctest.Wait()
		if v := e.Peek(sessions, ""); v == nil || v.Value != "moved" {
			t.Errorf("the guest's waiter is told, and the session is still at %v", v)
		}
		if told := <-waiter.tell; told != again {
			t.Errorf("the waiter is told %d", told)
		}
		synctest.Wait()
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
