package engine

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// A Type knows how the states of a module are copied, encoded and loaded.
// Values are owned by the engine and never changed once they are part of a
// Version.
type Type interface {
	// Clone returns a deep copy.
	Clone(v any) any
	// Encode returns the bytes of v with the unknown fields of extra.
	Encode(v, extra any) ([]byte, error)
	// Settle returns what v becomes once its run is over: a deep copy that
	// equals what loading the bytes would give and keeps no memory but its own:
	// its strings are shared with from at most, the value of the version that
	// the run began with. result is v or a copy of the settled value; its
	// receiver owns it. bytes is about what settled takes in memory together
	// with extra, the unknown fields that it is kept with.
	Settle(v, from, extra any, encoded []byte) (settled, result any, bytes int, err error)
	// Load makes a version of a record, or of the initial state when its
	// revision is 0, and runs the module's hooks.
	Load(ctx context.Context, key string, rec *store.Record) (Loaded, error)
}

// A Loaded is what a record holds.
type Loaded struct {
	Value   any
	Extra   any    // unknown fields; nil if there are none
	Encoded []byte // form of Value
	Bytes   int    // about what Value and Extra take in memory
}

// A Kind is one module as the engine sees it.
type Kind struct {
	Name         string
	Prefix       string   // of its keys in the store
	Backend      *Backend // nil: memory only
	Type         Type
	Version      int  // of the schema
	RunsUserCode bool // Load runs code of the user's
	// OwnKeys: nobody else's memory is behind its keys, so that they need not be
	// copied to be kept.
	OwnKeys bool
	// Single: the only key is "". Readers find its instance without the cache.
	Single bool
	// Expiry, if set, says when a record with this value expires.
	Expiry func(v any) time.Time
	// Keep is how long a record stays after it was last written, within
	// Ref.Expires; 0 = as long as Ref.Expires said when it was created.
	Keep time.Duration
	// SetAside, if set, is called with a record that has expired before its key is
	// used again, and puts it aside.
	SetAside func(ctx context.Context, rec *store.Record) error
	// Destroyed, if set, is called with the last committed version when a
	// state leaves memory for another reason than that a later one is about to
	// be loaded: without locks, with no turn taken, one after another.
	Destroyed func(key string, v *Version)
	// Idle, if set, is called before Destroyed for a state that is in memory
	// only and has expired, or was not used for GuestIdle.
	Idle func(key string, v *Version)
	// Debounce acknowledges changes before they are stored, and begins to store
	// them so long after the first; 0 = never. The store has a sole owner.
	Debounce time.Duration
	warned   *atomic.Int64
	single   *single // nil unless Single
	cache    *cache
	salt     uint64 // tells its keys from those of others in hashes
}

// A single leads to the one instance of a kind.
type single struct {
	in   atomic.Pointer[Instance] // nil = not in memory
	used atomic.Bool              // since the cache last looked
}

// A Ref names an instance, as resolved for one caller.
type Ref struct {
	Kind *Kind
	Key  string
	// Guard watches over the resolution; nil = it can never become wrong.
	Guard Guard
	// New: there can be no record, because nobody has known the key before.
	New bool
	// First: the key was made for the one who uses it now, so this is no later
	// use of the instance, however often it comes.
	First bool
	// Expires is when a record that is created now expires; zero = never.
	Expires time.Time
	// Last has a group give back this instance's turn after those of the
	// others: whoever waits for it may have to go to one of them.
	Last bool
	// Seen is the version by which it was decided that this is the instance, if
	// that took one: a reader is shown this and not one that may have come in
	// its place.
	Seen *Version
	// Now is the time by the clock, if the caller has looked already.
	Now time.Time
}

// A Guard ties the instance of a session to the session's record.
type Guard interface {
	// Valid reports whether the resolution still holds for an instance with
	// this version. It is called with the turn taken: it may wait for a load,
	// not for another turn.
	Valid(v *Version) bool
	// Stands is Valid by what the stores have at the moment. It is asked about
	// the creation of what cannot be in a group with the session's record: it
	// may wait for loads.
	Stands(v *Version) bool
	// Create returns what must be part of the group that creates the
	// instance's record. With an error the record is not created, and the
	// batch fails with it. It is called with the turn taken and must not wait.
	Create() ([]Companion, error)
	// Later returns what does the same a while after the change was
	// acknowledged. It outlives the change. With an error the change fails with
	// it; it must not wait.
	Later() (Later, error)
}

// A Companion is a record of another instance in the same atomic group.
type Companion struct {
	Kind *Kind
	Key  string
	Base *Version
	// Value replaces the state; nil = only check that Base is current.
	Value   any
	Bytes   int // about what Value takes in memory
	Expires time.Time
}

// companions are those of one group.
type companions struct {
	list []Companion
	left []*Version // of each what the group leaves; nil = unchanged
}

// Kind returns k as one of this engine, which it must be before it is used. It
// copies k.
func (e *Engine) Kind(k Kind) *Kind {
	k.warned = new(atomic.Int64)
	k.salt = rand.Uint64()
	if k.Single {
		k.single = new(single)
	}
	k.cache = e.instances
	if k.Backend == nil {
		k.cache = e.guests
	}
	return &k
}

// A Later asks current for instances as they are by then. With ok false the
// record must not be created any more.
type Later func(current func(*Kind, string) (*Version, error)) (c []Companion, ok bool, err error)

// wantsDepartures reports whether somebody wants to know when states of the kind leave.
func (k *Kind) wantsDepartures() bool { return k.Destroyed != nil || k.Idle != nil }

// expires is when a record expires that is written now. until is what the
// resolution says of a new record.
func (k *Kind) expires(v *Version, isNew bool, until time.Time, now func() time.Time) time.Time {
	switch {
	case k.Expiry != nil:
		return k.Expiry(v.Value)
	case k.Keep > 0:
		end := now().Add(k.Keep).Truncate(time.Millisecond)
		if !until.IsZero() && until.Before(end) {
			return until
		}
		return end
	case isNew, v.expires != 0 && until.After(v.Expires()):
		return until // also where sessions last longer than when it was created
	}
	return v.Expires()
}
