package stay_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// If a context carries the sessions of two Apps, an action gets the session of
// its own App, whichever was put in last.
//
// Proves B4.
func TestCallsKnowTheirOwnAppsSession(t *testing.T) {
	outerApp, innerApp := testkit.NewApp(t, memstore.New(), nil), testkit.NewApp(t, memstore.New(), nil)
	var saw *stay.Session
	outer := stay.Register(outerApp, stay.Module[testkit.Counter]{
		Name: "c", Persist: stay.PerSession,
		Actions: stay.Actions[testkit.Counter]{"look": func(c *stay.Call, _ *testkit.Counter) error {
			saw = c.Session()
			return nil
		}},
	})
	b := testkit.NewBrowser(outerApp)
	own := b.Ctx()
	core := access.AppOf(innerApp)
	both := core.Begin(own, core.Keyring(nil), "", &testkit.Response{Browser: testkit.NewBrowser(innerApp)})
	if stay.SessionFrom(both) == stay.SessionFrom(own) {
		t.Fatal("the context has one session only")
	}
	if _, err := outer.Do(both, "look", nil); err != nil {
		t.Fatal(err)
	}
	if saw != stay.SessionFrom(own) {
		t.Error("the action saw the session of another App")
	}
}

// After panics in a hook, because nothing would call the function.
//
// Proves E4.
func TestAfterOutsideOfActionsPanics(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), &stay.Options{OnError: func(*stay.Call, *stay.Error) {}})
	s := stay.Register(app, stay.Module[testkit.Counter]{
		Name: "c", Persist: stay.Global,
		OnCreated: func(c *stay.Call, _ *testkit.Counter) error {
			c.After(func(context.Context) { t.Error("it was called") })
			return nil
		},
	})
	_, err := s.Get(t.Context())
	testkit.WantCode(t, err, stay.ErrInternal)
	if !strings.Contains(err.Error(), "Call.After was called outside an action") {
		t.Errorf("%v does not say what is wrong", err)
	}
}

// A mistake of the program is not a malformed request, and a nil function is
// refused before there are requests.
//
// Proves W6.
func TestMistakesOfTheProgramAreNoMalformedRequests(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{
		Name: "c", Persist: stay.Global,
		Actions: stay.Actions[testkit.Counter]{"bind": func(c *stay.Call, _ *testkit.Counter) error {
			var in testkit.Counter
			return c.Bind(in) // not a pointer
		}},
	})
	_, err := s.Do(t.Context(), "bind", []byte(`{"count":1}`))
	testkit.WantCode(t, err, stay.ErrInternal)
	var e *stay.Error
	if !errors.As(err, &e) || e.Message != "" {
		t.Errorf("%v is shown to clients", err)
	}
	testkit.WantPanic(t, func() { stay.WithPayload[testkit.Counter, testkit.Counter](nil) }, "WithPayload", "nil")
	testkit.WantPanic(t, func() { store.FromSimple(nil) }, "FromSimple", "nil")
}

// An error that is wrapped by an error with its own text is a cause, and is not
// shown.
//
// Proves W6.
func TestFieldErrorsOfCausesAreNotShown(t *testing.T) {
	hidden := stay.Invalid("email", "taken by bob")
	for name, err := range map[string]error{
		"a message": &stay.Error{Code: stay.ErrDenied, Message: "not allowed", Err: hidden},
		"fields":    &stay.Error{Code: stay.ErrInvalid, Fields: map[string]string{"name": "is empty"}, Err: hidden},
	} {
		if got := stay.FieldErrors(err); got["email"] != "" {
			t.Errorf("%s: %v", name, got)
		}
	}
	plain := &stay.Error{Code: stay.ErrInvalid, Err: errors.Join(hidden, stay.Invalid("name", "is empty"))}
	if got := stay.FieldErrors(plain); len(got) != 2 {
		t.Errorf("of an error without a text: %v", got)
	}
}

// Keys lists a module; At returns one state.
//
// Proves A12.
func TestKeysBehindAtAreAnError(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	testkit.MustUpdate(t, t.Context(), s)
	n := 0
	for key, err := range s.At("x").Keys(t.Context()) {
		n++
		testkit.WantCode(t, err, stay.ErrInvalid)
		if key != "" {
			t.Errorf("a key %q", key)
		}
	}
	if n != 1 {
		t.Errorf("%d results, want one error", n)
	}
}
