package signing_test

import (
	"bytes"
	"encoding/json"
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

// oneKey is a record from before keys had times.
const oneKey = `{"keys":[{"secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`

// After a leak the record of the keys is deleted: every process gets one new
// key, and requests with cookies of the old keys begin new sessions.
//
// Proves W1.
func TestDeletedKeysAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, handles := testkit.NewClock(), memstore.Shared(4)
		opts := stay.Options{Clock: clk.Now}
		a, b := newKeyNode(t, handles[0], opts), newKeyNode(t, handles[1], opts)
		clicks := stay.Register(a.App, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
		user := testkit.NewBrowser(a.App)
		testkit.MustUpdate(t, user.Ctx(), clicks)
		leaked := user.Token
		old, _ := b.sign(t)

		deleteKeys(t, handles[3])
		c := newKeyNode(t, handles[2], opts) // makes the new key before a and b look
		token, _ := c.sign(t)
		clk.Advance(time.Second)
		b.wantVerify(t, token, true)
		b.wantVerify(t, old, false)
		c.wantVerify(t, old, false)

		testkit.Sleep(aSweep)
		fromA, _ := a.sign(t)
		b.wantVerify(t, fromA, true)
		a.wantVerify(t, old, false)
		wantKeys(t, handles[3], 1)
		testkit.WantCount(t, user.Ctx(), clicks, 0)
		if user.Token == leaked {
			t.Error("the browser keeps a cookie of the leaked key")
		}
		testkit.MustUpdate(t, user.Ctx(), clicks)
		testkit.WantCount(t, user.With(leaked).Ctx(), clicks, 0)
		testkit.WantCount(t, user.Ctx(), clicks, 1)

		// Two processes that find it deleted at their sweeps agree, too.
		deleteKeys(t, handles[3])
		testkit.Sleep(aSweep)
		wantKeys(t, handles[3], 1)
		fromA, key := a.sign(t)
		fromB, other := b.sign(t)
		if key != other {
			t.Error("two new keys sign")
		}
		a.wantVerify(t, fromB, true)
		b.wantVerify(t, fromA, true)
	})
}

// A record that cannot be read is reported and never overwritten; keys that
// were read before stay in use.
//
// Proves M3, W1.
func TestCorruptKeysStay(t *testing.T) {
	for name, rec := range map[string]store.Write{
		"no JSON":         {Value: []byte("}"), Version: 1},
		"another type":    {Value: []byte(`[]`), Version: 1},
		"empty":           {Value: nil, Version: 1},
		"no keys":         {Value: []byte(`{"keys":[]}`), Version: 1},
		"short key":       {Value: []byte(`{"keys":[{"secret":"AAAA"}]}`), Version: 1},
		"negative time":   {Value: bytes.Replace([]byte(oneKey), []byte(`"}`), []byte(`","added":-1}`), 1), Version: 1},
		"a later release": {Value: []byte(oneKey), Version: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk, handles := testkit.NewClock(), memstore.Shared(3)
				opts := stay.Options{Clock: clk.Now}
				n := newKeyNode(t, handles[0], opts)
				token, _ := n.sign(t)
				was, _ := keysIn(t, handles[2])
				rec.Op, rec.Key, rec.Base = store.Put, keysRecord, was.Revision
				mustCommit(t, handles[2], rec)

				clk.Advance(60 * day)
				testkit.Sleep(aSweep)
				if e := n.last.Load(); e == nil || e.Code != stay.ErrCorrupt || e.Phase != "sign" {
					t.Errorf("OnError was told %v", e)
				}
				n.wantVerify(t, token, true)
				n.sign(t)
				_, err := n.ring.Verify(background, forged(1))
				testkit.WantCode(t, err, stay.ErrCorrupt)

				other := newKeyNode(t, handles[1], opts)
				_, err = other.ring.Sign(background, &someToken)
				testkit.WantCode(t, err, stay.ErrCorrupt)
				recs, err := handles[2].Load(background, []store.Read{{Key: keysRecord}})
				if err != nil || !bytes.Equal(recs[0].Value, rec.Value) || recs[0].Version != rec.Version {
					t.Errorf("the record was overwritten: %v %v", recs, err)
				}

				mustCommit(t, handles[2], store.Write{ // repaired
					Op: store.Put, Key: keysRecord, Base: recs[0].Revision, Value: was.Value, Version: was.Version,
				})
				testkit.Sleep(aSweep)
				other.wantVerify(t, token, true)
			})
		})
	}
}

