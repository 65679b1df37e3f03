package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// A state that was absent when nodes were compared, and was there, and left memory
// before another node deleted it, is told to be absent again.
//
// Proves L5, L35.
func TestAnEvictedStateThatAnotherNodeDeletesWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.Shared(2)
		st := storefault.Wrap(shared[0], &storefault.Options{Features: func(f store.Features) store.Features {
			f.Watch = false
			return f
		}})
		p := newPrefetchingOn(t, st, 10, nil, nil)
		w := NewWatch()
		d := p.Watch(w, p.kind, "a")
		defer p.Unwatch(d)
		look := func(value string) {
			t.Helper()
			p.want(t, "a", value)
			p.kind.cache.evictUnused(p.kind.cache.peek(p.kind, "a"))
			told(w)
		}
		<-time.After(roundEvery + time.Second)
		look("")
		res := shared[1].Commit(t.Context(), []store.Group{{{Op: store.Put, Key: "k/a", Value: []byte("x"), Version: 1}}})
		look("x")
		commit(t, shared[1], store.Write{Op: store.Delete, Key: "k/a", Base: res[0].Revisions[0]})
		<-time.After(roundEvery + time.Second)
		if !told(w) {
			t.Error("nobody was told that the state was deleted")
		}
	})
}
