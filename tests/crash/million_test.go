package crash_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
)

// Actions of forms, of scripts and of a queue that are all sent again, at once,
// at the same time or later, through logins and restarts of the server, are
// counted once each, and every answer says truly whether it has made its action.
// The long test has more than a million of them.
//
// Proves L28, L29, L30, L32, L33.
func TestSoakAMillionActionsSentAgainCountOnce(t *testing.T) {
	actions, restarts := 3_000, 4
	if soak() {
		actions, restarts = 1_000_000, 40
	}
	seed := testseed.New(t)
	db := filepath.Join(t.TempDir(), "app.db")
	began := time.Now()
	r := &resending{fail: t.Errorf}
	senders := make([]*resender, 32)
	for i := range senders {
		senders[i] = &resender{r: r, name: fmt.Sprint("s", i), inbox: fmt.Sprint("inbox", i/4), random: draws(seed, i)}
		defer senders[i].hangUp(0)
		defer senders[i].hangUp(1)
	}
	together := func(what func(*resender) error) {
		var all sync.WaitGroup
		for _, s := range senders {
			all.Go(func() {
				if err := what(s); err != nil && !errors.Is(err, errGone) {
					t.Errorf("%s: %v", s.name, err)
				}
			})
		}
		all.Wait()
	}
	random := draws(seed, len(senders))
	counts := map[string]int{}
	for round := range restarts {
		p := startServer(t, onceserver, nil, db)
		r.address = strings.TrimPrefix(p.url, "http://")
		r.enough, r.reached = int64(actions*(round+1)/restarts), make(chan struct{})
		together((*resender).resolve)
		all := make(chan struct{})
		go func() {
			defer close(all)
			together(func(s *resender) error {
				for {
					if err := s.step(); err != nil || t.Failed() {
						return err
					}
				}
			})
		}()
		select {
		case <-r.reached:
		case <-all:
			t.Error("the server has gone too early")
		}
		if random.IntN(4) == 0 {
			p.stop(t)
			counts["ends"]++
		} else {
			p.kill(t)
			counts["kills"]++
		}
		<-all
		if t.Failed() {
			return
		}
	}
	p := startServer(t, onceserver, nil, db)
	r.address = strings.TrimPrefix(p.url, "http://")
	together((*resender).resolve)
	together((*resender).finish)
	want, got := map[string]tally{}, map[string]tally{}
	for _, s := range senders {
		sum := want[s.inbox]
		sum.actions += s.want[inboxLedger].actions
		sum.sum += s.want[inboxLedger].sum
		want[s.inbox] = sum
		found, err := s.look()
		if err != nil {
			t.Fatal(err)
		}
		got[s.inbox] = found[inboxLedger]
		counts["logins"] += s.logins
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s has %+v, want %+v", name, got[name], want[name])
		}
	}
	p.stop(t)
	t.Logf("%d actions, sent %d times in all, %v, in %v", r.made.Load(), r.sent.Load(), counts, time.Since(began).Round(time.Second))
}
