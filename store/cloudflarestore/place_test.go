package cloudflarestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/internal/workerd"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// files returns the storage of each object, as it is on the disk.
func files(t *testing.T, s *workerd.Server) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(s.Objects(), "*", "*.sqlite*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, _ := strings.Cut(name, ".sqlite")
		found[object] = append(found[object], text...)
	}
	return found
}

// TestHomesShareNoStorage looks at what is on the disk: with an object per home, the
// storage of a session, of a user or of a key has nothing of another one, and no
// object is named after a key. Records with one home are together.
//
// Proves A17.
func TestHomesShareNoStorage(t *testing.T) {
	t.Parallel()
	server := ownServer(t, deployed())
	s := open(t, server, cloudflarestore.ObjectPerHome())
	homes := map[string][]string{
		"session one": {"stay/session/one", "session/cart/one", "guest/cart/one.2"},
		"session two": {"stay/session/two", "session/cart/two"},
		"a user":      {"stay/user/ann", "user/cart/ann"},
		"a key":       {"key/doc/ann"},
		"a module":    {"global/counter/"},
	}
	for home, keys := range homes {
		var g store.Group
		for _, key := range keys {
			g = append(g, store.Write{Key: key, Value: []byte("<" + home + ">")})
		}
		want(t, storekit.One(s, g...), store.Applied)
	}
	server.Stop()
	objectOf := map[string]string{}
	for object, text := range files(t, server) {
		for home, keys := range homes {
			if !bytes.Contains(text, []byte("<"+home+">")) {
				continue
			}
			if other := objectOf[home]; other != "" {
				t.Errorf("%s is in two objects", home)
			}
			objectOf[home] = object
			for other, others := range homes {
				for _, key := range others {
					if has := bytes.Contains(text, []byte(key)); has != (other == home) {
						t.Errorf("the storage of %s has %q: %v", home, key, has)
					}
				}
			}
			for _, key := range keys {
				if strings.Contains(object, key) {
					t.Errorf("an object is named after %q", key)
				}
			}
		}
	}
	if len(objectOf) != len(homes) {
		t.Errorf("%d of %d homes were found on the disk", len(objectOf), len(homes))
	}
}

