package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stay-go/stay/internal/process"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
)

// errNoPooler means that there is no PgBouncer to test with.
var errNoPooler = errors.New("no PgBouncer found: install Debian's package pgbouncer")

// A pooler is a PgBouncer in front of a server. It lends few connections, each
// for one transaction.
type pooler struct {
	server *server
	port   int
}

// pooler starts a PgBouncer in front of the server. It ends with the test.
func (s *server) pooler(t *testing.T) *pooler {
	t.Helper()
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			check(t, errNoPooler)
		}
	}
	dir := folder(t)
	port, err := process.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{server: s, port: port}
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "pgbouncer.ini")
	for name, text := range map[string]string{
		users: `"postgres" ""` + "\n",
		config: fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 6
max_client_conn = 500
server_login_retry = 0
pkt_buf = 65536
`, s.Port(), p.port, users),
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Own(dir); err != nil {
		t.Fatal(err)
	}
	p.run(t, bin, config)
	return p
}

// run starts the program and waits until it takes connections.
func (p *pooler) run(t *testing.T, bin, config string) {
	t.Helper()
	cmd := p.server.Command(context.Background(), bin, config)
	var log process.Log
	cmd.Dir, cmd.Stderr = filepath.Dir(config), &log
	running, err := process.Start(cmd, syscall.SIGQUIT)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = running.End(syscall.SIGKILL) })
	if !log.Await(running.Done(), "process up", 0) {
		t.Fatalf("pgbouncer ended: %s", &log)
	}
}

// url names the database behind the pooler.
func (p *pooler) url(parameters ...string) string {
	return p.server.URLBy(fmt.Sprintf("127.0.0.1:%d", p.port), parameters...)
}

// TestPooler proves that a store works through a proxy that lends a connection to
// each transaction, that it leaves no settings on the connections, and that it
// plans its statements as elsewhere.
//
// Proves C2, C5.
func TestPooler(t *testing.T) {
	s := theServer(t)
	p := s.pooler(t)
	schema := s.schema(t)
	st := open(t, p.url("search_path", schema, "synchronous_commit", "off", "pool_max_conns", "20"))
	storekit.Put(t, st, "key", storekit.Put(t, st, "key", 0, "x"), "y")
	s.exec(t, `CREATE TABLE `+schema+`.seen (setting text);
		CREATE FUNCTION `+schema+`.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO `+schema+`.seen SELECT concat_ws(' ', current_setting('synchronous_commit'),
				current_setting('enable_seqscan'), current_setting('transaction_isolation'));
			RETURN NEW;
		END $$;
		CREATE TRIGGER see BEFORE UPDATE ON `+schema+`.stay_records FOR EACH ROW EXECUTE FUNCTION `+schema+`.see()`)
	storekit.Put(t, st, "key", storekit.Load(t, st, "key").Revision, "z")
	if got := query[string](t, s, "SELECT setting FROM "+schema+".seen"); got != "on off read committed" {
		t.Errorf("a commit has the settings %q", got)
	}
	cfg := config(t, p.url("default_query_exec_mode", "exec"))
	pool, err := pgxpool.NewWithConfig(storekit.Within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for range 10 {
		var got string
		err := pool.QueryRow(storekit.Within(t), `SELECT concat_ws(' ', current_setting('enable_seqscan'), current_setting('search_path'))`).Scan(&got)
		if want := `on "$user", public`; err != nil || got != want {
			t.Errorf("a connection has the settings %q, %v, want %q", got, err, want)
		}
	}
}

// TestPoolerChangesServer proves that a store does not read from a standby to
// which a proxy leads it after a while.
//
// Proves C1.
func TestPoolerChangesServer(t *testing.T) {
	t.Parallel()
	primary := ownServer(t)
	standby := primary.standby(t)
	p := primary.pooler(t)
	st := open(t, p.url())
	storekit.Put(t, st, "key", 0, "x")
	if err := standby.CatchUp(storekit.Within(t), primary.Server); err != nil {
		t.Fatal(err)
	}
	primary.Stop()
	standby.Stop()
	standby.TakePort(primary.Port())
	standby.start(t)
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if got, err := st.Load(ctx, []store.Read{{Key: "key"}}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%+v, %v: read from a standby", got, err)
		}
		cancel()
		if r := storekit.One(st, store.Write{Key: "new"}); r.Outcome == store.Applied || r.Outcome == store.Conflict {
			t.Errorf("%v from a standby", r.Outcome)
		}
	}
}

// TestPoolBehindPooler proves that a pool of the user's may lead to a proxy, if it
// prepares no statements.
//
// Proves C2.
func TestPoolBehindPooler(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	pool, err := pgxpool.New(storekit.Within(t), s.pooler(t).url("default_query_exec_mode", "exec", "pool_max_conns", "20"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	st, err := pgstore.New(storekit.Within(t), pool)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var writers sync.WaitGroup
	for i := range 20 {
		writers.Go(func() {
			w := store.Write{Key: fmt.Sprint("key ", i), Value: []byte("x")}
			for range 10 {
				r := storekit.One(st, w)
				if r.Outcome != store.Applied {
					t.Errorf("%v: %v", r.Outcome, r.Err)
					return
				}
				w.Base = r.Revisions[0]
				got, err := st.Load(context.Background(), []store.Read{{Key: w.Key}})
				if err != nil || got[0].Revision != w.Base || string(got[0].Value) != "x" {
					t.Errorf("%+v, %v, want revision %d", got, err, w.Base)
				}
			}
		})
	}
	writers.Wait()
}
