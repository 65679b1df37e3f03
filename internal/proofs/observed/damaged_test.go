package observed_test

import (
	"fmt"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A store that reports that it is damaged is ErrCorrupt for reads, changes,
// Keys and Check, and OnError gets it: trying again does not help.
//
// Proves A21, C5.
func TestADamagedStoreIsNoReasonToTryAgain(t *testing.T) {
	st := storefault.Wrap(memstore.New(), nil)
	var told []stay.Code
	app := testkit.NewApp(t, st, &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) { told = append(told, e.Code) }})
	s := stay.Register(app, stay.Module[struct{ N int }]{Name: "s", Persist: stay.PerUser})
	damaged := fmt.Errorf("page 7: %w", store.ErrCorrupt)
	rule := st.Add(storefault.Rule{Op: storefault.Any, Fault: storefault.Fail(damaged)})
	_, err := s.At("ann").Get(t.Context())
	testkit.WantCode(t, err, stay.ErrCorrupt)
	if len(told) != 1 || told[0] != stay.ErrCorrupt {
		t.Errorf("OnError was told %v", told)
	}
	testkit.WantCode(t, app.Check(t.Context()), stay.ErrCorrupt)
	for _, err := range s.Keys(t.Context()) {
		testkit.WantCode(t, err, stay.ErrCorrupt)
	}
	rule.Remove()

	st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(damaged)})
	_, err = s.At("ann").Update(t.Context(), func(s *struct{ N int }) error { s.N++; return nil })
	testkit.WantCode(t, err, stay.ErrCorrupt)
}
