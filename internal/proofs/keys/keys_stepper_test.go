package keys_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/stay-go/stay/store"
)

// A fate is the explorer's decision about a call that it stopped.
type fate uint8

const (
	goesWell fate = iota
	refused       // nothing is done, and the caller knows
	unheard       // it is done, and the caller cannot know
	dropped       // nothing is done, and the caller cannot know
	crashes       // the process ends before it is done
	crashed       // the process ends when it is done
	fates
)

// A stepper stops every call of a store, and every caller that gets a turn,
// until the test says which goes on. storefault's gates let calls go on in the
// order in which they came; here any order is wanted.
type stepper struct {
	mu      sync.Mutex
	on      bool
	crash   func()
	waiting []*stop
}

type stop struct {
	label string
	op    int // 0 = a turn
	pass  chan fate
}

const (
	stopTurn = iota
	stopLoad
	stopCommit
)

// fates are those that make sense for the stop.
func (s *stop) fates() []fate {
	switch s.op {
	case stopLoad:
		return []fate{goesWell, refused}
	case stopCommit:
		return []fate{goesWell, refused, unheard, dropped}
	}
	return []fate{goesWell}
}

func (s *stepper) between(st store.Store) store.Store {
	if s == nil {
		return st
	}
	return &stepped{Store: st, s: s}
}

func (s *stepper) turn() {
	if s != nil {
		s.stop(stopTurn, "turn")
	}
}

func (s *stepper) stop(op int, label string) fate {
	s.mu.Lock()
	if !s.on {
		s.mu.Unlock()
		return goesWell
	}
	w := &stop{label: fmt.Sprint(op, label), op: op, pass: make(chan fate, 1)}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	f := <-w.pass
	if f == crashes {
		s.crash()
	}
	return f
}

// standing returns who waits, in an order that does not depend on chance but
// where two do the same.
func (s *stepper) standing() []*stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.waiting, func(a, b *stop) int { return strings.Compare(a.label, b.label) })
	return slices.Clone(s.waiting)
}

func (s *stepper) pass(w *stop, f fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(o *stop) bool { return o == w })
	w.pass <- f
}

// begin stops everybody from now on; end lets everybody go.
func (s *stepper) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = true
}

func (s *stepper) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	for _, w := range s.waiting {
		w.pass <- goesWell
	}
	s.waiting = nil
}

// A stepped store is one whose calls a stepper stops.
type stepped struct {
	store.Store
	s *stepper
}

func (st *stepped) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	label := ""
	for _, r := range reads {
		label += " " + r.Key
	}
	f := st.s.stop(stopLoad, label)
	if f == refused || f == crashes {
		return nil, errCrashed
	}
	recs, err := st.Store.Load(ctx, reads)
	if f == crashed {
		st.s.crash()
	}
	return recs, err
}

func (st *stepped) Commit(ctx context.Context, groups []store.Group) []store.Result {
	label := ""
	for _, g := range groups {
		for _, w := range g {
			label += " " + w.Key
		}
	}
	f := st.s.stop(stopCommit, label)
	unknown := make([]store.Result, len(groups))
	switch f {
	case refused:
		for i := range unknown {
			unknown[i] = store.Result{Outcome: store.Rejected, Err: errCrashed}
		}
		return unknown
	case dropped, crashes:
		return unknown
	}
	res := st.Store.Commit(ctx, groups)
	switch f {
	case unheard:
		return unknown
	case crashed:
		st.s.crash()
	}
	return res
}
