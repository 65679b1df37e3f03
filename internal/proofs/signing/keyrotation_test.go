package signing_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

const (
	keysRecord = "stay/keys"
	day        = 24 * time.Hour
)

var background = context.Background()

// aSweep is longer than any two sweeps are apart.
const aSweep = 2 * time.Minute

// A keyNode is one of several Apps on one set of records.
type keyNode struct {
	*stay.App
	ring   access.Keyring
	store  *storefault.Store
	errors atomic.Int32
	last   atomic.Pointer[stay.Error]
}

func newKeyNode(t *testing.T, s store.Store, opts stay.Options) *keyNode {
	t.Helper()
	n := &keyNode{}
	n.store = storefault.Wrap(s, &storefault.Options{Features: func(f store.Features) store.Features {
		f.SoleOwner = true // these tests check only the signing keys
		return f
	}})
	opts.OnError = func(_ *stay.Call, e *stay.Error) {
		n.errors.Add(1)
		n.last.Store(e)
	}
	n.App = testkit.NewApp(t, n.store, &opts)
	n.ring = access.AppOf(n.App).Keyring(nil)
	return n
}

var someToken = access.Token{ID: [16]byte{1, 2, 3}, Gen: 4}

// sign returns a token and the id of the key that signed it.
func (n *keyNode) sign(t *testing.T) (token, key string) {
	t.Helper()
	token, err := n.ring.Sign(background, &someToken)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return token, string(b[:4])
}

func (n *keyNode) wantVerify(t *testing.T, token string, want bool) {
	t.Helper()
	got, err := n.ring.Verify(background, token)
	if err != nil || (got != nil) != want || want && (got.ID != someToken.ID || got.Gen != someToken.Gen) {
		t.Errorf("Verify gives %+v, %v, want %v", got, err, want)
	}
}

// keysIn returns the record of the keys and their number.
func keysIn(t *testing.T, s store.Store) (store.Record, int) {
	t.Helper()
	recs, err := s.Load(background, []store.Read{{Key: keysRecord}})
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if recs[0].Revision != 0 {
		if err := json.Unmarshal(recs[0].Value, &stored); err != nil {
			t.Fatal(err)
		}
	}
	return recs[0], len(stored.Keys)
}

func wantKeys(t *testing.T, s store.Store, want int) {
	t.Helper()
	if _, n := keysIn(t, s); n != want {
		t.Errorf("%d keys are stored, want %d", n, want)
	}
}

func mustCommit(t *testing.T, s store.Store, w store.Write) {
	t.Helper()
	if res := s.Commit(background, []store.Group{{w}}); res[0].Outcome != store.Applied {
		t.Fatalf("commit: %v", res[0])
	}
}

func deleteKeys(t *testing.T, s store.Store) {
	t.Helper()
	rec, _ := keysIn(t, s)
	mustCommit(t, s, store.Write{Op: store.Delete, Key: keysRecord, Base: rec.Revision})
}

// forged returns a token of no key there is.
func forged(n int) string {
	b := make([]byte, 48)
	b[0], b[1], b[2] = byte(n), byte(n>>8), 1
	b[4] = 2 // a format that there is
	return base64.RawURLEncoding.EncodeToString(b)
}

// The stored keys rotate by themselves, on two nodes at once: the new key
// verifies before it signs, and the old one verifies as long as a cookie that
// it signed can be good.
//
// Proves W1.
func TestStoredKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, handles := testkit.NewClock(), memstore.Shared(3)
		idle := 5 * day
		opts := stay.Options{Clock: clk.Now, IdleTimeout: idle}
		a, b := newKeyNode(t, handles[0], opts), newKeyNode(t, handles[1], opts)
		first, old := a.sign(t)
		b.wantVerify(t, first, true)

		clk.Advance(30*day - time.Minute)
		testkit.Sleep(aSweep)
		wantKeys(t, handles[2], 1)
		clk.Advance(time.Minute)
		testkit.Sleep(aSweep)
		wantKeys(t, handles[2], 2)
		clk.Advance(10*time.Minute - time.Millisecond)
		for _, n := range []*keyNode{a, b} {
			if _, key := n.sign(t); key != old {
				t.Error("the new key signs before every node has read it")
			}
		}

		clk.Advance(time.Millisecond)
		reads := b.store.Count(storefault.Load)
		late, key := a.sign(t)
		if _, other := b.sign(t); key == old || other != key {
			t.Error("the nodes do not sign with one new key")
		}
		b.wantVerify(t, late, true)
		a.wantVerify(t, first, true)
		b.wantVerify(t, first, true)
		if n := b.store.Count(storefault.Load) - reads; n != 0 {
			t.Errorf("the new key was read %d times when its first cookie came", n)
		}

		clk.Advance(idle + day - time.Millisecond)
		testkit.Sleep(aSweep)
		wantKeys(t, handles[2], 2)
		b.wantVerify(t, first, true)
		clk.Advance(time.Millisecond)
		testkit.Sleep(aSweep)
		wantKeys(t, handles[2], 1)
		for _, n := range []*keyNode{a, b} {
			n.wantVerify(t, first, false)
			n.wantVerify(t, late, true)
			if e := n.last.Load(); e != nil {
				t.Errorf("OnError was told %v", e)
			}
		}
		rec, _ := keysIn(t, handles[2])
		testkit.Sleep(aSweep)
		if again, _ := keysIn(t, handles[2]); again.Revision != rec.Revision {
			t.Error("the record is written although nothing is due")
		}
	})
}

