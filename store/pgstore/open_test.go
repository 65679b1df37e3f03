package pgstore_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// TestOpenAtOnce proves that the first stores of a database may be opened at the
// same time.
func TestOpenAtOnce(t *testing.T) {
	s := theServer(t)
	url := s.URL("search_path", s.schema(t))
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			st, err := pgstore.Open(context.Background(), url)
			if err != nil {
				t.Error(err)
				return
			}
			_ = st.Close()
		})
	}
	group.Wait()
	storekit.Put(t, open(t, url), "key", 0, "x")
}

// TestNewerTablesAreRefused proves that a store does not touch tables of a
// version that it does not know, and says what to do.
func TestNewerTablesAreRefused(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	url := s.URL("search_path", schema)
	storekit.Put(t, open(t, url), "key", 0, "x")
	s.exec(t, "UPDATE "+schema+".stay_meta SET version = 99")
	st, err := pgstore.Open(storekit.Within(t), url)
	if err == nil {
		_ = st.Close()
		t.Fatal("opened")
	}
	if want := "pgstore: the tables have version 99, and this package knows 1: written by a newer version of this package, so use that one"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v: trying again does not help", err)
	}
}

// TestRights proves that a role that may not create tables is told what to do,
// and needs no such right once there are tables.
func TestRights(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	role := "role_" + schema
	s.exec(t, "CREATE ROLE "+role+" LOGIN; GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	t.Cleanup(func() { s.exec(t, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	url := s.URL("search_path", schema)
	asRole := strings.Replace(url, "postgres@", role+"@", 1)
	st, err := pgstore.Open(storekit.Within(t), asRole)
	if err == nil {
		_ = st.Close()
		t.Fatal("opened without tables and without the right to create them")
	}
	if !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "let the role create tables") {
		t.Error(err)
	}
	storekit.Put(t, open(t, url), "key", 0, "x")
	s.exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+schema+" TO "+role+
		"; GRANT SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA "+schema+" TO "+role)
	s.exec(t, "UPDATE "+schema+".stay_meta SET place = 'elsewhere'") // the sequence has to be raised
	mine := open(t, asRole)
	rev := storekit.Put(t, mine, "key", storekit.Load(t, mine, "key").Revision, "y")
	if r := storekit.One(mine, store.Write{Op: store.Delete, Key: "key", Base: rev}); r.Outcome != store.Applied {
		t.Errorf("%v: %v", r.Outcome, r.Err)
	}
}

// TestRestoredDump proves that revisions go on above those that a dump does not
// have, once a store is opened on the restored tables.
//
// Proves C3.
func TestRestoredDump(t *testing.T) {
	s := theServer(t)
	schema := s.schema(t)
	url := s.URL("search_path", schema)
	first := open(t, url)
	kept := storekit.Put(t, first, "key", 0, "kept")
	dump, err := s.Command(storekit.Within(t), "pg_dump", "-d", s.URL(), "-n", schema).Output()
	if err != nil {
		t.Fatal(err)
	}
	lost := storekit.Put(t, first, "key", kept, "lost")
	_ = first.Close()
	s.exec(t, "DROP SCHEMA "+schema+" CASCADE")
	psql := s.Command(storekit.Within(t), "psql", "-d", s.URL(), "-q", "-v", "ON_ERROR_STOP=1")
	psql.Stdin = strings.NewReader(string(dump))
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	second := open(t, url)
	if got := storekit.Load(t, second, "key"); got.Revision != kept || string(got.Value) != "kept" {
		t.Fatalf("%+v", got)
	}
	again := storekit.Put(t, second, "key", kept, "again")
	if again <= lost {
		t.Errorf("revision %d, and the lost write had %d", again, lost)
	}
	third := open(t, url)
	if next := storekit.Put(t, third, "key", again, "next"); next > again+100 {
		t.Errorf("revision %d after %d: the sequence was raised once more", next, again)
	}
}

