package cloudflarestore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		want(t, one(s, g...), store.Applied)
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
	server := ownServer(t, deployed())
	s := open(t, server, cloudflarestore.ObjectPerHome())
	load(t, s, "stay/session/nobody")
	if r := one(s, store.Write{Key: "stay/session/nobody", Base: 1, Value: []byte("x")}); r.Outcome != store.Conflict {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	if r := one(s, store.Write{Key: "stay/session/nobody", Op: store.Check}); r.Outcome != store.Applied {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	server.Stop()
	var tables int
	for _, text := range files(t, server) {
		if bytes.Contains(text, []byte("CREATE TABLE records")) {
			tables++
		}
	}
	if tables != 1 {
		t.Errorf("%d objects have tables, want one, that with the layout", tables)
	}
}

// TestObjectsCleanUp has records expire in an object of their own. Nobody sweeps
// there, so the object deletes them, and all of its storage when nothing is left.
// Revisions grow nevertheless.
//
// Proves A17, C3, C4.
func TestObjectsCleanUp(t *testing.T) {
	w := deployed()
	quick := strings.Replace(w.Modules["main.js"], "const grace = 60_000", "const grace = 200", 1)
	if quick == w.Modules["main.js"] {
		t.Fatal("the Worker has no grace")
	}
	w.Modules["main.js"] = quick
	server := ownServer(t, w)
	s := open(t, server, cloudflarestore.ObjectPerHome())
	const gone, stays = "session/cart/s", "stay/session/s"
	expires := time.Now().Add(300 * time.Millisecond)
	r := one(s, store.Write{Key: gone, Value: []byte("<gone>"), Expires: expires}, store.Write{Key: stays, Value: []byte("<stays>")})
	want(t, r, store.Applied)
	first := r.Revisions[0]
	until(t, "the record is deleted", func() bool { return load(t, s, gone).Revision == 0 })
	if time.Since(expires) < 200*time.Millisecond {
		t.Error("the record was deleted before its time")
	}
	if rec := load(t, s, stays); rec.Revision == 0 {
		t.Fatal("a record that does not expire is deleted")
	}
	second := put(t, s, gone, 0, "<gone>")
	if second <= first {
		t.Errorf("revision %d comes after %d", second, first)
	}
	empty := func() bool {
		for _, text := range files(t, server) {
			if bytes.Contains(text, []byte("<stays>")) || bytes.Contains(text, []byte("CREATE TABLE records")) && !bytes.Contains(text, []byte("object per home")) {
				return false
			}
		}
		return true
	}
	if empty() {
		t.Fatal("what is stored is not on the disk")
	}
	r = one(s, store.Write{Key: gone, Op: store.Delete, Base: second}, store.Write{Key: stays, Op: store.Delete, Base: r.Revisions[1]})
	want(t, r, store.Applied)
	until(t, "the storage is deleted", empty)
	if third := put(t, s, gone, 0, "x"); third <= second {
		t.Errorf("revision %d comes after %d, with all storage deleted in between", third, second)
	}
}

// until waits until something holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx := within(t)
	for !holds() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("it never happens that %s", what)
		}
	}
}
