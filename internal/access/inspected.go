package access

import (
	"context"
	"iter"
	"time"

	"github.com/stay-go/stay/internal/recent"
	"github.com/stay-go/stay/internal/streaming"
	"github.com/stay-go/stay/store"
)

// An Inspected is what package inspect needs of a *stay.App, beside its exported
// methods. It reads and changes nothing, neither in the store nor in memory.
type Inspected interface {
	// About returns what the App consists of, with what memory holds now.
	About() About
	// Modules returns the modules by name. It looks at all that is in memory.
	Modules() []Module
	// Recent returns what the App has done since the first call of it.
	Recent() *recent.Log
	// Keys yields the keys of a module's states that begin with a prefix and come
	// after the one named, as stay.State.KeysFrom does.
	Keys(ctx context.Context, module, prefix, after string) iter.Seq2[string, error]
	// Look returns what is known of states without their values, with one call
	// for each store.
	Look(ctx context.Context, places []Place) ([]Found, error)
	// Show returns what is known of a state, and its JSON with the private fields
	// masked. If there is no state it is ErrNotFound. If its record cannot be
	// decoded it is ErrCorrupt, with what is known all the same.
	Show(ctx context.Context, p Place) (Found, []byte, error)
	// Wake returns what has a value, never more than one, when the state at a place
	// may have changed, until stop is called. It reads nothing, and is not counted
	// as one who watches.
	Wake(p Place) (wake <-chan struct{}, stop func(), err error)
	// Viewers returns sessions that have a state in an open stream, each once.
	Viewers(p Place, most int) (who []streaming.Who, more bool)
	// Watched returns who watches what. It looks at all that is watched.
	Watched(most int) Watched
	// Users is stay.App.Users for names that begin with a prefix.
	Users(ctx context.Context, prefix, after string) iter.Seq2[string, error]
	// SessionsOf returns the first of the *stay.Session in which a user is logged
	// in, as App.Sessions yields them, and whether there are more.
	SessionsOf(ctx context.Context, user string, most int) (sessions []any, more bool, err error)
	// Session returns the *stay.Session with this ID, as App.AllSessions yields
	// it, and the places of its states, whether there is something or not. If it
	// is not stored, or has ended, it is ErrNotFound.
	Session(ctx context.Context, id string) (session any, states []Place, err error)
}

// An About describes an App.
type About struct {
	Store                 Store
	GuestsStored          bool
	IdleTimeout, Lifetime time.Duration
	Modules               int
	MaxState              int // bytes

	States, Bytes, Unsaved    int64 // stored states in memory
	MaxStates, MaxBytes       int64 // bounds of these, and of the next line each
	Guests, GuestsBytes       int64
	MaxGuests, MaxGuestsBytes int64
}

// A Store describes one.
type Store struct {
	Type      string // of Go
	SoleOwner bool
	Lists     bool // it can list its keys
	Features  store.Features
}

// A Module describes one.
type Module struct {
	Name     string
	Formerly []string
	Strategy string // the name in package stay, "" for ephemeral
	Store    Store
	OwnStore bool // Module.Store is set

	Version, Oldest  int // the schema's, and the oldest that can be read
	Debounce, Expiry time.Duration
	ResetOnPageLoad  bool
	Actions, Hooks   []string

	// What memory holds: states under keys, and those of guests and ephemeral ones.
	Stored, Guests Held
}

// Held is what memory holds.
type Held struct {
	States  int
	Bytes   int64
	Unsaved int
}

// A Watched says who watches states in this process.
type Watched struct {
	All     streaming.Count            // each once, whatever it watches
	Modules map[string]streaming.Count // by name; those that nobody watches are left out
	States  []WatchedState             // those that most watch first
	More    bool                       // there are more States than were asked for
}

// A WatchedState is one that somebody watches.
type WatchedState struct {
	Place
	streaming.Count
}

// A Place is where a state is: a module, and the key of an owner. For a Global
// module it is "".
type Place struct {
	Module string
	Guest  bool // the state of a guest, or an ephemeral one
	Key    string
}

// A Found is what is at a Place.
type Found struct {
	Place
	// Of the record; Revision is 0 if there is none.
	Revision uint64
	Version  int // of the schema that it was stored with
	Size     int // in bytes, encoded
	Expires  time.Time
	Expired  bool

	InMemory bool
	Memory   int64 // about how many bytes it takes there
	Unsaved  bool  // the store has an older one, or none
	Watched  streaming.Count
}

// Exists reports whether anybody would find a state.
func (f Found) Exists() bool { return f.InMemory || f.Revision != 0 && !f.Expired }
