package changes_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// account has its own UnmarshalJSON, which ignores its tag.
type account struct {
	Name  string `json:"name"`
	Admin bool   `json:"admin" stay:"private"`
}

func (a *account) UnmarshalJSON(b []byte) error {
	type plain account
	return json.Unmarshal(b, (*plain)(a))
}

// A payload whose tags would be without effect is refused where the action is
// made, as Register refuses it for a state.
//
// Proves W7.
func TestWithPayloadRefusesTagsWithoutEffect(t *testing.T) {
	testkit.WantPanic(t, func() {
		stay.WithPayload(func(*stay.Call, *testkit.Counter, account) error { return nil })
	}, "stay.WithPayload", "account.Admin has a stay tag without effect")
	testkit.WantPanic(t, func() {
		stay.WithPayload(func(*stay.Call, *testkit.Counter, struct{ All map[string][]*account }) error { return nil })
	}, "stay.WithPayload", "account.Admin has a stay tag without effect")
}

// A payload whose value takes far more memory than its length is too large,
// wherever it comes from, and one that is nested too deeply is malformed.
//
// Proves W7.
func TestPayloadsAreBounded(t *testing.T) {
	type row struct{ A, B, C, D string }
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Actions: stay.Actions[testkit.Counter]{
		"rows": stay.WithPayload(func(*stay.Call, *testkit.Counter, []row) error { return nil }),
		"any":  stay.WithPayload(func(*stay.Call, *testkit.Counter, any) error { return nil }),
	}})
	rows := "[" + strings.Repeat("{},", 350_000) + "{}]"
	deep := strings.Repeat("[", 1001) + strings.Repeat("]", 1001)
	for _, c := range []struct {
		action  string
		payload any
		want    stay.Code
	}{
		{"rows", json.RawMessage(rows), stay.ErrTooLarge},
		{"rows", []byte(rows), stay.ErrTooLarge},
		{"rows", make([]struct{}, 350_000), stay.ErrTooLarge},
		{"any", []byte(deep), stay.ErrMalformed},
	} {
		_, err := s.Do(t.Context(), c.action, c.payload)
		testkit.WantCode(t, err, c.want)
	}
	// What is of the type itself comes from the program, as large as it may be.
	if _, err := s.Do(t.Context(), "rows", make([]row, 350_000)); err != nil {
		t.Error(err)
	}
}

// A payload from Go code that is refused says so by field, and says it once.
//
// Proves B8, W6.
func TestARefusedPayloadOfDoNamesItsFields(t *testing.T) {
	type step struct {
		By int `json:"by"`
	}
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Actions: stay.Actions[testkit.Counter]{
		"add": stay.WithPayload(func(*stay.Call, *testkit.Counter, step) error { return nil }),
	}})
	_, err := s.Do(t.Context(), "add", json.RawMessage(`{"by":"x"}`))
	testkit.WantCode(t, err, stay.ErrInvalid)
	if got := stay.FieldErrors(err); len(got) != 1 || got["by"] != "must be a whole number" {
		t.Errorf("fields %q", got)
	}
	if want := "invalid: by: must be a whole number"; !strings.HasSuffix(err.Error(), want) || strings.Count(err.Error(), "must be") != 1 {
		t.Errorf("%q, want it to end in %q", err, want)
	}
}

// A bill says what is wrong with it.
type bill struct {
	Sum  int    `json:"sum"`
	For  string `json:"for"`
	Days int    `json:"days"`
}

func (b bill) Validate() error {
	if b.Sum == 0 {
		return stay.Invalid("sum", "write a sum")
	}
	return errors.Join(stay.Invalid("for", "write for what"), stay.Invalid("", "is not complete"))
}

// What Validate says of the values that fit is part of the error of those that do
// not; what a missing value may be the reason of is not.
//
// Proves W6.
func TestValidateSeesTheValuesThatFit(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global, Actions: stay.Actions[testkit.Counter]{
		"pay": stay.WithPayload(func(*stay.Call, *testkit.Counter, bill) error { return nil }),
	}})
	for body, want := range map[string]string{
		`{"sum":1,"days":"x"}`:   "days: must be a whole number; for: write for what",
		`{"sum":"x","days":"x"}`: "sum: must be a whole number; days: must be a whole number",
		`{"sum":"x","days":1}`:   "sum: must be a whole number",
	} {
		_, err := s.Do(t.Context(), "pay", json.RawMessage(body))
		testkit.WantCode(t, err, stay.ErrInvalid)
		var e *stay.Error
		if !errors.As(err, &e) || e.Message != want || len(e.Fields) != strings.Count(want, ":") {
			t.Errorf("%s: %v", body, err)
		}
	}
}