// A record from before keys had times is read, and rotates.
//
// Proves W1.
func TestKeysWithoutTimesRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, handles := testkit.NewClock(), memstore.Shared(2)
		secret := bytes.Repeat([]byte{7}, 32)
		value, err := json.Marshal(map[string]any{"keys": []any{map[string]any{"secret": secret}}})
		if err != nil {
			t.Fatal(err)
		}
		mustCommit(t, handles[1], store.Write{Op: store.Put, Key: keysRecord, Value: value, Version: 1})

		n := newKeyNode(t, handles[0], stay.Options{Clock: clk.Now})
		fixed := access.AppOf(n.App).Keyring([][]byte{secret})
		old, err := fixed.Sign(background, &someToken)
		if err != nil {
			t.Fatal(err)
		}
		n.wantVerify(t, old, true)
		wantKeys(t, handles[1], 2)
		token, key := n.sign(t)
		if got, _ := fixed.Verify(background, token); got == nil {
			t.Error("the stored key does not sign")
		}
		clk.Advance(10 * time.Minute)
		if _, next := n.sign(t); next == key {
			t.Error("the new key does not sign")
		}
		clk.Advance(2 * day)
		testkit.Sleep(aSweep)
		wantKeys(t, handles[1], 1)
	})
}

// Keys that can be read serve even if the store takes no new one, which is
// reported.
//
// Proves W1.
func TestKeysThatCannotRotateServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, handles := testkit.NewClock(), memstore.Shared(2)
		mustCommit(t, handles[1], store.Write{Op: store.Put, Key: keysRecord, Value: []byte(oneKey), Version: 1})
		n := newKeyNode(t, handles[0], stay.Options{Clock: clk.Now})
		rule := n.store.Add(storefault.Rule{Op: storefault.Commit, Key: keysRecord, Fault: storefault.Fail(nil)})
		token, _ := n.sign(t)
		n.wantVerify(t, token, true)
		wantKeys(t, handles[1], 1)
		testkit.Sleep(aSweep)
		if e := n.last.Load(); e == nil || e.Code != stay.ErrUnavailable || e.Phase != "sign" {
			t.Errorf("OnError was told %v", e)
		}
		rule.Remove()
		testkit.Sleep(aSweep)
		wantKeys(t, handles[1], 2)
	})
}

// A shorter IdleTimeout does not cut short the cookies that were issued under a
// longer one.
//
// Proves S6, W1.
func TestKeysOutliveALongerIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk, handles := testkit.NewClock(), memstore.Shared(3)
		token, _ := newKeyNode(t, handles[0], stay.Options{Clock: clk.Now, IdleTimeout: time.Hour}).sign(t)
		newKeyNode(t, handles[1], stay.Options{Clock: clk.Now, IdleTimeout: 20 * day}).sign(t)

		now := memstore.Shared(1) // a restart with other options
		rec, _ := keysIn(t, handles[2])
		mustCommit(t, now[0], store.Write{Op: store.Put, Key: keysRecord, Value: rec.Value, Version: rec.Version})
		n := newKeyNode(t, now[0], stay.Options{Clock: clk.Now, IdleTimeout: time.Hour})
		clk.Advance(30 * day)
		n.wantVerify(t, token, true) // adds a key
		clk.Advance(20 * day)
		testkit.Sleep(aSweep)
		n.wantVerify(t, token, true)
		clk.Advance(day + 10*time.Minute)
		testkit.Sleep(aSweep)
		n.wantVerify(t, token, false)
	})
}

// An App whose keys come from its options, or that has no sessions, stores no
// keys.
//
// Proves S1, W1.
func TestKeysAreStoredOnUseOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		app := testkit.NewApp(t, st, nil)
		b := testkit.NewBrowser(app)
		b.Ring = b.App.Keyring([][]byte{bytes.Repeat([]byte{1}, 32)})
		clicks := stay.Register(app, stay.Module[testkit.Counter]{Name: "clicks", Persist: stay.PerSession})
		testkit.WantCount(t, b.Ctx(), clicks, 0)
		testkit.Sleep(aSweep)
		if keys := testkit.Rows(t, st); len(keys) > 0 {
			t.Errorf("%q are stored", keys)
		}
	})
}

// A hook that does not end holds up the removal of expired records, but not the
// keys: a deleted key is still given up.
//
// Proves W1.
func TestKeysAreGivenUpWhileAHookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		n := newKeyNode(t, testkit.Unclosed{Store: mem}, stay.Options{IdleTimeout: time.Hour})
		hanging, end := make(chan struct{}), make(chan struct{})
		offer := stay.Register(n.App, stay.Module[testkit.Counter]{
			Name: "offer", Persist: stay.Global, Expiry: time.Minute,
			OnExpire: func(*stay.Call, *testkit.Counter) {
				close(hanging)
				<-end
			},
		})
		testkit.MustUpdate(t, background, offer)
		token, _ := n.sign(t)
		<-hanging
		rec, _ := keysIn(t, mem)
		if res := mem.Commit(background, []store.Group{{{Op: store.Delete, Key: keysRecord, Base: rec.Revision}}}); res[0].Outcome != store.Applied {
			t.Fatal(res[0])
		}
		testkit.Sleep(aSweep)
		n.wantVerify(t, token, false)
		close(end)
	})
}
