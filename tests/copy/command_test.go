package copy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/tests/guides/moving"
)

// command is the program with these arguments.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), name, args...) //nolint:gosec // our own
}

// run runs the command, which must end with the code, and returns its output.
func run(t *testing.T, code int, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%q ended with %d, want %d:\n%s", cmd.Args, got, code, out)
	}
	if bytes.Contains(out, []byte("sesame")) {
		t.Errorf("%q shows the password:\n%s", cmd.Args, out)
	}
	return string(out)
}

func TestCopyFromSQLiteToPostgreSQLAndBack(t *testing.T) {
	pg := newSchema(t)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "app.db"), filepath.Join(dir, "back.db")
	fill(t, first, 1000)

	if out := run(t, 0, command(t, "copy", "--from", "sqlite:"+first, "--to", pg.url, "--dry-run")); !strings.Contains(out, "0 there already, 1000 to copy; nothing was written") {
		t.Errorf("a dry run says %q", out)
	}
	cmd := command(t, "copy", "--from", "sqlite:"+first, "--to", pg.unlocked)
	cmd.Env = append(os.Environ(), "PGPASSWORD=open sesame")
	if out := run(t, 0, cmd); !strings.Contains(out, "1000 records, ") || !strings.Contains(out, "1000 copied; all verified") {
		t.Errorf("the copy says %q", out)
	}
	if out := run(t, 0, command(t, "copy", "--from", pg.url, "--to", "sqlite:"+second, "--dry-run")); !strings.Contains(out, "1000 to copy") {
		t.Errorf("a dry run says %q", out)
	}
	if _, err := os.Stat(second); err == nil {
		t.Error("a dry run has made a file")
	}
	run(t, 0, command(t, "copy", "--from", pg.url, "--to", "sqlite:"+second))
	if out := run(t, 0, command(t, "copy", "--from", pg.url, "--to", "sqlite:"+second)); !strings.Contains(out, "1000 there already, 0 copied") {
		t.Errorf("a second copy says %q", out)
	}
	wantCopy(t, openSQLite(t, first), openSQLite(t, second))
}

func TestCopyFromSQLiteToRedisAndBack(t *testing.T) {
	server, err := redisserver.New(t.TempDir(), "requirepass sesame")
	need.NoError(t, err, redisserver.ErrMissing)
	t.Cleanup(server.Kill)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "app.db"), filepath.Join(dir, "back.db")
	fill(t, first, 1000)
	withPassword := func(args ...string) *exec.Cmd {
		cmd := command(t, args...)
		cmd.Env = append(os.Environ(), "REDISCLI_AUTH=sesame")
		return cmd
	}
	if out := run(t, 0, withPassword("copy", "--from", "sqlite:"+first, "--to", server.URL())); !strings.Contains(out, "1000 copied; all verified") {
		t.Errorf("the copy says %q", out)
	}
	if out := run(t, 0, withPassword("copy", "--from", "sqlite:"+first, "--to", server.URL())); !strings.Contains(out, "1000 there already, 0 copied") {
		t.Errorf("a second copy says %q", out)
	}
	locked := strings.Replace(server.URL(), "://", "://:sesame@", 1)
	run(t, 0, command(t, "copy", "--from", locked, "--to", "sqlite:"+second))
	wantCopy(t, openSQLite(t, first), openSQLite(t, second))
	if out := run(t, 1, command(t, "copy", "--from", strings.Replace(locked, "sesame", "sesames", 1), "--to", "sqlite:"+second)); !strings.Contains(out, "WRONGPASS") {
		t.Errorf("with a wrong password: %q", out)
	}
}

func TestCopyFromSQLiteToNATSAndBack(t *testing.T) {
	server, err := natsserver.New(t.TempDir(), "authorization { user: app, password: sesame }")
	need.NoError(t, err, natsserver.ErrMissing)
	t.Cleanup(server.Kill)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "app.db"), filepath.Join(dir, "back.db")
	fill(t, first, 1000)
	url := "nats://app:sesame@" + server.Address()
	if out := run(t, 0, command(t, "copy", "--from", "sqlite:"+first, "--to", url)); !strings.Contains(out, "667 copied; all verified") { // a third has expired
		t.Errorf("the copy says %q", out)
	}
	if out := run(t, 0, command(t, "copy", "--from", "sqlite:"+first, "--to", url)); !strings.Contains(out, "667 there already, 0 copied") {
		t.Errorf("a second copy says %q", out)
	}
	run(t, 0, command(t, "copy", "--from", url, "--to", "sqlite:"+second))
	if out := run(t, 3, command(t, "doctor", url)); !strings.Contains(out, "sync_interval: always") {
		t.Errorf("stay doctor does not tell of the power cut: %q", out)
	}
	s, err := natsstore.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	wantCopy(t, s, openSQLite(t, second))
	if out := run(t, 1, command(t, "copy", "--from", strings.Replace(url, "sesame", "sesames", 1), "--to", "sqlite:"+second)); !strings.Contains(out, "Authorization Violation") {
		t.Errorf("with a wrong password: %q", out)
	}
}

