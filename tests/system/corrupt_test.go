package system_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/store/storefault"
)

// recordOf reads one record whole.
func recordOf(t *testing.T, s store.Store, key string) store.Record {
	t.Helper()
	recs, err := s.Load(context.Background(), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return recs[0]
}

// A record that cannot be decoded, or that a newer version of the program
// wrote, is a 500 with a clear body for whom it belongs to. It stays byte for
// byte, whatever that user does, the module's hook is told, and everybody else
// is served. When it has been repaired, all is well.
//
// Proves A21, M3, M4.
func TestUndecodableRecordsStayAndHurtNobodyElse(t *testing.T) {
	for _, tc := range []struct {
		name    string
		damage  func(w *store.Write)
		session bool // the session's record, not the state's
		all     bool // that of the Global state
	}{
		{"no JSON", func(w *store.Write) { w.Value = []byte("\x00\xff{") }, false, false},
		{"cut off", func(w *store.Write) { w.Value = w.Value[:len(w.Value)-1] }, false, false},
		{"empty", func(w *store.Write) { w.Value = nil }, false, false},
		{"another type", func(w *store.Write) { w.Value = []byte(`{"count":"one","text":""}`) }, false, false},
		{"newer schema", func(w *store.Write) { w.Version = 2 }, false, false},
		{"global, no JSON", func(w *store.Write) { w.Value = []byte("nonsense") }, false, true},
		{"global, newer schema", func(w *store.Write) { w.Version = 9 }, false, true},
		{"session, no JSON", func(w *store.Write) { w.Value = []byte("nonsense") }, true, false},
		{"session, newer schema", func(w *store.Write) { w.Version = 2 }, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := tempDB(t)
			first := serve(t, openSQLite(t, path), nil)
			victim, other := first.browser(), first.browser()
			victim.want("POST", "/click", 200, "1")
			other.want("POST", "/click", 200, "1")
			first.browser().want("POST", "/total/click", 200, "1")
			key := counterRows + victim.id()
			read, change := "/", "/click"
			switch {
			case tc.session:
				key = sessionRows + victim.id()
			case tc.all:
				key, read, change = "global/total/", "/total", "/total/click"
			}
			first.server.Close()
			closeApp(t, first.app)

			db := openSQLite(t, path)
			good := recordOf(t, db, key)
			w := store.Write{Key: key, Base: good.Revision, Value: good.Value, Meta: good.Meta, Version: good.Version, Expires: good.Expires}
			bad := w
			tc.damage(&bad)
			if res := db.Commit(t.Context(), []store.Group{{bad}}); res[0].Outcome != store.Applied {
				t.Fatal(res[0])
			}
			damaged := recordOf(t, db, key)

			var mu sync.Mutex
			var told []*stay.Error
			x := serve(t, kept{db}, &stay.Options{OnError: func(_ *stay.Call, e *stay.Error) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, e)
			}})
			t.Cleanup(func() { _ = db.Close() })
			b, o := x.browser(), x.browser()
			b.cookie, o.cookie = victim.cookie, other.cookie
			for _, request := range []struct{ method, path string }{
				{"GET", read}, {"POST", change}, {"GET", read},
			} {
				a := b.do(request.method, request.path)
				if a.status != 500 || !strings.Contains(a.body, "cannot be read") || strings.Contains(a.body, "nonsense") || strings.Contains(a.body, key) {
					t.Errorf("%s %s: %v, want 500 and a body that says what is wrong", request.method, request.path, a)
				}
				if !tc.all {
					o.want("POST", "/total/click", 200, fmt.Sprint(recountTotal(t, x)))
				}
			}
			o.want("GET", "/", 200, "1")
			o.want("POST", "/click", 200, "2")
			x.browser().want("POST", "/click", 200, "1")
			now := recordOf(t, db, key)
			if now.Revision != damaged.Revision || !bytes.Equal(now.Value, damaged.Value) || !bytes.Equal(now.Meta, damaged.Meta) || now.Version != damaged.Version || !now.Expires.Equal(damaged.Expires) {
				t.Errorf("the record was changed from %+v to %+v", damaged, now)
			}
			mu.Lock()
			if len(told) == 0 || told[0].Code != stay.ErrCorrupt || told[0].Phase != "decode" || (told[0].KeyHash == "") != tc.all {
				t.Errorf("OnError was told %v, want ErrCorrupt while decoding", told)
			}
			mu.Unlock()

			w.Base = now.Revision
			if res := db.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
				t.Fatal(res[0])
			}
			b.want("GET", read, 200, "1")
			b.want("POST", change, 200, "2")
		})
	}
}

// recountTotal is what the next click on the total is answered with.
func recountTotal(t *testing.T, x *site) int { return count(t, x.total) + 1 }

