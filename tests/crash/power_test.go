package crash_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/tests/internal/crashsite"
	"github.com/stay-go/stay/tests/internal/powercut"
)

// Whenever the power is cut, every change whose response had begun to leave is
// there afterwards, what was not acknowledged is there as a whole or not at
// all, and nothing comes back that was ended. The disk keeps what was synced,
// and of what was not, nothing or any sectors.
//
// The system calls of a real server say what was synced when, and when each
// response left. From them the files are built as the cut would leave them.
//
// Proves A3, S4, S5, C5.
func TestSoakPowerCut(t *testing.T) {
	strace := needStrace(t)
	plans := []plan{{runs: 3, requests: 150, cuts: 20}}
	if soak() {
		plans = nil
		for i := range 12 {
			memory := i%2 == 1
			plans = append(plans, []plan{
				{runs: 6, requests: 500, cuts: 200, memory: memory},
				{runs: 20, requests: 40, cuts: 200, memory: memory},  // which leave much unfinished
				{runs: 2, requests: 2500, cuts: 200, memory: memory}, // so that the log is moved meanwhile
			}[i%3])
		}
	}
	seed := testseed.New(t)
	for i, plan := range plans {
		t.Run(fmt.Sprintf("trace %d", i), func(t *testing.T) { powerCuts(t, strace, seed+uint64(i), plan) })
	}
}

// A plan says how often a server is started, how many requests it acknowledges
// each time, how often the power is cut afterwards, and where guests are kept.
type plan struct {
	runs, requests, cuts int
	memory               bool
}

// needStrace returns the program that records system calls. Where it is
// missing, or may not look at other programs, the test fails if nothing is to
// be skipped.
func needStrace(t *testing.T) string {
	t.Helper()
	message := ""
	path, err := exec.LookPath("strace")
	switch {
	case runtime.GOOS != "linux":
		message = "strace exists on Linux only"
	case err != nil:
		message = "no strace: install Debian's package strace"
	default:
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		args := append(powercut.Options(), "-o", os.DevNull, "true")
		out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
		if err == nil {
			return path
		}
		message = fmt.Sprintf("strace cannot record the calls of a program here; in a container it needs the right to use ptrace "+
			"(--cap-add=SYS_PTRACE, or a seccomp profile that allows ptrace), and strace 5.3 or newer: %v: %s", err, bytes.TrimSpace(out))
	}
	if runtime.GOOS != "linux" {
		t.Skip(message)
	}
	need.Missing(t, message)
	return ""
}

// A recording is what a server did, in several runs that follow one another.
type recording struct {
	dir      string // of the database
	calls    []powercut.Call
	lines    int
	ends     []end
	browsers []*browser
	answered map[int64]int // the line in which the response to a request left
}

// An end of a server, and the files that it left.
type end struct {
	line  int
	files map[string][]byte
}

func powerCuts(t *testing.T, strace string, seed uint64, p plan) {
	r := &run{keep: true}
	rep := &report{Seed: seed, Begun: time.Now(), Counts: map[string]int{}}
	defer rep.write(t, &r.tallies)
	rec := record(t, strace, r, seed, p, rep.Counts)
	if t.Failed() {
		t.Fatal("the run that was recorded failed")
	}
	disk := powercut.NewDisk(rec.dir)
	player, err := powercut.Record(disk, rec.calls)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range rec.ends {
		player.Ended(e.line, e.files)
	}
	rep.Counts["system calls"] = len(rec.calls)
	random := draws(seed, 1<<20)
	for _, line := range rec.choose(random, p.cuts, rep.Counts) {
		if err := player.Play(line); err != nil {
			t.Fatal(err)
		}
		rec.cut(t, disk, line, random, p.memory, rep.Counts)
		if t.Failed() {
			t.Fatalf("with the power cut before line %d of %d", line, rec.lines)
		}
	}
}

