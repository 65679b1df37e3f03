// Package bridge is how package web reaches the untyped core of package stay
// without showing it in stay's documentation. Package stay fills in the
// functions before main runs; nothing else writes them.
package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// AppOf returns the core of a *stay.App.
var AppOf func(app any) App

// StateOf returns the core of a *stay.State of any type.
var StateOf func(state any) State

// Define registers a module with the core of a *stay.App, for states whose
// type is known at run time only. It panics as stay.Register does.
var Define func(app any, d Definition) State

// A Definition is a stay.Module without its type. Values are pointers to the
// state's struct.
type Definition struct {
	Name    string
	Initial any
	Persist any                // a stay.Strategy, or nil
	Key     func(v any) string // instead of Persist: as of stay.WithKey
	Actions map[string]func(c Call, v any) error
	Created func(v any) error
	Adopt   func(stored, result any) error
	OnError func(err error)
}

// A Call is what an action gets beside the state.
type Call interface {
	Context() context.Context
	Bind(dst any) error
}

// An App is the core of a *stay.App.
type App interface {
	// Keyring returns what signs and verifies session tokens: with keys[0],
	// and with any of keys. Without keys it is the set that the App keeps in
	// its store, made at first use. It panics on a key shorter than 32 bytes.
	Keyring(keys [][]byte) Keyring
	// Begin returns ctx with a session for one request: the one that token
	// names, or a new one if the token is empty or not valid. Nothing is
	// looked up, drawn or stored before the session is used.
	Begin(ctx context.Context, ring Keyring, token string, c Carrier) context.Context
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
	// Logger is where causes that are not shown to clients go.
	Logger() *slog.Logger
	// Development reports whether answers may help a developer.
	Development() bool
	// Now is the App's clock.
	Now() time.Time
}

// A Token is what the cookie of a session says.
type Token struct {
	ID      [16]byte
	Key     string    // of the session, which follows from ID
	Gen     uint32    // how often the session has been renewed
	Created time.Time // when the session began, in whole seconds
	IdleEnd time.Time // when the cookie ends if it is not used, in whole seconds
}

// Format implements fmt.Formatter: the ID is a secret.
func (t Token) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "token of generation %d, until %v", t.Gen, t.IdleEnd)
}

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// A Keyring signs and verifies session tokens.
type Keyring interface {
	// Sign returns the token with a signature, in characters that a cookie
	// value may hold.
	Sign(ctx context.Context, t *Token) (string, error)
	// Verify returns what the value of a cookie says, over or not; it must not
	// be changed. It is nil for every value that this set did not sign; an error
	// means that the set could not be read.
	Verify(ctx context.Context, value string) (*Token, error)
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

// A Change is what an update does with the state.
type Change interface {
	// Run changes v. It is called again after a conflict. Its context marks the
	// run: changes of state made with it are refused as nested.
	Run(ctx context.Context, v any) error
	// Moving is asked after a run that has changed the state's key, and may
	// refuse that.
	Moving() error
}

// A State is the core of a *stay.State. Values are pointers to the state's
// struct, owned by whoever gets them.
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
	// Version returns that of the schema.
	Version() int
	// Decode returns what loading a record of this schema version and value
	// gives, before OnCreated runs. The value stays as it is.
	Decode(version int, value []byte) (any, error)
}
