package stay

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"
	"unique"
	"unsafe"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/footprint"
	"github.com/stay-go/stay/internal/plain"
	"github.com/stay-go/stay/store"
)

// A sessionRecord is the stored record of a session; nil if there is none.
// Times are Unix milliseconds, 0 = never.
type sessionRecord struct {
	sessionLife
	device device
	events *sessionEvents // nil: nothing has happened to it
}

// A device is a browser's description of itself. Many are equal, so sessions
// share the text, and a record has one word for it.
type device struct{ text unique.Handle[string] }

func newDevice(text string) (d device) {
	if text != "" {
		d.text = unique.Make(text)
	}
	return d
}

func (d device) String() string {
	if d == (device{}) {
		return ""
	}
	return d.text.Value()
}

// sessionLife has the fields of every session.
type sessionLife = plain.Life

// sessionEvents has the values that logins, logouts, renewals and the end set.
// Most sessions in memory have had none of these events.
type sessionEvents struct {
	Renewed int64 `json:"renewed,omitempty"`
	Ended   int64 `json:"ended,omitempty"` // then the record is a tombstone

	User   []byte `json:"user,omitempty"`   // who is logged in; bytes, as keys are
	Epoch  uint64 `json:"epoch,omitempty"`  // epoch of the user's record at the login
	Logins uint32 `json:"logins,omitempty"` // how often User has changed
	Left   uint32 `json:"left,omitempty"`   // how often User changed from one user to another or to none
	Login  uint32 `json:"login,omitempty"`  // the generation that the last login has begun

	LoggedIn  int64 `json:"loggedIn,omitempty"`  // time of the login; 0 also if an older program has stored it
	Confirmed int64 `json:"confirmed,omitempty"` // time of the last Session.Confirm after that
	Until     int64 `json:"until,omitempty"`     // when For ends the login and the session with it; 0 = like every session
	Before    int64 `json:"before,omitempty"`    // Expires before that
	Closes    bool  `json:"closes,omitempty"`    // the cookie ends with the browser

	// Keys says for modules whose key follows from the state what it is, and for
	// others what is left to do.
	Keys map[string]attachment `json:"keys,omitempty"`
}

// An attachment ties a session to a key. If Attached is false there is no key,
// even if the initial state has one.
type attachment struct {
	Attached bool         `json:"attached,omitempty"`
	Key      []byte       `json:"key,omitempty"`
	Birth    engine.Birth `json:"birth,omitempty"` // of the key's record
	Moves    uint32       `json:"moves"`           // how often the key has changed
	// Logins is the session's number at the last of these changes: it has no
	// meaning for a key that also follows from the user, once the user has
	// changed.
	Logins uint32 `json:"logins,omitempty"`
	// Waiting are the guests that other programs' logins have left, oldest first.
	Waiting []waitingGuest `json:"waiting,omitempty"`
}

