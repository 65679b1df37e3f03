package engine

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/stay-go/stay/store"
)

// compareAll is compare for a store of several places. It goes on with those that
// answer, and puts off what is at the others. It fails if none of them answers.
//
// While the rights at one place cannot be read, what is shared waits at all places:
// a session there may have ended before it was changed. What belongs to a session
// has one place with it.
func (n *nodes) compareAll(ctx context.Context, some []*sharedKey) error {
	var stages [3][]*sharedKey
	for _, s := range some {
		stage := &stages[2]
		switch {
		case s.kind.Rights:
			stage = &stages[0]
		case strings.HasPrefix(store.Home(s.kind.Prefix+s.key), "session/"):
			stage = &stages[1]
		}
		*stage = append(*stage, s)
	}
	failed := map[*lane]error{}
	answers := 0
	for i, stage := range stages {
		shared := i == len(stages)-1
		if shared && len(failed) > 0 {
			n.putOffAll(stage)
			break
		}
		by := byLane(n.backend, stage, func(s *sharedKey) string { return s.kind.Prefix + s.key })
		for l := range by {
			if failed[l] != nil {
				n.putOffAll(by[l])
				delete(by, l)
			}
		}
		for l, err := range n.atOnce(ctx, by) {
			if err != nil {
				failed[l] = err
				n.putOffAll(by[l])
			} else {
				answers++
			}
		}
	}
	if answers > 0 {
		return nil
	}
	var errs []error
	for _, err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// atOnce compares what is at several places, at the same time.
func (n *nodes) atOnce(ctx context.Context, by map[*lane][]*sharedKey) map[*lane]error {
	var mu sync.Mutex
	errs := map[*lane]error{}
	var all sync.WaitGroup
	for l, some := range by {
		all.Go(func() {
			err := n.compareAt(ctx, l, some)
			mu.Lock()
			defer mu.Unlock()
			errs[l] = err
		})
	}
	all.Wait()
	return errs
}

func (n *nodes) putOffAll(some []*sharedKey) {
	for _, s := range some {
		n.putOff(s)
	}
}
