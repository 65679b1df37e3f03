package stay

import (
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/stay-go/stay/store"
)

// Options are the settings of an App. The zero value of every field means its
// default. New copies them.
type Options struct {
	// Clock is used for expiry and cookies; default time.Now. Waiting is
	// always measured in real time.
	Clock func() time.Time
	// Logger gets messages that concern no caller: failures without an OnError
	// hook, states that come near their limits. Default slog.Default().
	Logger *slog.Logger
	// IdleTimeout ends a session that was not used for this long; default 24 h, or
	// Lifetime if that is shorter. At least 2 s. States of the session end with
	// it: see GuestMode.
	IdleTimeout time.Duration
	// Lifetime ends a session however much it is used; default 30 days. A
	// session's states are kept no longer, in memory and in a store with
	// Features.Expire. In other stores their records may stay, but nobody can
	// reach them.
	Lifetime time.Duration
	// MaxInstances bounds how many states are kept in memory, sessions' records
	// included; default 1,000,000, so that by default MaxBytes is reached first.
	// Beyond it, roughly the least recently used are evicted and loaded again at
	// their next use; states that were used once go before states that were used
	// again. If all are in use, one more is ErrBusy. In addition, up to a sixteenth
	// as many keys are remembered that have no stored state.
	MaxInstances int
	// MaxBytes bounds, in bytes, the memory of the stored states that are kept in
	// memory, and separately that of the ephemeral ones; default 256 MiB each, or
	// a quarter of Go's memory limit (GOMEMLIMIT) if that is less.
	// Beyond it the same happens as beyond MaxInstances and MaxGuests. Values
	// count with their size in memory, not their encoded size. Copies that changes
	// work on are not included, nor is garbage that is not collected yet.
	MaxBytes int64
	// MaxGuests bounds how many ephemeral states there are; default 100,000.
	// Beyond it roughly the least recently used are dropped, which is logged:
	// states that were used once go before states that a later request used again,
	// as long as the latter are at most three quarters.
	MaxGuests int
	// MaxState bounds the encoded size of one state in bytes; default 1 MiB. In
	// memory a state may take many times as much, depending on its type. A change
	// beyond it is ErrTooLarge; beyond half of it a warning is logged.
	MaxState int
	// MaxWaiters bounds how many changes of one state may wait; default 1024.
	// One more is ErrBusy.
	MaxWaiters int
	// MaxWait bounds how long a change waits for earlier changes, how long it
	// waits to be stored when the store is slow, and how long it is repeated after
	// conflicts if the caller's context has no deadline; default 10 s. When a store
	// has answered nobody for that long, whoever needs it is told at once that it
	// is not available, until it answers again. The App asks it about once a second.
	MaxWait time.Duration
	// CommitTimeout bounds each call that stores something, and how long the App
	// asks again for an unknown outcome before the change is ErrUnknown; default
	// 10 s. A call that is not answered is given up and made again after two
	// seconds, then four, and so on. So with a store that hangs a change takes up
	// to MaxWait plus three times CommitTimeout.
	CommitTimeout time.Duration
	// MaxNewSessions bounds how many new sessions this App stores in a second;
	// default 1000. It slows down clients that send no cookies: they fill the
	// store with at most this many sessions for each second of IdleTimeout. All
	// sessions of one second may come at once. One more is ErrBusy. It leaves
	// nothing in the store, and the client may try again a second later, with or
	// without the cookie that the response has set. Stored sessions are not
	// affected. Sessions that only read, or use only ephemeral and Global state,
	// do not count.
	MaxNewSessions int
	// Guests says where the states of guests are kept: ephemeral ones, and those
	// of PerUser, WithKey and ResolveKey modules before there is a key. GuestMode
	// says how long they are kept. Default GuestMemory on a store with a sole
	// owner, GuestStored on others.
	Guests GuestMode
	// StickySessions says that all requests of a session reach the same
	// process, which allows GuestMemory on a store without a sole owner.
	StickySessions bool
	// StaleReads accepts stores whose reads may miss what was stored up to this
	// long before (store.Features.StaleReads); the default, 0, accepts none. For
	// that long, a browser that reaches another process may not see its own
	// change, and a session that was ended there is still read. No change is
	// lost.
	StaleReads time.Duration
	// KeepCookieOnKeyChange leaves the session's cookie as it is when a state's
	// key changes, as at a login. The default, a new cookie and the old one
	// refused, keeps an attacker who has planted or learnt a cookie from becoming
	// logged in.
	KeepCookieOnKeyChange bool
	// OnError gets every failed load, save, decode, hook and panic of sessions and
	// of modules without an OnError of their own: once for each failure, however
	// many callers it had, and before a caller gets the error, unless the contexts
	// of all callers are done. It may be called concurrently. Changing state with
	// its context is ErrNested. A hook that panics, or ends its goroutine, is
	// logged. Errors that an action returns go to its caller only. Default: they
	// are logged.
	OnError func(*Call, *Error)
	// Metrics, if set, takes measurements of the App's work: how long changes take
	// and wait, how many are stored together, what memory holds, what fails.
	// [AllMetrics] lists them.
	Metrics Metrics
	// Tracer, if set, makes a span of every change of a state or a session.
	Tracer Tracer
	// Development helps while a program is being written: the answer to a failed
	// request shows its cause, refused requests are logged, and what is probably a
	// mistake but no error is logged as a warning. It shows internals to clients
	// and costs about two microseconds for each change, so leave it out in
	// production.
	Development bool
}

