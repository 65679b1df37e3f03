package watching_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store/memstore"
)

// A state that expires while it is looked at, whenever the clock is read, is seen
// to have expired without waiting for a sweep.
//
// Proves L5.
func TestAStateThatExpiresDuringALookIsSeen(t *testing.T) {
	for reads := range int64(12) {
		synctest.Test(t, func(t *testing.T) {
			var left, jump atomic.Int64
			left.Store(-1)
			app := testkit.NewApp(t, memstore.New(), &stay.Options{Clock: func() time.Time {
				if left.Load() >= 0 && left.Add(-1) < 0 {
					jump.Store(int64(time.Hour + time.Millisecond))
				}
				return time.Now().Add(time.Duration(jump.Load()))
			}})
			s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerUser, Expiry: time.Hour})
			testkit.MustUpdate(t, t.Context(), s.At("ann"))
			jump.Store(int64(time.Hour - time.Millisecond))
			left.Store(reads)
			began := time.Now()
			for v, err := range s.At("ann").Watch(t.Context()) {
				testkit.NoError(t, err)
				if v.Count == 0 {
					break
				}
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it expires at read %d of the clock: seen after %v", reads, took)
			}
		})
	}
}
