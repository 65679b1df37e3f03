package keys_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/memstore"
)

type owned struct {
	Owner struct {
		User  string   `json:"user"`
		Roles []string `json:"roles"`
	} `json:"owner" stay:"key"`
	ID    int64 `json:"id" stay:"key"`
	Items []int `json:"items"`
}

// Steps never write the fields that say who the owner is: left out, they are
// put back; changed or added, the record is unreadable.
//
// Proves K0.
func TestStepsNeverWriteKeyFields(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	const stored = `{"owner":{"user":"ann","roles":["x"]},"id":9007199254740993,"list":[1]}`
	for name, c := range map[string]struct {
		stored, out string
		want        string // of the key fields; "" = refused
	}{
		"kept":            {stored, `{"items":[2],"id":9007199254740993,"owner":{"user":"ann","roles":["x"]}}`, "{ann [x]} 9007199254740993"},
		"written anew":    {stored, `{"items":[2],"id":9007199254740993,"owner":{ "roles":["\u0078"], "user":"\u0061nn" }}`, "{ann [x]} 9007199254740993"},
		"left out":        {stored, `{"items":[2]}`, "{ann [x]} 9007199254740993"},
		"all left out":    {stored, `{}`, "{ann [x]} 9007199254740993"},
		"one left out":    {stored, `{"items":[2],"id":9007199254740993}`, "{ann [x]} 9007199254740993"},
		"never there":     {`{"list":[1]}`, `{"items":[2]}`, "{ []} 0"},
		"changed":         {stored, `{"owner":{"user":"eve","roles":["x"]}}`, ""},
		"changed inside":  {stored, `{"owner":{"user":"ann","roles":["x","admin"]}}`, ""},
		"emptied":         {stored, `{"owner":null}`, ""},
		"added":           {`{"id":1}`, `{"owner":{"user":"ann"}}`, ""},
		"through a float": {stored, `{"id":9007199254740992}`, ""},
		"twice":           {stored, `{"id":9007199254740993,"id":1}`, ""},
		"no object":       {stored, `[]`, ""},
		"no JSON":         {stored, `{"id":`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			state := access.StateOf(stay.Register(app, stay.Module[owned]{
				Name: fmt.Sprintf("m%x", name), Version: 2,
				Persist: stay.WithKey(func(o *owned) string { return o.Owner.User }),
				Migrate: testkit.Steps{1: func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage(c.out), nil }},
			}))
			v, err := state.Decode(1, []byte(c.stored))
			if c.want == "" {
				if err == nil {
					t.Errorf("accepted as %+v", v)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := v.(*owned); fmt.Sprint(got.Owner, got.ID) != c.want {
				t.Errorf("the key fields are %v %v, want %s", got.Owner, got.ID, c.want)
			}
		})
	}
}

// Whatever is stored and whatever a step returns, the record is read or
// refused, and its key fields are the stored ones.
//
// Proves K0, M3.
func FuzzStep(f *testing.F) {
	for _, s := range []string{``, `null`, `{}`, `[]`, `{"id":1}`, `{"id":1.0,"owner":{}}`, `{"owner":{"user":"ann"},"x":{"y":[1]}}`, `{"items":[1],"\u0069d":2}`, `{"owner":`} {
		f.Add(s, s)
		f.Add(s, `{"items":[1]}`)
	}
	app := testkit.NewApp(f, memstore.New(), nil)
	var out atomic.Pointer[string]
	state := access.StateOf(stay.Register(app, stay.Module[owned]{
		Name: "m", Version: 2, Persist: stay.WithKey(func(o *owned) string { return o.Owner.User }),
		Migrate: testkit.Steps{1: func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage(*out.Load()), nil }},
	}))
	f.Fuzz(func(t *testing.T, stored, made string) {
		out.Store(&made)
		v, err := state.Decode(1, []byte(stored))
		if err != nil {
			return
		}
		plain, err := state.Decode(2, []byte(stored))
		if err != nil {
			return // the old form is not the present one
		}
		got, want := v.(*owned), plain.(*owned)
		if !reflect.DeepEqual(got.Owner, want.Owner) || got.ID != want.ID {
			t.Errorf("the key fields became %+v %d, stored were %+v %d", got.Owner, got.ID, want.Owner, want.ID)
		}
	})
}
