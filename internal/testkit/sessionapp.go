package testkit

import (
	"slices"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// SessionApp has a counter of each browser, on a clock that moves.
type SessionApp struct {
	*stay.App
	Store *memstore.Store
	Clock *Clock
	Clicks,
	Notes, // ephemeral
	Global *stay.State[Counter]
}

// NewSessionApp is a SessionApp on a store in memory.
func NewSessionApp(t *testing.T) *SessionApp {
	st, clock := memstore.New(), NewClock()
	app := NewApp(t, st, &stay.Options{Clock: clock.Now})
	return &SessionApp{
		App: app, Store: st, Clock: clock,
		Clicks: stay.Register(app, stay.Module[Counter]{Name: "clicks", Persist: stay.PerSession}),
		Notes:  stay.Register(app, stay.Module[Counter]{Name: "notes"}),
		Global: stay.Register(app, stay.Module[Counter]{Name: "global", Persist: stay.Global}),
	}
}

// Rows returns the keys in the store except those of all programs.
func (a *SessionApp) Rows(t *testing.T) []string {
	t.Helper()
	keys, err := a.Store.List(t.Context(), a.Clock.Now(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, OfAllPrograms)
}
