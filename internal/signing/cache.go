package signing

import (
	"crypto/subtle"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
)

// A cache remembers the content of some cookies that one key has verified: to
// verify and read a cookie is a quarter of what a read of state in memory costs
// beside net/http. It is direct-mapped: each value has one place, which it
// shares with others. A cookie that was not verified never gets into it, and it
// is dropped with its key.
type cache struct {
	once   sync.Once
	seed   maphash.Seed
	places []atomic.Pointer[cached]
}

type cached struct {
	value string
	token Token
}

// cachePlaces bounds a table: 8 KB, and about 300 bytes for each that is
// taken.
const cachePlaces = 1024

func (c *cache) place(value string) *atomic.Pointer[cached] {
	c.once.Do(func() {
		c.seed = maphash.MakeSeed()
		c.places = make([]atomic.Pointer[cached], cachePlaces)
	})
	return &c.places[maphash.String(c.seed, value)%cachePlaces]
}

// find returns what a value says, nil if that is not remembered. How long it
// takes tells nothing of other values.
func (c *cache) find(value string) *Token {
	t := c.place(value).Load()
	if t == nil || subtle.ConstantTimeCompare([]byte(t.value), []byte(value)) == 0 {
		return nil
	}
	return &t.token
}

// add remembers what a value says. A place that is taken changes hands only
// now and then: where far more cookies are in use than there are places, doing
// it each time would be work for nothing.
func (c *cache) add(value string, t *Token) {
	if p := c.place(value); p.Load() == nil || rand.N(8) == 0 {
		p.Store(&cached{strings.Clone(value), *t})
	}
}
