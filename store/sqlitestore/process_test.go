package sqlitestore_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// children are the jobs of the test binary when a test starts it as another
// process: each uses the database at path and reports on out.
var children = map[string]func(path string, out io.Writer) error{
	"hold":      childHold,
	"write":     childWrite,
	"increment": childIncrement,
}

const (
	childRole = "SQLITESTORE_TEST_ROLE"
	childPath = "SQLITESTORE_TEST_PATH"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		child := children[role]
		if child == nil {
			child = platformChildren[role]
		}
		if err := child(os.Getenv(childPath), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start runs a child and returns it with the lines it prints. The child is
// killed at the end of the test if it is still there.
func start(t *testing.T, role, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// childHold opens the store and keeps it until it is killed.
func childHold(path string, out io.Writer) error {
	if _, err := sqlitestore.Open(path); err != nil {
		return err
	}
	fmt.Fprintln(out, "open")
	select {}
}

// TestSecondProcess proves that a file that another process has open is
// refused, and that the end of that process, however sudden, gives it up.
func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	cmd, lines := start(t, "hold", path)
	if !lines.Scan() {
		t.Fatal("the child did not open the store")
	}
	refused(t, path, []string{path, "already open", "Shared"}, sqlitestore.OwnerWait(0))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, sqlitestore.OwnerWait(10*time.Second))
	apply(t, s, store.Write{Key: "k", Value: []byte("v")})
}

// writers is how many goroutines of a child write, each its own key.
const writers = 8

// childWrite counts up a record in each of several goroutines for ever, and
// prints key, revision and count of each when it is applied.
func childWrite(path string, out io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.OwnerWait(10*time.Second))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	failed := make(chan error)
	for w := range writers {
		go func() {
			key, pair := fmt.Sprint("k", w), fmt.Sprint("p", w)
			records, err := s.Load(context.Background(), []store.Read{{Key: key}, {Key: pair}})
			if err != nil {
				failed <- err
				return
			}
			a, b := records[0].Revision, records[1].Revision
			count, _ := strconv.Atoi(string(records[0].Value))
			for {
				count++
				value := []byte(strconv.Itoa(count))
				r := storekit.One(s, store.Write{Key: key, Base: a, Value: value}, store.Write{Key: pair, Base: b, Value: value})
				if r.Outcome != store.Applied {
					failed <- fmt.Errorf("%v: %w", r.Outcome, r.Err)
					return
				}
				a, b = r.Revisions[0], r.Revisions[1]
				mu.Lock()
				fmt.Fprintln(out, w, a, count)
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

// TestKilledProcess proves that nothing that was applied is lost when the
// process is killed, that no group is half there, and that a write that was
// not answered is at most one further.
//
// Proves A3, C5.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	var counts, revisions [writers]int
	for round := range 4 {
		cmd, lines := start(t, "write", path)
		for n := 0; lines.Scan(); n++ {
			if n == 100+211*round {
				// What the child prints from here on was applied as well.
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			var w, revision, count int
			if _, err := fmt.Sscan(lines.Text(), &w, &revision, &count); err != nil {
				continue // the line during which the child was killed
			}
			counts[w], revisions[w] = count, revision
		}
		s := open(t, path, sqlitestore.OwnerWait(10*time.Second))
		for w := range writers {
			r, pair := storekit.Load(t, s, fmt.Sprint("k", w)), storekit.Load(t, s, fmt.Sprint("p", w))
			if string(r.Value) != string(pair.Value) {
				t.Errorf("round %d, writer %d: %q and %q of one group", round, w, r.Value, pair.Value)
			}
			count, _ := strconv.Atoi(string(r.Value))
			if ahead := count - counts[w]; ahead < 0 || ahead > 1 || int(r.Revision)-revisions[w] != ahead {
				t.Errorf("round %d, writer %d: %d at revision %d was applied, %d at revision %d is there",
					round, w, counts[w], revisions[w], count, r.Revision)
			}
			counts[w], revisions[w] = count, int(r.Revision)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	incrementers = 3
	increments   = 200
)

// childIncrement adds to one record that other processes add to as well, and
// takes part in creating, claiming and recreating another one.
func childIncrement(path string, out io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Shared())
	if err != nil {
		return err
	}
	ctx := context.Background()
	for range increments {
		for done := false; !done; {
			records, err := s.Load(ctx, []store.Read{{Key: "sum"}})
			if err != nil {
				return err
			}
			sum, _ := strconv.Atoi(string(records[0].Value))
			r := storekit.One(s, store.Write{Key: "sum", Base: records[0].Revision, Value: []byte(strconv.Itoa(sum + 1))})
			if r.Outcome != store.Applied && r.Outcome != store.Conflict {
				return fmt.Errorf("%v: %w", r.Outcome, r.Err)
			}
			done = r.Outcome == store.Applied
		}
		// Each creation of a record gets a revision of its own.
		if r := storekit.One(s, store.Write{Key: "token"}); r.Outcome == store.Applied {
			fmt.Fprintln(out, r.Revisions[0])
			if r := storekit.One(s, store.Write{Op: store.Delete, Key: "token", Base: r.Revisions[0]}); r.Outcome != store.Applied {
				return fmt.Errorf("deleting one's own record: %v: %w", r.Outcome, r.Err)
			}
		}
	}
	return s.Close()
}

// TestProcessesShare proves compare-and-swap and growing revisions between
// processes that have the file open at the same time, from its creation on.
//
// Proves C2, C3, N1.
func TestProcessesShare(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	var mu sync.Mutex
	var group sync.WaitGroup
	seen := map[string]bool{}
	for range incrementers {
		cmd, lines := start(t, "increment", path)
		group.Go(func() {
			for lines.Scan() {
				mu.Lock()
				if line := strings.TrimSpace(lines.Text()); seen[line] {
					t.Errorf("revision %s was given to two records in turn", line)
				} else {
					seen[line] = true
				}
				mu.Unlock()
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s := open(t, path)
	if got, want := string(storekit.Load(t, s, "sum").Value), strconv.Itoa(incrementers*increments); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(seen) == 0 {
		t.Error("no process ever created the record")
	}
}
