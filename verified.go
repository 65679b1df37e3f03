package stay

import (
	"crypto/subtle"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stay-go/stay/internal/bridge"
)

// verified remembers what some of the cookies said that one key has verified:
// to verify and read one is a quarter of what a read of state in memory costs
// beside net/http. It is a table in which each value has one place, which
// others have as well. What was not verified never gets into it, and it goes
// with its key.
type verified struct {
	once   sync.Once
	seed   maphash.Seed
	places []atomic.Pointer[verifiedToken]
}

type verifiedToken struct {
	value string
	token bridge.Token
}

// verifiedPlaces bounds a table: 8 KB, and about 300 bytes for each that is
// taken.
const verifiedPlaces = 1024

func (v *verified) place(value string) *atomic.Pointer[verifiedToken] {
	v.once.Do(func() {
		v.seed = maphash.MakeSeed()
		v.places = make([]atomic.Pointer[verifiedToken], verifiedPlaces)
	})
	return &v.places[maphash.String(v.seed, value)%verifiedPlaces]
}

// find returns what a value says, nil if that is not remembered. How long it
// takes tells nothing of other values.
func (v *verified) find(value string) *bridge.Token {
	t := v.place(value).Load()
	if t == nil || subtle.ConstantTimeCompare([]byte(t.value), []byte(value)) == 0 {
		return nil
	}
	return &t.token
}

// add remembers what a value says. A place that is taken changes hands only
// now and then: where far more cookies are in use than there are places, doing
// it each time would be work for nothing.
func (v *verified) add(value string, t *bridge.Token) {
	if p := v.place(value); p.Load() == nil || rand.N(8) == 0 {
		p.Store(&verifiedToken{strings.Clone(value), *t})
	}
}
