package nodes_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A read that has to wait until the store has answered others waits for MaxWait
// all the same, and not for theirs and then for its own.
//
// Proves E8.
func TestAReadWaitsNoLongerBehindOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 5 * time.Second
		st := storefault.Wrap(memstore.Shared(1)[0], nil)
		app := testkit.NewApp(t, st, &stay.Options{OnError: testkit.Quiet, MaxWait: patience})
		p, _ := testkit.UserModules(app)
		var browsers [6]*testkit.Browser
		for i := range browsers {
			browsers[i] = testkit.NewBrowser(app)
			testkit.Login(t, browsers[i], string(rune('a'+i)))
			testkit.Change(t, browsers[i].Ctx(), p, testkit.Name("x"))
		}
		// Probes are answered, so this is no outage.
		st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Hang(), Match: func(c storefault.Call) bool {
			return strings.HasPrefix(c.Keys[0], "stay/session/") || strings.HasPrefix(c.Keys[0], "user/")
		}})
		done := make(chan struct{})
		for _, b := range browsers {
			go func() {
				defer func() { done <- struct{}{} }()
				began := time.Now()
				_, err := p.Get(b.Ctx())
				testkit.WantCode(t, err, stay.ErrUnavailable)
				if d := time.Since(began); d > patience {
					t.Errorf("a read has waited for %v", d)
				}
			}()
			testkit.Sleep(time.Second / 2)
		}
		for range browsers {
			<-done
		}
	})
}
