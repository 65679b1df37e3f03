package hooks_test

import (
	"errors"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// The error of a caller names the phase in which the store failed, as the error
// that OnError gets does.
//
// Proves A21.
func TestErrorsOfTheStoreSayThePhase(t *testing.T) {
	testkit.InBubbles(t, stay.Options{OnError: testkit.Quiet}, func(t *testing.T, app *stay.App, st *storefault.Store, _ store.Store) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "total", Persist: stay.Global})
		for _, c := range []struct {
			phase string
			op    storefault.Op
		}{{"load", storefault.Load}, {"save", storefault.Commit}} {
			rule := st.Add(storefault.Rule{Op: c.op, Fault: storefault.Fail(testkit.ErrDisk)})
			_, err := s.Update(t.Context(), testkit.Increment)
			rule.Remove()
			var e *stay.Error
			if !errors.As(err, &e) || e.Code != stay.ErrUnavailable || e.Phase != c.phase || e.Module != "total" {
				t.Errorf("while %v fails: %v", c.op, err)
			}
		}
		testkit.MustUpdate(t, t.Context(), s)
	})
}
