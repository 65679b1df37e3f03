package testkit

import (
	"context"
	"encoding/json"
	"runtime"
	"testing"

	"github.com/stay-go/stay"
)

// Goexit ends the goroutine, as t.FailNow does.
func Goexit() { runtime.Goexit() }

// Add is a payload that can be invalid.
type Add struct {
	By int `json:"by"`
}

// Validate refuses less than nothing.
func (a Add) Validate() error {
	if a.By < 0 {
		return stay.Invalid("by", "must not be negative")
	}
	return nil
}

// Text is a state that is as large as its text.
type Text struct {
	Text string `json:"text"`
}

// Counter is the state of most tests.
type Counter struct {
	Count int    `json:"count"`
	Label string `json:"label" stay:"preserve"`
}

// Increment is the change of most tests.
func Increment(c *Counter) error {
	c.Count++
	return nil
}

// MustUpdate increments the counter; the test ends if that fails.
func MustUpdate(t *testing.T, ctx context.Context, s *stay.State[Counter]) {
	t.Helper()
	if _, err := s.Update(ctx, Increment); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// Change updates the state; the test ends if that fails.
func Change[S any](t *testing.T, ctx context.Context, s *stay.State[S], fn func(*S) error) {
	t.Helper()
	if _, err := s.Update(ctx, fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// Migration steps, as stay.Module has them.
type (
	// Step brings a stored state to the next version.
	Step = func(json.RawMessage) (json.RawMessage, error)
	// Steps are the migration steps of a module, by the version that they begin
	// at.
	Steps = map[int]Step
)

// Set replaces the state; the test ends if that fails.
func Set(t *testing.T, ctx context.Context, s *stay.State[Counter], to Counter) {
	t.Helper()
	if _, err := s.Update(ctx, func(c *Counter) error { *c = to; return nil }); err != nil {
		t.Fatal(err)
	}
}

// TryUpdate is MustUpdate for goroutines beside the test's, which it does not end.
func TryUpdate(t *testing.T, ctx context.Context, s *stay.State[Counter]) {
	if _, err := s.Update(ctx, Increment); err != nil {
		t.Error(err)
	}
}
