package engine

import (
	"math/bits"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// A Version is one state of one instance. It never changes after others can see
// it, except for Revision and its origin, which are set when it is committed.
//
// A record that has expired makes an absent version: Value is the initial state
// and Revision is 0. Only recordRevision knows of the record then.
type Version struct {
	Value    any
	Revision store.Revision // 0 = absent
	expires  int64          // in Unix milliseconds; 0 = never
	birth    Birth
	rare     *rare  // fields that few versions have
	hash     uint64 // with bytes, the digest of the encoded value, which is not kept
	bytes    int32
	weight   weight // of Value and the unknown fields in memory
	gone     bool   // committing it deletes the record
	unsaved  bool   // the store has an older version, or none: see debounce.go
}

// A Birth tells a record from earlier records with the same key: it is drawn
// when the record is created and stays while the record exists. 0 is the birth
// of a record that was not created by an engine.
type Birth uint64

// Birth returns the birth of the record that has this version; 0 if there is
// none.
func (v *Version) Birth() Birth {
	if v.Revision == 0 {
		return 0
	}
	return v.birth
}

// rare holds the fields of a version that few versions have. It never changes.
type rare struct {
	extra   any            // unknown fields of the record
	others  []byte         // writers except this engine, as in Record.Meta
	expired store.Revision // of an absent version: the revision of the expired record; 0 = no record
	names   names          // of changes that take effect once
	again   bool           // a tombstone was there, or is, of an earlier state
}

// A digest identifies the encoded form of a state: its length, and a hash with
// a key that is drawn for each engine. It only shows whether a run has changed
// anything. A change is overlooked with a probability of 2^-64 at most, and
// nobody can raise that without knowing the key.
type digest struct {
	hash  uint64
	bytes int32
}

func (v *Version) digest() digest { return digest{v.hash, v.bytes} }

func (v *Version) setDigest(d digest) { v.hash, v.bytes = d.hash, d.bytes }

// Exists reports whether there is a record, or will be one after the next save.
func (v *Version) Exists() bool { return v.Revision != 0 || v.unsaved }

// Unsaved reports whether the store has an older version, or none.
func (v *Version) Unsaved() bool { return v.unsaved }

// Size is how many bytes the encoded value has, and about how much memory the
// value takes.
func (v *Version) Size() (encoded int, memory int64) { return int(v.bytes), v.weight.bytes() }

// Extra returns the unknown fields of the record.
func (v *Version) Extra() any { return v.extra() }

// Same reports whether both are the same state of a record.
func (v *Version) Same(w *Version) bool {
	return v == w || v.Exists() == w.Exists() && v.digest() == w.digest()
}

// A Content tells one state from another by its encoded form, in one engine. It
// is comparable, and keeps nothing of the state in memory.
type Content struct{ digest digest }

// Parts returns what a Content is made of.
func (c Content) Parts() (hash uint64, bytes int32) { return c.digest.hash, c.digest.bytes }

// Content returns what tells v's state from others.
func (v *Version) Content() Content { return Content{v.digest()} }

// alike reports whether whoever has seen v need not look at w, which has taken
// its place: it is the same state of the same record, for as long.
func (v *Version) alike(w *Version) bool {
	return v.Same(w) && v.birth == w.birth && v.expires == w.expires
}

// extra returns the unknown fields of the record.
func (v *Version) extra() any {
	if v.rare == nil {
		return nil
	}
	return v.rare.extra
}

func (v *Version) others() []byte {
	if v.rare == nil {
		return nil
	}
	return v.rare.others
}

func (v *Version) again() bool { return v.rare != nil && v.rare.again }

// setRare sets the part of v that few versions have.
func (v *Version) setRare(r rare) {
	v.rare = nil
	if r.extra != nil || len(r.others) > 0 || r.expired != 0 || r.names.roll != nil || r.again {
		some := r // only here, or each call would allocate
		v.rare = &some
	}
}

// overExpired returns the revision of the expired record that an absent version
// replaces when it is stored; 0 = there is none.
func (v *Version) overExpired() store.Revision {
	if v.rare == nil {
		return 0
	}
	return v.rare.expired
}

// recordRevision is the revision of the store's record, which a write over v
// names as its base; 0 = there is no record.
func (v *Version) recordRevision() store.Revision {
	if v.Revision == 0 {
		return v.overExpired()
	}
	return v.Revision
}

// Expires is when the record expires; the zero time = never.
func (v *Version) Expires() time.Time {
	if v.expires == 0 {
		return time.Time{}
	}
	return time.UnixMilli(v.expires)
}

func (v *Version) setExpires(t time.Time) {
	v.expires = 0
	if !t.IsZero() {
		v.expires = t.UnixMilli()
	}
}

func (v *Version) expired(now time.Time) bool {
	return v.expires != 0 && v.expires <= now.UnixMilli()
}

// A weight is a number of bytes, rounded up by a thousandth at most, in the two
// bytes that a version and an instance have to spare: there are hundreds of
// thousands of them. The upper five bits say how often the others are doubled,
// which is enough for 2^42.
type weight uint16

const weightDigits = 11

func weigh(n int) weight {
	doubled := max(0, bits.Len(uint(n))-weightDigits)
	digits := (n + 1<<doubled - 1) >> doubled
	if digits == 1<<weightDigits { // it was rounded up to one more
		doubled, digits = doubled+1, digits/2
	}
	return weight(doubled<<weightDigits | digits)
}

func (w weight) bytes() int64 { return int64(w&(1<<weightDigits-1)) << (w >> weightDigits) }

// hollow returns v without the fields that take memory, to be compared only. The
// names share their memory with those of later versions.
func (v *Version) hollow() *Version {
	h := *v
	h.Value, h.weight = nil, 0
	h.setRare(rare{others: v.others(), expired: v.overExpired(), names: v.names(), again: v.again()})
	return &h
}

// deleted returns the version that removes v's record. It keeps no names: the
// changes that made the state are gone with it.
func (v *Version) deleted() *Version {
	d := &Version{gone: true, Value: v.Value, hash: v.hash, bytes: v.bytes, weight: v.weight, birth: v.birth, rare: v.rare}
	if v.names().roll != nil {
		d.setRare(rare{extra: v.extra(), others: v.others(), expired: v.overExpired(), again: v.again()})
	}
	return d
}

var errReused = fail(Reused, "this was sent before with other content", nil)

// names returns the names that the version keeps.
func (v *Version) names() names {
	if v.rare == nil {
		return names{}
	}
	return v.rare.names
}

// knows reports whether a change of that name has made the version or an earlier
// one. It is an error if that one was made of something else.
func (v *Version) knows(name Name) (bool, error) {
	if v.rare == nil || name.ID == 0 {
		return false, nil
	}
	a, ok := meta.Find(v.rare.names.list(), name.ID)
	if ok && a.Print != name.Print && a.Print != 0 && name.Print != 0 {
		return false, errReused
	}
	return ok, nil
}
