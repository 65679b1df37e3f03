package nodes_test

import (
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A record names its last eight writers. A change whose answer is lost is not
// made a second time if so many other nodes write the state meanwhile that its
// own write is not named any more: its outcome is unknown then.
//
// Proves E5, N1.
func TestLostAnswerBesideManyWriters(t *testing.T) {
	applied, dropped := storefault.HangAfter(), storefault.Hang()
	for name, c := range map[string]struct {
		fault  storefault.Fault
		before int // how many nodes write before
		after  int // and how many after it was sent
		code   stay.Code
		count  int
	}{
		"stored, named last":                    {applied, 0, 7, "", 9},
		"stored, not named any more":            {applied, 0, 8, stay.ErrUnknown, 10},
		"not stored, nobody knows":              {dropped, 0, 8, stay.ErrUnknown, 9},
		"not stored, earlier writers are named": {dropped, 7, 7, "", 16},
		"stored, among many":                    {applied, 9, 7, "", 18},
		"stored, after many, not named":         {applied, 9, 8, stay.ErrUnknown, 19},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := memstore.Shared(1 + c.before + c.after)
				st := storefault.Wrap(shared[0], nil)
				var nodes []*stay.State[testkit.Counter]
				for i := range shared {
					var s store.Store = shared[i]
					if i == 0 {
						s = st
					}
					app := testkit.NewApp(t, s, &stay.Options{OnError: testkit.Quiet})
					nodes = append(nodes, stay.Register(app, stay.Module[testkit.Counter]{Name: "g", Persist: stay.Global}))
				}
				here, before, after := nodes[0], nodes[1:1+c.before], nodes[1+c.before:]
				testkit.MustUpdate(t, t.Context(), here)
				for _, s := range before {
					testkit.MustUpdate(t, t.Context(), s)
				}
				if _, err := here.Get(t.Context()); err != nil {
					t.Fatal(err)
				}
				st.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: c.fault})
				told := make(chan error, 1)
				go func() { _, err := here.Update(t.Context(), testkit.Increment); told <- err }()
				synctest.Wait() // now it hangs
				for _, s := range after {
					testkit.MustUpdate(t, t.Context(), s)
				}
				if err := <-told; stay.CodeOf(err) != c.code {
					t.Errorf("told %v, want code %q", err, c.code)
				}
				testkit.WantCount(t, t.Context(), after[0], c.count)
				testkit.MustUpdate(t, t.Context(), here)
			})
		})
	}
}
