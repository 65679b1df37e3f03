// Package storetest checks that a store keeps the rules C1 to C7 of package
// store. If you write a store, call [Run] from a test:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			New: func(t *testing.T) func(*testing.T) store.Store {
//				path := filepath.Join(t.TempDir(), "test.db")
//				return func(t *testing.T) store.Store {
//					s, err := mystore.Open(path)
//					if err != nil {
//						t.Fatal(err)
//					}
//					return s
//				}
//			},
//		})
//	}
//
// Every rule is a separate subtest, named after the rule of the contract it
// comes from, and prints the purpose of the rule when it fails. The rules about
// groups, expiry, listing, watching, durability and the size of values run according to
// what the store declares in its Features. If a rule does not concern the
// store, its subtest says so in its name.
//
// Some subtests make seeded random calls. They print their seed when they fail.
// With STORETEST_SEED set to it, sequential subtests repeat their calls
// exactly, and concurrent ones repeat the choices of every goroutine.
//
// The suite compares the goroutines before and after some of its subtests, so
// nothing else may run at the same time: do not call t.Parallel around Run. Run
// it with the race detector as well.
package storetest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
)

// A Harness says how to open the store under test.
type Harness struct {
	// New makes an empty place and returns a function that opens the store on
	// it. Clean the place up with t.Cleanup. The suite closes the store that
	// open returned last before it calls open again, and at the end of the
	// subtest. A store that is not Durable may come back empty.
	New func(t *testing.T) (open func(t *testing.T) store.Store)
	// Shared does the same for handles that may be open at the same time; nil
	// if the store has no such mode.
	Shared func(t *testing.T) (open func(t *testing.T) store.Store)
	// Remote does the same as New for a store that reaches its server only by
	// dial; nil if it has no server. The suite uses it to hold up what the store
	// has sent, and to let it arrive later.
	Remote func(t *testing.T, dial Dialer) (open func(t *testing.T) store.Store)
	// Rewind does the same as New for a place that may lose what was applied
	// while programs go on, by a failover or when an older copy is restored; nil
	// if it cannot. save keeps a copy of the place, and restore puts it back. No
	// store is open then.
	Rewind func(t *testing.T) (open func(t *testing.T) store.Store, save, restore func())
	// Over does the same as Shared for a store that stands on others; nil if it
	// stands on none. open passes each of them through wrap, which stops a process
	// between two of its calls, and loses answers.
	Over func(t *testing.T) (open func(t *testing.T, wrap func(store.Store) store.Store) store.Store)
}

// Run checks every rule, each in a subtest with a separate place.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.New == nil {
		t.Fatal("storetest: Harness.New is nil")
	}
	features := featuresOf(t, h.New)
	seed := seedOf(t)
	for _, r := range rules() {
		name := r.name
		if missing := r.needs.missing(features, h); missing != "" {
			t.Run(name+" (does not apply: "+missing+")", func(t *testing.T) { t.SkipNow() })
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := r.place(t, h)
			r.run(t, seed, p, func() store.Store { return p.open(t) })
		})
	}
}

func featuresOf(t *testing.T, place func(*testing.T) func(*testing.T) store.Store) store.Features {
	t.Helper()
	s := place(t)(t)
	f := s.Features()
	if err := s.Close(); err != nil {
		t.Fatalf("Close of a store that was only opened: %v", err)
	}
	return f
}

func seedOf(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("STORETEST_SEED")
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("STORETEST_SEED: %v", err)
	}
	return seed
}

// A tb is the part of *testing.T that a rule needs. The suite's own tests pass
// rules another tb, to see them fail.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Failed() bool
}

// A rule is one subtest.
type rule struct {
	// name begins with the number that the rule has in package store.
	name string
	// why says in plain words what goes wrong if a store breaks the rule.
	why   string
	needs needs
	check func(e *env)
}

// needs says which stores a rule concerns.
type needs struct {
	groups, expire, list, watch, durable, maxValue bool
	groupsAtHome                                   bool // and not groups
	noGroups, noExpire, noStaleReads               bool
	shared, remote, rewind, over                   bool
}

// missing names the feature that the rule needs and the store lacks, "" if
// there is none.
func (n needs) missing(f store.Features, h Harness) string {
	switch {
	case n.groups && !f.Groups:
		return "no Groups"
	case n.groupsAtHome && (f.Groups || !f.GroupsAtHome):
		return "no GroupsAtHome without Groups"
	case n.expire && !f.Expire:
		return "no Expire"
	case n.list && !f.List:
		return "no List"
	case n.watch && !f.Watch:
		return "no Watch"
	case n.durable && !f.Durable:
		return "not Durable"
	case n.maxValue && f.MaxValue == 0:
		return "no MaxValue"
	case n.noGroups && f.Groups:
		return "has Groups"
	case n.noExpire && f.Expire:
		return "has Expire"
	case n.noStaleReads && f.StaleReads > 0:
		return "has StaleReads"
	case n.shared && h.Shared == nil:
		return "no Shared in the Harness"
	case n.remote && h.Remote == nil:
		return "no Remote in the Harness"
	case n.rewind && h.Rewind == nil:
		return "no Rewind in the Harness"
	case n.over && h.Over == nil:
		return "no Over in the Harness"
	}
	return ""
}

// A place is where a store is opened, and what a rule can do to it.
type place struct {
	open          func(*testing.T) store.Store
	network       *network // in front of it; nil unless the rule needs it
	save, restore func()   // nil unless the rule needs them
	// over opens the store on wrapped ones; nil unless the rule needs it.
	over func(wrap func(store.Store) store.Store) store.Store
	// wait bounds waits for announcements; 0 means patience.
	wait time.Duration
}

// place makes the place that the rule needs.
func (r rule) place(t *testing.T, h Harness) (p place) {
	switch {
	case r.needs.remote:
		p.network = &network{}
		p.open = h.Remote(t, p.network.dial)
	case r.needs.rewind:
		p.open, p.save, p.restore = h.Rewind(t)
	case r.needs.over:
		open := h.Over(t)
		p.open = func(t *testing.T) store.Store { return open(t, func(s store.Store) store.Store { return s }) }
		p.over = func(wrap func(store.Store) store.Store) store.Store { return open(t, wrap) }
	case r.needs.shared:
		p.open = h.Shared(t)
	default:
		p.open = h.New(t)
	}
	return p
}

// run checks the rule on a separate place.
func (r rule) run(t tb, seed uint64, p place, open func() store.Store) {
	t.Helper()
	e := newEnv(t, seed, open, r.needs.shared)
	e.place = p
	// Deferred, because a failed check ends the goroutine.
	defer func() {
		e.closeAll()
		if p.network != nil {
			p.network.close()
		}
		if t.Failed() {
			t.Logf("%s: %s", r.name, r.why)
			if e.seeded {
				t.Logf("repeat with STORETEST_SEED=%d", seed)
			}
		}
	}()
	r.check(e)
}

func rules() []rule {
	var all []rule
	for _, rs := range [][]rule{
		readRules, writeRules, groupRules, badWriteRules, revisionRules, expiryRules, expiredRules,
		durabilityRules, listRules, byteRules, cancelRules, lateRules, overRules, raceRules, modelRules, sharedRules, watchRules, closeRules,
	} {
		all = append(all, rs...)
	}
	return all
}

// patience is how long the suite waits for something that must happen.
const patience = 30 * time.Second
