package engine

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storefault"
)

// An appending op adds to a text.
type appending struct {
	ref  Ref
	more string
	run  func(v string) // called with what it finds
}

func (o *appending) Resolve(context.Context, bool) (*Ref, error) { return &o.ref, nil }
func (o *appending) Committed(context.Context)                   {}

func (o *appending) Run(v any, _ *Version) (Result, error) {
	if o.run != nil {
		o.run(v.(string))
	}
	return Result{Value: v.(string) + o.more}, nil
}

// A change on an instance that leaves memory when its save has ended is not
// acknowledged there, but runs again on the state that is loaded then.
//
// Proves A14.
func TestDebouncedChangeOfWhatLeavesRunsAgain(t *testing.T) {
	both(t, func(t *testing.T, immediate bool) {
		synctest.Test(t, func(t *testing.T) {
			p := newPrefetching(t, immediate, 10, nil, nil)
			p.kind = p.Kind(Kind{Name: "k", Prefix: "k/", Backend: p.Backend(p.store), Type: texts{}, Version: 1, Debounce: time.Millisecond})
			ref := p.refs("x")[0]
			update := func(o appending) {
				o.ref = ref
				if _, err := p.Update(t.Context(), &o); err != nil {
					t.Error(err)
				}
			}
			update(appending{more: "a"})
			gate := storefault.NewGate()
			rule := p.store.Add(storefault.Rule{Op: storefault.Commit, Times: 1, Fault: storefault.Stop(gate)})
			if _, err := gate.Arrived(t.Context()); err != nil {
				t.Fatal(err)
			}
			goOn, done := make(chan struct{}), make(chan struct{})
			var seen []string
			go func() {
				defer close(done)
				update(appending{more: "b", run: func(v string) {
					seen = append(seen, v)
					<-goOn
				}})
			}()
			synctest.Wait()
			p.EndKey(p.kind, "x", 0, false)
			close(goOn)
			synctest.Wait()
			select {
			case <-done:
				t.Error("it was acknowledged on what is leaving")
			default:
			}
			rule.Remove()
			gate.Open()
			<-done
			p.want(t, "x", "ab")
			if !slices.Equal(seen, []string{"a", "a"}) {
				t.Errorf("it ran on %q, want twice on a", seen)
			}
			if err := p.Flush(t.Context(), ref); err != nil {
				t.Error(err)
			}
			recs, err := p.store.Load(t.Context(), []store.Read{{Key: "k/x"}})
			if err != nil || string(recs[0].Value) != "ab" {
				t.Errorf("%q is stored, %v", recs[0].Value, err)
			}
		})
	})
}
