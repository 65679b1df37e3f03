package nodes_test

import (
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A deletion removes the state that was there when it was asked for, also if this
// node remembers an earlier one, and its first sending gets lost.
//
// Proves N1, E5.
func TestDeletionInDoubtRemovesWhatOthersHaveCreated(t *testing.T) {
	for name, fault := range map[string]storefault.Fault{"arrives": {}, "lost on the way": storefault.Drop(nil)} {
		t.Run(name, func(t *testing.T) {
			handles := memstore.Shared(2)
			st := storefault.Wrap(handles[0], nil)
			module := stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global}
			here := stay.Register(testkit.NewApp(t, st, nil), module)
			there := stay.Register(testkit.NewApp(t, handles[1], nil), module)
			testkit.MustUpdate(t, t.Context(), here)
			if err := there.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			testkit.MustUpdate(t, t.Context(), there)
			if name != "arrives" {
				st.Add(storefault.Rule{Op: storefault.Commit, Key: "global/c/", Times: 1, Fault: fault})
			}
			if err := here.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			testkit.WantCount(t, t.Context(), there, 0)
			testkit.WantCount(t, t.Context(), here, 0)
		})
	}
}