// Of two nodes that rotate at the same moment one succeeds, and both go on with
// its key.
//
// Proves W1.
func TestRotationRaceHasOneWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, handles := testkit.NewClock(), memstore.Shared(3)
		opts := stay.Options{Clock: clk.Now}
		a, b := newKeyNode(t, handles[0], opts), newKeyNode(t, handles[1], opts)
		first, old := a.sign(t)
		b.wantVerify(t, first, true)

		gate := storefault.NewGate()
		clk.Advance(30 * day)
		for _, n := range []*keyNode{a, b} {
			n.store.Add(storefault.Rule{Op: storefault.Commit, Key: keysRecord, Times: 1, Fault: storefault.Stop(gate)})
			go func() { n.wantVerify(t, forged(1), false) }()
		}
		for range 2 {
			if _, err := gate.Arrived(background); err != nil {
				t.Fatal(err)
			}
		}
		gate.Open()
		synctest.Wait()
		wantKeys(t, handles[2], 2)
		clk.Advance(10 * time.Minute)
		fromA, key := a.sign(t)
		fromB, other := b.sign(t)
		if key == old || other != key {
			t.Error("the nodes do not sign with one new key")
		}
		a.wantVerify(t, fromB, true)
		b.wantVerify(t, fromA, true)
	})
}

// Whatever goes wrong when a key is added, there is one new key in the end, and
// cookies are signed and verified meanwhile.
//
// Proves C2, W1.
func TestRotationAmongFaultsAddsOneKey(t *testing.T) {
	gate := storefault.NewGate()
	commit := func(times int, f storefault.Fault) storefault.Rule {
		return storefault.Rule{Op: storefault.Commit, Times: times, Fault: f}
	}
	load := func(skip int, f storefault.Fault) storefault.Rule {
		return storefault.Rule{Op: storefault.Load, Skip: skip, Times: 1, Fault: f}
	}
	for name, f := range map[string]struct {
		rules    []storefault.Rule
		reported bool
	}{
		"the answer is lost":          {rules: []storefault.Rule{commit(1, storefault.LoseAck(nil))}},
		"the write is lost":           {rules: []storefault.Rule{commit(1, storefault.Drop(nil))}},
		"the write comes late":        {rules: []storefault.Rule{commit(1, storefault.Late(gate, nil))}},
		"the write is refused":        {rules: []storefault.Rule{commit(1, storefault.Fail(nil))}, reported: true},
		"all writes are lost":         {rules: []storefault.Rule{commit(4, storefault.Drop(nil))}, reported: true},
		"the read fails":              {rules: []storefault.Rule{load(0, storefault.Fail(nil))}, reported: true},
		"the read is never answered":  {rules: []storefault.Rule{load(0, storefault.Hang())}, reported: true},
		"the answers cease":           {rules: []storefault.Rule{commit(1, storefault.LoseAck(nil)), load(1, storefault.Fail(nil))}, reported: true},
		"the write is never answered": {rules: []storefault.Rule{commit(1, storefault.HangAfter())}, reported: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk, handles := testkit.NewClock(), memstore.Shared(2)
				n := newKeyNode(t, handles[0], stay.Options{Clock: clk.Now})
				first, old := n.sign(t)
				for _, rule := range f.rules {
					rule.Key = keysRecord
					n.store.Add(rule)
				}
				clk.Advance(30 * day)
				testkit.Sleep(aSweep)
				n.wantVerify(t, first, true)
				if _, key := n.sign(t); key != old {
					t.Error("the new key signs at once")
				}
				gate.Pass() // for the late write
				testkit.Sleep(2 * aSweep)
				wantKeys(t, handles[1], 2)
				clk.Advance(10 * time.Minute)
				token, key := n.sign(t)
				if key == old {
					t.Error("the new key does not sign")
				}
				n.wantVerify(t, token, true)
				n.wantVerify(t, first, true)
				e := n.last.Load()
				if (e != nil) != f.reported || e != nil && (e.Code != stay.ErrUnavailable || e.Phase != "sign") {
					t.Errorf("OnError was told %v, want it told: %v", e, f.reported)
				}
			})
		})
	}
}

