package natsstore_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/natsstore"
)

// traced starts a server whose files are watched: strace writes down what was written
// to them, and what was synced.
func traced(t *testing.T, settings ...string) (s *natsserver.Server, trace string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("strace is on Linux only")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		need.Missing(t, "no strace: install Debian's package strace")
	}
	trace = filepath.Join(t.TempDir(), "trace")
	runner := []string{strace, "-f", "-y", "-s", "0", "-e", "trace=write,pwrite64,fsync,fdatasync", "-e", "signal=none", "-o", trace}
	s, err = natsserver.NewUnder(runner, t.TempDir(), settings...)
	check(t, err)
	t.Cleanup(s.Kill)
	return s, trace
}

var (
	call    = regexp.MustCompile(`^(\d+) +(p?write(?:64)?|f(?:data)?sync)\(\d+<([^>]*\.blk)>(.*)$`)
	resumed = regexp.MustCompile(`^(\d+) +<\.\.\. (p?write(?:64)?|f(?:data)?sync) resumed>(.*)$`)
	result  = regexp.MustCompile(`= (\d+)$`)
)

// A block is a file of a stream: how much of it was written, and how much of that is
// certain to be on the disk.
type block struct{ all, safe int64 }

// onDisk returns the blocks of all streams, when the power is cut.
func onDisk(t *testing.T, trace string) map[string]*block {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]*block{}
	type begun struct {
		of  *block
		all int64 // what had been written then
	}
	calls := map[string]begun{} // by thread
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		var thread, name, rest string
		if m := call.FindStringSubmatch(line); m != nil {
			thread, name, rest = m[1], m[2], m[4]
			if blocks[m[3]] == nil {
				blocks[m[3]] = &block{}
			}
			calls[thread] = begun{blocks[m[3]], blocks[m[3]].all}
		} else if m := resumed.FindStringSubmatch(line); m != nil {
			thread, name, rest = m[1], m[2], m[3]
		}
		c := calls[thread]
		m := result.FindStringSubmatch(rest)
		if c.of == nil || m == nil {
			continue
		}
		delete(calls, thread)
		if strings.HasSuffix(name, "sync") {
			c.of.safe = max(c.of.safe, c.all)
			continue
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.of.all += n
	}
	return blocks
}

// cutPower takes away what the server has not synced of its messages, and what it
// only keeps to start faster.
func cutPower(t *testing.T, s *natsserver.Server, trace string) (safe, all int64) {
	t.Helper()
	for file, b := range onDisk(t, trace) {
		if _, err := os.Stat(file); err != nil {
			continue // the server has removed it
		}
		if err := os.Truncate(file, b.safe); err != nil {
			t.Fatal(err)
		}
		safe, all = safe+b.safe, all+b.all
	}
	err := filepath.WalkDir(s.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "index.db" {
			return os.Remove(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if all == 0 {
		t.Fatal("nothing was written")
	}
	return safe, all
}

// TestPowerCut proves that the level is the truth, with one replica: on a server that
// syncs always, a store that was told so is durable, and has everything that was
// acknowledged after the power was cut. Otherwise it is not durable: what was
// acknowledged since the last sync is lost, and nothing before that.
//
// Proves C5.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		interval string
		options  []natsstore.Option
		durable  bool
		most     time.Duration // how old a change may be that is lost
	}{
		"always":            {"always", []natsstore.Option{natsstore.SyncAlways()}, true, 0},
		"every second":      {"1s", nil, false, 4 * time.Second},
		"every two minutes": {"2m", nil, false, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, trace := traced(t, "sync_interval: "+c.interval)
			st := open(t, s.URL(), c.options...)
			if durable := st.Features().Durable; durable != c.durable {
				t.Fatalf("Durable is %v", durable)
			}
			type ack struct {
				at  time.Time
				rev store.Revision
			}
			acks := []ack{{}} // by value
			var rev, twin store.Revision
			for began := time.Now(); time.Since(began) < 2500*time.Millisecond; {
				value := []byte(strconv.Itoa(len(acks)))
				r := storekit.One(st, store.Write{Key: "key", Base: rev, Value: value}, store.Write{Key: "twin", Base: twin, Value: value})
				if r.Outcome != store.Applied {
					t.Fatal(r.Outcome, r.Err)
				}
				rev, twin = r.Revisions[0], r.Revisions[1]
				acks = append(acks, ack{time.Now(), rev})
			}
			s.Kill()
			cut := time.Now()
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			safe, all := cutPower(t, s, trace)
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			again := open(t, s.URL(), c.options...)
			got, kept := storekit.Load(t, again, "key"), 0
			if got.Revision != 0 {
				var err error
				if kept, err = strconv.Atoi(string(got.Value)); err != nil || kept >= len(acks) {
					t.Fatalf("%+v of %d", got, len(acks)-1)
				}
			}
			if other := storekit.Load(t, again, "twin"); string(other.Value) != string(got.Value) {
				t.Errorf("half of a group is there: %q and %q", got.Value, other.Value)
			}
			lost := len(acks) - 1 - kept
			t.Logf("%d changes, %d lost, %d of %d bytes synced", len(acks)-1, lost, safe, all)
			switch {
			case c.durable && lost > 0:
				t.Errorf("%d of %d acknowledged changes are lost", lost, len(acks)-1)
			case !c.durable && lost == 0:
				t.Errorf("nothing is lost: the test did not cut the power where it hurts")
			case lost > 0 && cut.Sub(acks[kept+1].at) > c.most:
				t.Errorf("a change is lost that was acknowledged %v before", cut.Sub(acks[kept+1].at))
			}
			if got.Revision != acks[kept].rev {
				t.Errorf("revision %d, and %q had %d", got.Revision, got.Value, acks[kept].rev)
			}
			if next := storekit.Put(t, again, "key", got.Revision, "next"); c.durable && next <= rev {
				t.Errorf("revision %d after %d", next, rev)
			}
		})
	}
}
