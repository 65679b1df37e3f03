package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay/store"
)

// The outcome of one failed write says what reading back shows.
//
// Proves C2.
func TestSimpleFailedWrite(t *testing.T) {
	type calls []string
	for name, c := range map[string]struct {
		before, after calls
		op            store.Op
		want          store.Outcome
		value         string
	}{
		"save not done":                {before: calls{"save key"}, want: store.Rejected, value: "old"},
		"save done":                    {after: calls{"save key"}, want: store.Unknown, value: "new"},
		"delete not done":              {before: calls{"delete key"}, op: store.Delete, want: store.Rejected, value: "old"},
		"delete done":                  {after: calls{"delete key"}, op: store.Delete, want: store.Unknown, value: ""},
		"load before the save":         {before: calls{"load key"}, want: store.Rejected, value: "old"},
		"reading back fails with save": {after: calls{"save key", "2 load key"}, want: store.Unknown, value: "new"},
	} {
		t.Run(name, func(t *testing.T) {
			sh := newShelf()
			s := store.FromSimple(sh)
			defer s.Close()
			rev := commit(t, s, store.Applied, put("key", "old", 0)).Revisions[0]
			sh.fail(c.before, c.after)
			if slices.Contains(c.after, "2 load key") {
				loads := 0
				sh.after = func(call string) error {
					if call == "load key" {
						loads++
					}
					if call == "save key" || loads == 2 {
						return errTest
					}
					return nil
				}
			}
			w := put("key", "new", rev)
			w.Op = c.op
			if res := commit(t, s, c.want, w); !errors.Is(res.Err, errTest) {
				t.Errorf("error is %v", res.Err)
			}
			sh.fail(nil, nil)
			if got := value(t, s, "key"); got != c.value {
				t.Errorf("value is %q, want %q", got, c.value)
			}
		})
	}
}

// A group is all or none whichever call of it fails, also when undoing fails
// for a while: nobody sees half of it meanwhile.
//
// Proves C2.
func TestSimpleFailedGroup(t *testing.T) {
	for _, failing := range []string{"save a", "delete b", "save c"} {
		for _, done := range []bool{false, true} {
			for _, stuck := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s done=%v stuck=%v", failing, done, stuck), func(t *testing.T) {
					sh := newShelf()
					s := store.FromSimple(sh)
					defer s.Close()
					a := commit(t, s, store.Applied, put("a", "old a", 0)).Revisions[0]
					b := commit(t, s, store.Applied, put("b", "old b", 0)).Revisions[0]
					before := maps.Clone(sh.saved)
					tripped := false
					fail := func(call string) error {
						if call == failing || stuck && tripped && !strings.HasPrefix(call, "load") {
							tripped = true
							return errTest
						}
						return nil
					}
					once := func(call string) error {
						if tripped && !stuck {
							return nil
						}
						return fail(call)
					}
					if done {
						sh.after = once
					} else {
						sh.before = once
					}
					g := store.Group{put("a", "new a", a), {Op: store.Delete, Key: "b", Base: b}, put("c", "new c", 0)}
					res := s.Commit(t.Context(), []store.Group{g})[0]
					if res.Outcome == store.Applied || res.Outcome == store.Conflict || !errors.Is(res.Err, errTest) {
						t.Fatalf("outcome %v (%v)", res.Outcome, res.Err)
					}
					if !stuck && res.Outcome != store.Rejected {
						t.Errorf("outcome %v (%v) though everything was taken back", res.Outcome, res.Err)
					}
					if stuck && res.Outcome == store.Unknown {
						// Whatever can be read meanwhile is the old state.
						for key, want := range map[string]string{"a": "old a", "b": "old b", "c": ""} {
							recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
							if err == nil && string(recs[0].Value) != want {
								t.Errorf("%s is %q while the group is not taken back", key, recs[0].Value)
							}
						}
					}
					sh.before, sh.after = nil, nil
					for key, want := range map[string]string{"a": "old a", "b": "old b", "c": ""} {
						if got := value(t, s, key); got != want {
							t.Errorf("%s is %q, want %q", key, got, want)
						}
					}
					if !maps.EqualFunc(before, sh.saved, slices.Equal) {
						t.Errorf("saved are %q, want %q", sh.saved, before)
					}
					for i, rev := range commit(t, s, store.Applied, g...).Revisions {
						if g[i].Op == store.Put && rev <= g[i].Base {
							t.Errorf("the same group later has revision %d on %d", rev, g[i].Base)
						}
					}
					for key, want := range map[string]string{"a": "new a", "b": "", "c": "new c"} {
						if got := value(t, s, key); got != want {
							t.Errorf("%s is %q after the group was applied, want %q", key, got, want)
						}
					}
				})
			}
		}
	}
}

// A context that ends in the middle of a group does not keep it from being
// taken back.
//
// Proves C6.
func TestSimpleCancelledGroup(t *testing.T) {
	sh := newShelf()
	s := store.FromSimple(sh)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	sh.before = func(call string) error {
		if call == "save b" {
			cancel()
		}
		return nil
	}
	res := s.Commit(ctx, []store.Group{{put("a", "v", 0), put("b", "v", 0)}})[0]
	if res.Outcome != store.Rejected || !errors.Is(res.Err, context.Canceled) {
		t.Errorf("outcome %v (%v), want rejected", res.Outcome, res.Err)
	}
	if len(sh.saved) != 0 {
		t.Errorf("saved are %q", sh.saved)
	}
}

// If reading back does not help, a failed write is unknown: when the read
// fails, and when the old value is nearly the present one.
//
// Proves C2.
func TestSimpleUnsure(t *testing.T) {
	sh := newShelf()
	s := store.FromSimple(sh)
	defer s.Close()
	loads := 0
	sh.before = func(call string) error {
		if call == "load new" {
			loads++
		}
		if call == "save new" || loads == 2 {
			return errTest
		}
		return nil
	}
	commit(t, s, store.Unknown, put("new", "v", 0))
	sh.fail(nil, []string{"delete empty"})
	sh.saved["empty"] = []byte{}
	commit(t, s, store.Unknown, store.Write{Op: store.Delete, Key: "empty", Base: 1})
}
