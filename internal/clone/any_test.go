package clone_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/clone"
)

// What JSON writes as null is nil in the copy of an any, and a number that would
// lose digits there is a panic, as for what cannot be written.
func TestCopyOfAnAnyLosesNothing(t *testing.T) {
	type state struct{ A any }
	plan, err := clone.New(reflect.TypeFor[state]())
	if err != nil {
		t.Fatal(err)
	}
	for _, null := range []any{[]int(nil), map[string]int(nil), (*int)(nil)} {
		if got := plan.Copy(&state{null}).(*state); got.A != nil {
			t.Errorf("a nil %T became %#v", null, got.A)
		}
	}
	defer func() {
		if err, _ := recover().(error); err == nil || !strings.Contains(err.Error(), "id: the number 9007199254740993") {
			t.Errorf("got %v", err)
		}
	}()
	plan.Copy(&state{map[string]int64{"id": 1<<53 + 1}})
}
