package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

var closeRules = []rule{
	{
		name: "C7 close twice",
		why:  "Close may be called again, also by several goroutines at once, and succeeds each time: a store may have several owners.",
		check: func(e *env) {
			e.put1("key", 0, "x")
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := e.store.Close(); err != nil {
						e.t.Errorf("Close: %v", err)
					}
				})
			}
			wg.Wait()
			if err := e.store.Close(); err != nil {
				e.t.Errorf("Close after Close: %v", err)
			}
		},
	},
	{
		name:  "C7 closed",
		why:   "Calls that begin after Close are answered with ErrClosed, groups as Rejected: the caller must know that nothing happened.",
		check: checkClosed,
	},
	{
		name: "C7 close while calls are under way",
		why: "Close may come at any moment. Calls finish or fail, none hangs or crashes, and applied groups are " +
			"stored when a durable store is opened again.",
		check: checkCloseUnderWay,
	},
	{
		name:  "C7 no goroutine left",
		why:   "A program that opens and closes stores, such as a test, must not leak goroutines.",
		check: checkGoroutines,
	},
}

func checkClosed(e *env) {
	rev := e.put1("key", 0, "x")
	if err := e.store.Close(); err != nil {
		e.t.Fatalf("Close: %v", err)
	}
	if _, err := e.store.Load(e.ctx, []store.Read{{Key: "key"}}); !errors.Is(err, store.ErrClosed) {
		e.t.Errorf("Load after Close: %v, want ErrClosed", err)
	}
	if _, err := e.store.Expired(e.ctx, e.now, 10); e.f.Expire && !errors.Is(err, store.ErrClosed) {
		e.t.Errorf("Expired after Close: %v, want ErrClosed", err)
	}
	if l, ok := e.store.(store.Lister); ok && e.f.List {
		if _, err := l.List(e.ctx, e.now, "", "", 10); !errors.Is(err, store.ErrClosed) {
			e.t.Errorf("List after Close: %v, want ErrClosed", err)
		}
	}
	for i, res := range e.commit(store.Group{put("key", rev, "y")}, store.Group{put("other", 0, "y")}) {
		e.rejected(res, store.ErrClosed, fmt.Sprintf("group %d after Close", i))
	}
	if e.f.Durable {
		e.store = e.handle()
		e.wantValue("key", rev, "x")
		e.wantAbsent("other")
	}
}

func checkCloseUnderWay(e *env) {
	const writers, readers, before = 4, 2, 5
	applied := make([]int, writers) // by each writer, last acknowledged
	unsure := make([]int, writers)  // by each writer, last that may be there
	deadline := time.Now().Add(patience)
	var warm, done sync.WaitGroup
	warm.Add(writers)
	for i := range writers {
		done.Go(func() {
			warmed := sync.OnceFunc(warm.Done)
			defer warmed()
			var rev store.Revision
			for n := 1; time.Now().Before(deadline); n++ {
				res := e.store.Commit(e.ctx, []store.Group{{put(fmt.Sprint("key", i), rev, fmt.Sprint(n))}})[0]
				switch {
				case res.Outcome == store.Applied:
					rev, applied[i], unsure[i] = res.Revisions[0], n, n
				case errors.Is(res.Err, store.ErrClosed) && res.Outcome == store.Rejected:
					return
				case res.Outcome == store.Unknown:
					unsure[i] = n
					return
				case res.Outcome == store.Conflict:
					e.t.Errorf("a key that nobody else writes: %s", resultText(res))
					return
				default:
					n-- // Rejected because of the close that is under way
				}
				if n == before {
					warmed()
				}
			}
			e.t.Errorf("no ErrClosed within %v of calls while the store was closed", patience)
		})
	}
	for range readers {
		done.Go(func() {
			for time.Now().Before(deadline) {
				if _, err := e.store.Load(e.ctx, []store.Read{{Key: "key0"}}); errors.Is(err, store.ErrClosed) {
					return
				}
			}
			e.t.Errorf("no ErrClosed within %v of calls while the store was closed", patience)
		})
	}
	warm.Wait()
	if err := e.store.Close(); err != nil {
		e.t.Errorf("Close: %v", err)
	}
	done.Wait()
	if e.t.Failed() || !e.f.Durable {
		return
	}
	e.store = e.handle()
	for i := range writers {
		got, err := number(e.load(fmt.Sprint("key", i)))
		if err != nil || got != applied[i] && got != unsure[i] {
			e.t.Errorf("key%d is %d (%v) after reopening; %d was applied, %d unknown", i, got, err, applied[i], unsure[i])
		}
	}
}

func checkGoroutines(e *env) {
	use := func() {
		e.put1("key", e.load("key").Revision, "x")
		e.expired(1)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 5 {
					e.store.Commit(e.ctx, []store.Group{{put(fmt.Sprintf("key %d %d", i, j), 0, "x")}})
				}
			})
		}
		wg.Wait()
	}
	// The first time, so that goroutines that live as long as the process are
	// there.
	use()
	if err := e.store.Close(); err != nil {
		e.t.Fatalf("Close: %v", err)
	}
	e.handles = nil
	before := goroutines()
	for range 3 {
		e.store = e.handle()
		use()
		if err := e.store.Close(); err != nil {
			e.t.Fatalf("Close: %v", err)
		}
	}
	// A goroutine that has been told to end may need a moment.
	var left []string
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience / 6); time.Now().Before(deadline); <-tick.C {
		left = left[:0]
		for id, stack := range goroutines() {
			if _, ok := before[id]; !ok {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	e.t.Errorf("%d goroutines were left by opening, using and closing the store:\n\n%s", len(left), strings.Join(left, "\n\n"))
}

// goroutines returns the stacks of all goroutines by their number.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := map[string]string{}
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		all[id] = stack
	}
	return all
}
