package changes_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// Payloads of every form reach the action, bound strictly and validated.
//
// Proves A19, B8.
func TestPayloadsOfEveryFormReachTheAction(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{
		Name: "c", Persist: stay.Global,
		Actions: stay.Actions[testkit.Counter]{
			"add": stay.WithPayload(func(_ *stay.Call, c *testkit.Counter, in testkit.Add) error { c.Count += in.By; return nil }),
		},
	})
	for _, payload := range []any{
		testkit.Add{By: 1}, &testkit.Add{By: 1}, json.RawMessage(`{"by":1}`), []byte(`{"by":1}`), url.Values{"by": {"1"}}, nil,
	} {
		if _, err := s.Do(t.Context(), "add", payload); err != nil {
			t.Errorf("payload %T: %v", payload, err)
		}
	}
	testkit.WantCount(t, t.Context(), s, 5)
	for _, payload := range []any{
		json.RawMessage(`{"by":`), json.RawMessage(`{"bye":1}`), url.Values{"bye": {"1"}},
	} {
		_, err := s.Do(t.Context(), "add", payload)
		testkit.WantCode(t, err, stay.ErrMalformed)
	}
	for _, payload := range []any{json.RawMessage(`{"by":"x"}`), url.Values{"by": {"1", "2"}}} {
		_, err := s.Do(t.Context(), "add", payload)
		testkit.WantCode(t, err, stay.ErrInvalid)
	}
	_, err := s.Do(t.Context(), "add", testkit.Add{By: -1})
	testkit.WantCode(t, err, stay.ErrInvalid)
	if got := stay.FieldErrors(err)["by"]; got != "must not be negative" {
		t.Errorf("the field error is %q", got)
	}
	_, err = s.Do(t.Context(), "subtract", nil)
	testkit.WantCode(t, err, stay.ErrNotFound)
	testkit.WantCount(t, t.Context(), s, 5)
}

// Functions that an action passes to After run in order, after the commit, with
// the state free, and only for the run that was kept.
//
// Proves E4.
func TestAfterRunsOnceAfterTheCommit(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		var got []string
		var s *stay.State[testkit.Counter]
		s = stay.Register(app, stay.Module[testkit.Counter]{
			Name: "c", Persist: stay.Global,
			OnError: func(c *stay.Call, e *stay.Error) { got = append(got, "error "+e.Phase+" of "+c.Action()) },
			Actions: stay.Actions[testkit.Counter]{
				"inc": func(c *stay.Call, st *testkit.Counter) error {
					st.Count++
					c.After(func(ctx context.Context) {
						if st, err := s.Update(ctx, testkit.Increment); err != nil || st.Count != 2 {
							t.Errorf("a change in After: %+v, %v", st, err)
						}
						got = append(got, "one")
					})
					c.After(func(context.Context) { panic("after") })
					c.After(func(context.Context) { got = append(got, "three") })
					return nil
				},
				"none": func(c *stay.Call, st *testkit.Counter) error {
					c.After(func(context.Context) { got = append(got, "unchanged") })
					return nil
				},
				"fail": func(c *stay.Call, st *testkit.Counter) error {
					c.After(func(context.Context) { got = append(got, "never") })
					return errors.New("no")
				},
			},
		})
		for _, action := range []string{"inc", "none", "fail"} {
			if _, err := s.Do(t.Context(), action, nil); (err != nil) != (action == "fail") {
				t.Errorf("%s: %v", action, err)
			}
		}
		if want := []string{"one", "error after of inc", "three", "unchanged"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Inside a change only Get works: with the inner context at once an error, with
// a foreign one after MaxWait, with the fix.
//
// Proves E10.
func TestOnlyGetWorksInsideAChange(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), &stay.Options{MaxWait: 50 * time.Millisecond})
	other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.Global})
	var s *stay.State[testkit.Counter]
	var late context.Context
	s = stay.Register(app, stay.Module[testkit.Counter]{
		Name: "c", Persist: stay.Global,
		Actions: stay.Actions[testkit.Counter]{
			"inner": func(c *stay.Call, _ *testkit.Counter) error {
				late = c.Context()
				for _, state := range []*stay.State[testkit.Counter]{s, other} {
					if _, err := state.Get(c.Context()); err != nil {
						t.Errorf("Get inside a change: %v", err)
					}
					_, err := state.Update(c.Context(), testkit.Increment)
					testkit.WantCode(t, err, stay.ErrNested)
					_, err = state.Reset(c.Context())
					testkit.WantCode(t, err, stay.ErrNested)
					testkit.WantCode(t, state.Delete(c.Context()), stay.ErrNested)
				}
				testkit.WantCode(t, c.Session().Renew(c.Context()), stay.ErrNested)
				testkit.WantCode(t, c.Session().Destroy(c.Context()), stay.ErrNested)
				return nil
			},
			"foreign": func(*stay.Call, *testkit.Counter) error {
				_, err := s.Update(context.Background(), testkit.Increment)
				return err
			},
		},
	})
	ctx := testkit.NewBrowser(app).Ctx()
	if _, err := s.Do(ctx, "inner", nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Update(late, testkit.Increment); err != nil {
		t.Errorf("the context of a run that is over: %v", err)
	}
	_, err := s.Do(ctx, "foreign", nil)
	testkit.WantCode(t, err, stay.ErrBusy)
	var se *stay.Error
	if !errors.As(err, &se) || se.Message == "" {
		t.Errorf("%v does not name the fix", err)
	}
	testkit.WantCount(t, ctx, s, 1)
}

// OnCreated runs after each load, before anybody sees the state; its changes
// are stored with the first change.
//
// Proves A11.
func TestOnCreatedRunsBeforeAnybodySeesTheState(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		var restored []bool
		fail := errors.New("not yet")
		s := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "c", Persist: stay.Global,
			OnCreated: func(c *stay.Call, st *testkit.Counter) error {
				restored = append(restored, c.Restored())
				if fail != nil {
					return fail
				}
				st.Label = "created"
				return nil
			},
			OnError: func(*stay.Call, *stay.Error) {},
		})
		if _, err := s.Get(t.Context()); !errors.Is(err, fail) {
			t.Errorf("a failing OnCreated gives %v", err)
		}
		fail = nil
		got, err := s.Get(t.Context())
		if err != nil || got.Label != "created" {
			t.Errorf("Get sees %+v, %v", got, err)
		}
		for key, err := range s.Keys(t.Context()) {
			t.Errorf("reading stored the state under %q (%v)", key, err)
		}
		if got, err = s.Update(t.Context(), testkit.Increment); err != nil || got.Label != "created" || got.Count != 1 {
			t.Errorf("Update gives %+v, %v", got, err)
		}
		if len(restored) != 2 || restored[1] {
			t.Errorf("OnCreated ran with restored %v", restored)
		}
	})
}
