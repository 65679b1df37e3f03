package tests_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
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
	{"A", 1, 21}, {"B", 1, 12}, {"K", 0, 8}, {"M", 1, 5}, {"E", 1, 10}, {"S", 1, 7}, {"C", 1, 7}, {"W", 1, 7}, {"N", 1, 1},
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
var mayBeLater = map[string]string{
	"A2":  "live streams, which resume after a lost connection",
	"A5":  "stores that several machines share",
	"A17": "the store on Durable Objects",
	"A18": "deployment, which comes after the stores that it provisions",
	"A20": "live streams: without them a session has no connections",
	"B11": "stores that several machines share",
	"N1":  "stores that several machines share",
}

// A proof is a test named in the table: the directory of its package, or one
// of the words golden and storetest, and its name there.
type proof struct{ in, name string }

// A ruleRow is a row of the table.
type ruleRow struct {
	promise string
	proofs  []proof
	later   string
}

// The table of rules in docs/rules.md is whole and true: it has each rule
// once, every test that it names exists, every test and golden case that is
// named after a rule is listed there, and what it leaves for later is what may
// be left.
func TestRulesAreProven(t *testing.T) {
	table := readRules(t)
	for _, id := range ruleIDs() {
		row := table[id]
		switch {
		case row == nil:
			t.Errorf("%s has no row", id)
		case len(strings.Fields(row.promise)) < 6:
			t.Errorf("%s does not say what it promises: %q", id, row.promise)
		case len(row.proofs) == 0 && row.later == "":
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

	tests, conformance, cases := testFuncs(t), conformanceRules(t), goldenRules(t)
	for id, row := range table {
		seen := map[proof]bool{}
		for _, p := range row.proofs {
			if seen[p] {
				t.Errorf("%s lists %s %s twice", id, p.in, p.name)
			}
			seen[p] = true
			switch p.in {
			case "golden":
				if !slices.Contains(cases[p.name], id) {
					t.Errorf("%s lists the golden case %q, which names the rules %v", id, p.name, cases[p.name])
				}
			case "storetest":
				if !slices.ContainsFunc(conformance, func(name string) bool { return name == p.name || strings.HasPrefix(name, p.name+" ") }) {
					t.Errorf("%s lists %q, which no subtest of the conformance suite is named after", id, p.name)
				}
			default:
				if err := tests.find(p); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		}
	}

	for p := range tests {
		named, err := rulesOf(p.name)
		if err != nil {
			t.Errorf("%s %s: %v", p.in, p.name, err)
		}
		for _, id := range named {
			if row := table[id]; row != nil && !row.lists(p) {
				t.Errorf("%s does not list `%s` %s", id, p.in, p.name)
			}
		}
	}
	for name, ids := range cases {
		for _, id := range ids {
			if row := table[id]; row != nil && !slices.Contains(row.proofs, proof{"golden", name}) {
				t.Errorf("%s does not list the golden case %s", id, name)
			}
		}
	}
}

// lists reports whether the row names the test, or a subtest of it.
func (r *ruleRow) lists(p proof) bool {
	return slices.ContainsFunc(r.proofs, func(q proof) bool {
		name, _, _ := strings.Cut(q.name, "/")
		return q.in == p.in && name == p.name
	})
}

var (
	ruleLine  = regexp.MustCompile(`^\| ([A-Z][0-9]+) \| (.*) \| (.*) \|$`)
	proofPart = regexp.MustCompile("^`([a-z0-9/]+)`:? (.+)$")
)

// readRules reads the rows of docs/rules.md. The third cell holds the proofs:
// a package in backquotes and its tests, further packages after <br>, and
// last what is left for later.
func readRules(t *testing.T) map[string]*ruleRow {
	t.Helper()
	table := map[string]*ruleRow{}
	for line := range strings.Lines(string(readFile(t, filepath.Join(root, "docs", "rules.md")))) {
		m := ruleLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		id, row := m[1], &ruleRow{promise: m[2]}
		if table[id] != nil {
			t.Errorf("%s has two rows", id)
		}
		table[id] = row
		for part := range strings.SplitSeq(m[3], "<br>") {
			if later, ok := strings.CutPrefix(part, "later: "); ok {
				row.later = later
				continue
			}
			p := proofPart.FindStringSubmatch(part)
			if p == nil {
				t.Errorf("%s: cannot read %q", id, part)
				continue
			}
			for name := range strings.SplitSeq(p[2], ", ") {
				row.proofs = append(row.proofs, proof{p[1], name})
			}
		}
	}
	return table
}

// testIndex holds the tests of all packages, with their bodies.
type testIndex map[proof]*ast.FuncDecl

// testFuncs finds every test, fuzz target and example of the project.
func testFuncs(t *testing.T) testIndex {
	t.Helper()
	found := testIndex{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if dir = filepath.ToSlash(dir); dir == "." {
			dir = "stay"
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && testName.MatchString(f.Name.Name) {
				found[proof{dir, f.Name.Name}] = f
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Example)([A-Z0-9_]|$)`)

// find says what is wrong with a test that the table names. That of a subtest
// is Parent/subtest, where the subtest's name stands in the parent's body.
func (x testIndex) find(p proof) error {
	name, sub, isSub := strings.Cut(p.name, "/")
	f := x[proof{p.in, name}]
	if f == nil {
		return fmt.Errorf("package %s has no test %s", p.in, name)
	}
	if !isSub {
		return nil
	}
	there := false
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			there = there || err == nil && text == sub
		}
		return !there
	})
	if !there {
		return fmt.Errorf("test %s of package %s has no subtest %q", name, p.in, sub)
	}
	return nil
}

var namedRules = regexp.MustCompile(`^(?:Test|Fuzz|Example)((?:[ABKMESCWN][0-9]+)+)(?:to([A-Z][0-9]+))?(?:[A-Z_]|$)`)

// rulesOf returns the rules that a test is named after.
func rulesOf(test string) (ids []string, err error) {
	m := namedRules.FindStringSubmatch(test)
	if m == nil {
		return nil, nil
	}
	ids = regexp.MustCompile(`[A-Z][0-9]+`).FindAllString(m[1], -1)
	all := ruleIDs()
	for _, id := range ids {
		if !slices.Contains(all, id) {
			return nil, fmt.Errorf("there is no rule %s", id)
		}
	}
	if m[2] != "" {
		from, to := slices.Index(all, ids[len(ids)-1]), slices.Index(all, m[2])
		if to < from {
			return nil, fmt.Errorf("no rules lead to %s", m[2])
		}
		ids = append(ids, all[from+1:to+1]...)
	}
	return ids, nil
}

// conformanceRules returns the names of the subtests of store/storetest.
func conformanceRules(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "store", "storetest", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isName := kv.Key.(*ast.Ident)
			lit, isText := kv.Value.(*ast.BasicLit)
			if isName && isText && key.Name == "name" {
				if name, err := strconv.Unquote(lit.Value); err == nil {
					names = append(names, name)
				}
			}
			return true
		})
	}
	if len(names) < 20 {
		t.Errorf("found %d subtests of the conformance suite: %q", len(names), names)
	}
	return names
}

// goldenRules returns the rules that each golden case names.
func goldenRules(t *testing.T) map[string][]string {
	t.Helper()
	rules := map[string][]string{}
	files, err := filepath.Glob(filepath.Join(root, "testdata", "golden", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		var c struct {
			Rules []string `json:"rules"`
		}
		if err := json.Unmarshal(readFile(t, path), &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if rules[name] != nil {
			t.Errorf("two golden cases are named %s", name)
		}
		rules[name] = c.Rules
	}
	if len(rules) == 0 {
		t.Errorf("no golden cases: %v", slices.Sorted(maps.Keys(rules)))
	}
	return rules
}

// Names of tests are read as the table expects it.
func TestRulesOfNames(t *testing.T) {
	for name, want := range map[string]string{
		"TestK2LoginAdopts": "K2", "TestA15E6MaxBytes": "A15 E6", "FuzzM3K0Step": "M3 K0", "TestW4HTMX2Cache": "W4",
		"TestE1toE3Simulation": "E1 E2 E3", "TestSoakKill9": "", "TestB8": "B8", "TestBroken": "", "TestE1sub": "",
	} {
		ids, err := rulesOf(name)
		if got := strings.Join(ids, " "); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"TestN9Nodes", "TestE3toE1"} {
		if ids, err := rulesOf(name); err == nil {
			t.Errorf("%s names %v", name, ids)
		}
	}
}
