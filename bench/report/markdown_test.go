package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// guideAt makes a guide with these tables.
func guideAt(t *testing.T, tables ...string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("# Before\n\n")
	for _, name := range tables {
		text.WriteString("<!-- report " + name + " -->\nold\n<!-- end -->\n\nBetween.\n\n")
	}
	file := filepath.Join(t.TempDir(), "guide.md")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// manyRounds are rounds of every server under every load. Stay reaches 0.7 of the
// ceiling in the middle.
func manyRounds() []result {
	var all []result
	for round := range 9 {
		for _, l := range scenarios {
			for _, name := range l.servers {
				r := result{Scenario: l.name, Server: name, Round: round, Rate: 20_000, Ratio: 0.5, CPURatio: 1.5, P99: 7000, CPU: 50, Allocs: 31, RSS: 64e6}
				if slices.Contains(l.servers, ceiling) {
					r.Share = 0.66 + float64(round)/100
				}
				if round == 8 && l.request == increment && name != baseline {
					r.Acked = 1000
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// A guide gets its tables anew, and keeps what is around them.
func TestGuidesAreWritten(t *testing.T) {
	file := guideAt(t, "goals", "comparison", "settings")
	kinds := servers
	guides, err := openGuides(&options{table: file, rounds: 8}, scenarios, kinds)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // what was written can be written again
		if err := writeGuide(guides[0], manyRounds(), "Nine rounds."); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{
		"# Before\n\n<!-- report goals -->\n| over HTTP |",
		"| at least 0.65 of the ceiling | 0.70 (0.68 to 0.72) | yes | `sqlite` |",
		"| at most 10.0 ms | 7.0 (7.0 to 7.0) | yes | `sqlite` |",
		"| at least 0.80 x bare | 0.50 (0.50 to 0.50) | no | `read` |",
		"| updates that Stay lost | none | none | yes | all |\n\nNine rounds.\n<!-- end -->\n\nBetween.",
		"| Stay on SQLite | 20,000 | 0.50 (0.50 to 0.50) | 0.70 (0.68 to 0.72) | 7 ms | 50 us | 31 | none |",
		"| `read` |  | stay-sqlite | 0.50 (0.50 to 0.50) | - | 50.0 us | - | 64 MB |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the guide:\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") {
		t.Errorf("an old table is there still:\n%s", text)
	}
}

// A lost update is a goal that is not met.
func TestLostUpdatesAreInTheGoals(t *testing.T) {
	all := manyRounds()
	for i := range all {
		if all[i].Acked > 0 && all[i].Server == "stay-sqlite" && all[i].Scenario == "sqlite-one" {
			all[i].Lost = 1
		}
	}
	if text := goalsTable(all); !strings.Contains(text, "| none | 1 (0.0 %) | no | all |") {
		t.Errorf("an update is lost:\n%s", text)
	}
}

// A guide for which something is not to be measured is refused before anything is, as
// is one that this program cannot fill.
func TestGuidesNeedAll(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end() // nothing can be measured, should it come to that
	for _, at := range []struct {
		o    options
		want string
	}{
		{options{table: guideAt(t, "goals"), rounds: 7}, "8 rounds"},
		{options{table: guideAt(t, "goals"), scenarios: "sqlite"}, "-scenarios"},
		{options{table: guideAt(t, "goals"), only: "stay-sqlite,stay-mem"}, "ceiling"},
		{options{table: guideAt(t, "comparison"), only: "stay-sqlite,stay-mem,ceiling"}, "scs-sqlite"},
		{options{table: guideAt(t, "comparison"), env: "GOGC=100"}, "-env"},
		{options{table: guideAt(t, "nonsense")}, "nonsense"},
		{options{table: guideAt(t)}, "<!-- report NAME -->"},
		{options{picture: "none.svg", env: "GOGC=100"}, "-env"},
	} {
		at.o.duration = time.Second
		if at.o.rounds == 0 {
			at.o.rounds = 8
		}
		if err := run(ended, &at.o); err == nil || !strings.Contains(err.Error(), at.want) {
			t.Errorf("%+v: %v, want an error about %q", at.o, err, at.want)
		}
	}
	file := guideAt(t)
	if err := os.WriteFile(file, []byte("<!-- report goals -->\nno end\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openGuides(&options{table: file, rounds: 8}, scenarios, servers); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("a table that does not end: %v", err)
	}
}

// Between two values a quartile lies on the line from one to the other.
func TestQuantiles(t *testing.T) {
	rounds := []result{{Share: 4}, {Share: 1}, {Share: 2}, {Share: 3}}
	for q, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.5: 2.5, 0.75: 3.25, 1: 4} {
		if got := quantile(rounds, share, q); got != want {
			t.Errorf("quantile %g of 1 to 4 is %g, want %g", q, got, want)
		}
	}
}
