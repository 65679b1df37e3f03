package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store/memstore"
)

// A weight is never less than what was weighed, and hardly more.
func TestWeightsAreRoundedUpByLittle(t *testing.T) {
	random := rand.New(rand.NewPCG(testseed.New(t), 0))
	sizes := []int{0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 1<<22 - 1, 1 << 22, 1<<31 - 1, 1<<31 + 1, 1 << 40}
	for range 10_000 {
		sizes = append(sizes, int(random.Uint64N(1<<(1+random.UintN(40)))))
	}
	for _, n := range sizes {
		if got := weigh(n).bytes(); got < int64(n) || got > int64(n)+int64(n)/1000 {
			t.Errorf("%d bytes weigh %d", n, got)
		}
	}
}

// writes is an Op that makes a state a text, or removes it if that is empty; with
// err it changes nothing.
type writes struct {
	ref  Ref
	text string
	err  error
}

func (w writes) Resolve(context.Context, bool) (*Ref, error) { return &w.ref, nil }
func (writes) Committed(context.Context)                     {}

func (w writes) Run(any, *Version) (Result, error) {
	if w.text == "" && w.err == nil {
		return Result{Delete: true}, nil
	}
	return Result{Value: w.text}, w.err
}

// Each instance is always in one segment and counted there, and the bounds hold
// when no work is under way.
//
// Proves E6.
func TestSegmentsCountWhatTheyHave(t *testing.T) {
	const limit, maxBytes, keys = 2000, 1 << 20, 4000
	seed := testseed.New(t)
	both(t, func(t *testing.T, immediate bool) {
		p := newPrefetching(t, immediate, limit, nil, nil)
		p.guests.maxCount, p.guests.maxBytes = limit/10, maxBytes/10
		guests := p.Kind(Kind{Name: "guests", Type: texts{}})
		refused := errors.New("refused")
		var work sync.WaitGroup
		for w := range uint64(8) {
			work.Go(func() {
				random := rand.New(rand.NewPCG(seed, w))
				for range 3000 {
					ref := Ref{Kind: p.kind, Key: fmt.Sprint(random.IntN(keys)), First: random.IntN(2) == 0}
					if random.IntN(4) == 0 {
						ref.Kind = guests
					}
					o := writes{ref: ref, text: strings.Repeat("x", random.IntN(800))}
					var err error
					switch random.IntN(8) {
					case 0:
						o.text = ""
						_, err = p.Update(t.Context(), o)
					case 1:
						o.err = refused
						_, err = p.Update(t.Context(), o)
					case 2, 3:
						_, err = p.Update(t.Context(), o)
					case 4:
						errs, release := p.Prefetch(t.Context(), []Ref{ref})
						release()
						err = errs[0]
					case 5:
						p.discardKey(ref.Kind, ref.Key)
					default:
						_, err = p.Get(t.Context(), &ref)
					}
					if err != nil && !errors.Is(err, refused) {
						t.Errorf("%v", err)
						return
					}
				}
			})
		}
		work.Wait()
		for name, c := range map[string]*cache{"instances": p.instances, "guests": p.guests} {
			segmentsAgree(t, name, c)
			if c.shrink(); c.over() {
				t.Errorf("%s: %d instances take %d bytes", name, c.count(), c.bytes())
			}
		}
		if p.instances.has[usedAgain].count.Load() == 0 || p.instances.has[absent].count.Load() == 0 || p.instances.has[usedOnce].count.Load() == 0 {
			t.Error("a segment is empty")
		}
	})
}

func segmentsAgree(t *testing.T, name string, c *cache) {
	t.Helper()
	var count, bytes [segments]int64
	for i := range c.shards {
		s := &c.shards[i]
		n := 0
		for g := range s.segments {
			o := &s.segments[g]
			inList := int64(0)
			for in := o.end.next; in != &o.end; in = in.next {
				v := in.snapshot.Load()
				if int(in.segment) != g || in.pins.Load() != 0 || in.counted != in.weigh(v) {
					t.Errorf("%s: an instance in segment %d is in %d, has %d pins, counts %d and weighs %d", name, g, in.segment, in.pins.Load(), in.counted, in.weigh(v))
				}
				if in.segment != absent && !v.Exists() {
					t.Errorf("%s: what does not exist is in segment %d", name, g)
				}
				inList++
				bytes[g] += in.counted.bytes()
			}
			if got := o.n.Load(); got != inList {
				t.Errorf("%s: a shard has %d in segment %d, and counts %d", name, inList, g, got)
			}
			count[g] += inList
			n += int(inList)
		}
		if found := len(s.m) + len(s.more); n != found {
			t.Errorf("%s: a shard has %d in its segments and finds %d", name, n, found)
		}
	}
	for g := range count {
		if got := c.has[g].count.Load(); got != count[g] {
			t.Errorf("%s: segment %d has %d instances, and counts %d", name, g, count[g], got)
		}
		if got := c.has[g].bytes.Load(); got != bytes[g] {
			t.Errorf("%s: segment %d has %d bytes, and counts %d", name, g, bytes[g], got)
		}
	}
}

// A state that the group of another instance stores is no longer absent, even
// if nobody uses it.
//
// Proves E6.
func TestWhatAGroupStoresIsNoAbsence(t *testing.T) {
	e := New(Config{
		Now: time.Now, Logger: slog.New(slog.DiscardHandler), MaxInstances: 100, MaxBytes: 1 << 20, MaxGuests: 10,
		MaxState: 1 << 10, MaxWaiters: 10, MaxWait: time.Second, CommitTimeout: time.Second,
		Report: func(*Kind, string, string, error) {},
	})
	defer func() { _ = e.Close(context.Background()) }()
	b := e.Backend(memstore.New())
	k := e.Kind(Kind{Name: "k", Prefix: "k/", Backend: b, Type: texts{}})
	beside := e.Kind(Kind{Name: "beside", Prefix: "b/", Backend: b, Type: texts{}})
	base, err := e.Get(t.Context(), &Ref{Kind: beside, Key: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if n := e.instances.has[absent].count.Load(); n != 1 {
		t.Fatalf("%d are absent", n)
	}
	guard := creates{Companion{Kind: beside, Key: "x", Base: base, Value: "value", Bytes: 100}}
	if _, err := e.Update(t.Context(), writes{ref: Ref{Kind: k, Key: "y", Guard: guard}, text: "text"}); err != nil {
		t.Fatal(err)
	}
	if v := e.Peek(beside, "x"); v == nil || v.Value != "value" {
		t.Fatalf("beside it is %+v", v)
	}
	segmentsAgree(t, "instances", e.instances)
}

// creates is a Guard that has a record created in the same group.
type creates []Companion

func (creates) Valid(*Version) bool            { return true }
func (creates) Stands(*Version) bool           { return true }
func (c creates) Create() ([]Companion, error) { return c, nil }
func (creates) Checks() ([]Companion, bool)    { return nil, false }
func (creates) Later() (Later, error)          { return nil, nil }
