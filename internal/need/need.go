// Package need decides what becomes of a test that lacks something of its machine,
// such as a server's program: it is skipped, and says so on standard error, or it
// fails where STAY_TEST_REQUIRE is set, as make test does.
package need

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// Required reports whether a test fails that lacks something.
func Required() bool { return os.Getenv("STAY_TEST_REQUIRE") != "" }

// Missing ends the test: what says what it lacks.
func Missing(t testing.TB, what any) {
	t.Helper()
	if Required() {
		t.Fatal(what)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED %s: %v\n", t.Name(), what)
	t.Skip(what)
}

// NoError ends the test if there is an error: as Missing if it is one of the missing
// ones.
func NoError(t testing.TB, err error, missing ...error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, is := range missing {
		if errors.Is(err, is) {
			Missing(t, err)
		}
	}
	t.Fatal(err)
}
