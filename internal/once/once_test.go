package once

import (
	"context"
	"fmt"
	"testing"
)

// No two changes that differ in anything have the same name, however their parts
// are put together, and no name is 0.
//
// Proves L27.
func TestNamesDiffer(t *testing.T) {
	seen := map[uint64]string{}
	parts := []string{"", "a", "b", "ab", "a\x00", "\x00b"}
	for _, id := range parts {
		r := New(id, 0)
		for _, session := range parts {
			for _, module := range parts {
				for _, action := range parts {
					for number := range uint32(3) {
						what := fmt.Sprintf("%q %q %q %q %d", id, session, module, action, number)
						name := r.Name(session, module, action, number)
						if other, there := seen[name]; there || name == 0 {
							t.Fatalf("%s is named as %s", what, other)
						}
						seen[name] = what
					}
				}
			}
		}
	}
}

// Changes are counted for each state.
//
// Proves L27.
func TestChangesAreNumberedByState(t *testing.T) {
	r := New("a", 0)
	for n := range uint32(4) {
		for _, module := range []string{"m", "n"} {
			for _, key := range []string{"", "k", "l"} {
				if got := r.Number(module, key); got != n {
					t.Errorf("%s of %q: %d, want %d", module, key, got, n)
				}
			}
		}
	}
}

// The innermost Request of a context counts, and none may be put in front of one.
//
// Proves L27.
func TestTheInnermostRequestCounts(t *testing.T) {
	a, b := New("a", 0), New("b", 0)
	ctx := With(context.Background(), a)
	if Of(context.Background()) != nil || Of(ctx) != a || Of(With(ctx, b)) != b || Of(With(ctx, nil)) != nil {
		t.Error("another one counts")
	}
}
