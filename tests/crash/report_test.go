package crash_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// soak reports whether the tests run long, as make soak wants them to.
func soak() bool { return os.Getenv("STAY_SOAK") == "1" }

// draws returns a source of random numbers for one purpose.
func draws(seed uint64, purpose ...int) *rand.Rand {
	stream := uint64(0)
	for _, n := range purpose {
		stream = stream<<24 | uint64(n)
	}
	return rand.New(rand.NewPCG(seed, stream))
}

// A count is what became of one kind of operation.
type count struct {
	Acknowledged int `json:"acknowledged"`
	// Unknown are those whose answer was lost. After the restart each was
	// found to be done or not, and nothing in between.
	Unknown int `json:"unknown"`
	Done    int `json:"unknown_found_done"`
	NotDone int `json:"unknown_found_not_done"`
}

// tallies counts by kind of operation.
type tallies struct {
	mu sync.Mutex
	by map[string]*count
}

func (t *tallies) change(name string, fn func(*count)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]*count{}
	}
	if t.by[name] == nil {
		t.by[name] = &count{}
	}
	fn(t.by[name])
}

func (t *tallies) add(name string, acknowledged, unknown int) {
	t.change(name, func(c *count) { c.Acknowledged += acknowledged; c.Unknown += unknown })
}

// found notes how many of the operations with lost answers were done.
func (t *tallies) found(name string, done int) {
	t.change(name, func(c *count) {
		if done > 0 {
			c.Done++
		} else {
			c.NotDone++
		}
	})
}

func (t *tallies) sum() (all count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.by {
		all.Acknowledged += c.Acknowledged
		all.Unknown += c.Unknown
		all.Done += c.Done
		all.NotDone += c.NotDone
	}
	return all
}

// A report says what was proven, for whoever was not there.
type report struct {
	Test       string            `json:"test"`
	Seed       uint64            `json:"seed"`
	Begun      time.Time         `json:"begun"`
	Seconds    float64           `json:"seconds"`
	Passed     bool              `json:"passed"`
	Counts     map[string]int    `json:"counts"`
	Operations map[string]*count `json:"operations"`
	Versions   map[string]string `json:"versions"`
}

// reportsVariable names the folder of the reports. The default is
// stay-soak-reports in the system's folder for temporary files.
const reportsVariable = "STAY_SOAK_REPORTS"

// write logs what the report says, and writes it to a file if the test is a
// long one.
func (r *report) write(t *testing.T, operations *tallies) {
	t.Helper()
	r.Test = t.Name()
	r.Seconds = time.Since(r.Begun).Seconds()
	r.Passed = !t.Failed()
	r.Operations = operations.by
	sum := operations.sum()
	r.Counts["acknowledged"] = sum.Acknowledged
	r.Counts["unknown"] = sum.Unknown
	var line []string
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		line = append(line, fmt.Sprintf("%s: %d", name, r.Counts[name]))
	}
	t.Log(strings.Join(line, ", "))
	for _, name := range slices.Sorted(maps.Keys(r.Operations)) {
		t.Logf("%s: %+v", name, *r.Operations[name])
	}
	dir := os.Getenv(reportsVariable)
	if !soak() && dir == "" {
		return
	}
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "stay-soak-reports")
	}
	r.Versions = versions()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Error(err)
		return
	}
	name := fmt.Sprintf("%s-%s-%d.json", strings.NewReplacer("/", "-", " ", "-").Replace(r.Test), r.Begun.UTC().Format("20060102T150405"), r.Seed)
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Error(err)
		return
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		t.Error(err)
		return
	}
	t.Log("report: ", file)
}

// versions names what took part; what cannot be found out is left out.
func versions() map[string]string {
	v := map[string]string{"go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "modernc.org/sqlite" {
				v[m.Path] = m.Version
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for name, line := range map[string][]string{
		"kernel": {"uname", "-r"},
		"strace": {"strace", "--version"},
		"stay":   {"git", "describe", "--always", "--dirty", "--tags"},
	} {
		if out, err := exec.CommandContext(ctx, line[0], line[1:]...).Output(); err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			v[name] = first
		}
	}
	return v
}
