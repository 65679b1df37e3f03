package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
)

func setOf(t *testing.T, r storedKeys) *keySet {
	t.Helper()
	value, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	set, err := parseKeys(&store.Record{Revision: 1, Value: value, Version: keysVersion})
	if err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	return set
}

// In years of random use by processes with different options, the record stays
// small, a key verifies as long as a cookie that it signed is good, and none
// signs before it has settled.
//
// Proves W1.
func TestKeysOverYears(t *testing.T) {
	const hour = int64(time.Hour / time.Millisecond)
	seed := testseed.New(t)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 10 {
		idles := []time.Duration{
			time.Duration(1 + random.Int64N(int64(time.Hour))),
			time.Duration(random.Int64N(int64(100 * 24 * time.Hour))),
			time.Duration(random.Int64N(int64(5 * 365 * 24 * time.Hour))),
		}
		now := time.UnixMilli(random.Int64N(1e12))
		record := firstKeys(now, idles[0])
		set := setOf(t, record)
		good := map[string]int64{} // until when a cookie of the key is good
		least := now.UnixMilli()
		added := 0
		for end := now.AddDate(12, 0, 0); now.Before(end); {
			now = now.Add(time.Duration(random.Int64N(int64(5 * 24 * time.Hour))))
			idle := idles[random.IntN(len(idles))]
			next, changed := record.next(now, idle)
			if changed {
				if len(next.Keys) > maxKeys {
					t.Fatalf("%d keys are stored", len(next.Keys))
				}
				for _, k := range next.Keys {
					if !slices.ContainsFunc(record.Keys, func(o storedKey) bool { return bytes.Equal(o.Secret, k.Secret) }) {
						added++
						if k.Added-least < max(keyPeriod.Milliseconds(), next.Lasts/(maxKeys-2)) {
							t.Errorf("a key is added %d h after the last", (k.Added-least)/hour)
						}
						least = k.Added
					}
				}
				for _, k := range record.Keys {
					if until := good[string(k.Secret)]; until > now.UnixMilli() &&
						!slices.ContainsFunc(next.Keys, func(o storedKey) bool { return bytes.Equal(o.Secret, k.Secret) }) {
						t.Fatalf("a key is dropped %d h too early", (until-now.UnixMilli())/hour)
					}
				}
				record, set = next, setOf(t, next)
			}
			if again, changed := record.next(now, idle); changed {
				t.Fatalf("there is more to do at once: %+v", again)
			}
			signer := record.Keys[slices.Index(set.keys, set.signer(now))]
			if signer.Added+keySettles.Milliseconds() > now.UnixMilli() && len(record.Keys) > 1 {
				t.Fatal("a key signs before it has settled")
			}
			secret := string(signer.Secret)
			good[secret] = max(good[secret], now.Add(idle).UnixMilli())
		}
		if added < 12 {
			t.Errorf("%d keys in 12 years, with cookies that are good for %v", added, idles)
		}
	}
}

// Keys that a clock which is ahead has added wait, and do not keep the others
// from rotating, unless there are too many.
//
// Proves W1.
func TestKeyFromTheFutureWaits(t *testing.T) {
	now := time.UnixMilli(1e12)
	far := now.AddDate(20, 0, 0)
	record := storedKeys{Keys: []storedKey{newStoredKey(now.UnixMilli()), newStoredKey(far.UnixMilli())}}
	first, ahead := record.Keys[0].Secret, record.Keys[1].Secret
	now = now.Add(keyPeriod)
	record, _ = record.next(now, time.Hour)
	if len(record.Keys) != 3 || !bytes.Equal(record.Keys[2].Secret, ahead) {
		t.Fatalf("%d keys after a period", len(record.Keys))
	}
	set := setOf(t, record)
	if set.signer(now) != set.keys[0] || set.signer(now.Add(keySettles)) != set.keys[1] {
		t.Error("not the newest settled key signs")
	}
	record, _ = record.next(now.Add(3*24*time.Hour), time.Hour)
	if len(record.Keys) != 2 || bytes.Equal(record.Keys[0].Secret, first) {
		t.Error("the old key does not go")
	}

	full := storedKeys{Keys: []storedKey{newStoredKey(now.UnixMilli())}, Lasts: time.Hour.Milliseconds()}
	for i := range maxKeys - 1 {
		full.Keys = append(full.Keys, newStoredKey(far.UnixMilli()+int64(i)))
	}
	if next, changed := full.next(now.AddDate(1, 0, 0), time.Hour); changed {
		t.Errorf("a full record becomes one of %d keys", len(next.Keys))
	}
}

// Every record is read or is corrupt. A record that is made from one that was
// read can be read again, keeps every key that may be needed, and has a bounded
// size.
//
// Proves M3, W1.
func FuzzStoredKeys(f *testing.F) {
	for _, value := range []string{
		`{"keys":[{"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`,
		`{"keys":[{"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","added":1700000000000}],"lasts":86400000}`,
		`{"keys":[{"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","added":5},{"secret":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","added":3}]}`,
		`{"keys":[{"secret":"AAAA"}]}`, `{"keys":[]}`, `{"keys":[null]}`, `null`, `{}`, `[]`, ``,
		`{"keys":[{"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","added":9223372036854775807}]}`,
		`{"keys":[{"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}],"lasts":-1}`,
	} {
		f.Add([]byte(value), 1, int64(1_700_000_000_000), int64(24*time.Hour))
	}
	f.Fuzz(func(t *testing.T, value []byte, version int, ms, idle int64) {
		set, err := parseKeys(&store.Record{Revision: 7, Value: value, Version: version})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || set != nil {
				t.Errorf("%v, %v", set, err)
			}
			return
		}
		if version > keysVersion || len(set.keys) == 0 || set.revision != 7 {
			t.Fatalf("%+v was read from version %d", set, version)
		}
		now := time.UnixMilli(ms % maxMillis)
		signer := set.signer(now)
		if signer == nil || !set.has(signer.id) {
			t.Fatal("no key signs")
		}
		next, changed := set.record.next(now, max(time.Millisecond, time.Duration(idle)))
		after := setOf(t, next)
		if len(next.Keys) > max(maxKeys, len(set.record.Keys)) {
			t.Errorf("%d keys became %d", len(set.record.Keys), len(next.Keys))
		}
		if !after.has(signer.id) || next.Lasts < set.record.Lasts {
			t.Error("the key that signs is dropped, or the life of cookies shortened")
		}
		if changed {
			if _, more := after.record.next(now, max(time.Millisecond, time.Duration(idle))); more {
				t.Error("there is more to do at once")
			}
		}
	})
}