// TestChangesByHand proves that the statement in docs/deployment.md changes a
// record so that stores notice.
//
// Proves C3.
func TestChangesByHand(t *testing.T) {
	text, err := os.ReadFile("../../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	_, statement, _ := strings.Cut(string(text), "```sql\nUPDATE")
	statement, _, _ = strings.Cut(statement, "```")
	s := theServer(t)
	schema := s.schema(t)
	st := open(t, s.URL("search_path", schema))
	rev := storekit.Put(t, st, "global/counter/", 0, "x")
	s.exec(t, "SET search_path = "+schema+"; UPDATE"+statement)
	got := storekit.Load(t, st, "global/counter/")
	if got.Revision <= rev || string(got.Value) != `{"n":1}` {
		t.Fatalf("%+v, want a revision above %d", got, rev)
	}
	if r := storekit.One(st, store.Write{Key: "global/counter/", Base: rev}); r.Outcome != store.Conflict {
		t.Errorf("%v: %v", r.Outcome, r.Err)
	}
	if next := storekit.Put(t, st, "global/counter/", got.Revision, "y"); next <= got.Revision {
		t.Errorf("revision %d after %d", next, got.Revision)
	}
}

// TestPoolKeepsItsSettings proves that a store on a user's pool leaves the
// connections as they were, and the pool open.
func TestPoolKeepsItsSettings(t *testing.T) {
	s := theServer(t)
	cfg := config(t, s.URL("search_path", s.schema(t)))
	cfg.MaxConns = 1
	cfg.ConnConfig.RuntimeParams["statement_timeout"] = "54321"
	pool, err := pgxpool.NewWithConfig(storekit.Within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	st, err := pgstore.New(storekit.Within(t), pool)
	if err != nil {
		t.Fatal(err)
	}
	rev := storekit.Put(t, st, "key", 0, "x")
	storekit.Put(t, st, "key", rev, "y")
	storekit.One(st, store.Write{Key: "key"}) // a conflict
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"enable_seqscan": "on", "enable_hashjoin": "on", "plan_cache_mode": "auto", "statement_timeout": "54321ms", "synchronous_commit": "on",
	} {
		var got string
		if err := pool.QueryRow(storekit.Within(t), "SHOW "+name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
}

// TestCommitsAreSynced proves that a server that does not sync commits by default
// does so for a store.
//
// Proves C5.
func TestCommitsAreSynced(t *testing.T) {
	for name, open := range map[string]opener{"own connections": own, "pool": onPool} {
		t.Run(name, func(t *testing.T) {
			s := theServer(t)
			schema := s.schema(t)
			st := open(t, config(t, s.URL("search_path", schema, "synchronous_commit", "off")))
			defer st.Close()
			rev := storekit.Put(t, st, "key", 0, "x")
			s.exec(t, `CREATE TABLE `+schema+`.seen (setting text);
				CREATE FUNCTION `+schema+`.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					INSERT INTO `+schema+`.seen VALUES (current_setting('synchronous_commit'));
					RETURN NEW;
				END $$;
				CREATE TRIGGER see BEFORE UPDATE ON `+schema+`.stay_records FOR EACH ROW EXECUTE FUNCTION `+schema+`.see()`)
			storekit.Put(t, st, "key", rev, "y")
			if got := query[string](t, s, "SELECT setting FROM "+schema+".seen"); got != "on" {
				t.Errorf("synchronous_commit is %q", got)
			}
		})
	}
}

// TestModesOfAPool proves that a store works on a pool that prepares no statements,
// as programs behind a proxy configure it.
func TestModesOfAPool(t *testing.T) {
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			s := theServer(t)
			st := onPool(t, config(t, s.URL("search_path", s.schema(t), "default_query_exec_mode", mode)))
			defer st.Close()
			value := "\x00\xff'\\"
			rev := storekit.Put(t, st, "key'\\\xff", storekit.Put(t, st, "key'\\\xff", 0, value), value+"2")
			w := store.Write{Key: "other", Value: []byte("x"), Version: 7, Expires: time.Unix(1, 0)}
			if r := storekit.One(st, w, store.Write{Op: store.Check, Key: "key'\\\xff", Base: rev}); r.Outcome != store.Applied {
				t.Fatalf("%v: %v", r.Outcome, r.Err)
			}
			if r := storekit.One(st, w); r.Outcome != store.Conflict || r.Current[0].Version != 7 {
				t.Errorf("%v: %v %+v", r.Outcome, r.Err, r.Current)
			}
			if got := storekit.Load(t, st, "key'\\\xff"); string(got.Value) != value+"2" || got.Revision != rev {
				t.Errorf("%+v", got)
			}
			if got, err := st.Expired(storekit.Within(t), time.Now(), 10); err != nil || len(got) != 1 || got[0].Key != "other" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestErrorsHaveNoPassword proves that no error of Open shows the password.
func TestErrorsHaveNoPassword(t *testing.T) {
	for _, url := range []string{
		"postgres://app:hush@127.0.0.1:1/db?sslmode=nonsense",
		"postgres://app:hush@127.0.0.1:1/db?sslmode=disable&pool_max_conns=many",
		"postgres://app:h%75sh@127.0.0.1:1/db?sslmode=nonsense",
		"postgres://app:hush/@127.0.0.1:1/db",
		"postgres://app:hush%zz@127.0.0.1:1/db",
		"postgres://app:hush#@127.0.0.1:1/db",
		"postgres://app:hush@127.0.0.1:port/db",
		"postgres://app@127.0.0.1:1/db?password=hush&sslmode=nonsense",
		"host=127.0.0.1 port=1 user=app password=hush sslmode=nonsense",
		"host=127.0.0.1 port=1 user=app password='hush sslmode=nonsense",
		"host=127.0.0.1 port=1 user=app password=hush sslmode=disable",
		"postgres://app:hush@127.0.0.1:1/db?sslmode=disable",
		"app:hush@127.0.0.1",
		"app:hush@127.0.0.1:1/db?sslmode=disable",
		"postgre://app:hush@127.0.0.1:1/db",
		"postgre://app:hush@127.0.0.1:1/db?sslmode=disable",
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		st, err := pgstore.Open(ctx, url)
		cancel()
		if err == nil {
			_ = st.Close()
			t.Fatalf("%s: opened", url)
		}
		for ; err != nil; err = errors.Unwrap(err) {
			if text := err.Error(); strings.Contains(text, "hush") || strings.Contains(text, "h%75sh") {
				t.Errorf("%s: %s", url, text)
			}
		}
	}
}

// TestAttemptMustBePositive proves that a mistake is found when the store opens.
func TestAttemptMustBePositive(t *testing.T) {
	s := theServer(t)
	if _, err := pgstore.Open(storekit.Within(t), s.URL("search_path", s.schema(t)), pgstore.Attempt(0)); err == nil || !strings.Contains(err.Error(), "Attempt(0s)") {
		t.Error(err)
	}
}
