package running_test

import (
	"testing"

	"github.com/stay-go/stay/internal/running"
)

// A goroutine is within the change that it runs itself, and within no other.
func TestWithin(t *testing.T) {
	var s running.Set
	within := func(want string) {
		t.Helper()
		if got, ok := s.Within(); got != want || ok != (want != "") {
			t.Errorf("within %q %t, want %q", got, ok, want)
		}
	}
	within("")
	leave := s.Enter("outer")
	within("outer")
	inner := s.Enter("inner")
	within("inner")
	done := make(chan struct{})
	go func() {
		defer close(done)
		within("")
		defer s.Enter("other")()
		within("other")
	}()
	<-done
	within("inner")
	inner()
	within("outer")
	leave()
	within("")
}