// sessionJSON is the stored form.
type sessionJSON struct {
	sessionLife
	sessionEvents
	Device string `json:"device,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (r *sessionRecord) MarshalJSON() ([]byte, error) {
	if r.events == nil {
		if b, ok := plain.Append(make([]byte, 0, 256), &r.sessionLife, r.device.String()); ok {
			return b, nil
		}
	}
	return json.Marshal(sessionJSON{r.sessionLife, r.past(), r.device.String()})
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *sessionRecord) UnmarshalJSON(b []byte) error {
	var stored sessionJSON
	if err := json.Unmarshal(b, &stored); err != nil {
		return err
	}
	*r = sessionRecord{sessionLife: stored.sessionLife, device: newDevice(stored.Device)}
	if !reflect.ValueOf(stored.sessionEvents).IsZero() {
		r.events = &stored.sessionEvents
	}
	return nil
}

// readPlain reads a stored form that MarshalJSON makes without encoding/json. It
// reports false for every other one.
func (r *sessionRecord) readPlain(b []byte) bool {
	life, text, ok := plain.Read(b)
	if ok {
		*r = sessionRecord{sessionLife: life, device: newDevice(string(text))}
	}
	return ok
}

// rename stores under a module's present name what the record has under a
// former one.
func (r *sessionRecord) rename(former, now string) {
	if r.events == nil {
		return
	}
	if a, ok := r.events.Keys[former]; ok {
		r.events.Keys[now] = r.events.Keys[now].over(a)
		delete(r.events.Keys, former)
	}
}

// over merges the attachments of a session that has one under a former name,
// too. One without changes of the key says only that guests wait. A guest may
// wait under both names; the result has it once.
func (a attachment) over(former attachment) attachment {
	waiting := slices.Concat(former.Waiting, a.Waiting)
	if a.Moves == 0 {
		a = former
	}
	a.Waiting = waiting[max(0, len(waiting)-maxWaiting):]
	return a
}

// storedUser returns a user's record; nil if it cannot be read.
func storedUser(stored *store.Record) *userRecord {
	var rec userRecord
	if stored.Version > 1 || json.Unmarshal(stored.Value, &rec) != nil {
		return nil
	}
	return &rec
}

// past returns what has happened to the session, to be read only.
func (r *sessionRecord) past() sessionEvents {
	if r == nil || r.events == nil {
		return sessionEvents{}
	}
	return *r.events
}

// event returns the session's events, to be changed.
func (r *sessionRecord) event() *sessionEvents {
	if r.events == nil {
		r.events = &sessionEvents{}
	}
	return r.events
}

func (r *sessionRecord) clone() *sessionRecord {
	if r == nil {
		return nil
	}
	c := &sessionRecord{sessionLife: r.sessionLife, device: r.device}
	if r.events != nil {
		events := *r.events
		events.Keys = maps.Clone(events.Keys)
		c.events = &events
	}
	return c
}

// memory estimates the bytes that the record takes in memory.
func (r *sessionRecord) memory() int {
	if r == nil {
		return 0
	}
	// The text of the device counts in full: clients choose it, and each may send
	// another one.
	bytes := footprint.Bytes(int(unsafe.Sizeof(*r))) + footprint.Bytes(len(r.device.String()))
	e := r.events
	if e == nil {
		return bytes
	}
	bytes += footprint.Bytes(int(unsafe.Sizeof(*e))) + footprint.Bytes(cap(e.User))
	if e.Keys != nil {
		bytes += footprint.Map(len(e.Keys), int(unsafe.Sizeof("")), int(unsafe.Sizeof(attachment{})))
	}
	for module, a := range e.Keys {
		bytes += footprint.Bytes(len(module)) + footprint.Bytes(cap(a.Key)) + footprint.Bytes(cap(a.Waiting)*int(unsafe.Sizeof(waitingGuest{})))
		for _, w := range a.Waiting {
			bytes += footprint.Bytes(cap(w.User))
		}
	}
	return bytes
}

// ends is when the session ends if it is no longer used.
func (r *sessionRecord) ends() time.Time {
	if until := r.past().Until; until != 0 {
		return time.UnixMilli(until)
	}
	return time.UnixMilli(r.Expires)
}

// over reports whether the login has ended, and the session with it; if so,
// since when.
func (r *sessionRecord) over(now time.Time) (is bool, since time.Time) {
	until := r.past().Until
	return until != 0 && until <= now.UnixMilli(), time.UnixMilli(until)
}

// login notes that a user logs in for as long as the terms say; "" means no
// user.
func (r *sessionRecord) login(user string, terms loginTerms, now time.Time) {
	e := r.event()
	if e.Until != 0 {
		// A cookie of the first generation counts as valid where there is no record.
		// If the last login has kept that one, it may last until the login would have
		// ended, so the record stays as long.
		if e.Login != 0 {
			r.Expires = e.Before
		}
		e.Until, e.Before = 0, 0
	}
	e.User, e.LoggedIn, e.Confirmed, e.Closes = nil, 0, 0, terms.closes
	if user == "" {
		return
	}
	e.User, e.LoggedIn = []byte(user), now.UnixMilli()
	if terms.lasts != 0 {
		e.Until, e.Before = now.Add(terms.lasts).UnixMilli(), r.Expires
	}
}

// hasTerms reports whether a login has said how long it lasts.
func (r *sessionRecord) hasTerms() bool {
	past := r.past()
	return past.Until != 0 || past.Closes
}

// loginTerms say how long a login lasts; the zero value is as long as every
// session.
type loginTerms struct {
	lasts  time.Duration // 0 = IdleTimeout and Lifetime decide
	closes bool          // the cookie ends with the browser
	wrong  bool          // For has an invalid duration
}

// user returns who is logged in, "" = no user.
func (r *sessionRecord) user() string {
	if r == nil {
		return ""
	}
	return string(r.past().User)
}

// attach sets a module's key; "" = none.
func (r *sessionRecord) attach(module, key string, birth engine.Birth) {
	past := r.past()
	a := attachment{Moves: past.Keys[module].Moves + 1, Logins: past.Logins}
	if key != "" {
		a.Attached, a.Key, a.Birth = true, []byte(key), birth
	}
	r.setKey(module, a)
}

func (r *sessionRecord) setKey(module string, a attachment) {
	e := r.event()
	if e.Keys == nil {
		e.Keys = map[string]attachment{}
	}
	e.Keys[module] = a
}

// A userRecord says which sessions of a user are valid: those whose login saw
// its epoch. Revoking replaces the epoch, which ends all of them at once,
// however many there are. It is kept until the last of these sessions must have
// expired; without it no session of the user is valid.
type userRecord struct {
	Epoch    uint64        `json:"epoch"`
	Revoked  int64         `json:"revoked,omitempty"`
	Expires  int64         `json:"expires"`
	Sessions []userSession `json:"sessions,omitempty"` // the latest, for lists only
}

type userSession struct {
	ID      string `json:"id"`
	Expires int64  `json:"expires"`
}

// maxUserSessions bounds how many sessions of one user are listed.
const maxUserSessions = 1000

func (r *userRecord) clone() *userRecord {
	if r == nil {
		return nil
	}
	c := *r
	c.Sessions = slices.Clone(r.Sessions)
	return &c
}

// memory estimates the bytes that the record takes in memory.
func (r *userRecord) memory() int { //nolint:unused // systemType calls it by its constraint

	if r == nil {
		return 0
	}
	bytes := footprint.Bytes(int(unsafe.Sizeof(*r))) + footprint.Bytes(cap(r.Sessions)*int(unsafe.Sizeof(userSession{})))
	for _, s := range r.Sessions {
		bytes += footprint.Bytes(len(s.ID))
	}
	return bytes
}

// list adds a session and drops expired ones.
func (r *userRecord) list(id string, expires, now time.Time) {
	r.unlist(id, now)
	if n := len(r.Sessions) - maxUserSessions + 1; n > 0 {
		r.Sessions = slices.Delete(r.Sessions, 0, n)
	}
	r.Sessions = append(r.Sessions, userSession{id, expires.UnixMilli()})
	r.Expires = max(r.Expires, expires.UnixMilli())
}

func (r *userRecord) unlist(id string, now time.Time) {
	r.Sessions = slices.DeleteFunc(r.Sessions, func(s userSession) bool {
		return s.ID == id || s.Expires <= now.UnixMilli()
	})
}

// systemType tells the engine about Stay's own records. R is a pointer to a
// struct; nil if nothing is stored.
type systemType[R interface {
	*T
	clone() R
	memory() int
}, T any] struct {
	what   string
	plain  func(R, []byte) bool // reads a form that Encode makes again, byte by byte; nil, or false: encoding/json does
	loaded func(R)              // completes what was read; nil: nothing
}

// Clone implements engine.Type.
func (systemType[R, T]) Clone(v any) any { return v.(R).clone() }

// Encode implements engine.Type.
func (systemType[R, T]) Encode(v, _ any) ([]byte, error) {
	if v.(R) == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// Settle implements engine.Type. All strings of the records are Stay's own.
func (t systemType[R, T]) Settle(v, _, _ any, _ []byte) (settled, result any, bytes int, err error) {
	c := v.(R).clone()
	return c, v, c.memory(), nil
}

// Load implements engine.Type.
func (t systemType[R, T]) Load(_ context.Context, key string, rec *store.Record) (engine.Loaded, error) {
	if rec.Revision == 0 {
		return engine.Loaded{Value: R(nil)}, nil
	}
	out := R(new(T))
	same, err := t.plain != nil && t.plain(out, rec.Value), error(nil)
	if !same {
		err = json.Unmarshal(rec.Value, out)
	}
	if err != nil || rec.Version > 1 {
		return engine.Loaded{}, &Error{
			Code: ErrCorrupt, Phase: "decode", KeyHash: keyHash(key), Err: err,
			Message: "the stored " + t.what + " cannot be read; it was left as it is",
		}
	}
	if t.loaded != nil {
		t.loaded(out)
	}
	encoded := rec.Value
	if !same {
		encoded, err = t.Encode(out, nil)
	}
	return engine.Loaded{Value: out, Encoded: encoded, Bytes: out.memory()}, err
}

// guests returns the numbers of the module's guests whose states the session
// may have: the present one, and those that wait.
func (r *sessionRecord) guests(module string) []uint32 {
	past := r.past()
	a := past.Keys[module]
	all := []uint32{past.Left + a.Moves}
	for _, w := range a.Waiting {
		if !slices.Contains(all, w.Moves) {
			all = append(all, w.Moves)
		}
	}
	return all
}

// A waitingGuest is a guest's state that waits to be adopted: a program that
// does not register the module has logged the session in. The first program
// that registers the module adopts the state before the session uses the module
// again.
type waitingGuest struct {
	Moves uint32 `json:"moves"` // the number of the guest
	User  []byte `json:"user"`  // who has logged in
}

// maxWaiting bounds how many guests of a module may wait in one session's
// record. More logins than that, with no use of the module in between, drop the
// first.
const maxWaiting = 4

// wait notes that a user has to adopt a guest's state.
func (r *sessionRecord) wait(module, user string) {
	past := r.past()
	a := past.Keys[module]
	w := waitingGuest{Moves: past.Left + a.Moves, User: []byte(user)}
	a.Waiting = append(slices.Clone(a.Waiting[max(0, len(a.Waiting)-maxWaiting+1):]), w)
	r.setKey(module, a)
}

// arrived notes that the first guest does not wait any more.
func (r *sessionRecord) arrived(module string) {
	a := r.past().Keys[module]
	if len(a.Waiting) == 1 && a.Moves == 0 {
		delete(r.event().Keys, module)
		return
	}
	a.Waiting = slices.Clone(a.Waiting[1:])
	r.setKey(module, a)
}

// newEpoch draws an epoch that is neither 0 nor the old one.
func newEpoch(old uint64) uint64 {
	for {
		if n := rand.Uint64() >> 11; n != 0 && n != old { // JSON readers keep 53 bits
			return n
		}
	}
}
