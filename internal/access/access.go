// Package access is how package web and others of this project reach what
// package stay does not export, without showing it in stay's documentation.
// Package stay provides the door before main runs.
package access

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay/internal/signing"
	"github.com/stay-go/stay/internal/streaming"
)

// A Door is what package stay provides.
type Door struct {
	App     func(app any) App
	State   func(state any) State
	Define  func(app any, d Definition) State
	Inspect func(app any) Inspected
}

var door atomic.Pointer[Door]

// Provide is called by package stay, once.
func Provide(d Door) {
	if !door.CompareAndSwap(nil, &d) {
		panic("stay: the door is there already")
	}
}

// AppOf returns the core of a *stay.App.
func AppOf(app any) App { return door.Load().App(app) }

// StateOf returns the core of a *stay.State of any type.
func StateOf(state any) State { return door.Load().State(state) }

// Define registers a module with a *stay.App, for states whose type is known at
// run time only, as those of the golden cases. It panics as stay.Register does.
func Define(app any, d Definition) State { return door.Load().Define(app, d) }

// Inspect shows a *stay.App to package inspect.
func Inspect(app any) Inspected { return door.Load().Inspect(app) }

// A Definition is a stay.Module without its type. Values are pointers to the
// state's struct.
type Definition struct {
	Name    string
	Initial any
	Persist any                // a stay.Strategy, or nil
	Key     func(v any) string // instead of Persist: as of stay.WithKey
	// Actions get a *stay.Call and the state.
	Actions map[string]func(call, v any) error
	Created func(v any) error
	Adopt   func(stored, result any) error
	OnError func(err error)
}

// An App is the core of a *stay.App.
type App interface {
	// Keyring returns what signs and verifies session tokens: with keys[0],
	// and with any of keys. Without keys it is the set that the App keeps in
	// its store, made at first use. It panics on a key shorter than 32 bytes.
	Keyring(keys [][]byte) Keyring
	// Begin returns ctx with a session for one request: the one that token
	// names, or a new one if the token is empty or not valid. If the browser has
	// sent several cookies, token has their values with a semicolon between, and
	// the one that is valid counts, or the latest of one session. If those of
	// several sessions are valid, or there are more than MaxCookies, the request
	// has no session and begins none. Nothing is looked up, drawn or stored before
	// the session is used.
	Begin(ctx context.Context, ring Keyring, token string, c Carrier) context.Context
	// Again returns ctx with its session of this App in front of those of others.
	Again(ctx context.Context) context.Context
	// WithoutSession returns ctx for a handler outside of web.Sessions, so that
	// asking for its session is warned about. It is used in development only.
	WithoutSession(ctx context.Context) context.Context
	// User returns the user of the session in ctx, "" for a guest. It begins no
	// session. An error means that the session is over, or cannot be read.
	User(ctx context.Context) (string, error)
	// SessionOf returns the key of the states of the session in ctx, "" if it has
	// none that a cookie of its browser names. It begins no session.
	SessionOf(ctx context.Context) (string, error)
	// ResetsOnPageLoad reports whether PageLoad may have anything to do.
	ResetsOnPageLoad() bool
	// PageLoad resets the states of the session in ctx that are to be reset
	// when a page is loaded. Without a session that is known it does nothing.
	PageLoad(ctx context.Context) error
	// Evict drops from memory what would be loaded again; with always, also
	// after each use from now on.
	Evict(always bool)
	// Sweep removes what has expired, as the App does about once a minute. It
	// ends when the App is closed.
	Sweep()
	// NameOf is the key of the states of a *stay.Session as it was last used,
	// whether the session stands or not.
	NameOf(session any) string
	// Follow begins to follow states as ctx sees them: with the session that it
	// carries. It is told to people as the stream's; with nil it is not told. The
	// caller must close the Follower.
	Follow(ctx context.Context, stream *streaming.Stream) Follower
	// Asked reports whether anything has asked for the session in ctx. It asks for
	// nothing itself.
	Asked(ctx context.Context) bool
	// Ending ends when Close of the App begins: what waits for changes must come to
	// an end.
	Ending() context.Context
	// Logger is where causes that are not shown to clients go.
	Logger() *slog.Logger
	// Development reports whether answers may help a developer.
	Development() bool
	// Now is the App's clock.
	Now() time.Time
}

// MaxCookies is how many cookies of one request are verified.
const MaxCookies = 8

// A Token is what the cookie of a session says.
type Token = signing.Token

// A Keyring signs and verifies session tokens.
type Keyring interface {
	// Sign returns the token with a signature, in characters that a cookie
	// value may hold.
	Sign(ctx context.Context, t *Token) (string, error)
	// Verify returns what the value of a cookie says, over or not; it must not
	// be changed. It is nil for every value that this set did not sign; an error
	// means that the set could not be read.
	Verify(ctx context.Context, value string) (*Token, error)
	// Outlast has tokens that are signed from now on verify for so long.
	Outlast(ctx context.Context, d time.Duration) error
	// Label returns a short text that names what is given, and tells it to nobody
	// who does not have the keys. A label of one domain is none of another; a
	// domain has no zero byte.
	Label(ctx context.Context, domain, text string) (string, error)
	// Labelled reports whether a label is one of the text in the domain, by any of
	// the keys.
	Labelled(ctx context.Context, label, domain, text string) (bool, error)
	// Foreign reports whether the value of a cookie has the form of a token that
	// is good at now, and names a key that this set does not have.
	Foreign(value string, now time.Time) bool
}

