package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store/memstore"
)

// A change that starts again waits for one round trip at most, however often it
// has lost.
//
// Proves E4.
func TestLosersWaitForOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Config{MaxWait: time.Second})
		b := e.Backend(memstore.New())
		for _, trip := range []time.Duration{0, 5 * time.Millisecond, time.Minute} {
			b.main.took.Store(int64(trip))
			most := min(max(trip, time.Millisecond), 64*time.Millisecond)
			for attempt := range 200 {
				began := time.Now()
				if err := e.spread(t.Context(), attempt); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d > most {
					t.Fatalf("attempt %d waits for %v, the round trip takes %v", attempt, d, trip)
				}
			}
		}
	})
}
