package tests_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// families are the ids of all rules: a family has those from the first number
// to the last.
var families = []struct {
	letter      string
	first, last int
}{
	{"A", 1, 21}, {"B", 1, 12}, {"K", 0, 8}, {"M", 1, 6}, {"E", 1, 10}, {"S", 1, 7}, {"C", 1, 7}, {"W", 1, 7}, {"N", 1, 3}, {"L", 1, 36}, {"X", 11, 11},
}

func ruleIDs() (ids []string) {
	for _, f := range families {
		for n := f.first; n <= f.last; n++ {
			ids = append(ids, f.letter+strconv.Itoa(n))
		}
	}
	return ids
}

// mayBeLater are the rules of which something may be missing, each with what
// it waits for. Everything else has to be proven now.
var mayBeLater = map[string]string{}

// A ruleRow is a row of the table.
type ruleRow struct {
	title   string
	promise string
	later   string
}

// The table of rules in docs/rules.md is whole: it has each rule once, says what
// it promises, and leaves for later only what may be left. What it promises is
// proven, by tests that say so or by golden cases.
func TestRulesAreProven(t *testing.T) {
	table, proofs := readRules(t), findProofs(t)
	for _, id := range ruleIDs() {
		row := table[id]
		switch {
		case row == nil:
			t.Errorf("%s has no row", id)
		case len(strings.Fields(row.promise)) < 6:
			t.Errorf("%s does not say what it promises: %q", id, row.promise)
		case len(proofs[id]) == 0 && row.later == "":
			t.Errorf("%s is neither proven nor left for later", id)
		case row.later != "" && mayBeLater[id] == "":
			t.Errorf("%s leaves %q for later, for which there is no reason in mayBeLater", id, row.later)
		case row.later == "" && mayBeLater[id] != "":
			t.Errorf("%s leaves nothing for later any more: take it out of mayBeLater", id)
		}
	}
	for id := range table {
		if !slices.Contains(ruleIDs(), id) {
			t.Errorf("there is no rule %s", id)
		}
	}
}

var ruleLine = regexp.MustCompile(`^\| ([A-Z][0-9]+) \| \*\*(.+?)\.?\*\* (.*?)(?: Later: (.*)\.)? \|$`)

// readRules reads the rows of docs/rules.md.
func readRules(t *testing.T) map[string]*ruleRow {
	t.Helper()
	table := map[string]*ruleRow{}
	for line := range strings.Lines(string(readFile(t, filepath.Join(root, "docs", "rules.md")))) {
		m := ruleLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		if table[m[1]] != nil {
			t.Errorf("%s has two rows", m[1])
		}
		table[m[1]] = &ruleRow{title: m[2], promise: m[3], later: m[4]}
	}
	return table
}
