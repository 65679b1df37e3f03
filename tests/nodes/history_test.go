package nodes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/tests/internal/nodesite"
)

// A kind says what an operation does to its register.
type kind string

const (
	add    kind = "add"    // one change more
	read   kind = "read"   // shows the register
	reset  kind = "reset"  // the count begins again
	remove kind = "remove" // the register begins anew
	merge  kind = "merge"  // what a guest has counted comes along
)

// An outcome is what the caller of an operation knows about it.
type outcome string

const (
	ok      outcome = "ok"
	failed  outcome = "failed"  // it did not happen and never will
	unknown outcome = "unknown" // it may have happened, or happen later
)

// never is when an operation returns whose outcome is unknown.
const never = time.Duration(1<<63 - 1)

// An op is one operation on one register.
type op struct {
	ID       string `json:"id"`
	Client   int    `json:"client"`
	Life     int    `json:"life"` // which session of the client
	Node     int    `json:"node"`
	Register string `json:"register"`
	Kind     kind   `json:"kind"`
	// From is the register that a merge uses up, and Addend what it had.
	From   string `json:"from,omitempty"`
	Addend value  `json:"addend,omitzero"`

	Call    time.Duration `json:"call"`
	Return  time.Duration `json:"return"`
	Outcome outcome       `json:"outcome"`
	Error   string        `json:"error,omitempty"`

	// Shown is what the answer shows, after the operation.
	Shown *shown `json:"shown,omitempty"`
}

// A value is what a register counts.
type value struct {
	Count int `json:"count"`
	Seq   int `json:"seq"`
}

type shown struct {
	value
	Last []string `json:"last"`
}

func (o *op) show(a nodesite.Answer) {
	o.Outcome, o.Shown = ok, &shown{value{a.Count, a.Seq}, a.Last}
}

// String implements fmt.Stringer.
func (o *op) String() string {
	s := fmt.Sprintf("%s: %s of %s at node %d, %s to %s, %s", o.ID, o.Kind, o.Register, o.Node, at(o.Call), at(o.Return), o.Outcome)
	if o.Error != "" {
		s += " (" + o.Error + ")"
	}
	if o.Shown != nil {
		s += fmt.Sprintf(" showing count %d seq %d", o.Shown.Count, o.Shown.Seq)
	}
	return s
}

func at(d time.Duration) string {
	if d == never {
		return "?"
	}
	return d.Round(10 * time.Microsecond).String()
}

// A login is the time that a session belongs to a user. It may have begun at
// any moment from Call to Return, and ended at any from EndCall to EndReturn.
type login struct {
	User      string        `json:"user"`
	Client    int           `json:"client"`
	Life      int           `json:"life"`
	Call      time.Duration `json:"call"`
	Return    time.Duration `json:"return"`
	EndCall   time.Duration `json:"end_call"`
	EndReturn time.Duration `json:"end_return"`
}

// A revocation ends the sessions of a user, all of them or all but that of whom
// has asked for it.
type revocation struct {
	User    string        `json:"user"`
	Client  int           `json:"client"`
	Life    int           `json:"life"`
	Others  bool          `json:"others"`
	Call    time.Duration `json:"call"`
	Return  time.Duration `json:"return"`
	Outcome outcome       `json:"outcome"`
}

// An end is when a client was told that its session has ended.
type end struct {
	Client int           `json:"client"`
	Life   int           `json:"life"`
	At     time.Duration `json:"at"`
	Told   string        `json:"told"`
}

// An event is a fault: what was done to the cluster, and when.
type event struct {
	What string        `json:"what"`
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
}

// A history is what clients have done and were told.
type history struct {
	Seed        uint64        `json:"seed"`
	Test        string        `json:"test"`
	Faults      []event       `json:"faults"`
	Ops         []*op         `json:"ops"`
	Logins      []*login      `json:"logins"`
	Revocations []*revocation `json:"revocations"`
	Ends        []end         `json:"ends"`
	Sendings    []*sending    `json:"sendings"`
	// Wrong is what a client has seen that must not be.
	Wrong []string `json:"wrong"`

	began time.Time
	mu    sync.Mutex
}

func newHistory(test string, seed uint64) *history {
	return &history{Test: test, Seed: seed, began: time.Now()}
}

// now is the time since the history began.
func (h *history) now() time.Duration { return time.Since(h.began) }

// note adds something to one of the lists.
func note[T any](h *history, list *[]T, what T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*list = append(*list, what)
}

// wrong notes what must not be.
func (h *history) wrong(format string, args ...any) {
	note(h, &h.Wrong, at(h.now())+": "+fmt.Sprintf(format, args...))
}

// counts are how many operations had which outcome.
func (h *history) counts() map[outcome]int {
	n := map[outcome]int{}
	for _, o := range h.Ops {
		n[o.Outcome]++
	}
	return n
}

// write writes the history into a file, for whoever was not there.
func (h *history) write() (string, error) {
	dir := os.Getenv("STAY_SOAK_REPORTS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "stay-soak-reports")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	text, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s-%d.json", strings.ReplaceAll(h.Test, "/", "-"), h.began.UTC().Format("20060102T150405"), h.Seed))
	return file, os.WriteFile(file, text, 0o644)
}

// readHistory reads a history that write has written.
func readHistory(file string) (*history, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	h := &history{}
	return h, json.Unmarshal(text, h)
}
