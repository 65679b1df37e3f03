package sweep_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/internal/sweep"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

var now = time.UnixMilli(1_800_000_000_000)

// An owner is the Owner of one session, "s", with the states in states.
type owner struct {
	states  []string
	hooked  map[string]bool // keys with a hook here
	others  map[string]bool // and elsewhere
	broken  map[string]bool // keys of records that cannot be read
	expired []string        // keys that hooks ran for
	gone    []string
}

func (o *owner) Prepare(context.Context) error             { return nil }
func (o *owner) Ended(*store.Record) time.Time             { return time.Time{} }
func (o *owner) States(_ string, _ *store.Record) []string { return slices.Clone(o.states) }
func (o *owner) Save(context.Context, []string)            {}
func (o *owner) Hooked(key string) bool                    { return o.hooked[key] }
func (o *owner) HookElsewhere(key string) bool             { return o.others[key] }
func (o *owner) Expire(_ context.Context, rec *store.Record) error {
	key := keyspace.Original(rec.Key)
	if o.broken[key] {
		return errors.New("cannot be read")
	}
	o.expired = append(o.expired, key)
	return nil
}

func (o *owner) Gone(d *sweep.Due) {
	for rec := range d.Removed() {
		o.gone = append(o.gone, rec.Key)
	}
}

func sweeper(s store.Store) *sweep.Sweeper {
	return sweep.New(sweep.Config{
		Store: s, Now: func() time.Time { return now }, MaxWait: time.Minute, CommitTimeout: time.Minute, MaxState: 1 << 20,
		Begin: func() bool { return true }, End: func() {}, Closing: func() bool { return false },
	})
}

// keys returns what is stored, with the time at which it expires.
func keys(t *testing.T, s store.Store) map[string]time.Time {
	t.Helper()
	all, err := s.(store.Lister).List(t.Context(), time.UnixMilli(0), "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]time.Time{}
	for _, key := range all {
		recs, err := s.Load(t.Context(), []store.Read{{Key: key}})
		if err != nil {
			t.Fatal(err)
		}
		out[key] = recs[0].Expires
	}
	return out
}

// A session that is over goes with all that it has: what has a hook here has it
// run, what has one elsewhere is set aside for it, and so is what cannot be read.
// What has not expired stays.
//
// Proves A15.
func TestWhatIsDueGoesInOneStep(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	session, plain, hooked := keyspace.Sessions+"s", keyspace.Prefix(keyspace.Session, "plain")+"s", keyspace.Prefix(keyspace.Session, "hooked")+"s"
	other, broken, young := keyspace.Prefix(keyspace.Session, "other")+"s", keyspace.Prefix(keyspace.Session, "broken")+"s", keyspace.Prefix(keyspace.User, "m")+"ann"
	old, later := now.Add(-time.Second), now.Add(time.Hour)
	for key, expires := range map[string]time.Time{session: old, plain: old, hooked: old, other: later, broken: later, young: later} {
		if res := s.Commit(t.Context(), []store.Group{{{Key: key, Value: []byte("{}"), Expires: expires}}}); res[0].Outcome != store.Applied {
			t.Fatal(res[0].Err)
		}
	}
	o := &owner{
		states: []string{plain, hooked, other, broken},
		hooked: map[string]bool{hooked: true, broken: true}, others: map[string]bool{other: true}, broken: map[string]bool{broken: true},
	}
	err := sweeper(s).Sweep(t.Context(), o)
	if err == nil || err.Error() != "cannot be read" {
		t.Errorf("the sweep failed with %v", err)
	}
	left := keys(t, s)
	aside := map[string]time.Time{}
	for key, expires := range left {
		if keyspace.IsAside(key) {
			aside[keyspace.Original(key)] = expires
			delete(left, key)
		}
	}
	if got := slices.Collect(maps.Keys(left)); !slices.Equal(got, []string{young}) {
		t.Errorf("%q is left", got)
	}
	if len(aside) != 2 || !aside[broken].After(now) || aside[other].After(now) {
		t.Errorf("set aside are %v", aside)
	}
	if !slices.Equal(o.expired, []string{hooked}) || len(o.gone) != 5 {
		t.Errorf("hooks ran for %q, gone is %q", o.expired, o.gone)
	}
}

// A tombstone among the states of a session that is over, of a node whose clock
// is ahead, is none of them: no hook hears of it.
//
// Proves A15.
func TestATombstoneDoesNotExpireWithItsSession(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	session, gone := keyspace.Sessions+"s", keyspace.Prefix(keyspace.Session, "gone")+"s"
	tombstone := meta.Meta{Birth: 1, Deleted: true, By: meta.Writer{Seq: 1}}
	for _, w := range []store.Write{
		{Key: session, Value: []byte("{}"), Expires: now.Add(-time.Second)},
		{Key: gone, Meta: tombstone.Append(nil), Expires: now.Add(time.Second)},
	} {
		if res := s.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
			t.Fatal(res[0].Err)
		}
	}
	o := &owner{states: []string{gone}, hooked: map[string]bool{gone: true}}
	if err := sweeper(s).Sweep(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if len(o.expired) > 0 {
		t.Errorf("hooks ran for %q", o.expired)
	}
	if left := slices.Collect(maps.Keys(keys(t, s))); !slices.Equal(left, []string{gone}) {
		t.Errorf("left: %q, want the tombstone", left)
	}
}
