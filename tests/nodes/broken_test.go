package nodes_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
)

// A variant is a program or a server that breaks a promise.
type variant struct {
	name   string
	args   []string // of the node's program
	server string   // what breaks the server
	faults []string // what it takes to notice; none: use is enough
	quick  bool     // it is part of make test
	resend bool     // actions are sent again, on an SQLite file
}

var variants = []variant{
	{name: "reads come from a follower", args: []string{"-broken", "stale"}, quick: true},
	{
		name: "unknown is taken for rejected", args: []string{"-broken", "rejected"}, quick: true,
		faults: []string{"answers to a node are lost"},
	},
	{name: "a creation arrives after the deletion", args: []string{"-broken", "late"}, quick: true},
	{name: "a write does not ask what it replaces", args: []string{"-broken", "blind"}},
	{name: "revisions come again", server: "ALTER SEQUENCE stay_rev MAXVALUE 50 CYCLE", quick: true},
	{name: "an answer does not wait for the commit", args: []string{"-early"}},
	{name: "groups without their checks", args: []string{"-broken", "unchecked"}},
	{name: "a name is not kept with its change", args: []string{"-broken", "forgetful"}, quick: true, resend: true},
	{name: "a name is not looked up on another node", args: []string{"-broken", "blinkered"}, quick: true, resend: true},
}

// The tests of nodes notice programs and servers that break a promise.
func TestSoakBrokenVariantsAreCaught(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		if !v.quick && !soak() {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			seed := testseed.New(t)
			const tries = 6
			for try := range tries {
				bad := v.problems(t, seed+uint64(try))
				if len(bad) > 0 {
					t.Logf("try %d: %s", try+1, complaint(bad))
					return
				}
			}
			t.Errorf("nothing was noticed in %d tries", tries)
		})
	}
}

// problems are what is found wrong with a run of the variant.
func (v variant) problems(t *testing.T, seed uint64) []string {
	s := brisk
	s.args, s.sqlite = v.args, v.resend
	c := newCluster(t, s)
	defer c.end()
	if v.server != "" {
		check(t, c.postgres(0).Exec(t.Context(), v.server))
	}
	r := newRun(c, newHistory(t.Name(), seed))
	var needed []fault
	for _, f := range networkFaults {
		for _, name := range v.faults {
			if f.name == name {
				needed = append(needed, f)
			}
		}
	}
	if v.resend {
		r.resendDuring(func() { pause(time.Second) })
		return r.problems()
	}
	r.use(func(random *rand.Rand) {
		const enough = 3 * time.Second
		if len(needed) > 0 {
			r.suffer(needed, random, enough)
		} else {
			pause(enough)
		}
	})
	return r.problems()
}
