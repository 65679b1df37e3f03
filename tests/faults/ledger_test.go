package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay"
)

// A ledger knows what every state must hold, and what it may hold.
type ledger struct {
	t        *testing.T
	mu       sync.Mutex
	ticks    int
	accounts map[string]*account
}

// An account is one state as its callers know it.
type account struct {
	settled []string // it begins with these, in this order, for good
	must    []string // acknowledged since
	may     []string // nobody knows
	ended   int      // when it was acknowledged that the session is over; 0 = never
	maybe   bool     // the session may be over
}

func newLedger(t *testing.T) ledger { return ledger{t: t, accounts: map[string]*account{}} }

// of returns the account of a state. The lock is held.
func (l *ledger) of(name string) *account {
	a := l.accounts[name]
	if a == nil {
		a = &account{}
		l.accounts[name] = a
	}
	return a
}

// tick returns a number that later calls do not return.
func (l *ledger) tick() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticks++
	return l.ticks
}

// note enters what the caller of a change was told, that began at a tick.
func (l *ledger) note(name, word string, told stay.Code, began int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch a := l.of(name); told {
	case "":
		a.must = append(a.must, word)
		if a.ended != 0 && a.ended < began {
			l.t.Errorf("%s was changed after the end of its session was acknowledged", name)
		}
	case stay.ErrUnknown:
		a.may = append(a.may, word)
	}
}

func (l *ledger) end(name string, sure bool) {
	now := l.tick()
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of(name)
	a.maybe = true
	if sure && a.ended == 0 {
		a.ended = now
	}
}

// sure returns what has been acknowledged of a state.
func (l *ledger) sure(name string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of(name)
	return slices.Concat(a.settled, a.must)
}

func (l *ledger) contains(what string, items, must []string) {
	have := map[string]bool{}
	for _, item := range items {
		have[item] = true
	}
	for _, item := range must {
		if !have[item] {
			l.t.Errorf("%s lacks %s, which was acknowledged before", what, item)
			return
		}
	}
}

// settle compares a state that is at rest with what its callers were told.
// What it has not got by now it will never have.
func (l *ledger) settle(name string, items []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of(name)
	if len(items) < len(a.settled) || !slices.Equal(items[:len(a.settled)], a.settled) {
		l.t.Errorf("%s was %q and is %q", name, a.settled, items)
		return
	}
	since := items[len(a.settled):]
	l.contains(name, since, a.must)
	seen := map[string]bool{}
	for _, item := range items {
		if seen[item] {
			l.t.Errorf("%s has %s twice", name, item)
		}
		seen[item] = true
	}
	last := map[string]int{} // of each worker
	for _, item := range since {
		if !slices.Contains(a.must, item) {
			if !slices.Contains(a.may, item) {
				l.t.Errorf("%s has %s, whose caller was told that nothing was changed", name, item)
			}
			continue
		}
		var n int
		who, rest, _ := strings.Cut(item, ".")
		if _, tab, _ := strings.Cut(rest, "."); tab != "" {
			continue // it was one of several at the same time
		}
		_, _ = fmt.Sscanf(rest, "%d", &n)
		if n < last[who] {
			l.t.Errorf("%s has %s after a later change of the same worker", name, item)
		}
		last[who] = n
	}
	a.settled, a.must, a.may = slices.Clone(items), nil, nil
}

// rest checks that everything works again now that nothing fails any more:
// each state takes a change at once, has what it must have and nothing it must
// not, on every node; sessions that were destroyed have nothing.
func (w *world) rest(round int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), w.patience())
	defer cancel()
	quiet := &worker{world: w, id: 100 + round, random: rand.New(rand.NewPCG(w.seed, uint64(round)))}
	for i, b := range w.browsers {
		n := w.nodes[i%len(w.nodes)]
		quiet.appendTo(n, b, n.mine, "")
		quiet.login(n, b)
	}
	w.settleAll(ctx, quiet)
	w.same(ctx)
}

// settleAll has every state take one more change, and settles it.
func (w *world) settleAll(ctx context.Context, quiet *worker) {
	w.t.Helper()
	for _, name := range w.names() {
		n := w.nodes[quiet.random.IntN(len(w.nodes))]
		s, word := n.state(name), quiet.word()
		_, err := s.Update(ctx, func(l *List) error { l.Items = append(l.Items, word); return nil })
		if w.gone(name, err) {
			continue
		}
		if err != nil {
			w.t.Errorf("a change of %s when nothing fails any more: %v", name, err)
			continue
		}
		w.note(name, word, "", w.tick())
		l, err := s.Get(ctx)
		if err != nil {
			w.t.Errorf("%s when nothing fails any more: %v", name, err)
			continue
		}
		w.settle(name, l.Items)
	}
}

// same checks that every node has what was settled, and no more.
func (w *world) same(ctx context.Context) {
	w.t.Helper()
	for _, name := range w.names() {
		for _, n := range w.nodes {
			l, err := n.state(name).Get(ctx)
			switch {
			case w.gone(name, err):
			case err != nil:
				w.t.Errorf("%s: %v", name, err)
			case !slices.Equal(l.Items, w.sure(name)):
				w.t.Errorf("%s is %q, want %q", name, l.Items, w.sure(name))
			}
		}
	}
}

// gone reports whether a state is not there any more because its session was
// destroyed, and fails if it is there all the same.
func (w *world) gone(name string, err error) bool {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	a, absent := w.of(name), stay.CodeOf(err) == stay.ErrNotFound
	if a.ended != 0 && !absent {
		w.t.Errorf("%s after its session was destroyed: %v", name, err)
	}
	return absent && a.maybe
}

// names returns those of the states that must exist, or must have ended.
func (w *world) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for name, a := range w.accounts {
		if len(a.settled)+len(a.must) > 0 || a.ended != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// state returns the state with this account, whoever asks.
func (n *node) state(name string) *stay.State[List] {
	kind, key, _ := strings.Cut(name, "/")
	switch kind {
	case "mine":
		return n.mine.At(key)
	case "ours":
		return n.ours.At(key)
	case "soon":
		return n.soon
	}
	return n.all
}
