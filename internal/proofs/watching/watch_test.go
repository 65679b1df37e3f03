package watching_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
)

// A viewer has a loop over Watch in its own goroutine.
type viewer[S any] struct {
	cancel context.CancelFunc
	seen   []S
	err    error
	ended  chan struct{} // closed when the loop has ended
	hold   chan struct{} // not nil: each step of the loop waits for a value
}

// watch begins a loop. The test ends it by its bubble at the latest.
func watch[S any](t *testing.T, ctx context.Context, s *stay.State[S]) *viewer[S] {
	t.Helper()
	return start(t, ctx, s, nil)
}

func start[S any](t *testing.T, ctx context.Context, s *stay.State[S], hold chan struct{}) *viewer[S] {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	v := &viewer[S]{cancel: cancel, ended: make(chan struct{}), hold: hold}
	go func() {
		defer close(v.ended)
		for now, err := range s.Watch(ctx) {
			if err != nil {
				v.err = err
				continue
			}
			v.seen = append(v.seen, *now)
			if v.hold != nil {
				<-v.hold
			}
		}
	}()
	t.Cleanup(func() { v.stop() })
	synctest.Wait()
	return v
}

func (v *viewer[S]) stop() {
	v.cancel()
	<-v.ended
}

// want compares what was seen since the last call.
func (v *viewer[S]) want(t *testing.T, want ...S) {
	t.Helper()
	synctest.Wait()
	testkit.WantEqual(t, "seen", v.seen, want)
	v.seen = nil
}

// wantEnd checks how the loop has ended; "" is without an error.
func (v *viewer[S]) wantEnd(t *testing.T, code stay.Code) {
	t.Helper()
	synctest.Wait()
	select {
	case <-v.ended:
		if got := stay.CodeOf(v.err); got != code {
			t.Errorf("the watch has ended with %q (%v), want %q", got, v.err, code)
		}
	default:
		t.Errorf("the watch goes on, want its end with %q", code)
	}
}

func onEach(t *testing.T, opts stay.Options, test func(t *testing.T, app *stay.App)) {
	testkit.OnEachStoreInBubble(t, func(t *testing.T, s store.Store) { test(t, testkit.NewApp(t, s, &opts)) })
}

func TestWatchYieldsWhatHasChanged(t *testing.T) {
	onEach(t, stay.Options{}, func(t *testing.T, app *stay.App) {
		s := stay.Register(app, stay.Module[testkit.Counter]{Name: "s", Persist: stay.Global})
		v := watch(t, t.Context(), s)
		v.want(t, testkit.Counter{})
		for i := 1; i < 4; i++ {
			testkit.MustUpdate(t, t.Context(), s)
			v.want(t, testkit.Counter{Count: i})
		}
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.want(t, testkit.Counter{})
		v.cancel()
		v.wantEnd(t, "")
	})
}