// record has browsers use a server that is watched, which ends in different
// ways and begins anew.
func record(t *testing.T, strace string, r *run, seed uint64, pl plan, counts map[string]int) *recording {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rec := &recording{dir: filepath.Join(dir, "db"), browsers: newBrowsers(r, 6), answered: map[int64]int{}}
	if err := os.Mkdir(rec.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	restart := func(*world) {}
	for n := range pl.runs {
		file := filepath.Join(dir, fmt.Sprintf("trace%d", n))
		watcher := slices.Concat([]string{strace}, powercut.Options(), []string{"-o", file})
		args := []string{filepath.Join(rec.dir, "app.db")}
		if pl.memory {
			args = slices.Insert(args, 0, "-memory")
		}
		random := draws(seed, n)
		p := start(t, watcher, args...)
		checkAll(r, p.url, rec.browsers, random, restart, counts, true)
		for i, b := range rec.browsers {
			b.random = draws(seed, n, 1+i)
		}
		clean := n%3 == 1 // the log is moved into the database and deleted
		load(t, r, p, rec.browsers, pl.requests, func() {
			if clean {
				p.stop(t)
			} else {
				p.kill(t)
			}
		})
		for _, bad := range r.problems() {
			t.Error(bad)
		}
		restart = func(w *world) { w.restart(clean, pl.memory, 0) }
		rec.read(t, file)
	}
	return rec
}

// read takes over a trace.
func (rec *recording) read(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	calls, err := powercut.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	from := rec.lines
	for _, c := range calls {
		rec.lines = max(rec.lines, from+c.Start, from+c.End)
		c.Start += from
		if c.End != 0 {
			c.End += from
		}
		if m := response.FindSubmatch(c.Sent()); m != nil {
			if n, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
				rec.answered[n] = c.Start
			}
		}
		rec.calls = append(rec.calls, c)
	}
	rec.lines++
	e := end{line: rec.lines, files: map[string][]byte{}}
	entries, err := os.ReadDir(rec.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if e.files[entry.Name()], err = os.ReadFile(filepath.Join(rec.dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	rec.ends = append(rec.ends, e)
	rec.lines++
}

// response matches what the server sends for a request that it acknowledges.
var response = regexp.MustCompile(`(?s)^HTTP/1\.1 200 .*\r\n` + crashsite.OpHeader + `: (\d+)\r\n`)

// choose returns the lines before which the power is cut, in their order:
// where responses have just begun to leave, those of the first requests after
// a restart among them, where syncs are under way, where the log is being
// moved into the database, and anywhere.
func (rec *recording) choose(random *rand.Rand, cuts int, counts map[string]int) []int {
	var answers, syncs, moves, first []int
	for _, line := range rec.answered {
		answers = append(answers, line+1)
	}
	slices.Sort(answers) // for the order of a map is another each time
	for _, b := range rec.browsers {
		for _, s := range b.history {
			if line := rec.answered[s.numbers[0]]; line != 0 && s.op.next == nil {
				first = append(first, line+1)
			}
		}
	}
	for _, c := range rec.calls {
		switch {
		case (c.Name == "fsync" || c.Name == "fdatasync") && strings.HasPrefix(c.Path(), rec.dir):
			syncs = append(syncs, c.Start, c.Start+1, max(c.End, c.Start)+1)
		case c.Name == "pwrite64" && strings.HasSuffix(c.Path(), ".db"):
			moves = append(moves, c.Start+1)
		}
	}
	counts["syncs"], counts["pages moved"] = len(syncs)/3, len(moves)
	lines := []int{rec.lines + 1}
	for len(lines) < cuts {
		from := [][]int{answers, answers, syncs, moves, first, nil}[random.IntN(6)]
		if len(from) == 0 {
			lines = append(lines, 1+random.IntN(rec.lines))
		} else {
			lines = append(lines, from[random.IntN(len(from))])
		}
	}
	slices.Sort(lines)
	return lines
}

// survival draws what may be left of that which was not synced.
func survival(random *rand.Rand) powercut.Survival {
	return powercut.Survival{
		Writes:  []float64{0, 0, 0.1, 0.5, 0.9, 1}[random.IntN(6)],
		Names:   random.IntN(2) == 0,
		Garbage: random.IntN(2) == 0,
	}
}

// cut builds the files that a power cut leaves and has every browser check
// what the library makes of them.
func (rec *recording) cut(t *testing.T, disk *powercut.Disk, line int, random *rand.Rand, memory bool, counts map[string]int) {
	t.Helper()
	how := survival(random)
	dir := t.TempDir()
	for base, content := range disk.Cut(how, random) {
		if err := os.WriteFile(filepath.Join(dir, base), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "app.db")
	store, err := sqlitestore.Open(path)
	if err != nil {
		t.Errorf("%+v: %v", how, err)
		return
	}
	guests := stay.GuestStored
	if memory {
		guests = stay.GuestMemory
	}
	app, handler := crashsite.New(store, crashsite.Options{Guests: guests})
	defer func() {
		if err := app.Close(context.Background()); err != nil {
			t.Errorf("%+v: Close: %v", how, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}()
	if err := integrity(path); err != nil {
		t.Errorf("%+v: %v", how, err)
		return
	}
	r := &run{client: &http.Client{Transport: direct{handler}}, url: "http://crash.test"}
	var bad []string
	for _, b := range rec.browsers {
		c, certain := b.asOf(line, rec.answered)
		c.run = r
		c.check(func(w *world) { w.restart(false, memory, 0) }, false)
		counts["old cookies tried"] += c.checkOld(random)
		counts["changes to be found"] += certain
		bad = append(bad, r.problems()...)
	}
	for _, text := range bad {
		t.Errorf("%+v: %s", how, text)
	}
	counts["cuts"]++
}

// asOf returns the browser as it was when the power was cut before a line:
// of what it was doing it does not know more than which responses had begun to
// leave. certain is how many changes it knows of.
func (b *browser) asOf(line int, answered map[int64]int) (c *browser, certain int) {
	c = &browser{name: b.name}
	for i := range b.history {
		s := b.history[i]
		arrived := s.acknowledged == len(s.numbers) // before the server ended
		s.acknowledged = 0
		for _, n := range s.numbers {
			if at := answered[n]; at != 0 && at < line {
				s.acknowledged++
			}
		}
		changes := s.op.next != nil
		switch {
		case arrived && s.acknowledged == len(s.numbers):
			c.belief, c.open = s.after, nil
			if changes {
				certain += s.acknowledged
			}
		case c.open != nil || !changes:
			return c, certain // what follows began later
		default:
			c.open = &s // after which there may be a restart and a check
		}
		c.note(&s)
	}
	return c, certain
}

// integrity has SQLite look for damage.
func integrity(path string) (err error) {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var result string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("integrity_check: %s", result)
	}
	return nil
}

// direct sends requests to a handler without a network.
type direct struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := req.Clone(req.Context())
	in.Body = http.NoBody
	d.handler.ServeHTTP(w, in)
	return w.Result(), nil
}