// A GuestMode says where the states of guests and ephemeral states are kept.
// How long is the same everywhere: as long as their session, which ends when it
// was not used at all for Options.IdleTimeout, when Options.Lifetime is over,
// or when somebody ends it. A state ends earlier when its Module.Expiry is
// over, when the guest gets a key, as by a login, and when memory loses it: see
// GuestMemory.
type GuestMode uint8

const (
	_ GuestMode = iota // by the store
	// GuestMemory keeps them in memory. Roughly the least recently used are
	// dropped when there are too many (Options.MaxGuests) or they take too much
	// memory (Options.MaxBytes), and all when the process ends.
	GuestMemory
	// GuestStored keeps them in the store. One without Features.Expire may have
	// them for longer, out of reach.
	GuestStored
)

// withDefaults returns a copy with every field set. It panics on invalid
// values.
func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Clock == nil {
		out.Clock = time.Now
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	setDefault("Lifetime", &out.Lifetime, 30*24*time.Hour)
	setDefault("IdleTimeout", &out.IdleTimeout, min(24*time.Hour, out.Lifetime))
	setDefault("MaxInstances", &out.MaxInstances, 1_000_000)
	setDefault("MaxBytes", &out.MaxBytes, min(256<<20, max(debug.SetMemoryLimit(-1)/4, 1)))
	setDefault("MaxGuests", &out.MaxGuests, 100_000)
	setDefault("MaxState", &out.MaxState, 1<<20)
	setDefault("MaxWaiters", &out.MaxWaiters, 1024)
	setDefault("MaxNewSessions", &out.MaxNewSessions, 1000)
	setDefault("MaxWait", &out.MaxWait, 10*time.Second)
	setDefault("CommitTimeout", &out.CommitTimeout, 10*time.Second)
	// Cookies count in seconds.
	atLeast("Lifetime", out.Lifetime, 2*time.Second)
	atLeast("IdleTimeout", out.IdleTimeout, 2*time.Second)
	atLeast("MaxWait", out.MaxWait, time.Millisecond)
	atLeast("CommitTimeout", out.CommitTimeout, time.Millisecond)
	if out.StaleReads < 0 {
		panic("stay.New: Options.StaleReads is negative: leave it 0 to accept no stale reads")
	}
	if out.MaxState > math.MaxInt32 {
		panic(fmt.Sprintf("stay.New: Options.MaxState is %d: set at most %d bytes", out.MaxState, math.MaxInt32))
	}
	if out.Guests > GuestStored {
		panic("stay.New: Options.Guests must be GuestMemory or GuestStored")
	}
	if out.Lifetime < out.IdleTimeout {
		panic(fmt.Sprintf("stay.New: Options.Lifetime (%v) is shorter than IdleTimeout (%v)", out.Lifetime, out.IdleTimeout))
	}
	return out
}

// atLeast panics on durations that are too short to be intended.
func atLeast(name string, d, least time.Duration) {
	if d < least {
		panic(fmt.Sprintf("stay.New: Options.%s is %v, at least %v is needed: is the unit missing, as in 10*time.Second?", name, d, least))
	}
}

// refuses says why the options do not accept a store; "" if they do.
func (o *Options) refuses(f store.Features) string {
	switch {
	case f.MaxValue > 0 && o.MaxState > f.MaxValue:
		return fmt.Sprintf("takes values of at most %d bytes (Features.MaxValue), but Options.MaxState is %d: set MaxState to %[1]d or less, or use a store that takes larger values", f.MaxValue, o.MaxState)
	case f.StaleReads > o.StaleReads:
		return fmt.Sprintf("may miss in a read what was stored up to %v before (Features.StaleReads), but Options.StaleReads is %v: use a store whose reads miss nothing, or accept that by setting StaleReads to %[1]v", f.StaleReads, o.StaleReads)
	}
	return ""
}

// guests sets the defaults that depend on the store.
func (o *Options) guests(f store.Features) {
	switch {
	case o.Guests == 0 && f.SoleOwner:
		o.Guests = GuestMemory
	case o.Guests == 0:
		o.Guests = GuestStored
	case o.Guests == GuestMemory && !f.SoleOwner && !o.StickySessions:
		panic("stay.New: Options.Guests is GuestMemory, but other processes use the store too, and each would keep its own state for the same guest. Use GuestStored, or set StickySessions if requests of one session always reach the same process")
	}
}

func setDefault[T int | int64 | time.Duration](name string, field *T, def T) {
	switch {
	case *field == 0:
		*field = def
	case *field < 0:
		panic(fmt.Sprintf("stay.New: Options.%s is negative: leave it 0 for the default", name))
	}
}
