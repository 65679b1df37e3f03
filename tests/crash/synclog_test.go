package crash_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay/tests/internal/powercut"
)

// What a server that was killed had written to the log, but not synced yet, is
// synced before anybody reads it. Otherwise a power cut would take back what
// was shown after the restart, and what was acknowledged without a write
// because it was there already.
//
// Proves E1, E3, C5.
func TestLogIsSyncedBeforeItIsRead(t *testing.T) {
	strace := needStrace(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	db, trace := filepath.Join(dir, "app.db"), filepath.Join(dir, "trace")
	r := &run{}
	browsers := newBrowsers(r, 1)
	browsers[0].random = draws(1)
	p := start(t, nil, db)
	load(t, r, p, browsers, 10, func() { p.kill(t) })

	p = start(t, slices.Concat([]string{strace}, powercut.Options(), []string{"-o", trace}), db)
	checkAll(r, p.url, browsers, draws(2), func(*world) {}, map[string]int{}, true)
	p.kill(t)
	for _, bad := range r.problems() {
		t.Error(bad)
	}
	rec := &recording{dir: dir, answered: map[int64]int{}}
	rec.read(t, trace)
	synced := 0 // the line in which both the log and its name were
	var log bool
	for _, c := range rec.calls {
		switch {
		case c.Name != "fsync" && c.Name != "fdatasync" || c.Failed() || c.End == 0 || synced > 0:
		case strings.HasSuffix(c.Path(), "app.db-wal"):
			log = true
		case c.Path() == dir && log:
			synced = c.End
		}
	}
	if len(rec.answered) == 0 {
		t.Fatal("no answer is in the trace")
	}
	for _, line := range rec.answered {
		if synced == 0 || synced > line {
			t.Errorf("the log is synced in line %d (0: never) and an answer leaves in line %d", synced, line)
		}
	}
}
