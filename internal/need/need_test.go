package need_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stay-go/stay/internal/need"
)

// A recorder is a test that ends when it is told to, without the test around it.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper()      {}
func (r *recorder) Name() string { return "recorded" }
func (r *recorder) Skip(...any)  { r.stop("skipped") }
func (r *recorder) Fatal(...any) { r.stop("failed") }

func (r *recorder) stop(how string) {
	r.end = how
	panic(r)
}

// What is missing skips a test, and fails it where it is required. Other errors fail
// it everywhere.
func TestWhatIsMissingFailsWhereItIsRequired(t *testing.T) {
	missing, other := errors.New("missing"), errors.New("other")
	for _, c := range []struct {
		require string
		err     error
		want    string
	}{
		{"", nil, ""},
		{"", fmt.Errorf("no server: %w", missing), "skipped"},
		{"", other, "failed"},
		{"1", nil, ""},
		{"1", fmt.Errorf("no server: %w", missing), "failed"},
		{"redis", missing, "failed"},
		{"1", other, "failed"},
	} {
		t.Setenv("STAY_TEST_REQUIRE", c.require)
		r := &recorder{TB: t}
		func() {
			defer func() {
				if p := recover(); p != nil && p != any(r) {
					panic(p)
				}
			}()
			need.NoError(r, c.err, missing)
		}()
		if r.end != c.want {
			t.Errorf("STAY_TEST_REQUIRE=%q, error %v: %q, want %q", c.require, c.err, r.end, c.want)
		}
	}
}
