// Package store is the contract between Stay and the place where state is kept:
// records of bytes with revisions, changed by compare-and-swap in atomic
// groups. It knows nothing about types, modules or sessions; only [Home] knows
// how keys name them.
//
// Users of Stay open a store and pass it to stay.New. Read on only if you write
// a store. Package storetest checks the rules C1 to C7 below, with a subtest
// for each; Stay can rely on a store that passes. [FromSimple] adapts a store
// that has only load, save and delete.
//
// # C1: reads
//
// Load answers every [Read] in order, with the record that is stored, also with
// one that has expired. If a read names the revision that its caller already
// holds, and the store has the same one, the answer has that revision and
// nothing else. Load is linearizable with Commit: it sees everything that was
// answered as applied before it began. A store that cannot promise this declares
// by how much it may fail ([Features].StaleReads).
//
// # C2: writes
//
// Every [Write] is conditional on the revision that it replaces: the key's
// record must have that revision. 0 means that there must be no record at all.
// Nothing else counts, so an expired record is replaced and deleted like any
// other. Commit answers each [Group] with a [Result], and a group is applied as
// a whole or not at all. The groups of one call are independent: a bad one fails
// alone.
//
// # C3: revisions
//
// The revision of a key is greater than every earlier revision of that key,
// also after the record was deleted and created again. Otherwise a
// compare-and-swap by somebody who still holds an old revision could succeed.
// Revisions of different keys do not compare. One revision stands for one
// record, all fields of it: a caller that knows the revision knows when the
// record expires.
//
// This also holds after writes that were applied have been lost while programs
// go on, as by a failover or a copy that was restored: their revisions are not
// given again. A store that cannot promise this says so in its documentation,
// and all programs have to be started again after such a loss.
//
// # C4: expiry
//
// The caller has the clock, and decides what an expired record means. To the
// store, Expires is a part of the record by which Expired finds it and by which
// List leaves it out; both get the time with the call, and it may go backwards
// between calls. A record stays until a write replaces or deletes it. Only a
// store without [Features].Expire, whose expired records nobody finds and
// deletes, may drop a record by itself: not before a minute after its Expires,
// by a clock that its documentation names.
//
// # C5: durability and features
//
// Applied means durable at the level that the store's documentation states. A
// store declares in [Features] what it can do. If it lacks a feature that an
// application needs, Stay refuses it when the application starts, and never
// works around it silently.
//
// # C6: cancellation, bytes and bounds
//
// A cancelled call is never half done within a group. If the store does not
// know the outcome of a group, the group is [Unknown]. Such a group may be
// applied after the call, but not after a later group from the same process
// that writes one of its keys: when the later group is answered, the earlier
// one has been applied or never will be. Otherwise a change could be repeated,
// stored, and its record deleted, and then the first sending could arrive and
// bring the record back. A store behind a network can give each write a time
// until which it may begin, by the server's clock, and answer Unknown no
// earlier than that, or a number that the server compares (see the guide).
//
// A store behind a network bounds each attempt itself, to a second or two, and
// answers Unknown then: Stay sends the group again. The context of the call
// bounds how long the caller waits, not how long one lost packet may hold up
// everybody's writes.
//
// Keys and values are arbitrary bytes. Keys are 1 to [MaxKey] bytes long and
// all keys of one call are distinct. A group that breaks this is [Rejected],
// alone; if several groups name one key, all but the first are rejected. A
// group without writes is rejected too, and so is one with several writes if
// the store's Groups and GroupsAtHome do not cover it. [CheckGroups] finds all
// of these. Neither side modifies the slices of a Write or a Record after it has
// passed them on, so both may keep them. The Group that lists the writes may be
// reused once Commit has returned.
//
// # C7: closing
//
// Close is idempotent and leaves no goroutine behind. Calls that begin after
// it are answered with [ErrClosed].
//
// All methods may be called concurrently.
package store

import (
	"context"
	"errors"
	"time"
)

// MaxKey is the greatest length of a key, in bytes, that every store takes
// (C6).
const MaxKey = 1024