// TestReadingMakesNoTables proves that whoever asks for records that do not exist,
// as with invented cookies, leaves no data behind.
func TestReadingMakesNoTables(t *testing.T) {
	t.Parallel()
	server := ownServer(t, deployed())
	s := open(t, server, cloudflarestore.ObjectPerHome())
	storekit.Load(t, s, "stay/session/nobody")
	if r := storekit.One(s, store.Write{Key: "stay/session/nobody", Base: 1, Value: []byte("x")}); r.Outcome != store.Conflict {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	if r := storekit.One(s, store.Write{Key: "stay/session/nobody", Op: store.Check}); r.Outcome != store.Applied {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	server.Stop()
	for _, text := range files(t, server) {
		for _, table := range []string{"records", "parts", "marks", "fences", "homes"} {
			if bytes.Contains(text, []byte("CREATE TABLE "+table)) {
				t.Errorf("there is a table of %s", table)
			}
		}
	}
}

// TestObjectsCleanUp has a home come and go. Its records are found when they have
// expired, stay until they are deleted, and then the object gives its storage back.
// Revisions grow nevertheless.
//
// Proves A17, C3, C4.
func TestObjectsCleanUp(t *testing.T) {
	t.Parallel()
	w := deployed()
	hasten(t, w, "main.js")
	server := ownServer(t, w)
	s := open(t, server, cloudflarestore.ObjectPerHome())
	const state, session = "session/cart/s", "stay/session/s"
	now := time.Now()
	r := storekit.One(s, store.Write{Key: state, Value: []byte("<state>"), Expires: now.Add(-time.Hour)}, store.Write{Key: session, Value: []byte("<session>")})
	want(t, r, store.Applied)
	found, err := s.Expired(storekit.Within(t), now, 10)
	if err != nil || len(found) != 1 || found[0].Key != state {
		t.Fatalf("what has expired is %v, %v", found, err)
	}
	empty := func() bool {
		for _, text := range files(t, server) {
			if bytes.Contains(text, []byte("<session>")) || bytes.Contains(text, []byte("CREATE TABLE records")) {
				return false
			}
		}
		return true
	}
	if empty() {
		t.Fatal("what is stored is not on the disk")
	}
	last := r.Revisions[0]
	r = storekit.One(s, store.Write{Key: state, Op: store.Delete, Base: last}, store.Write{Key: session, Op: store.Delete, Base: r.Revisions[1]})
	want(t, r, store.Applied)
	until(t, "the storage is given back", empty)
	if found, err := s.Expired(storekit.Within(t), now, 10); err != nil || len(found) != 0 {
		t.Errorf("what has expired is %v, %v", found, err)
	}
	if again := storekit.Put(t, s, state, 0, "x"); again <= last {
		t.Errorf("revision %d comes after %d, with all storage given back in between", again, last)
	}
}

// hasten has objects of a Worker without records go in a moment.
func hasten(t *testing.T, w workerd.Worker, module string) {
	t.Helper()
	quick := strings.Replace(w.Modules[module], "const grace = 60_000", "const grace = 200", 1)
	if quick == w.Modules[module] {
		t.Fatal("the Worker has no grace")
	}
	w.Modules[module] = quick
}

// TestWhatComesLastStays has a record come to an object that is about to give its
// storage back: while it tells its book that nothing is left to expire.
//
// Proves A17, C5.
func TestWhatComesLastStays(t *testing.T) {
	t.Parallel()
	w := failing(`if (keys.includes("session/late/s")) return new Promise((done) => { this.late = async () => done(await commit()); });`)
	hasten(t, w, "worker.js")
	w.Modules["main.js"] = strings.Replace(w.Modules["main.js"], "async commit(call) {", `
  async correct(object, book) {
    await super.correct(object, book);
    await this.late?.();
    this.late = null;
  }
  async commit(call) {`, 1)
	s := open(t, ownServer(t, w), cloudflarestore.ObjectPerHome(), cloudflarestore.Attempt(20*time.Second))
	revision := storekit.Put(t, s, "session/cart/s", 0, "x")
	want(t, storekit.One(s, store.Write{Key: "session/cart/s", Op: store.Delete, Base: revision}), store.Applied)
	storekit.Put(t, s, "session/late/s", 0, "y")
	if rec := storekit.Load(t, s, "session/late/s"); string(rec.Value) != "y" {
		t.Errorf("what was stored last is %q", rec.Value)
	}
}

// TestBooksFollow changes all the time when the records of some homes expire, and
// asks for those that have expired, from several programs at the same time. In the
// end each that has expired is found, and no other one.
//
// Proves C4.
func TestBooksFollow(t *testing.T) {
	const homes, workers, rounds = 5, 3, 30
	name := place()
	var all sync.WaitGroup
	now := time.Now().Truncate(time.Second)
	seed := rand.Uint64()
	for worker := range workers {
		s := open(t, theServer(t), name, cloudflarestore.ObjectPerHome())
		r := rand.New(rand.NewPCG(seed, uint64(worker)))
		all.Go(func() {
			for range rounds {
				key := fmt.Sprint("key", r.IntN(homes))
				expires := now.Add(time.Duration(r.IntN(21)-10) * time.Hour)
				if r.IntN(3) == 0 {
					if _, err := s.Expired(storekit.Within(t), now.Add(time.Duration(r.IntN(21)-10)*time.Hour), 1+r.IntN(homes)); err != nil {
						t.Error(err)
					}
					continue
				}
				records, err := s.Load(storekit.Within(t), []store.Read{{Key: key}})
				if err != nil {
					t.Error(err)
					return
				}
				w := store.Write{Key: key, Base: records[0].Revision, Expires: expires}
				if r.IntN(4) == 0 {
					w.Op = store.Delete
				}
				if r := storekit.One(s, w); r.Outcome != store.Applied && r.Outcome != store.Conflict {
					t.Errorf("%v: %v", r.Outcome, r.Err)
				}
			}
		})
	}
	all.Wait()
	s := open(t, theServer(t), name, cloudflarestore.ObjectPerHome())
	for hours := -11; hours <= 11; hours++ {
		at := now.Add(time.Duration(hours) * time.Hour)
		var want, got []string
		for i := range homes {
			if rec := storekit.Load(t, s, fmt.Sprint("key", i)); rec.Revision != 0 && rec.Expired(at) {
				want = append(want, rec.Key)
			}
		}
		found, err := s.Expired(storekit.Within(t), at, homes)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range found {
			got = append(got, rec.Key)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: at %d hours %v are found, want %v", seed, hours, got, want)
		}
	}
}

// TestBooksForget proves that homes whose records expire later than they did are not
// in the way of those that have expired.
//
// Proves C4.
func TestBooksForget(t *testing.T) {
	s := open(t, theServer(t), place(), cloudflarestore.ObjectPerHome())
	now := time.Now()
	for _, key := range []string{"a", "b", "c"} {
		r := storekit.One(s, store.Write{Key: key, Expires: now.Add(-2 * time.Hour)})
		want(t, r, store.Applied)
		want(t, storekit.One(s, store.Write{Key: key, Base: r.Revisions[0], Expires: now.Add(time.Hour)}), store.Applied)
	}
	want(t, storekit.One(s, store.Write{Key: "d", Expires: now.Add(-time.Hour)}), store.Applied)
	if found, err := s.Expired(storekit.Within(t), now, 1); err != nil || len(found) != 1 || found[0].Key != "d" {
		t.Errorf("what has expired is %v, %v, want d", found, err)
	}
}

// TestBooksKnowTheOrder has what a book is told first arrive last: that a home need
// not be asked for long, before a record is put there that expires soon.
//
// Proves C4.
func TestBooksKnowTheOrder(t *testing.T) {
	t.Parallel()
	w := failing(`if (keys.includes("session/soon/s")) while (!globalThis.held) await new Promise((go) => setTimeout(go, 5));`)
	w.Modules["main.js"] = strings.Replace(w.Modules["main.js"], "async commit(call) {", `
  async note(call) {
    this.notes = (this.notes ?? 0) + 1;
    const second = this.notes === 2;
    if (second) globalThis.held = true;
    while (second && this.notes < 3) await new Promise((go) => setTimeout(go, 5));
    return super.note(call);
  }
  async commit(call) {`, 1)
	s := open(t, ownServer(t, w), cloudflarestore.ObjectPerHome(), cloudflarestore.Attempt(20*time.Second))
	now := time.Now()
	r := storekit.One(s, store.Write{Key: "session/late/s", Expires: now.Add(time.Hour)})
	want(t, r, store.Applied)
	want(t, storekit.One(s, store.Write{Key: "session/late/s", Base: r.Revisions[0], Expires: now.Add(3 * time.Hour)}), store.Applied)
	asked := make(chan error, 1)
	go func() {
		_, err := s.Expired(storekit.Within(t), now.Add(2*time.Hour), 10) // in vain, so the book is told
		asked <- err
	}()
	want(t, storekit.One(s, store.Write{Key: "session/soon/s", Expires: now.Add(-time.Hour)}), store.Applied)
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	if found, err := s.Expired(storekit.Within(t), now, 10); err != nil || len(found) != 1 {
		t.Errorf("what has expired is %v, %v", found, err)
	}
}

// TestABookThatFailsIsNoLoss proves that nothing is stored that nobody would find
// when it has expired.
func TestABookThatFailsIsNoLoss(t *testing.T) {
	t.Parallel()
	w := failing("")
	w.Modules["main.js"] = strings.Replace(w.Modules["main.js"], "async commit(call) {", `
  note(call) {
    this.asked = (this.asked ?? 0) + 1;
    if (this.asked === 1) throw new Error("no room");
    return super.note(call);
  }
  async commit(call) {`, 1)
	s := open(t, ownServer(t, w), cloudflarestore.ObjectPerHome())
	past := time.Now().Add(-time.Hour)
	r := storekit.One(s, store.Write{Key: "key", Expires: past})
	want(t, r, store.Rejected)
	wantText(t, r.Err, "no room")
	want(t, storekit.One(s, store.Write{Key: "key", Expires: past}), store.Applied)
	if found, err := s.Expired(storekit.Within(t), time.Now(), 10); err != nil || len(found) != 1 {
		t.Errorf("what has expired is %v, %v", found, err)
	}
}

// until waits until something holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx := storekit.Within(t)
	for !holds() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("it never happens that %s", what)
		}
	}
}