// The program of the guide does what the command does.
func TestCopyFromAProgram(t *testing.T) {
	pg, name := newSchema(t), filepath.Join(t.TempDir(), "app.db")
	fill(t, name, 10)
	if err := moving.Move(t.Context(), name, pg.url); err != nil {
		t.Fatal(err)
	}
	wantCopy(t, openSQLite(t, name), openPostgres(t, pg.url))
}

// However often a copy is killed, and wherever, the next ones finish it.
func TestCopyGoesOnAfterKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test
	const records = 6000
	pg := newSchema(t)
	url := pg.url
	dir := t.TempDir()
	source, back := filepath.Join(dir, "app.db"), filepath.Join(dir, "back.db")
	fill(t, source, records)

	conn := connect(t, pg)
	rows := func() (n int) {
		_ = conn.QueryRow(t.Context(), "SELECT count(*) FROM "+pg.name+".stay_records").Scan(&n) // no table yet: 0
		return n
	}
	killed := 0
	for i := range 4 {
		if kill(t, command(t, "copy", "--from", "sqlite:"+source, "--to", url), func(_ int) bool { return rows() > i*records/4+random.IntN(records/4) }) {
			killed++
		}
	}
	run(t, 0, command(t, "copy", "--from", "sqlite:"+source, "--to", url))

	size := func() (n int64) {
		for _, name := range []string{back, back + "-wal"} {
			if info, err := os.Stat(name); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	for i := range 4 {
		if kill(t, command(t, "copy", "--from", url, "--to", "sqlite:"+back), func(_ int) bool { return size() > int64(i*400_000+random.IntN(400_000)) }) {
			killed++
		}
	}
	out := run(t, 0, command(t, "copy", "--from", url, "--to", "sqlite:"+back))
	t.Logf("killed %d times, then %s", killed, out)
	if killed == 0 {
		t.Error("no copy was killed")
	}
	wantCopy(t, openSQLite(t, source), openSQLite(t, back))
}

// kill runs a command and kills it when it is time, if it still runs.
func kill(t *testing.T, cmd *exec.Cmd, now func(int) bool) bool {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return false
		case <-tick.C:
			if now(n) {
				_ = cmd.Process.Kill()
				return (<-ended) != nil
			}
		}
	}
}

// Ctrl-C ends a copy cleanly and says how to go on.
func TestCopyEndsAtCtrlC(t *testing.T) {
	pg := newSchema(t)
	url := pg.url
	source := filepath.Join(t.TempDir(), "app.db")
	fill(t, source, 2000)
	// The table is locked, so the copy waits when the signal comes.
	run(t, 1, command(t, "copy", "--from", "sqlite:"+emptySQLite(t), "--to", url))
	conn := connect(t, pg)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE "+pg.name+".stay_records IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "copy", "--from", "sqlite:"+source, "--to", url)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	other := connect(t, pg)
	for waiting := 0; waiting == 0; { // until a statement of the copy waits for the lock
		if err := other.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "run the same command again") {
		t.Errorf("it ended with %d and %q", code, out.String())
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, 0, command(t, "copy", "--from", "sqlite:"+source, "--to", url))
}

