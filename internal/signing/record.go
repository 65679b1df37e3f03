package signing

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stay-go/stay/store"
)

// The life of a signing key, by the clock of the Config. A new one only verifies at
// first, so that no process is shown a cookie signed with a key it has not
// read; processes read the keys again at each sweep, well within keySettles.
// Then it signs until the next one takes over, and after that it verifies for
// as long as the last cookie it may have signed is good, and for keySpare on
// top: a process that could not read the keys for a while went on signing
// with it.
const (
	keyPeriod  = 30 * 24 * time.Hour // between one new key and the next
	keySettles = 10 * time.Minute
	keySpare   = 24 * time.Hour
	// maxKeys bounds the record: cookies that are good for years make the
	// period longer, never the record.
	maxKeys = 16
)

// keysVersion is the version of the records that this code reads and writes.
// Fields that are only added leave it as it is.
const keysVersion = 1

// storedKeys is the record of the keys. Times are in Unix milliseconds.
type storedKeys struct {
	Keys []storedKey `json:"keys"` // in the order of Added
	// Lasts is the longest time for which a cookie is valid after one of the
	// keys has signed it: the longest IdleTimeout of any process, and the
	// longest login so far. It never falls, because cookies that were issued
	// under a longer one are still in use.
	Lasts int64 `json:"lasts,omitempty"` // milliseconds
}

type storedKey struct {
	Secret []byte `json:"secret"`
	Added  int64  `json:"added,omitempty"` // 0 = before times were kept
}

// maxMillis keeps times from the record within what the package time can add
// to: the end of the year 9999.
const maxMillis = 253_402_300_799_999

// A keySet is the record as it was read, ready for use. It is never changed.
type keySet struct {
	revision store.Revision
	stored   []byte // the record's value
	record   storedKeys
	keys     []*signKey // as in the record
}

// is reports whether a set, which may be nil, was read from this very record.
func (s *keySet) is(rec *store.Record) bool {
	return s != nil && s.revision == rec.Revision && bytes.Equal(s.stored, rec.Value)
}

// What keeps the keys from being read.
var (
	ErrCorrupt     = errors.New("corrupt")     // the record cannot be read
	ErrUnavailable = errors.New("unavailable") // the store has failed
	ErrClosed      = errors.New("closed")      // nothing may begin any more
)

func corrupt(cause error) error { return fmt.Errorf("%w: %w", ErrCorrupt, cause) }

func unavailable(cause error) error { return fmt.Errorf("%w: %w", ErrUnavailable, cause) }

// parseKeys reads a record. All its errors are ErrCorrupt.
func parseKeys(rec *store.Record) (*keySet, error) {
	if rec.Version > keysVersion {
		return nil, corrupt(fmt.Errorf("the signing keys are stored in version %d, which only a newer release reads", rec.Version))
	}
	set := &keySet{revision: rec.Revision, stored: rec.Value}
	if err := json.Unmarshal(rec.Value, &set.record); err != nil {
		return nil, corrupt(err)
	}
	r := &set.record
	if len(r.Keys) == 0 {
		return nil, corrupt(errors.New("no signing key is stored"))
	}
	if r.Lasts < 0 || r.Lasts > maxMillis {
		return nil, corrupt(errors.New("the stored lifetime of cookies is invalid"))
	}
	slices.SortStableFunc(r.Keys, func(a, b storedKey) int { return cmp.Compare(a.Added, b.Added) })
	for _, k := range r.Keys {
		if len(k.Secret) < minSecret {
			return nil, corrupt(errors.New("a stored signing key is too short"))
		}
		if k.Added < 0 || k.Added > maxMillis {
			return nil, corrupt(errors.New("the stored age of a signing key is invalid"))
		}
		set.keys = append(set.keys, newSignKey(k.Secret))
	}
	return set, nil
}

// signer returns the newest key that every process has had the time to read;
// without one, as at the beginning, the oldest.
func (s *keySet) signer(now time.Time) *signKey {
	ms := now.Add(-keySettles).UnixMilli()
	for i := len(s.keys) - 1; i > 0; i-- {
		if s.record.Keys[i].Added <= ms {
			return s.keys[i]
		}
	}
	return s.keys[0]
}

// has reports whether one of the keys has this id.
func (s *keySet) has(id [4]byte) bool {
	return slices.ContainsFunc(s.keys, func(k *signKey) bool { return k.id == id })
}

// next returns what the record should be at now, and whether that differs.
// idle is the longest that this process issues cookies for. Keys of a clock that is ahead wait until
// their time has come.
func (r *storedKeys) next(now time.Time, idle time.Duration) (storedKeys, bool) {
	ms := now.UnixMilli()
	out := storedKeys{Lasts: max(r.Lasts, idle.Milliseconds())}
	// How long a key is kept after the one that follows it was added.
	keep := (keySettles + keySpare).Milliseconds() + out.Lasts
	newest := int64(-1)
	for i, k := range r.Keys {
		if i+1 < len(r.Keys) && r.Keys[i+1].Added+keep <= ms {
			continue // it has signed nothing that is still good
		}
		out.Keys = append(out.Keys, k)
		if k.Added <= ms {
			newest = k.Added
		}
	}
	// At this pace at most maxKeys are kept at a time.
	period := max(keyPeriod.Milliseconds(), keep/(maxKeys-2)+1)
	added := newest >= 0 && newest+period <= ms && len(out.Keys) < maxKeys
	if added {
		i := len(out.Keys)
		for i > 0 && out.Keys[i-1].Added > ms {
			i--
		}
		out.Keys = slices.Insert(out.Keys, i, newStoredKey(ms))
	}
	return out, added || len(out.Keys) != len(r.Keys) || out.Lasts != r.Lasts
}

// firstKeys is the first record of an App.
func firstKeys(now time.Time, idle time.Duration) storedKeys {
	return storedKeys{Keys: []storedKey{newStoredKey(now.UnixMilli())}, Lasts: idle.Milliseconds()}
}

func newStoredKey(ms int64) storedKey {
	secret := make([]byte, minSecret)
	rand.Read(secret)
	return storedKey{Secret: secret, Added: min(max(ms, 0), maxMillis)}
}
