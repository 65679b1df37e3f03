package cloudflarestore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/stay-go/stay/store"
)

// places says which object has which record. Names of objects are shown in
// Cloudflare's dashboard and logs, so none contains a key.
type places struct {
	name   string // of the store
	shards int    // 0: each home has an object for itself
}

// of returns the name of the object that has a key.
func (p places) of(key string) string {
	sum := sha256.Sum256([]byte(store.Home(key)))
	if p.shards == 0 {
		return p.name + "/home/" + hex.EncodeToString(sum[:])
	}
	return p.shard(int(binary.BigEndian.Uint64(sum[:]) % uint64(p.shards))) //nolint:gosec // less than shards
}

func (p places) shard(i int) string { return fmt.Sprintf("%s/shard/%d", p.name, i) }

// all returns the names of all objects, none if nothing knows them.
func (p places) all() []string {
	names := make([]string, p.shards)
	for i := range names {
		names[i] = p.shard(i)
	}
	return names
}

// books is how many objects know when those of homes have to be asked for expired
// records.
const books = 64

// book returns the name of the book of an object, "" if all objects are asked.
func (p places) book(object string) string {
	if p.shards > 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(object))
	return p.bookAt(int(sum[0]) % books)
}

func (p places) bookAt(i int) string { return fmt.Sprintf("%s/book/%d", p.name, i) }

// allBooks returns the names of all books, none if all objects are asked.
func (p places) allBooks() []string {
	if p.shards > 0 {
		return nil
	}
	names := make([]string, books)
	for i := range names {
		names[i] = p.bookAt(i)
	}
	return names
}

// first returns the name of the object that keeps the layout.
func (p places) first() string { return p.name + "/layout" }

// layout says in words how records are divided among objects.
func (p places) layout() string {
	if p.shards == 0 {
		return "an object per home"
	}
	return fmt.Sprintf("shards: %d", p.shards)
}
