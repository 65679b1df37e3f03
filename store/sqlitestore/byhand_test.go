package sqlitestore_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// named returns SQL with the names in it, "$1" to "$4", as keys.
func named(statement string, keys ...string) string {
	for i, key := range keys {
		statement = strings.ReplaceAll(statement, fmt.Sprint("$", i+1), "CAST('"+key+"' AS BLOB)")
	}
	return statement
}

// changesByHand are what operators may do to the record $1, with $2 and $3
// beside it. Statements that say a revision say one that a record has had.
var changesByHand = map[string]string{
	"a deletion":             `DELETE FROM records WHERE key = $1`,
	"a deletion of all":      `DELETE FROM records`,
	"an edit":                `UPDATE records SET value = x'68616e64' WHERE key = $1`,
	"an edit with an upsert": `INSERT INTO records (key, revision, version, value) VALUES ($1, 1, 0, x'68616e64') ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
	"a revision taken back":  `UPDATE records SET revision = revision - 1, value = x'68616e64' WHERE key = $1`,
	"a replacement":          `REPLACE INTO records (key, revision, version, value) VALUES ($1, 1, 0, x'68616e64')`,
	"a new record":           `DELETE FROM records WHERE key = $1; INSERT INTO records (key, revision, version, value) VALUES ($1, 1, 0, x'68616e64')`,
	"an exchange":            `UPDATE records SET key = $4 WHERE key = $1; UPDATE records SET key = $1 WHERE key = $2`,
	"a record in its place":  `UPDATE OR REPLACE records SET key = $1 WHERE key = $2`,
	"another table":          `CREATE TABLE saved AS SELECT * FROM records; DELETE FROM records; INSERT INTO records SELECT * FROM saved`,
}

// TestChangesByHandAreSeen proves that a record changed in SQL while processes
// share the file gets a revision that its key has not had: a process that holds
// the old record sees the change, and cannot replace the new one.
//
// Proves C1, C2, C3.
func TestChangesByHandAreSeen(t *testing.T) {
	for name, statement := range changesByHand {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			a, b := open(t, path, sqlitestore.Shared()), open(t, path, sqlitestore.Shared())
			held := apply(t, a, store.Write{Key: "k", Value: []byte("1")})[0]
			apply(t, a, store.Write{Key: "other", Value: []byte("other")})
			held = apply(t, a, store.Write{Key: "k", Base: held, Value: []byte("2")})[0]

			execute(t, path, named(statement, "k", "other", "third", "fourth"))
			r := storekit.Load(t, b, "k")
			if r.Revision == 0 { // a deleted record is created again
				apply(t, b, store.Write{Key: "k", Value: []byte("new")})
				r = storekit.Load(t, b, "k")
			}
			if r.Revision <= held {
				t.Errorf("revision %d, after %d was held", r.Revision, held)
			}
			got, err := a.Load(context.Background(), []store.Read{{Key: "k", Have: held}})
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Revision != r.Revision || string(got[0].Value) != string(r.Value) {
				t.Errorf("who holds revision %d is told %+v, want %+v", held, got[0], r)
			}
			if got := storekit.One(a, store.Write{Key: "k", Base: held, Value: []byte("stale")}); got.Outcome != store.Conflict {
				t.Errorf("a change of revision %d, which is gone: %v", held, got.Outcome)
			}
			apply(t, b, store.Write{Key: "k", Base: r.Revision, Value: []byte("next")})
		})
	}
}

// TestRevisionsGrowUnderHands proves at random that a revision of a key means
// one value for ever, and that revisions grow, whatever is done in SQL between
// the changes of two stores.
//
// Proves C3.
func TestRevisionsGrowUnderHands(t *testing.T) {
	random := rand.New(rand.NewPCG(testseed.New(t), 0))
	path := filepath.Join(t.TempDir(), "app.db")
	stores := [2]*sqlitestore.Store{open(t, path, sqlitestore.Shared()), open(t, path, sqlitestore.Shared())}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var statements []string
	for name, statement := range changesByHand {
		if name != "another table" { // which can be there once
			statements = append(statements, statement)
		}
	}
	keys := []string{"a", "b", "c", "d"}
	last := map[string]store.Record{} // the latest that was seen of a key
	for step := range 300 {
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		what := ""
		if random.IntN(4) == 0 {
			what = named(statements[random.IntN(len(statements))], keys...)
			// Some cannot be done, for example when the key is taken.
			if _, err := db.Exec(what); err != nil {
				what += ": " + err.Error()
			}
		} else {
			s := stores[random.IntN(2)]
			w := store.Write{Key: keys[0], Base: storekit.Load(t, s, keys[0]).Revision, Value: []byte(fmt.Sprint(step))}
			if w.Base != 0 && random.IntN(3) == 0 {
				w.Op, w.Value = store.Delete, nil
			}
			apply(t, s, w)
			what = fmt.Sprintf("%+v", w)
		}
		for _, key := range keys {
			r, was := storekit.Load(t, stores[random.IntN(2)], key), last[key]
			switch {
			case r.Revision == 0:
				continue
			case r.Revision < was.Revision, r.Revision == was.Revision && string(r.Value) != string(was.Value):
				t.Fatalf("step %d, %s: %s has revision %d and %q, and had %d and %q", step, what, key, r.Revision, r.Value, was.Revision, was.Value)
			}
			last[key] = r
		}
	}
}

// TestOlderDatabasesAreGuarded proves that a database without triggers, made by
// an older version, opens, also when it may not grow, keeps its records, and
// has the triggers from then on.
//
// Proves C3.
func TestOlderDatabasesAreGuarded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	s := open(t, path, sqlitestore.MaxSize(1<<20))
	var last store.Result
	for i := range 64 {
		if last = storekit.One(s, store.Write{Key: fmt.Sprint(i), Value: make([]byte, 64<<10)}); last.Outcome != store.Applied {
			break
		}
	}
	if last.Outcome != store.Rejected {
		t.Fatalf("the database is not full: %v", last.Outcome)
	}
	held := storekit.Load(t, s, "0").Revision
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, trigger := range []string{"delete", "replace", "insert", "move", "update"} {
		execute(t, path, "DROP TRIGGER records_"+trigger)
	}

	shared := []sqlitestore.Option{sqlitestore.Shared(), sqlitestore.MaxSize(1 << 20)}
	opened := make(chan *sqlitestore.Store)
	for range 3 {
		go func() {
			s, err := sqlitestore.Open(path, shared...)
			if err != nil {
				t.Error(err)
			}
			opened <- s
		}()
	}
	stores := []*sqlitestore.Store{<-opened, <-opened, <-opened}
	if t.Failed() {
		t.FailNow()
	}
	if r := storekit.Load(t, stores[0], "0"); r.Revision != held || len(r.Value) != 64<<10 {
		t.Errorf("the record has revision %d and %d bytes", r.Revision, len(r.Value))
	}
	execute(t, path, named("DELETE FROM records WHERE key = $1", "0"))
	if got := apply(t, stores[1], store.Write{Key: "0"})[0]; got <= held {
		t.Errorf("revision %d after %d", got, held)
	}
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
