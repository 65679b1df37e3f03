package engine

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/store"
)

// A Type knows how the states of a module are copied, encoded and loaded.
// Values belong to the engine and never change once they are part of a Version.
type Type interface {
	// Clone returns a deep copy.
	Clone(v any) any
	// Encode returns the bytes of v with the unknown fields of extra.
	Encode(v, extra any) ([]byte, error)
	// Settle returns the value that v becomes once its run is over: a deep copy
	// that equals the result of loading the bytes and keeps no memory except
	// its own. It shares strings at most with from, the value of the version
	// that the run began with. result is v or a copy of the settled value; it
	// belongs to its receiver. bytes is about how much memory settled takes
	// together with extra, the unknown fields that it is kept with.
	Settle(v, from, extra any, encoded []byte) (settled, result any, bytes int, err error)
	// Load makes a version from a record, or from the initial state if the
	// revision is 0, and runs the module's hooks.
	Load(ctx context.Context, key string, rec *store.Record) (Loaded, error)
}

// A Loaded is the content of a record.
type Loaded struct {
	Value   any
	Extra   any    // unknown fields; nil if there are none
	Encoded []byte // encoded form of Value
	Bytes   int    // about how much memory Value and Extra take
}

// A Kind is one module as the engine sees it.
type Kind struct {
	Name         string
	Prefix       string   // of its keys in the store
	Backend      *Backend // nil: memory only
	Type         Type
	Version      int  // of the schema
	RunsUserCode bool // Load runs user code
	// OwnKeys: the keys do not share memory with anything else, so they need
	// not be copied to be kept.
	OwnKeys bool
	// Rights: the states say whose other states are. Who watches both sees a change
	// of these first.
	Rights bool
	// Single: the only key is "". Readers find its instance without the cache.
	Single bool
	// Expiry, if set, returns when a record with this value expires.
	Expiry func(v any) time.Time
	// Keep is how long a record stays after it was last written, within
	// Ref.Expires; 0 = until the Ref.Expires with which it was created.
	Keep time.Duration
	// SetAside, if set, is called with a record that has expired, before a change
	// may replace it. It sets the record aside if a hook must hear of it, and
	// reports whether it did.
	SetAside func(ctx context.Context, rec *store.Record) (did bool, err error)
	// Destroyed, if set, is called with the last committed version when a state
	// leaves memory, except when a later version is about to be loaded. It is
	// called without locks, with no turn taken, for one state after another.
	Destroyed func(key string, v *Version)
	// Idle, if set, is called before Destroyed for a state that is only in
	// memory and has expired, or was not used for GuestIdle.
	Idle func(key string, v *Version)
	// Debounce acknowledges changes before they are stored. It is how long
	// after the first change the engine begins to store them; 0 = never. The
	// store has a sole owner.
	Debounce time.Duration
	warned   *hourglass // that a state is large
	forgot   *hourglass // that names were
	single   *single    // nil unless Single
	cache    *cache
	salt     uint64 // makes the hashes of its keys differ from those of other kinds
}

// A single points to the only instance of a kind.
type single struct {
	in   atomic.Pointer[Instance] // nil = not in memory
	used atomic.Bool              // since the cache last looked
}

// A Ref names an instance, as resolved for one caller.
type Ref struct {
	Kind *Kind
	Key  string
	// Guard checks whether the resolution still holds; nil = it always does.
	Guard Guard
	// New: there can be no record, because nobody knew the key before.
	New bool
	// First: the key was made for its present user, so this is no later use of
	// the instance, however often it is used.
	First bool
	// Last makes a group give back the turn of this instance after those of the
	// others: callers that wait for it may have to continue with one of the
	// others.
	Last bool
	// Unasked: the store has other owners and was not asked whether memory is up
	// to date. The commit of a change checks that, with what the Guard's Checks
	// names. If there is nothing to commit, the store is asked after the run.
	Unasked bool
	// Expires is when a record that is created now expires; zero = never.
	Expires time.Time
	// Seen is the version that decided that this is the instance, if the decision
	// needed one. A reader gets this version, even if the instance has a later one
	// by now.
	Seen *Version
	// Name is that of the change, if it is to take effect once.
	Name Name
	// Now is the time by the clock, if the caller has already read it.
	Now time.Time
}

// A Guard ties the instance of a session to the session's record.
type Guard interface {
	// Valid reports whether the resolution still holds for an instance with
	// this version. It is called with the turn taken: it may wait for a load,
	// but not for another turn.
	Valid(v *Version) bool
	// Stands is like Valid, but asks the stores. It is called when a record is
	// created that cannot be in a group with the session's record. It may wait
	// for loads.
	Stands(v *Version) bool
	// Checks returns the records that decided that this is the instance, for a
	// commit that has to check them. It is called after Valid, with the turn taken,
	// and must not wait. It reports false if no commit of the state can check them.
	Checks() (list []Companion, ok bool)
	// Create returns what must be part of the group that creates the instance's
	// record. If it returns an error, the record is not created and the batch
	// fails with the error. It is called with the turn taken and must not wait.
	Create() ([]Companion, error)
	// Later returns a function that does the same a while after the change was
	// acknowledged. The function may outlive the change. If Later returns an
	// error, the change fails with it. Later must not wait.
	Later() (Later, error)
}

// A Companion is a record of another instance in the same atomic group.
type Companion struct {
	Kind *Kind
	Key  string
	Base *Version
	// Value replaces the state; nil = only check that Base is current.
	Value   any
	Bytes   int // about how much memory Value takes
	Expires time.Time
}

// companions are the companions of one group.
type companions struct {
	list []Companion
	left []*Version // the version of each after the group; nil = unchanged
}

// Kind returns a copy of k that belongs to this engine. Only such a copy may be
// used.
func (e *Engine) Kind(k Kind) *Kind {
	k.warned, k.forgot = new(hourglass), new(hourglass)
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

// A Later asks current for instances as they are when it is called. If ok is
// false, the record must not be created any more.
type Later func(current func(*Kind, string) (*Version, error)) (c []Companion, ok bool, err error)

// wantsDepartures reports whether a hook has to run when states of the kind
// leave memory.
func (k *Kind) wantsDepartures() bool { return k.Destroyed != nil || k.Idle != nil }

// expires is when a record expires that is written now. until is the expiry
// that the resolution gives a new record.
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
		return until // also if sessions now last longer than when it was created
	}
	return v.Expires()
}
