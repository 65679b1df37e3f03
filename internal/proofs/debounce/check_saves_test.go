package debounce_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A word can be written as JSON, but for "poison" while unwritable is set.
type word string

var (
	unwritable atomic.Bool
	errWord    = errors.New("this word is not written")
)

func (w word) MarshalJSON() ([]byte, error) {
	if w == "poison" && unwritable.Load() {
		return nil, errWord
	}
	return json.Marshal(string(w))
}

func (w *word) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*string)(w)) }

type saying struct {
	Word word
	N    int
}

func sayings(app *stay.App, delay time.Duration) *stay.State[saying] {
	return stay.Register(app, stay.Module[saying]{Name: "s", Persist: stay.PerUser, Debounce: delay})
}

// say changes the state of the user who is called like the word.
func say(t *testing.T, s *stay.State[saying], w string) error {
	t.Helper()
	_, err := s.At(w).Update(t.Context(), func(v *saying) error {
		v.Word = word(w)
		v.N++
		return nil
	})
	return err
}

func mustSay(t *testing.T, s *stay.State[saying], w string) {
	t.Helper()
	if err := say(t, s, w); err != nil {
		t.Fatal(err)
	}
}

// withPoison runs the test in bubbles for each way in which the state of
// "poison" cannot be stored while others can: from start to end.
func withPoison(t *testing.T, opts stay.Options, test func(t *testing.T, app *stay.App, cause error, start func() (end func()))) {
	for name, c := range map[string]struct {
		fault storefault.Fault // in no case if the state does not get that far
		cause error
	}{
		"too large": {storefault.Fail(store.ErrTooLarge), store.ErrTooLarge},
		"no room":   {storefault.Fail(testkit.ErrDisk), testkit.ErrDisk}, // smaller ones fit
		"unknown":   {storefault.Drop(testkit.ErrDisk), testkit.ErrDisk},
		"no JSON":   {cause: errWord},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.InBubbles(t, opts, func(t *testing.T, app *stay.App, st *storefault.Store, _ store.Store) {
				test(t, app, c.cause, func() func() {
					if errors.Is(c.cause, errWord) {
						unwritable.Store(true)
						return func() { unwritable.Store(false) }
					}
					return st.Add(storefault.Rule{Op: storefault.Commit, Key: "user/s/poison", Fault: c.fault}).Remove
				})
			})
		})
	}
}

// One state that cannot be stored, while others can, does not make the App not
// ready: OnError gets that failure, and Check reports on the store.
func TestCheckBesidePoison(t *testing.T) {
	var log faultLog
	withPoison(t, stay.Options{OnError: log.hook}, func(t *testing.T, app *stay.App, cause error, start func() func()) {
		log.take()
		s := sayings(app, testkit.Debounce)
		mustSay(t, s, "poison")
		end := start()
		defer end()
		testkit.Sleep(time.Minute) // it has failed, the first time included
		for i := range 120 {
			mustSay(t, s, fmt.Sprint("other", i))
			testkit.Sleep(testkit.Debounce)
			for range 10 { // retries come in between
				if err := app.Check(t.Context()); err != nil {
					t.Fatalf("after %d saves of others: %v", i+1, err)
				}
				testkit.Sleep(95 * time.Millisecond)
			}
		}
		told := log.take()
		if len(told) < 10 {
			t.Errorf("OnError was told %d times", len(told))
		}
		for _, e := range told {
			if e.Phase != "save" || e.Module != "s" || !errors.Is(e, cause) {
				t.Errorf("OnError was told %v", e)
			}
		}
		// With nothing else to judge by, a refusal of the store's may be its
		// failure, and one that never reached it is not.
		testkit.Sleep(2 * time.Minute)
		if err := app.Check(t.Context()); (err != nil) != errors.Is(cause, testkit.ErrDisk) {
			t.Errorf("while nothing else is stored: %v", err)
		}
		end()
		testkit.Sleep(time.Minute)
		if err := app.Check(t.Context()); err != nil {
			t.Errorf("after the save: %v", err)
		}
	})
}

// While the store takes no changes the App is not ready, whatever the changes
// are, and it is ready again when the store is: at the latest when the pause
// before the next attempt is over.
func TestCheckFollowsTheStore(t *testing.T) {
	opts := stay.Options{OnError: testkit.Quiet, CommitTimeout: time.Second}
	withSaveFaults(t, opts, func(t *testing.T, app *stay.App, _ *storefault.Store, _ store.Store, start func() *storefault.Added) {
		s := sayings(app, testkit.Debounce)
		mustSay(t, s, "poison")
		unwritable.Store(true)
		defer unwritable.Store(false)
		testkit.Sleep(time.Minute)
		for round := range 2 {
			rule := start()
			for i := range 5 {
				mustSay(t, s, fmt.Sprint(i))
			}
			testkit.Sleep(4 * opts.CommitTimeout) // a call that began before, and two later ones
			for i := range 200 {
				err := app.Check(t.Context())
				if !errors.Is(err, stay.ErrUnavailable) {
					t.Fatalf("round %d: after %d seconds without the store: %v", round, i, err)
				}
				testkit.Sleep(time.Second)
			}
			rule.Remove()
			testkit.Sleep(30*time.Second + opts.CommitTimeout) // an attempt that hangs
			if err := app.Check(t.Context()); err != nil {
				t.Errorf("round %d: after the store has recovered: %v", round, err)
			}
		}
	})
}

// Each store is judged by its own saves: that another one works hides nothing.
func TestCheckTellsStoresApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := storefault.Wrap(memstore.New(), nil)
		app := testkit.NewApp(t, memstore.New(), &stay.Options{OnError: testkit.Quiet})
		works := testkit.Debounced(app)
		fails := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.Global, Debounce: testkit.Debounce, Store: own})
		rule := own.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Fail(testkit.ErrDisk)})
		testkit.MustUpdate(t, t.Context(), fails)
		testkit.Sleep(time.Second)
		for range 100 {
			testkit.MustUpdate(t, t.Context(), works)
			testkit.Sleep(time.Second)
			testkit.WantCode(t, app.Check(t.Context()), stay.ErrUnavailable)
		}
		rule.Remove()
		testkit.Sleep(30 * time.Second)
		if err := app.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// If memory is full, a caller that needs room waits for states that can be
// stored, even beside one that cannot.
//
// Proves A14, E6.
func TestRoomIsMadeBesideAStateThatCannotBeStored(t *testing.T) {
	opts := stay.Options{OnError: testkit.Quiet, MaxInstances: 8}
	withPoison(t, opts, func(t *testing.T, app *stay.App, _ error, start func() func()) {
		s := sayings(app, time.Hour)
		mustSay(t, s, "poison")
		end := start()
		defer end()
		for i := range 100 {
			if err := say(t, s, fmt.Sprint(i)); err != nil {
				t.Fatalf("state %d found no room: %v", i, err)
			}
			testkit.Sleep(time.Second)
		}
		end()
		testkit.Sleep(time.Minute)
	})
}
