package loglimit_test

import (
	"testing"
	"time"

	"github.com/stay-go/stay/internal/loglimit"
)

// So many are let through in each second, and the first of the next says how
// many were not.
func TestQuota(t *testing.T) {
	var q loglimit.Limit
	now := time.Unix(1000, 0)
	for second, leftOut := range []int{0, 90, 90} {
		for i := range 100 {
			ok, n := q.Take(now.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Millisecond))
			if ok != (i < loglimit.PerSecond) {
				t.Errorf("second %d, %d: %v", second, i, ok)
			}
			if i == 0 && n != leftOut || i > 0 && n != 0 {
				t.Errorf("second %d, %d: %d left out", second, i, n)
			}
		}
	}
	if _, n := q.Take(now.Add(time.Hour)); n != 90 {
		t.Errorf("after a pause: %d left out", n)
	}
}
