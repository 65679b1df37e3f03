package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
)

// ErrDisk is the error of a failing store.
var ErrDisk = errors.New("the disk is gone")

// Loud is an OnError hook that must not be called.
func Loud(t *testing.T) func(*stay.Call, *stay.Error) {
	return func(_ *stay.Call, e *stay.Error) { t.Errorf("OnError was told %v", e) }
}

// WantCount compares the state that is read with a count.
func WantCount(t *testing.T, ctx context.Context, s *stay.State[Counter], want int) {
	t.Helper()
	c, err := s.Get(ctx)
	if err != nil {
		t.Errorf("Get: %v", err)
	} else if c.Count != want {
		t.Errorf("count is %d, want %d", c.Count, want)
	}
}

// WantCode checks the code of an error.
func WantCode(t *testing.T, err error, want stay.Code) {
	t.Helper()
	if !errors.Is(err, want) || stay.CodeOf(err) != want {
		t.Errorf("error %v has code %q, want %q", err, stay.CodeOf(err), want)
	}
}

// WantPanic runs fn, which must panic with a text that contains all the words.
func WantPanic(t *testing.T, fn func(), words ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		p := recover()
		text, _ := p.(string)
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("panic %q does not say %q", p, w)
			}
		}
	}()
	fn()
	t.Error("no panic")
}

// Quiet is an OnError hook for tests whose failures are expected.
func Quiet(*stay.Call, *stay.Error) {}

// WantState compares the state that a session reads with JSON.
func WantState[S any](t *testing.T, ctx context.Context, state *stay.State[S], want string) {
	t.Helper()
	got, err := state.Get(ctx)
	if err != nil {
		t.Errorf("Get: %v", err)
		return
	}
	WantJSON(t, got, want)
}

// WantJSON compares a state with JSON.
func WantJSON(t *testing.T, got any, want string) {
	t.Helper()
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Errorf("state is %s, want %s", b, want)
	}
}

// WantEqual compares two values by how they are printed.
func WantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// WantClosed closes the App, which must not take long.
func WantClosed(t *testing.T, app *stay.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := app.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// NoError ends the test if there is an error.
func NoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