// What cannot be copied is said in plain words, without passwords, and with an
// exit code of its own.
func TestCopyRefuses(t *testing.T) {
	pg := newSchema(t)
	dir := t.TempDir()
	source, other := filepath.Join(dir, "app.db"), filepath.Join(dir, "other.db")
	fill(t, source, 3)
	fill(t, other, 2)
	bad := strings.Replace(pg.url, "open%20", "wrong%20", 1)
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{2, []string{"copy"}, "missing flags"},
		{2, []string{"copy", "--from", "sqlite:" + source, "--to", "mysql://root:sesame@db"}, "a store is sqlite:PATH"},
		{2, []string{"copy", "--from", "sqlite:" + source, pg.url}, "unexpected argument"},
		{2, []string{"copy", "--from", "sqlite://" + source, "--to", pg.url}, "takes a path"},
		{2, []string{"move"}, "is no command of stay"},
		{1, []string{"copy", "--from", "sqlite:" + filepath.Join(dir, "absent.db"), "--to", pg.url}, "no such file"},
		{1, []string{"copy", "--from", "sqlite:" + source, "--to", bad}, "password authentication failed"},
		{1, []string{"copy", "--from", "sqlite:" + source, "--to", "postgres://postgres:sesame@127.0.0.1:1/x"}, "refused"},
		{1, []string{"copy", "--from", "sqlite:" + emptySQLite(t), "--to", pg.url}, "the source has no records"},
		{3, []string{"copy", "--from", "sqlite:" + other, "--to", "sqlite:" + source}, "nothing was written"},
	} {
		cmd := command(t, c.args...)
		cmd.Env = append(os.Environ(), "PGPASSWORD=")
		if out := run(t, c.code, cmd); !strings.Contains(out, c.want) {
			t.Errorf("%q says %q, want %q", c.args, out, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "absent.db")); err == nil {
		t.Error("a source was made that did not exist")
	}
	app, err := sqlitestore.Open(source) // the program still runs
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	if out := run(t, 1, command(t, "copy", "--from", "sqlite:"+source, "--to", pg.unlocked)); !strings.Contains(out, "--from: sqlitestore: ") {
		t.Errorf("while the program runs: %q", out)
	}
}

func TestVersion(t *testing.T) {
	if out := run(t, 0, command(t, "version")); !strings.HasPrefix(out, "stay ") || !strings.Contains(out, "go1.") {
		t.Errorf("the version is %q", out)
	}
	if out := run(t, 0, command(t)); !strings.Contains(out, "copy") {
		t.Errorf("without arguments: %q", out)
	}
}

// fill makes a SQLite store with n records.
func fill(t *testing.T, name string, n int) {
	t.Helper()
	s := openSQLite(t, name)
	random := rand.New(rand.NewPCG(uint64(n), 0)) //nolint:gosec // a test
	groups := make([]store.Group, n)
	for i := range groups {
		w := store.Write{Key: fmt.Sprintf("session/m%d/%08d", i%5, i), Value: fmt.Appendf(nil, `{"n":%d,"pad":%q}`, i, strings.Repeat("x", random.IntN(200))), Meta: []byte{2, 0, byte(i)}, Version: 1 + i%3}
		if i%3 > 0 {
			w.Expires = time.UnixMilli(1_900_000_000_000 * int64(i%3-1)).Add(time.Duration(i+1) * time.Millisecond)
		}
		groups[i] = store.Group{w}
	}
	for _, res := range s.Commit(t.Context(), groups) {
		if res.Outcome != store.Applied {
			t.Fatal(res)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func emptySQLite(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "empty.db")
	fill(t, name, 0)
	return name
}

func openSQLite(t *testing.T, name string) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(name, sqlitestore.OwnerWait(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openPostgres(t *testing.T, url string) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// wantCopy fails the test unless both stores have the same records.
func wantCopy(t *testing.T, from, to store.Store) {
	t.Helper()
	ctx := context.Background()
	keys, err := from.(store.Lister).List(ctx, time.Unix(0, 0), "", "", 1<<20)
	copied, err2 := to.(store.Lister).List(ctx, time.Unix(0, 0), "", "", 1<<20)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if len(keys) == 0 || len(keys) != len(copied) {
		t.Fatalf("%d records were copied as %d", len(keys), len(copied))
	}
	reads := make([]store.Read, len(keys))
	for i, key := range keys {
		reads[i].Key = key
	}
	a, err := from.Load(ctx, reads)
	b, err2 := to.Load(ctx, reads)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if b[i].Revision == 0 || !bytes.Equal(a[i].Value, b[i].Value) || !bytes.Equal(a[i].Meta, b[i].Meta) || a[i].Version != b[i].Version || !a[i].Expires.Equal(b[i].Expires) {
			t.Fatalf("%v was copied as %v", a[i], b[i])
		}
	}
}
