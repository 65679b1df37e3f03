package engine

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// Whoever waits for a load while the state ends gets what the load has read, and
// looks again.
//
// Proves L5.
func TestAStateThatEndsWhileItIsLoadedWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features {
			f.Immediate = false
			return f
		}})
		p := newPrefetchingOn(t, st, 10, nil, map[string]string{"a": "old"})
		w := NewWatch()
		d := p.Watch(w, p.kind, "a")
		defer p.Unwatch(d)
		gate := storefault.NewGate()
		st.Add(storefault.Rule{Op: storefault.Load, Times: 1, Fault: storefault.StopAfter(gate)})
		got := make(chan any, 1)
		go func() {
			v, err := p.Get(context.Background(), &Ref{Kind: p.kind, Key: "a"})
			if err != nil {
				t.Error(err)
			}
			got <- v.Value
		}()
		synctest.Wait() // it has read, and was not answered
		recs, err := st.Load(t.Context(), []store.Read{{Key: "k/a"}})
		if err != nil {
			t.Fatal(err)
		}
		commit(t, st, store.Write{Op: store.Delete, Key: "k/a", Base: recs[0].Revision})
		p.EndKey(p.kind, "a", 0, false)
		gate.Open()
		if v := <-got; v == "" {
			return // it was read again
		}
		if !told(w) {
			t.Fatal("the load has shown a state that has ended, and nobody is woken")
		}
		p.want(t, "a", "")
	})
}
