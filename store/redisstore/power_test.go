package redisstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
)

// traced starts a server whose log of commands is watched: strace writes down what
// was written to it, and what was synced.
func traced(t *testing.T, settings ...string) (s *redisserver.Server, trace string) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil || runtime.GOOS != "linux" {
		if runtime.GOOS != "linux" {
			t.Skip("strace is on Linux only")
		}
		need.Missing(t, "no strace: install Debian's package strace")
	}
	trace = filepath.Join(t.TempDir(), "trace")
	runner := []string{strace, "-f", "-y", "-s", "0", "-e", "trace=write,fsync,fdatasync", "-e", "signal=none", "-o", trace}
	s, err = redisserver.NewUnder(runner, t.TempDir(), settings...)
	check(t, err)
	t.Cleanup(s.Kill)
	return s, trace
}

var (
	appended = regexp.MustCompile(`^\d+ +write\(\d+<([^>]*\.incr\.aof)>, .*\) = (\d+)$`)
	syncing  = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<([^>]*\.incr\.aof)>(.*)$`)
	synced   = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>\) *= 0$`)
)

// onDisk returns the file of the server's log, how much of it is certain to be on
// the disk when the power is cut, and how long it is.
func onDisk(t *testing.T, trace string) (file string, safe, all int64) {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	begun := map[string]int64{} // what was written when a thread began to sync
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if m := appended.FindStringSubmatch(line); m != nil {
			n, err := strconv.ParseInt(m[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			file, all = m[1], all+n
		}
		if m := syncing.FindStringSubmatch(line); m != nil {
			if strings.HasSuffix(m[3], "= 0") {
				safe = max(safe, all)
			} else {
				begun[m[1]] = all
			}
		}
		if m := synced.FindStringSubmatch(line); m != nil {
			safe = max(safe, begun[m[1]])
		}
	}
	if file == "" {
		t.Fatalf("nothing was written: %s", text)
	}
	return file, safe, all
}

// TestPowerCut proves that the level is the truth: a store that says it is durable
// has everything that was acknowledged after the power was cut, and one whose server
// syncs every second loses what was acknowledged in the last two seconds at most,
// and nothing before that. What was lost is not mistaken for what comes later.
//
// Proves C3, C5.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"always", "everysec"} {
		t.Run(policy, func(t *testing.T) {
			s, trace := traced(t, "appendfsync "+policy)
			st := open(t, s.URL())
			if durable := st.Features().Durable; durable != (policy == "always") {
				t.Fatalf("Durable is %v", durable)
			}
			type ack struct {
				at  time.Time
				rev store.Revision
			}
			acks := []ack{{}} // by value
			rev := store.Revision(0)
			length := 2500 * time.Millisecond
			for began := time.Now(); time.Since(began) < length; {
				rev = storekit.Put(t, st, "key", rev, strconv.Itoa(len(acks)))
				acks = append(acks, ack{time.Now(), rev})
			}
			s.Kill()
			cut := time.Now()
			file, safe, all := onDisk(t, trace)
			if err := os.Truncate(file, safe); err != nil {
				t.Fatal(err)
			}
			startAgain(t, s)
			got := storekit.Load(t, st, "key")
			kept, err := strconv.Atoi(string(got.Value))
			if err != nil || kept >= len(acks) {
				t.Fatalf("%+v of %d", got, len(acks)-1)
			}
			lost := len(acks) - 1 - kept
			t.Logf("%d changes, %d lost, %d of %d bytes synced", len(acks)-1, lost, safe, all)
			switch {
			case policy == "always" && lost > 0:
				t.Errorf("%d of %d acknowledged changes are lost", lost, len(acks)-1)
			case policy == "everysec" && lost == 0:
				t.Errorf("nothing is lost: the test did not cut the power where it hurts")
			case lost > 0 && cut.Sub(acks[kept+1].at) > 3*time.Second:
				t.Errorf("a change is lost that was acknowledged %v before", cut.Sub(acks[kept+1].at))
			}
			if got.Revision != acks[kept].rev {
				t.Errorf("revision %d, and %q had %d", got.Revision, got.Value, acks[kept].rev)
			}
			if lost > 0 {
				if r := storekit.One(st, store.Write{Key: "key", Base: rev, Value: []byte("stale")}); r.Outcome != store.Conflict {
					t.Errorf("with the revision of a lost write: %v: %v", r.Outcome, r.Err)
				}
			}
			if next := storekit.Put(t, st, "key", got.Revision, "next"); next <= rev {
				t.Errorf("revision %d, and the lost writes went up to %d", next, rev)
			}
		})
	}
}
