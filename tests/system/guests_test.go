package system_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Of ephemeral states exactly the least recently used are dropped when there
// are more than MaxGuests, read or changed alike, and the log says how many
// that were. As long as no more than three quarters were used again, they are
// passed over.
//
// Proves A12, E6.
func TestLeastRecentlyUsedGuestsGo(t *testing.T) {
	const limit, sessions, uses = 40, 120, 4000
	seed := testseed.New(t)
	random := rand.New(rand.NewPCG(seed, 0))
	clk := newClock()
	var log logLines
	app := newApp(t, memstore.New(), &stay.Options{
		MaxGuests: limit, Clock: clk.now, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	draft := stay.Register(app, stay.Module[Counter]{Name: "draft"})
	ctxs := make([]context.Context, sessions)
	for i := range ctxs {
		ctxs[i] = staytest.Session(t, app)
	}
	var order []int         // the latest used is the last
	again := map[int]bool{} // those of order that were used more than once
	drop := func() (at int) {
		if len(again) > limit/4*3 {
			return 0
		}
		return max(0, slices.IndexFunc(order, func(i int) bool { return !again[i] }))
	}
	counts := make([]int, sessions)
	dropped := 0
	for range uses {
		i := random.IntN(sessions)
		at := slices.Index(order, i)
		if at >= 0 {
			order = slices.Delete(order, at, at+1)
			again[i] = true
		} else {
			counts[i] = 0
		}
		if at >= 0 && random.IntN(2) == 0 {
			c, err := draft.Get(ctxs[i])
			if err != nil || c.Count != counts[i] {
				t.Fatalf("the draft of session %d reads %+v, %v, want %d", i, c, err, counts[i])
			}
		} else {
			counts[i]++
			c, err := draft.Update(ctxs[i], add1)
			if err != nil || c.Count != counts[i] {
				t.Fatalf("the draft of session %d became %+v, %v, want %d", i, c, err, counts[i])
			}
		}
		if order = append(order, i); len(order) > limit {
			at := drop()
			delete(again, order[at])
			order = slices.Delete(order, at, at+1)
			dropped++
		}
		clk.advance(time.Second)
	}
	for i := range sessions {
		want := 0
		if slices.Contains(order, i) {
			want = counts[i]
		}
		if c, err := draft.Get(ctxs[i]); err != nil || c.Count != want {
			t.Errorf("in the end the draft of session %d is %+v, %v, want %d", i, c, err, want)
		}
	}

	clk.advance(time.Hour)
	// The next one that is dropped is logged with all before it.
	if _, err := draft.Update(staytest.Session(t, app), add1); err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`dropped_total=(\d+)`).FindAllStringSubmatch(log.String(), -1)
	if len(said) == 0 || said[len(said)-1][1] != fmt.Sprint(dropped+1) {
		t.Errorf("%d states were dropped, the log says %v", dropped+1, said)
	}
}

// Also where there are many, those dropped are about the least recently used,
// however many have come and gone: what was used since half of MaxGuests others
// were stays.
//
// Proves A12, E6.
func TestManyGuestsGoInOrder(t *testing.T) {
	const limit, guests = 2048, 40_000
	app := newApp(t, memstore.New(), &stay.Options{MaxGuests: limit})
	draft := stay.Register(app, stay.Module[Counter]{Name: "draft"})
	var ctxs []context.Context
	for i := range guests {
		ctx := staytest.Session(t, app)
		if _, err := draft.Update(ctx, add1); err != nil {
			t.Fatal(err)
		}
		if i >= guests-limit/2 {
			ctxs = append(ctxs, ctx)
		}
	}
	lost := 0
	for _, ctx := range ctxs {
		if c, err := draft.Get(ctx); err != nil || c.Count != 1 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("of the last %d of %d there may be, %d are gone", len(ctxs), limit, lost)
	}
}

// Pressure on ephemeral states takes neither one that is in use, however long
// ago it was used last, nor a stored state from memory, nor what is stored.
// When all are in use, one more is busy.
//
// Proves A12, E6, S2.
func TestGuestPressureHarmsNoOther(t *testing.T) {
	const limit, inUse, others = 16, 8, 400
	fault := storefault.Wrap(memstore.New(), nil)
	app := newApp(t, fault, &stay.Options{MaxGuests: limit, MaxInstances: 10 * others})
	draft := stay.Register(app, stay.Module[Counter]{Name: "draft"})
	cart := stay.Register(app, stay.Module[Counter]{Name: "cart", Persist: stay.PerSession})
	list := stay.Register(app, stay.Module[Counter]{Name: "list", Persist: stay.PerUser})

	goOn := make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	hold := func(ctx context.Context) <-chan error {
		running, over := make(chan struct{}), make(chan error, 1)
		runs := sync.OnceFunc(func() { close(running) })
		go func() {
			_, err := draft.Update(ctx, func(c *Counter) error {
				runs()
				<-goOn
				return add1(c)
			})
			over <- err
		}()
		await(t, "the run", running)
		return over
	}
	var holders []context.Context
	var over []<-chan error
	for range inUse {
		ctx := staytest.Session(t, app)
		if _, err := draft.Update(ctx, add1); err != nil {
			t.Fatal(err)
		}
		holders, over = append(holders, ctx), append(over, hold(ctx))
	}
	var ctxs []context.Context
	for range others {
		ctx := staytest.Session(t, app)
		for _, s := range []*stay.State[Counter]{cart, draft, list} { // list: a guest's
			if c, err := s.Update(ctx, add1); err != nil || c.Count != 1 {
				t.Fatalf("%s: %+v, %v", s.Name(), c, err)
			}
		}
		ctxs = append(ctxs, ctx)
	}
	loads := fault.Count(storefault.Load)
	for _, ctx := range ctxs {
		if c, err := cart.Get(ctx); err != nil || c.Count != 1 {
			t.Errorf("a stored state: %+v, %v", c, err)
		}
	}
	if n := fault.Count(storefault.Load) - loads; n > 0 {
		t.Errorf("%d stored states had gone from memory", n)
	}
	for range limit - inUse {
		ctx := staytest.Session(t, app)
		holders, over = append(holders, ctx), append(over, hold(ctx))
	}
	_, err := draft.Update(staytest.Session(t, app), add1)
	wantCode(t, "one ephemeral state too many", err, stay.ErrBusy)
	if _, err := cart.Update(staytest.Session(t, app), add1); err != nil {
		t.Errorf("a stored state while all ephemeral ones are in use: %v", err)
	}

	release()
	for i, ctx := range holders {
		if err := await(t, "a holder", over[i]); err != nil {
			t.Error(err)
		}
		want := 1
		if i < inUse {
			want = 2
		}
		if c, err := draft.Get(ctx); err != nil || c.Count != want {
			t.Errorf("the state that was in use is %+v, %v, want %d", c, err, want)
		}
	}
	if c, err := draft.Update(staytest.Session(t, app), add1); err != nil || c.Count != 1 {
		t.Errorf("afterwards: %+v, %v", c, err)
	}
}