// Errors that a store wraps in its own errors, so that callers can tell them
// apart with errors.Is.
var (
	// ErrUnavailable means that the store could not do its work: disk full,
	// server down, deadline exceeded. Trying again later may succeed.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrCorrupt means that the stored data is damaged. Trying again does not
	// help: restore the records.
	ErrCorrupt = errors.New("store: corrupt")
	// ErrTooLarge means that a key or value is longer than the store takes.
	ErrTooLarge = errors.New("store: too large")
	// ErrClosed means that the store has been closed.
	ErrClosed = errors.New("store: closed")
)

// A Revision orders the records of a key (C3). 0 means that there is no record.
type Revision uint64

// A Record is what a store keeps under a key.
type Record struct {
	// Key is arbitrary bytes.
	Key string
	// Revision is 0 when there is no record.
	Revision Revision
	// Value is the encoded state.
	Value []byte
	// Meta belongs to the engine: it says who wrote the record, and which of its
	// changes must not be made again. It has some kilobytes at most.
	Meta []byte
	// Version is the version of the schema of Value.
	Version int
	// Expires is when the record expires (C4); the zero time means never.
	// Stores keep it to the millisecond and truncate the rest.
	Expires time.Time
}

// Expired reports whether the record has expired at now (C4). Stay treats an
// expired record as absent.
func (r *Record) Expired(now time.Time) bool {
	return !r.Expires.IsZero() && !r.Expires.After(now)
}

// A Read asks for the record of a key.
type Read struct {
	Key string
	// Have is the revision that the caller already holds, 0 for none. If the
	// store has the same one, it answers with a Record that has only Key and
	// Revision filled in.
	Have Revision
}

// An Op says what a Write does.
type Op uint8

const (
	// Put stores Value, Meta, Version and Expires.
	Put Op = iota
	// Delete removes the record. Its revision in the Result is 0. With Base 0
	// it only checks that there is no record.
	Delete
	// Check changes nothing: the group is applied only if the record's
	// revision is Base. Its revision in the Result is Base.
	Check
)

// A Write is one conditional change (C2).
type Write struct {
	Op  Op
	Key string
	// Base is the revision that the write replaces; 0 = there is no record.
	Base Revision

	// What Put stores; see Record. The other operations ignore them.
	Value   []byte
	Meta    []byte
	Version int
	Expires time.Time
}

// A Group is one or more writes that are applied all together or not at all.
// Its keys are distinct. Several writes need Features.Groups, or GroupsAtHome.
//
// A store whose groups a crash can cut short makes the writes of a group in
// their order. A record that names another one comes after it: Stay puts the
// record of a session last, so a session never names a state that does not
// exist.
type Group []Write

// An Outcome says what happened to a Group.
type Outcome uint8

const (
	// Unknown: the group may have been applied, may be applied later (C6), or
	// neither. It is the zero value, so a result that was not filled in claims
	// nothing.
	Unknown Outcome = iota
	// Applied: every write was applied and is durable (C5).
	Applied
	// Conflict: a condition did not hold; nothing was changed.
	Conflict
	// Rejected: nothing was changed, and Err says why.
	Rejected
)

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "unknown"
	case Applied:
		return "applied"
	case Conflict:
		return "conflict"
	case Rejected:
		return "rejected"
	}
	return "invalid"
}

// A Result says what happened to a Group.
type Result struct {
	Outcome Outcome
	// Revisions holds the new revision for each write when Applied.
	Revisions []Revision
	// Current holds the record that the store has for each write when Conflict,
	// expired or not, with Revision 0 if there is none. For writes whose
	// condition held, only Key and Revision are certain to be filled in.
	Current []Record
	// Err is the cause when Rejected or Unknown.
	Err error
}

