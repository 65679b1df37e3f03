package nodes_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Requests that come together ask the store together: with one call for many of
// them, and not with one for each.
//
// Proves N1.
func TestRequestsThatComeTogetherAreReadTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const visitors = 100
		shared := memstore.Shared(2)
		st := storefault.Wrap(shared[0], nil)
		here, there := testkit.NewApp(t, st, nil), testkit.NewApp(t, shared[1], nil)
		a := stay.Register(here, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		b := stay.Register(there, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		var browsers []*testkit.Browser
		for range visitors {
			browser := testkit.NewBrowser(here)
			testkit.MustUpdate(t, browser.Ctx(), a)
			testkit.MustUpdate(t, browser.On(there).Ctx(), b) // so that memory here is old
			browsers = append(browsers, browser)
		}
		st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Delay(time.Millisecond, time.Millisecond)})
		before := st.Count(storefault.Load)
		done := make(chan struct{})
		for _, browser := range browsers {
			ctx := browser.On(here).Ctx()
			go func() {
				defer func() { done <- struct{}{} }()
				testkit.WantCount(t, ctx, a, 2)
			}()
		}
		for range visitors {
			<-done
		}
		if n := st.Count(storefault.Load) - before; n > visitors/5 {
			t.Errorf("%d calls for %d requests at the same time", n, visitors)
		} else {
			t.Logf("%d calls for %d requests", n, visitors)
		}
	})
}
