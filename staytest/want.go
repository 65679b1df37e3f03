package staytest

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stay-go/stay"
)

// Want checks that the committed state equals want. If it does not, the test
// fails and goes on, with a line for each difference: the path in JSON, what is
// there and what is wanted. Values are compared as JSON keeps them: an absent
// list (null) is not an empty one, and times are equal when they are the same
// instant. A state that cannot be read, or a want that JSON cannot hold, is a
// failure too.
//
//	staytest.Want(t, ctx, counter, Counter{Count: 2})
func Want[S any](t testing.TB, ctx context.Context, state *stay.State[S], want S) {
	t.Helper()
	got, err := state.Get(ctx)
	if err != nil {
		t.Errorf("reading %s: %v", state.Name(), err)
		return
	}
	wanted, err := valueOf(&want)
	if err != nil {
		t.Errorf("the wanted value is not a valid state of %s: %v", state.Name(), err)
		return
	}
	found, err := valueOf(got)
	if err != nil {
		t.Errorf("the state of %s cannot be compared: %v", state.Name(), err)
		return
	}
	var d diff
	d.compare("", reflect.TypeFor[S](), found, wanted)
	if len(d.lines) > 0 {
		t.Errorf("%s differs from the wanted state:\n%s", state.Name(), &d)
	}
}

// valueOf returns the JSON of a state as maps, lists and plain values.
func valueOf(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return parse(b)
}