// TestClockSetBack has the clock of an object go back with each commit. Revisions
// grow nevertheless, also those of records that were deleted.
//
// Proves C3.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	server := ownServer(t, failing(`const time = Date.now() - 10_000; Date.now = () => time;`))
	for name, mode := range map[string]cloudflarestore.Option{"shards": cloudflarestore.Shards(1), "homes": cloudflarestore.ObjectPerHome()} {
		s := open(t, server, mode, cloudflarestore.Name(name))
		var last store.Revision
		for i := range 10 {
			rev := storekit.Put(t, s, "key", 0, "x")
			if rev <= last {
				t.Errorf("round %d: revision %d comes after %d, which was deleted", i, rev, last)
			}
			if last = storekit.Put(t, s, "key", rev, "y"); last <= rev {
				t.Errorf("round %d: revision %d comes after %d", i, last, rev)
			}
			want(t, storekit.One(s, store.Write{Key: "key", Op: store.Delete, Base: last}), store.Applied)
		}
	}
}

// TestListIsWhole lists keys of several objects in pages: each key once, in order.
func TestListIsWhole(t *testing.T) {
	const n = 300
	s := open(t, theServer(t), place(), cloudflarestore.Shards(4))
	groups, keys := make([]store.Group, n), make([]string, n)
	for i := range groups {
		keys[i] = fmt.Sprint("key", i)
		if i%2 == 0 {
			keys[i] = fmt.Sprint("guest/cart/s.", i) // all in one object
		}
		groups[i] = store.Group{{Key: keys[i]}}
	}
	for _, r := range s.Commit(storekit.Within(t), groups) {
		want(t, r, store.Applied)
	}
	slices.Sort(keys)
	for _, limit := range []int{7, 100, n - 1, n, n + 1} {
		var listed []string
		for after := ""; ; after = listed[len(listed)-1] {
			some, err := s.List(storekit.Within(t), time.Now(), "", after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if listed = append(listed, some...); len(some) < limit {
				break
			}
		}
		if !slices.Equal(listed, keys) {
			t.Errorf("%d keys are listed in pages of %d, want all %d in order", len(listed), limit, n)
		}
	}
}
