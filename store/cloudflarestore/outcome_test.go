package cloudflarestore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/internal/workerd"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// behind opens a store that reaches the server through a proxy.
func behind(t *testing.T, s *workerd.Server, options ...cloudflarestore.Option) (*cloudflarestore.Store, *faultnet.Proxy) {
	t.Helper()
	proxy, err := faultnet.Listen(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	opened, err := cloudflarestore.Open(storekit.Within(t), "http://"+proxy.Address(), secret, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened, proxy
}

// want fails the test if a group has another outcome.
func want(t *testing.T, r store.Result, outcome store.Outcome) {
	t.Helper()
	if r.Outcome != outcome {
		t.Fatalf("%v: %v, want %v", r.Outcome, r.Err, outcome)
	}
	if (outcome == store.Unknown || outcome == store.Rejected) && !errors.Is(r.Err, store.ErrUnavailable) {
		t.Errorf("%v with %v, want ErrUnavailable", outcome, r.Err)
	}
}

// TestLostAnswersAreUnknown has the connections cut when the Worker has done what it
// was asked for, before its answer arrives. The next group finds out.
//
// Proves C6.
func TestLostAnswersAreUnknown(t *testing.T) {
	s, proxy := behind(t, theServer(t), place(), cloudflarestore.Attempt(300*time.Millisecond))
	for i := range 3 {
		key := fmt.Sprint("key", i)
		storekit.Put(t, s, "other", storekit.Load(t, s, "other").Revision, "x") // there is a connection
		proxy.Hold(faultnet.ToClient)
		result := storekit.Begin(s, store.Write{Key: key, Value: []byte("first")})
		r := <-result
		proxy.Cut()
		proxy.Release()
		want(t, r, store.Unknown)
		again := storekit.One(s, store.Write{Key: key, Value: []byte("second")})
		if again.Outcome != store.Conflict || string(again.Current[0].Value) != "first" {
			t.Errorf("a group whose answer was lost is not applied: %v, %+v", again.Outcome, again.Current)
		}
	}
}

// TestNothingSentIsRejected proves that a group that cannot be sent is refused, so
// that nobody has to ask for it, and that the store works again without being opened
// again.
//
// Proves C6.
func TestNothingSentIsRejected(t *testing.T) {
	t.Parallel()
	server := ownServer(t, deployed())
	s := open(t, server)
	rev := storekit.Put(t, s, "key", 0, "x")
	server.Kill()
	var r store.Result
	for range 100 { // connections that were open may break first
		if r = storekit.One(s, store.Write{Key: "key", Base: rev, Value: []byte("y")}); r.Outcome == store.Rejected {
			break
		}
	}
	want(t, r, store.Rejected)
	if _, err := s.Load(storekit.Within(t), []store.Read{{Key: "key"}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a read without a server: %v, want ErrUnavailable", err)
	}
	if err := server.Start(deployed()); err != nil {
		t.Fatal(err)
	}
	storekit.Put(t, s, "key", rev, "z")
}

// TestCrash kills the server, with its objects on a disk, while there are commits,
// again and again. What was acknowledged is there afterwards, and what is there was
// asked for.
//
// Proves C5.
func TestCrash(t *testing.T) {
	t.Parallel()
	const writers, rounds = 4, 3
	server := ownServer(t, deployed())
	s := open(t, server, cloudflarestore.Shards(2))
	revs, values := make([]store.Revision, writers), make([]int, writers)
	for round := range rounds {
		ctx, stop := context.WithCancel(context.Background())
		var some, all sync.WaitGroup
		some.Add(writers)
		for i := range writers {
			all.Go(func() {
				enough := sync.OnceFunc(some.Done)
				defer enough()
				for n := 0; ctx.Err() == nil; n++ {
					r := s.Commit(ctx, []store.Group{{{Key: fmt.Sprint(i), Base: revs[i], Value: fmt.Append(nil, values[i]+1)}}})[0]
					if r.Outcome != store.Applied {
						return // the server is gone
					}
					if revs[i], values[i] = r.Revisions[0], values[i]+1; n == 10 {
						enough()
					}
				}
			})
		}
		some.Wait()
		server.Kill()
		stop()
		all.Wait()
		if err := server.Start(deployed()); err != nil {
			t.Fatal(err)
		}
		for i := range writers {
			rec := storekit.Load(t, s, fmt.Sprint(i))
			acknowledged := rec.Revision == revs[i] && string(rec.Value) == fmt.Sprint(values[i])
			next := rec.Revision > revs[i] && string(rec.Value) == fmt.Sprint(values[i]+1)
			if !acknowledged && !next {
				t.Fatalf("round %d: %d was acknowledged at %d, and %q is there at %d", round, values[i], revs[i], rec.Value, rec.Revision)
			}
			if next {
				revs[i], values[i] = rec.Revision, values[i]+1
			}
		}
	}
}

// TestAnObjectFailsAlone proves that an object that fails does not fail the groups
// of others in the same call, and that it answers again afterwards.
//
// Proves C2.
func TestAnObjectFailsAlone(t *testing.T) {
	t.Parallel()
	server := ownServer(t, failing(`if (keys.includes("bad") && !this.failed) { this.failed = true; throw new Error("broken"); }`))
	s := open(t, server, cloudflarestore.ObjectPerHome())
	results := s.Commit(storekit.Within(t), []store.Group{{{Key: "good"}}, {{Key: "bad"}}, {{Key: "better"}}})
	want(t, results[0], store.Applied)
	want(t, results[1], store.Unknown)
	want(t, results[2], store.Applied)
	wantText(t, results[1].Err, "broken")
	storekit.Put(t, s, "bad", 0, "x")
}

// TestAnObjectThatEndsIsUnknown has an object end when it has stored a group, before
// it answers, as it does when Cloudflare moves it. A new one goes on from what is
// stored.
//
// Proves C6.
func TestAnObjectThatEndsIsUnknown(t *testing.T) {
	t.Parallel()
	server := ownServer(t, failing(`if (keys.includes("end")) { await commit(); await this.ctx.storage.sync(); this.ctx.abort("moved"); }`))
	s := open(t, server)
	want(t, storekit.One(s, store.Write{Key: "end", Value: []byte("x")}), store.Unknown)
	rec := storekit.Load(t, s, "end")
	if string(rec.Value) != "x" {
		t.Fatalf("the object has stored %q", rec.Value)
	}
	want(t, storekit.One(s, store.Write{Key: "end", Op: store.Delete, Base: rec.Revision}), store.Unknown)
	if rec := storekit.Load(t, s, "end"); rec.Revision != 0 {
		t.Errorf("what was deleted is there at revision %d", rec.Revision)
	}
}

// TestWhatAnObjectCannotStoreIsRejected proves that an error in the middle of a group
// undoes the group, and that the next group of the same object is applied.
//
// Proves C2.
func TestWhatAnObjectCannotStoreIsRejected(t *testing.T) {
	t.Parallel()
	server := ownServer(t, failing(`
const write = this.write;
this.write = (w, head) => { if (atob(w.key).endsWith("full")) throw new Error("disk full"); return write.call(this, w, head); };`))
	s := open(t, server, cloudflarestore.Shards(1))
	results := s.Commit(storekit.Within(t), []store.Group{{{Key: "a"}, {Key: "full"}}, {{Key: "b"}}})
	want(t, results[0], store.Rejected)
	wantText(t, results[0].Err, "disk full")
	want(t, results[1], store.Applied)
	if rec := storekit.Load(t, s, "a"); rec.Revision != 0 {
		t.Error("half of a group is stored")
	}
}

// TestWhatFailsAfterACommitIsUnknown has an object fail when it has made a group, at
// what it does for its storage. Whoever asked is not told that nothing was done.
//
// Proves C6.
func TestWhatFailsAfterACommitIsUnknown(t *testing.T) {
	t.Parallel()
	server := ownServer(t, failing(`this.remind = () => { throw new Error("no alarm"); };`))
	s := open(t, server, cloudflarestore.ObjectPerHome())
	r := storekit.One(s, store.Write{Key: "key", Value: []byte("x")})
	want(t, r, store.Unknown)
	wantText(t, r.Err, "no alarm")
	if rec := storekit.Load(t, s, "key"); string(rec.Value) != "x" {
		t.Errorf("the object has stored %q", rec.Value)
	}
}

// TestAttemptsAreBounded proves that a commit that is not answered ends within its
// attempt, not with its context, and that its late arrival changes nothing.
//
// Proves C6.
func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	server := ownServer(t, failing(`
if (keys.includes("open")) this.open?.();
if (keys.includes("slow") && !this.slow) { this.slow = true; await new Promise((open) => { this.open = open; }); }`))
	s := open(t, server, cloudflarestore.Shards(1), cloudflarestore.Attempt(300*time.Millisecond))
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	want(t, s.Commit(ctx, []store.Group{{{Key: "slow", Value: []byte("late")}}})[0], store.Unknown)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("an attempt of 300ms took %v", took)
	}
	rev := storekit.Put(t, s, "slow", 0, "again")
	if r := storekit.One(s, store.Write{Key: "slow", Op: store.Delete, Base: rev}); r.Outcome != store.Applied {
		t.Fatalf("delete: %v: %v", r.Outcome, r.Err)
	}
	storekit.Put(t, s, "open", 0, "the first one goes on")
	storekit.Put(t, s, "other", 0, "and the object is done with it")
	if rec := storekit.Load(t, s, "slow"); rec.Revision != 0 {
		t.Errorf("a create that comes late is applied: %q", rec.Value)
	}
}

// TestCancelledCallsReturn proves that a call ends with its context.
func TestCancelledCallsReturn(t *testing.T) {
	t.Parallel()
	server := ownServer(t, failing(`if (keys.includes("slow")) await new Promise(() => setTimeout(() => {}, 1e9));`))
	s := open(t, server, cloudflarestore.Attempt(time.Minute))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	want(t, s.Commit(ctx, []store.Group{{{Key: "slow"}}})[0], store.Unknown)
	if _, err := s.Load(ctx, []store.Read{{Key: "slow"}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a read after the end of its context: %v", err)
	}
}

// TestLargeCalls proves that calls whose requests or answers are too large for one
// request are divided, and that what cannot be divided is refused.
//
// Proves C6.
func TestLargeCalls(t *testing.T) {
	s := open(t, theServer(t), place(), cloudflarestore.Shards(3))
	const n = 5
	value := []byte(strings.Repeat("0123456789abcdef", 1<<18)) // 4 MiB
	groups, reads := make([]store.Group, n), make([]store.Read, n)
	for i := range groups {
		key := fmt.Sprint("key", i)
		groups[i] = store.Group{{Key: key, Value: value, Meta: []byte(key)}}
		reads[i].Key = key
	}
	for i, r := range s.Commit(storekit.Within(t), groups) {
		if r.Outcome != store.Applied {
			t.Fatalf("group %d: %v: %v", i, r.Outcome, r.Err)
		}
	}
	records, err := s.Load(storekit.Within(t), reads)
	if err != nil {
		t.Fatal(err)
	}
	for i, rec := range records {
		if rec.Key != reads[i].Key || string(rec.Meta) != rec.Key || string(rec.Value) != string(value) {
			t.Errorf("record %d is %q with %q and %d bytes", i, rec.Key, rec.Meta, len(rec.Value))
		}
		groups[i] = store.Group{{Key: rec.Key, Op: store.Delete, Base: 1}}
	}
	for i, r := range s.Commit(storekit.Within(t), groups) {
		if r.Outcome != store.Conflict || len(r.Current[0].Value) != len(value) {
			t.Errorf("group %d: %v: %v, want a conflict with the record", i, r.Outcome, r.Err)
		}
	}
	var home store.Group
	for i := range 6 {
		home = append(home, store.Write{Key: fmt.Sprintf("guest/m/s.%d", i), Value: value})
	}
	if r := storekit.One(s, home...); r.Outcome != store.Rejected || !errors.Is(r.Err, store.ErrTooLarge) {
		t.Errorf("a group of 24 MiB: %v: %v, want rejected with ErrTooLarge", r.Outcome, r.Err)
	}
}
