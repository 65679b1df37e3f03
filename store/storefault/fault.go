package storefault

import (
	"context"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

// A Fault is what a Rule does to a call. The zero value does nothing. If
// several rules match one call their faults add up, in the order in which the
// rules were added. If several faults decide an outcome, the first wins.
type Fault struct {
	fate    fate
	err     error
	gate    *Gate // late
	corrupt func(*store.Record)
	// The call waits for these before and after the work of the wrapped store.
	waitBefore, waitAfter func(w waiting) error
	hang                  bool // waitBefore means a lost request
	twice                 bool
}

// A fate is the way in which a fault decides an outcome.
type fate uint8

const (
	untouched      fate = iota
	failed              // nothing is done, and the caller knows
	dropped             // nothing is done, and the caller cannot know
	late                // nothing is done yet, and the caller cannot know
	unacknowledged      // everything is done, and the caller cannot know
)

// Fail makes reads fail with err and groups be Rejected with it; nothing
// reaches the wrapped store. A nil err is ErrInjected.
func Fail(err error) Fault { return decide(failed, err) }

// Drop is like Fail, for a caller that cannot know: groups are answered Unknown
// with err although nothing reaches the wrapped store. A nil err is
// ErrInjected.
func Drop(err error) Fault { return decide(dropped, err) }

// LoseAck lets the wrapped store do the work but answers groups Unknown with
// err; reads fail with it. A nil err is ErrInjected.
func LoseAck(err error) Fault { return decide(unacknowledged, err) }

// Late answers groups Unknown with err at once, and passes them to the wrapped
// store when they have passed the gate, each in a separate Commit with the time
// of the original call. This is the write that arrives after its caller gave
// up. Close drops a group that still waits. So does a later group that writes
// one of its keys when it goes on to the wrapped store, because a store must
// not let the earlier group arrive after it (C6). Reads fail with err. A nil
// err is ErrInjected.
func Late(g *Gate, err error) Fault {
	f := decide(late, err)
	f.gate = g
	return f
}

func decide(to fate, err error) Fault {
	if err == nil {
		err = ErrInjected
	}
	return Fault{fate: to, err: err}
}

// Delay makes a call wait before and after the work. If its context ends during
// the first wait, nothing was done: reads fail, groups are Rejected. If it ends
// during the second, groups are answered Unknown.
func Delay(before, after time.Duration) Fault {
	return Fault{
		waitBefore: func(w waiting) error { return w.pause(before) },
		waitAfter:  func(w waiting) error { return w.pause(after) },
	}
}

// Hang loses the request: nothing reaches the wrapped store, and the call lasts
// until its context ends or the store is closed. Then reads fail and all groups
// of the call are answered Unknown. Hang does not affect Close.
func Hang() Fault {
	return Fault{hang: true, waitBefore: waiting.forever}
}

// HangAfter loses the answer: it is like Hang, after the wrapped store has done
// the work.
func HangAfter() Fault {
	return Fault{waitAfter: waiting.forever}
}

// Stop makes a call wait at the gate before the work. If the context ends
// there, the effect is the same as in Delay.
func Stop(g *Gate) Fault {
	return Fault{waitBefore: func(w waiting) error { return w.at(g) }}
}

// StopAfter makes a call wait at the gate after the work and before its answer.
func StopAfter(g *Gate) Fault {
	return Fault{waitAfter: func(w waiting) error { return w.at(g) }}
}

// Twice lets an announcement come twice. It does nothing to calls.
func Twice() Fault { return Fault{twice: true} }

// Corrupt lets change modify the records that Load and Expired return, all
// records of the call whichever keys the rule names. change gets copies, and is
// not called for absent records; the records in the wrapped store stay as they
// are.
func Corrupt(change func(*store.Record)) Fault { return Fault{corrupt: change} }

func hangs(faults []Fault) bool {
	for _, f := range faults {
		if f.hang {
			return true
		}
	}
	return false
}

// A waiting is a call that may have to wait.
type waiting struct {
	ctx     context.Context
	call    Call
	closing <-chan struct{}
}

func (s *Store) waiting(ctx context.Context, call Call) waiting {
	return waiting{ctx: ctx, call: call, closing: s.closing}
}

func (w waiting) before(faults []Fault) error {
	for _, f := range faults {
		if f.waitBefore != nil {
			if err := f.waitBefore(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w waiting) after(faults []Fault) error {
	for _, f := range faults {
		if f.waitAfter != nil {
			if err := f.waitAfter(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w waiting) pause(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	return await(w, t.C)
}

func (w waiting) forever() error {
	if w.call.Op == Close {
		return nil // nothing would end it
	}
	return await[struct{}](w, nil)
}

func (w waiting) at(g *Gate) error {
	v := g.arrive(w.call)
	if v == nil {
		return nil
	}
	err := await(w, v.pass)
	if err != nil {
		g.leave(v)
	}
	return err
}

// await waits for done, which may be nil, and fails when the call must not wait
// any longer.
func await[T any](w waiting, done <-chan T) error {
	select {
	case <-done:
		return nil
	case <-w.ctx.Done():
		return fmt.Errorf("storefault: %w: %w", store.ErrUnavailable, w.ctx.Err())
	case <-w.closing:
		return fmt.Errorf("storefault: %w", store.ErrClosed)
	}
}
