package stay

import (
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/stay-go/stay/store"
)

// Options are the settings of an App. The zero value of every field means its
// default. New copies them.
type Options struct {
	// Clock is used for expiry and cookies; default time.Now. Waiting is
	// always measured in real time.
	Clock func() time.Time
	// Logger gets what concerns no caller: failures that no OnError hook
	// takes, state that comes near its limits. Default slog.Default().
	Logger *slog.Logger
	// IdleTimeout ends a session that was not used for so long; default 24 h,
	// or Lifetime if that is shorter. At least 2 s. What belongs to the session
	// alone goes with it: see GuestMode.
	IdleTimeout time.Duration
	// Lifetime ends a session however much it is used; default 30 days.
	// State of a session is kept for so long at most, in memory and in a store
	// with Features.Expire; in other stores it is absent then, and may stay.
	Lifetime time.Duration
	// MaxInstances bounds how many states are kept in memory, sessions'
	// records included; default 100,000. Beyond it, about the least recently
	// used are evicted and loaded again when they are next used, those that were
	// used once before those that were used again. If all are in use, a further
	// one is ErrBusy. Up to a sixteenth as many keys are remembered beside them
	// for which nothing is stored.
	MaxInstances int
	// MaxBytes bounds the bytes of memory that the stored states take which are
	// kept there, and in the same way those of the ephemeral ones; default
	// 256 MiB each. Beyond it the same happens as beyond MaxInstances and
	// MaxGuests. Values are counted as they are, whatever their encoded size.
	// Copies that changes work on come on top, and so does what the garbage
	// collector has not removed yet.
	MaxBytes int64
	// MaxGuests bounds how many ephemeral states there are; default 100,000.
	// Beyond it about the least recently used are dropped, which is logged: those
	// that were used once before those that a later request used again, as long
	// as the latter are no more than three quarters.
	MaxGuests int
	// MaxState bounds the encoded size of one state in bytes; default 1 MiB. In
	// memory a state may take many times as much, as its shape is.
	// A change beyond it is ErrTooLarge; beyond half of it a warning is logged.
	MaxState int
	// MaxWaiters bounds how many changes of one state may wait; default 1024.
	// One more is ErrBusy.
	MaxWaiters int
	// MaxWait bounds how long a change waits for the changes before it, for
	// its turn to be stored when the store is slow, and how long it is tried
	// again after conflicts if the caller's context has no deadline; default
	// 10 s.
	MaxWait time.Duration
	// CommitTimeout bounds each call that stores something, and how long the
	// outcome of one is asked for again before the change is ErrUnknown; default
	// 10 s. So with a store that hangs a change takes MaxWait and up to three
	// times as long as this.
	CommitTimeout time.Duration
	// MaxNewSessions bounds how many sessions may begin to be stored in a
	// second, by this App; default 1000. It slows down clients that send no
	// cookies: they fill the store with no more than so many sessions for each
	// second of IdleTimeout. A second's worth may come at once. One more is
	// ErrBusy, which leaves nothing in the store and may be tried again a
	// second later, with the cookie that its response has set already or
	// without. Sessions that are stored go on undisturbed, and those that only
	// read, or use nothing but ephemeral and Global state, do not count.
	MaxNewSessions int
	// Guests says where the states of sessions are kept that belong to nobody
	// else: ephemeral ones, and those of PerUser, WithKey and ResolveKey
	// modules before there is a key. How long they are kept is said at
	// GuestMode. Default GuestMemory on a store with a sole owner, GuestStored
	// on others.
	Guests GuestMode
	// StickySessions says that all requests of a session reach the same
	// process, which allows GuestMemory on a store without a sole owner.
	StickySessions bool
	// KeepCookieOnKeyChange leaves the session's cookie as it is when a state's
	// key changes, as at a login. The default, a new cookie and the old one
	// refused, keeps an attacker who has planted or learnt a cookie from being
	// logged in with it.
	KeepCookieOnKeyChange bool
	// OnError is told of every failed load, save, decode, hook and panic of
	// modules that have no OnError of their own, and of sessions: once for
	// each failure, however many callers it had, and before one of them gets
	// its error, unless all have left. It may be called concurrently. Changing
	// state with its context is ErrNested. A hook that panics, or ends its
	// goroutine, which is its own, is logged. Errors that an action returns go
	// to its caller only. Default: they are logged.
	OnError func(*Call, *Error)
	// Metrics, if set, takes measurements of what the App does: how long
	// changes take and wait, how many are stored together, what memory holds,
	// what fails. [AllMetrics] says which there are.
	Metrics Metrics
	// Tracer, if set, makes a span of every change of a state or a session.
	Tracer Tracer
	// Development adds to error answers what helps a developer, such as the
	// names of the actions there are.
	Development bool
}

// A GuestMode says where the states of guests and ephemeral states are kept.
// How long is the same everywhere: as long as their session, which ends when it
// was not used for Options.IdleTimeout, whatever it was used for, when
// Options.Lifetime is over, or when somebody ends it. A state goes earlier when
// its Module.Expiry is over, when the guest gets a key, as by a login, and when
// what keeps it does not last: see GuestMemory.
type GuestMode uint8

const (
	_ GuestMode = iota // by the store
	// GuestMemory keeps them in memory. There about the least recently used are
	// dropped when there are too many (Options.MaxGuests) or they take too much
	// (Options.MaxBytes), and all when the process ends.
	GuestMemory
	// GuestStored keeps them in the store. One without Features.Expire may have
	// them for longer, out of reach.
	GuestStored
)

// withDefaults returns a copy with every field set. It panics on values that
// make no sense.
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
	setDefault("MaxInstances", &out.MaxInstances, 100_000)
	setDefault("MaxBytes", &out.MaxBytes, 256<<20)
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

// atLeast panics on durations that are too short to be meant.
func atLeast(name string, d, least time.Duration) {
	if d < least {
		panic(fmt.Sprintf("stay.New: Options.%s is %v, at least %v is needed: is the unit missing, as in 10*time.Second?", name, d, least))
	}
}

// guests completes what depends on the store.
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
