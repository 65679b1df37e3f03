package bench_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
)

const (
	// others change states of their own all the time; theirs are the times
	// that are measured.
	others = 16
	// crowd is how many callers are on the one state.
	crowd = 10_000
	// phase is how long the others are measured, without the crowd and with it.
	phase = 150 * time.Millisecond
	// pairs is how often both are measured in turn. What counts is the median.
	pairs = 3
)

// An overload happens to one state until stop is closed. It returns once it
// happens; the function it returns waits until it is over.
type overload func(states *stay.State[keyed], stop <-chan struct{}) (end func() error)

// BenchmarkOverload shows what others notice of one state that is overloaded:
// a change of it does not end (blocked), ten thousand others wait for that
// (waiting), or ten thousand change it all the time (served), which takes its
// share of the processors. Two are to compare with: ten thousand goroutines that
// have nothing to do with Stay, but make the garbage collector's work more, for
// it looks at all of their stacks. Those of idle are nearly empty, those of
// parked as deep as a caller's of Stay. x-quiet is the 99th percentile of the
// others' changes, as a multiple of what it is just before; all figures are
// medians.
func BenchmarkOverload(b *testing.B) {
	for _, st := range stores {
		for _, o := range []struct {
			name  string
			begin overload
		}{{"idle", idle}, {"parked", parked}, {"blocked", blocked}, {"waiting", waiting}, {"served", served}} {
			b.Run(st.name+"/"+o.name, func(b *testing.B) {
				app := newApp(b, st.open(b), stay.Options{MaxWaiters: crowd, MaxWait: time.Minute})
				states := stay.Register(app, keyedModule)
				var quiet, loud []time.Duration
				var ratios []float64
				measureOthers(b, states) // the first time is not like the others
				for b.Loop() {
					for range pairs {
						before, during := measurePair(b, states, o.begin)
						quiet, loud = append(quiet, before), append(loud, during)
						ratios = append(ratios, float64(during)/float64(before))
					}
				}
				slices.Sort(ratios)
				b.ReportMetric(0, "ns/op") // would be that of the phases, which is fixed
				b.ReportMetric(float64(percentile(quiet, 50)), "quiet-p99-ns")
				b.ReportMetric(float64(percentile(loud, 50)), "p99-ns")
				b.ReportMetric(ratios[len(ratios)/2], "x-quiet")
			})
		}
	}
}

func measurePair(b *testing.B, states *stay.State[keyed], begin overload) (before, during time.Duration) {
	before = measureOthers(b, states)
	stop := make(chan struct{})
	end := begin(states, stop)
	during = measureOthers(b, states)
	close(stop)
	if err := end(); err != nil {
		b.Fatal(err)
	}
	return before, during
}

// measureOthers has the others change their states and returns the 99th
// percentile of the times. What a crowd has left behind is collected before, in
// two steps, as pools are: with more in memory there are fewer collections.
func measureOthers(b *testing.B, states *stay.State[keyed]) time.Duration {
	runtime.GC()
	runtime.GC()
	var times [others][]time.Duration
	until := time.Now().Add(phase)
	err := together(others, func(g int) error {
		for time.Now().Before(until) {
			began := time.Now()
			if err := incrementAt(b.Context(), states, number(g)); err != nil {
				return err
			}
			times[g] = append(times[g], time.Since(began))
		}
		return nil
	})()
	if err != nil {
		b.Fatal(err)
	}
	return percentile(slices.Concat(times[:]...), 99)
}

// together starts n goroutines; the function it returns waits for them.
func together(n int, fn func(g int) error) (end func() error) {
	failures := make([]error, n)
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() { failures[g] = fn(g) })
	}
	return func() error {
		wg.Wait()
		return errors.Join(failures...)
	}
}

const crowded = "the crowded state"

func idle(_ *stay.State[keyed], stop <-chan struct{}) (end func() error) {
	return together(crowd, func(int) error {
		<-stop
		return nil
	})
}

// parked waits as callers do: some calls down, for one of several events.
func parked(_ *stay.State[keyed], stop <-chan struct{}) (end func() error) {
	return together(crowd, func(int) error { return park(context.Background(), stop, 7) })
}

//go:noinline
func park(ctx context.Context, stop <-chan struct{}, depth int) (err error) {
	defer func() { err = errors.Join(err, ctx.Err()) }()
	if depth > 0 {
		return park(ctx, stop, depth-1)
	}
	t := time.NewTimer(time.Minute)
	defer t.Stop()
	select {
	case <-stop:
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}

func blocked(states *stay.State[keyed], stop <-chan struct{}) (end func() error) {
	running := make(chan struct{})
	var once sync.Once // a change may run again
	end = together(1, func(int) error {
		_, err := states.At(crowded).Update(context.Background(), func(k *keyed) error {
			once.Do(func() { close(running) })
			<-stop
			k.ID = crowded
			return nil
		})
		return err
	})
	<-running
	return end
}

// waiting has as many wait as may: until one more is refused.
func waiting(states *stay.State[keyed], stop <-chan struct{}) (end func() error) {
	full := make(chan struct{})
	var once sync.Once
	unblocked := blocked(states, stop)
	left := together(crowd+1, func(int) error {
		err := incrementAt(context.Background(), states, crowded)
		if err != nil {
			once.Do(func() { close(full) })
		}
		if errors.Is(err, stay.ErrBusy) {
			return nil
		}
		return err
	})
	<-full
	return func() error { return errors.Join(unblocked(), left()) }
}

// served begins when everybody was served once.
func served(states *stay.State[keyed], stop <-chan struct{}) (end func() error) {
	var first sync.WaitGroup
	first.Add(crowd)
	end = together(crowd, func(int) error {
		err := incrementAt(context.Background(), states, crowded)
		first.Done()
		for err == nil {
			select {
			case <-stop:
				return nil
			default:
				err = incrementAt(context.Background(), states, crowded)
			}
		}
		return err
	})
	first.Wait()
	return end
}