// A token that names an unknown key has the keys read again, once for all who
// wait and not again within a second, however many come.
//
// Proves W1.
func TestUnknownKeysAreReadOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := testkit.NewClock()
		n := newKeyNode(t, memstore.New(), stay.Options{Clock: clk.Now})
		good, _ := n.sign(t)
		before := n.store.Count(storefault.Load)
		wantReads := func(want int) {
			t.Helper()
			if got := n.store.Count(storefault.Load) - before; got != want {
				t.Errorf("the keys were read %d times, want %d", got, want)
			}
		}
		n.wantVerify(t, forged(0), false)
		wantReads(0) // they were read just now

		clk.Advance(time.Second)
		gate := storefault.NewGate()
		rule := n.store.Add(storefault.Rule{Op: storefault.Load, Key: keysRecord, Fault: storefault.Stop(gate)})
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() { n.wantVerify(t, forged(i), false) })
		}
		synctest.Wait()
		n.wantVerify(t, good, true) // does not wait
		wantReads(1)
		rule.Remove()
		gate.Open()
		wg.Wait()
		for i := range 500 {
			n.wantVerify(t, forged(i), false)
		}
		wantReads(1)
		clk.Advance(time.Second)
		n.wantVerify(t, forged(1), false)
		wantReads(2)
		clk.Advance(-time.Hour) // a clock that is set back does not stop it
		n.wantVerify(t, forged(1), false)
		wantReads(3)
		for _, token := range []string{good[:6] + "AAAA" + good[10:], strings.Repeat("A", 600), "A", ""} {
			clk.Advance(time.Minute)
			n.wantVerify(t, token, false)
		}
		wantReads(3) // nothing to look for
	})
}

// While the store is away, known keys serve, and whether an unknown one is
// forged is not known; the store is asked once a second.
//
// Proves W1.
func TestUnknownKeyWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := testkit.NewClock()
		n := newKeyNode(t, memstore.New(), stay.Options{Clock: clk.Now})
		good, _ := n.sign(t)
		clk.Advance(time.Second)
		away := n.store.Add(storefault.Rule{Op: storefault.Load, Key: keysRecord, Fault: storefault.Fail(nil)})
		for range 3 {
			got, err := n.ring.Verify(background, forged(1))
			testkit.WantCode(t, err, stay.ErrUnavailable)
			if got != nil {
				t.Error("a forged token is taken")
			}
		}
		if away.Hits() != 1 {
			t.Errorf("the store was asked %d times within a second", away.Hits())
		}
		n.wantVerify(t, good, true)
		n.sign(t)
		away.Remove()
		clk.Advance(time.Second)
		n.wantVerify(t, forged(1), false)
	})
}

// A value that is not a token is rejected, whether the keys are known or not:
// nothing is read or created for it.
//
// Proves W1.
func TestWhatIsNoTokenAsksNobody(t *testing.T) {
	n := newKeyNode(t, memstore.New(), stay.Options{})
	n.store.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
	for _, value := range []string{"x", "not/base64", strings.Repeat("A", 20), strings.Repeat("A", 8000)} {
		n.wantVerify(t, value, false)
	}
	if reads := n.store.Count(storefault.Load); reads != 0 {
		t.Errorf("the store was asked %d times", reads)
	}
}

// Reading the keys does not depend on the request that had it begun.
//
// Proves W1.
func TestReadingTheKeysOutlivesItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newKeyNode(t, memstore.New(), stay.Options{})
		gate := storefault.NewGate()
		n.store.Add(storefault.Rule{Op: storefault.Load, Key: keysRecord, Fault: storefault.Stop(gate)})
		ctx, cancel := context.WithCancel(background)
		left, stayed := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := n.ring.Sign(ctx, &someToken)
			left <- err
		}()
		synctest.Wait()
		go func() {
			_, err := n.ring.Sign(background, &someToken)
			stayed <- err
		}()
		synctest.Wait()
		cancel()
		testkit.WantCode(t, <-left, stay.ErrUnavailable)
		gate.Open()
		if err := <-stayed; err != nil {
			t.Errorf("the other one got %v", err)
		}
		if got := n.store.Count(storefault.Load); got != 1 {
			t.Errorf("the keys were read %d times", got)
		}
	})
}

// A later request that waited for the same reading does not fail because the
// keys could not be read for an earlier request.
//
// Proves E8, W1.
func TestKeysAreReadAgainForTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newKeyNode(t, memstore.New(), stay.Options{})
		rule := n.store.Add(storefault.Rule{Op: storefault.Load, Key: keysRecord, Fault: storefault.Hang()})
		first := make(chan error, 1)
		go func() {
			_, err := n.ring.Sign(background, &someToken)
			first <- err
		}()
		synctest.Wait()
		rule.Remove()
		testkit.Sleep(5 * time.Second)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { n.sign(t) })
		}
		wg.Wait()
		testkit.WantCode(t, <-first, stay.ErrUnavailable)
	})
}