// When the store fails, the answer is 503, nothing is acknowledged and the
// state is as before; when the store works again, so does the site.
//
// Proves B9, E1.
func TestStoreErrorsChangeNothingAndPass(t *testing.T) {
	for _, op := range []storefault.Op{storefault.Load, storefault.Commit} {
		for _, path := range []string{"/click", "/total/click"} {
			t.Run(op.String()+path, func(t *testing.T) {
				mem := memstore.New()
				first := serve(t, batched(mem), nil)
				old := first.browser()
				old.want("POST", "/click", 200, "1")
				old.want("POST", "/total/click", 200, "1")

				fault := batched(mem)
				x := serve(t, fault, nil) // nothing is in memory
				b := x.browser()
				b.cookie = old.cookie
				if op == storefault.Commit {
					b.want("GET", "/", 200, "1")
				}
				before := rows(t, mem, time.Now())
				rule := fault.Add(storefault.Rule{Op: op, Fault: storefault.Fail(nil)})
				for range 3 {
					a := b.do("POST", path)
					if a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(a.body, "injected") || len(a.set) > 0 {
						t.Errorf("POST %s: %v, want 503 without the cause", path, a)
					}
				}
				if op == storefault.Commit {
					b.want("GET", "/", 200, "1") // reads are served
				}
				if after := rows(t, mem, time.Now()); len(after) != len(before) {
					t.Errorf("%q became %q", before, after)
				}
				rule.Remove()
				b.want("POST", path, 200, "2")
				if rule.Hits() == 0 {
					t.Error("no fault was met")
				}
			})
		}
	}
}

// A database that is full answers 503 and keeps the state as it was; as soon as
// there is room again, the same App goes on.
//
// Proves E1.
func TestFullDatabase(t *testing.T) {
	path := tempDB(t)
	x := serve(t, openSQLite(t, path, sqlitestore.MaxSize(2<<20)), nil)
	b := x.browser()
	b.want("POST", "/click", 200, "1")
	ctx := t.Context()
	type blob struct {
		Data []byte `json:"data"`
	}
	var blobs []*stay.State[blob]
	acked := 0
	var full error
	for i := 0; full == nil; i++ {
		s := stay.Register(x.app, stay.Module[blob]{Name: fmt.Sprintf("blob%d", i), Persist: stay.Global})
		blobs = append(blobs, s)
		if _, full = s.Update(ctx, func(b *blob) error { b.Data = bytes.Repeat([]byte{'x'}, 300<<10); return nil }); full == nil {
			acked++
		}
		if i > 100 {
			t.Fatal("the database never filled up")
		}
	}
	wantCode(t, "a change without room", full, stay.ErrUnavailable)
	if acked < 2 {
		t.Fatalf("only %d fit", acked)
	}
	// Smaller ones fill what is left, until a click has no room either.
	status := 0
	for i := 0; i < 1000 && status != 503; i++ {
		c := x.browser()
		c.want("GET", "/", 200, "0")
		a := c.do("POST", "/click")
		status = a.status
		if status != 200 && status != 503 {
			t.Fatalf("%v", a)
		}
		if status == 503 {
			c.want("GET", "/", 200, "0") // nothing was acknowledged, nothing has changed
		}
	}
	if status != 503 {
		t.Error("there is always room for a click")
	}
	if c, err := blobs[acked].Get(ctx); err != nil || len(c.Data) != 0 {
		t.Errorf("a refused change is visible: %d bytes, %v", len(c.Data), err)
	}
	for i := range acked {
		if c, err := blobs[i].Get(ctx); err != nil || len(c.Data) != 300<<10 {
			t.Errorf("blob %d has %d bytes, %v", i, len(c.Data), err)
		}
	}
	b.want("GET", "/", 200, "1")

	if err := blobs[0].Delete(ctx); err != nil {
		t.Fatalf("deleting from a full database: %v", err)
	}
	b.want("POST", "/click", 200, "2")
	x.browser().want("POST", "/click", 200, "1")
	if _, err := blobs[acked].Update(ctx, func(b *blob) error { b.Data = make([]byte, 1<<10); return nil }); err != nil {
		t.Errorf("after there was room: %v", err)
	}
	x.server.Close()
	closeApp(t, x.app)
	again := serve(t, openSQLite(t, path), nil)
	c := again.browser()
	c.cookie = b.cookie
	c.want("GET", "/", 200, "2")
}

// changeBehind writes a record anew as it is, so that whoever holds its
// revision meets a conflict.
func changeBehind(t *testing.T, s store.Store, key string) {
	t.Helper()
	rec := recordOf(t, s, key)
	w := store.Write{Key: key, Base: rec.Revision, Value: rec.Value, Version: rec.Version, Expires: rec.Expires}
	if res := s.Commit(t.Context(), []store.Group{{w}}); res[0].Outcome != store.Applied {
		t.Fatal(res[0])
	}
}