// Features declare what a store can do (C5).
type Features struct {
	// Durable: applied writes survive the end of the process.
	Durable bool
	// SoleOwner: nothing else changes the records while this store is open, so
	// records that were read or written may be served from memory.
	SoleOwner bool
	// Groups: groups of several writes are atomic. Stay needs this.
	Groups bool
	// GroupsAtHome: groups of several writes are atomic if all of them have one
	// [Home]; others are Rejected. It says nothing beside Groups. A store that
	// has only this one is the ground for one that spreads homes over places.
	GroupsAtHome bool
	// Expire: Expired finds expired records.
	Expire bool
	// List: the store is a Lister. A wrapper that has the method while the
	// wrapped store lacks it declares false.
	List bool
	// Watch: the store is a Watcher. A wrapper that has the method while the
	// wrapped store lacks it declares false, and so does one without the method.
	Watch bool
	// Places: the store is a Placer. A wrapper that has the method while the
	// wrapped store lacks it declares false, and so does one without the method.
	Places bool
	// Immediate: calls never wait for a disk, a server or another process. The
	// engine then makes them from its caller's goroutine, and does not gather
	// writes first.
	Immediate bool
	// MaxValue is the greatest length of a value in bytes; 0 means that the
	// store has no limit. A group beyond it is Rejected with ErrTooLarge.
	MaxValue int
	// StaleReads is how old the answer of a Load may be: it may miss what was
	// answered as applied up to this long before it began, for example because
	// a follower answers. 0 means that it misses nothing (C1).
	StaleReads time.Duration
}

// A Store keeps records. The rules are in the package comment.
type Store interface {
	// Load returns a record for each read, in order; Revision 0 means that
	// there is none (C1). An error means that nothing was read.
	Load(ctx context.Context, reads []Read) ([]Record, error)
	// Commit applies each group or not (C2) and returns a result for each, in
	// order. It returns when what it reports as Applied is durable (C5).
	Commit(ctx context.Context, groups []Group) []Result
	// Expired returns up to limit expired records (C4), complete, in no
	// particular order. It may miss records that expired less than a minute
	// ago. Without Features.Expire it returns none.
	Expired(ctx context.Context, now time.Time, limit int) ([]Record, error)
	// Features returns the same value at every call, also after Close.
	Features() Features
	// Close releases everything the store holds (C7). Calls under way finish or
	// fail before it returns.
	Close() error
}

// A Lister is a Store that can list its keys.
type Lister interface {
	// List returns up to limit keys in ascending byte order: keys of records
	// not expired at now that begin with prefix and come after the key after.
	// If it returns fewer than limit keys, there are no more.
	List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error)
}

// A Placer is a Store made of several places that fail one by one, such as
// databases. Stay calls the store for each place on its own, at the same time, so
// that a place that is down or slow holds up what it holds and nothing else. There
// are few places: for each of them Stay keeps goroutines.
type Placer interface {
	// Place names the place of a key. It depends on the key alone, never waits, and
	// is one for all keys with one [Home].
	Place(key string) string
}

// A Change says that a record may have changed. It is a hint: what is stored is
// what Load answers.
type Change struct {
	Key string
	// Revision is what the record had after the change: 0 if it was deleted, or if
	// the store does not know.
	Revision Revision
}

// A Watcher is a Store that announces changes. Stay calls Watch while somebody
// watches a state (State.Watch) of a store with several owners, and compares
// revisions from time to time whatever is announced.
type Watcher interface {
	// Watch calls announce with the changes that any handle on the records
	// applies, this one too. It returns when ctx ends, when the store is closed
	// (C7), or when it cannot go on, always with an error.
	//
	// Announcements may be late, double and out of order. lost means that
	// announcements may be missing: anything may have changed, and the caller
	// compares revisions. The first call has it, and what is applied after that
	// call is announced. If a process dies after a commit, nobody may get the
	// announcement and nobody lost, so a caller compares from time to time too.
	//
	// There is one call of announce at a time. It may keep the changes. It may
	// take its time: commits do not wait for it, and a store that cannot keep all
	// changes meanwhile says lost. It must not call Close, which waits for it.
	Watch(ctx context.Context, announce func(changes []Change, lost bool)) error
}