// A Carrier takes a session's token to its browser: the response of one
// request. Its methods may be called concurrently.
type Carrier interface {
	// Issue has the response carry the token, replacing one issued before; an
	// empty token clears the browser's. It reports false, and does nothing,
	// when the response's header has been sent.
	Issue(token string, expires time.Time) bool
	// Used is called at every use of session state: the response is private
	// to this browser.
	Used()
	// Open reports whether Issue would still succeed.
	Open() bool
}

// A Describer is a Carrier that can say what the browser is, for lists of
// sessions: a short text that the browser itself has chosen.
type Describer interface {
	Device() string
}

// A Change is what an update does with the state.
type Change interface {
	// Run changes v. It is called again after a conflict. User code gets a [Run]
	// of ctx: changes of state made with that are refused as nested.
	Run(ctx context.Context, v any) error
	// Replayed is called in place of Run if the change was made before, by a
	// request with the same id. A Run may still follow.
	Replayed()
	// Moving is asked after a run that has changed the state's key, and may
	// refuse that.
	Moving() error
}

// A State is the core of a *stay.State. Values are pointers to the state's
// struct, owned by the caller.
type State interface {
	Name() string
	// Get returns the committed state.
	Get(ctx context.Context) (any, error)
	// Update carries out the change as one transaction.
	Update(ctx context.Context, c Change) (any, error)
	// Do runs an action. Payloads with a method Bind(dst any) error bind
	// themselves.
	Do(ctx context.Context, action string, payload any) (any, error)
	// Actions returns the names of the actions in ascending order.
	Actions() []string
	// Public returns the JSON of a state without its private fields.
	Public(v any) ([]byte, error)
	// Clone returns a copy of a state that the caller owns.
	Clone(v any) any
	// At returns the state of one key, as State.At does.
	At(key string) State
	// Shared reports whether everybody has the same state: that of a Global
	// module, or of one key.
	Shared() bool
	// Initial returns the state that a request of an ended session reads.
	Initial(ctx context.Context) (any, error)
	// Version returns that of the schema.
	Version() int
	// Decode returns what loading a record of this schema version and value
	// gives, before OnCreated runs. The value stays as it is.
	Decode(version int, value []byte) (any, error)
}

// A Follower sees states, and whether they have changed since. A wake says only
// that something may have: whoever follows looks again, and sees what there is
// by then, so that nothing is missed and nothing queues up. It does not keep
// what it follows in memory, and has no goroutine. It counts as a page of its
// session, until it is closed.
//
// One goroutine at a time uses a Follower.
type Follower interface {
	// Look returns the committed state as it is now, and follows it from now on:
	// Wake has a value once the state may have changed, or may belong to somebody
	// else, or no longer to this session. Then Changed reports true, and the caller
	// has to Take that and to look again at all states that it follows, now or after
	// a pause, in which it is not woken again. A change by somebody else is seen at
	// the same key or, after a change of the key that keeps the session's cookie,
	// at the other one, never an earlier version of one key after a later one.
	//
	// The state of a key that has none is the initial one. ErrEnded means that the
	// session of ctx is over: it was ended, or revoked, has expired, or has
	// another cookie than at the first look. Other errors are those of a read; a failed look that
	// can succeed later causes no wake by itself.
	Look(s State) (Sight, error)
	// Forget ends to follow the states that were not looked at since it was called
	// last, or since the beginning.
	Forget()
	// Attend follows the session of ctx itself, for a caller that shows what was
	// allowed to it: Wake has a value once it may be over, or of another user.
	// ErrEnded means that it is, as for Look. The first call uses the session. It does
	// nothing if the request has brought none.
	Attend() error
	// Wake has at most one value, also after Poke.
	Wake() <-chan struct{}
	// Poke has Wake have a value although nothing has changed. It may be called
	// concurrently.
	Poke()
	Changed() bool
	Take()
	// Until is when the session is over, as of the last looks, if no request uses
	// it until then; zero if they have looked at no state of a session.
	Until() time.Time
	// Close ends it. It may be called again.
	Close()
}

// A Sight is a committed version of a state.
type Sight struct {
	// Value is a pointer to the state's struct. It belongs to all who look, and
	// must not be changed.
	Value any
	// Version names what was seen.
	Version Version
}

// A Version names what was seen of a state: of one App, equal ones have the same
// kind, key and content. It keeps nothing of the state in memory. The zero Version
// is none.
type Version struct {
	Kind    any
	Key     string
	Hash    uint64 // of the content
	Bytes   int32
	Present uint64 // names who is present, if that counts
}

// None reports whether nothing was seen.
func (v Version) None() bool { return v.Kind == nil }
