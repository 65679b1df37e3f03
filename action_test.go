package stay_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

func goexit() { runtime.Goexit() }

type add struct {
	By int `json:"by"`
}

func (a add) Validate() error {
	if a.By < 0 {
		return stay.Invalid("by", "must not be negative")
	}
	return nil
}

// Payloads of every form reach the action, bound strictly and validated (A19,
// B8).
func TestA19Payloads(t *testing.T) {
	app := newApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[counter]{
		Name: "c", Persist: stay.Global,
		Actions: stay.Actions[counter]{
			"add": stay.WithPayload(func(_ *stay.Call, c *counter, in add) error { c.Count += in.By; return nil }),
		},
	})
	for _, payload := range []any{
		add{By: 1}, &add{By: 1}, json.RawMessage(`{"by":1}`), []byte(`{"by":1}`), url.Values{"by": {"1"}}, nil,
	} {
		if _, err := s.Do(t.Context(), "add", payload); err != nil {
			t.Errorf("payload %T: %v", payload, err)
		}
	}
	wantCount(t, t.Context(), s, 5)
	for _, payload := range []any{
		json.RawMessage(`{"by":`), json.RawMessage(`{"by":"x"}`), json.RawMessage(`{"bye":1}`), url.Values{"bye": {"1"}}, url.Values{"by": {"1", "2"}},
	} {
		_, err := s.Do(t.Context(), "add", payload)
		wantCode(t, err, stay.ErrMalformed)
	}
	_, err := s.Do(t.Context(), "add", add{By: -1})
	wantCode(t, err, stay.ErrInvalid)
	if got := stay.FieldErrors(err)["by"]; got != "must not be negative" {
		t.Errorf("the field error is %q", got)
	}
	_, err = s.Do(t.Context(), "subtract", nil)
	wantCode(t, err, stay.ErrNotFound)
	wantCount(t, t.Context(), s, 5)
}

// What an action puts off with After runs in order, after the commit, with
// the state free, and only for the run that holds (E4).
func TestE4After(t *testing.T) {
	onEachStore(t, func(t *testing.T, app *stay.App) {
		var got []string
		var s *stay.State[counter]
		s = stay.Register(app, stay.Module[counter]{
			Name: "c", Persist: stay.Global,
			OnError: func(c *stay.Call, e *stay.Error) { got = append(got, "error "+e.Phase+" of "+c.Action()) },
			Actions: stay.Actions[counter]{
				"inc": func(c *stay.Call, st *counter) error {
					st.Count++
					c.After(func(ctx context.Context) {
						if st, err := s.Update(ctx, increment); err != nil || st.Count != 2 {
							t.Errorf("a change in After: %+v, %v", st, err)
						}
						got = append(got, "one")
					})
					c.After(func(context.Context) { panic("after") })
					c.After(func(context.Context) { got = append(got, "three") })
					return nil
				},
				"none": func(c *stay.Call, st *counter) error {
					c.After(func(context.Context) { got = append(got, "unchanged") })
					return nil
				},
				"fail": func(c *stay.Call, st *counter) error {
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

// Inside a change only Get works: with the inner context at once an error,
// with a foreign one after MaxWait, with the mend (E10).
func TestE10Nested(t *testing.T) {
	app := newApp(t, memstore.New(), &stay.Options{MaxWait: 50 * time.Millisecond})
	other := stay.Register(app, stay.Module[counter]{Name: "other", Persist: stay.Global})
	var s *stay.State[counter]
	var late context.Context
	s = stay.Register(app, stay.Module[counter]{
		Name: "c", Persist: stay.Global,
		Actions: stay.Actions[counter]{
			"inner": func(c *stay.Call, _ *counter) error {
				late = c.Context()
				for _, state := range []*stay.State[counter]{s, other} {
					if _, err := state.Get(c.Context()); err != nil {
						t.Errorf("Get inside a change: %v", err)
					}
					_, err := state.Update(c.Context(), increment)
					wantCode(t, err, stay.ErrNested)
					_, err = state.Reset(c.Context())
					wantCode(t, err, stay.ErrNested)
					wantCode(t, state.Delete(c.Context()), stay.ErrNested)
				}
				wantCode(t, c.Session().Renew(c.Context()), stay.ErrNested)
				wantCode(t, c.Session().Destroy(c.Context()), stay.ErrNested)
				return nil
			},
			"foreign": func(*stay.Call, *counter) error {
				_, err := s.Update(context.Background(), increment)
				return err
			},
		},
	})
	ctx := newBrowser(app).ctx()
	if _, err := s.Do(ctx, "inner", nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Update(late, increment); err != nil {
		t.Errorf("the context of a run that is over: %v", err)
	}
	_, err := s.Do(ctx, "foreign", nil)
	wantCode(t, err, stay.ErrBusy)
	var se *stay.Error
	if !errors.As(err, &se) || se.Message == "" {
		t.Errorf("%v does not say the mend", err)
	}
	wantCount(t, ctx, s, 1)
}

// OnCreated runs after each load, before anybody sees the state; its changes
// are stored with the first change (A11).
func TestA11OnCreated(t *testing.T) {
	onEachStore(t, func(t *testing.T, app *stay.App) {
		var restored []bool
		fail := errors.New("not yet")
		s := stay.Register(app, stay.Module[counter]{
			Name: "c", Persist: stay.Global,
			OnCreated: func(c *stay.Call, st *counter) error {
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
		if got, err = s.Update(t.Context(), increment); err != nil || got.Label != "created" || got.Count != 1 {
			t.Errorf("Update gives %+v, %v", got, err)
		}
		if len(restored) != 2 || restored[1] {
			t.Errorf("OnCreated ran with restored %v", restored)
		}
	})
}
