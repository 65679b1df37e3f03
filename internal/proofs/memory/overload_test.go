package memory_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// However many changes a store that hangs keeps waiting, none waits for much
// longer than MaxWait and the time of one commit; nothing of them is kept, and
// when the store works again everything works.
//
// Proves E6.
func TestChangesOnAStoreThatHangsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 4000 // about eight commits
		st := testkit.BehindCommitter(memstore.New())
		opts := &stay.Options{MaxNewSessions: 1_000_000, OnError: func(*stay.Call, *stay.Error) {}}
		app := testkit.NewApp(t, st, opts)
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.PerSession})
		testkit.MustUpdate(t, testkit.NewBrowser(app).Ctx(), s)
		hang := st.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Delay(time.Hour, 0)})
		browsers := make([]*testkit.Browser, callers)
		codes := map[stay.Code]int{}
		var longest time.Duration
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range browsers {
			b := testkit.NewBrowser(app)
			browsers[i] = b
			wg.Go(func() {
				began := time.Now()
				_, err := s.Update(b.Ctx(), testkit.Increment)
				mu.Lock()
				defer mu.Unlock()
				codes[stay.CodeOf(err)]++
				longest = max(longest, time.Since(began))
			})
		}
		wg.Wait()
		if codes[stay.ErrUnavailable] == 0 || codes[stay.ErrUnavailable]+codes[stay.ErrBusy] != callers {
			t.Errorf("the callers were told %v", codes)
		}
		if longest > 20*time.Second { // MaxWait and the attempt under way
			t.Errorf("the longest waited for %v", longest)
		}
		hang.Remove()
		for _, b := range browsers {
			testkit.MustUpdate(t, b.Ctx(), s)
			testkit.WantCount(t, b.Ctx(), s, 1)
		}
	})
}
