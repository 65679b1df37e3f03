package tests_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// proofsFile lists the proofs of each rule.
var proofsFile = filepath.Join(root, "docs", "proofs.md")

const proofsHead = `<!-- Written by make proofs. -->
# Proofs

The tests that prove each of [the rules](rules.md). A test says in the last line of its comment which ones it proves, as in
"Proves A14, K2."; this list is made of those lines by ` + "`make proofs`" + `.

A place is a folder of this repository; ` + "`stay`" + ` is its root. ` + "`golden`" + ` are the cases in ` + "`testdata/golden`" + `, which TestGolden runs in memory
and in ` + "`tests`" + ` on SQLite, and TestGoldenSimple on a store of three methods. ` + "`store/storetest`" + ` are the checks that every store passes.
`

// A proof is a test, a golden case or a check of the conformance suite, and the
// place where it is.
type proof struct{ in, name string }

// docs/proofs.md is made of what the tests say that they prove; -update writes it.
func TestProofsAreUpToDate(t *testing.T) {
	table, proofs := readRules(t), findProofs(t)
	var text bytes.Buffer
	text.WriteString(proofsHead)
	for _, id := range ruleIDs() {
		row := table[id]
		if row == nil {
			continue // TestRulesAreProven tells
		}
		fmt.Fprintf(&text, "\n## %s %s\n\n", id, row.title)
		places := map[string][]string{}
		for _, p := range proofs[id] {
			places[p.in] = append(places[p.in], p.name)
		}
		for _, in := range slices.Sorted(maps.Keys(places)) {
			slices.Sort(places[in])
			fmt.Fprintf(&text, "- `%s`: %s\n", in, strings.Join(places[in], ", "))
		}
		if row.later != "" {
			fmt.Fprintf(&text, "- later: %s\n", row.later)
		}
	}
	if *update {
		if err := os.WriteFile(proofsFile, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if was := readFile(t, proofsFile); !bytes.Equal(was, text.Bytes()) {
		t.Errorf("%s is not what the tests say: run make proofs and look at the difference", proofsFile)
	}
}

// findProofs returns the proofs of each rule, and complains of those that name
// none.
func findProofs(t *testing.T) map[string][]proof {
	t.Helper()
	proofs := map[string][]proof{}
	for p, comment := range testComments(t) {
		if codedName.MatchString(p.name) {
			t.Errorf("%s %s: its name says a number; say in words what it shows, and the number as \"Proves K2.\"", p.in, p.name)
		}
		ids, err := provenBy(comment)
		if err != nil {
			t.Errorf("%s %s: %v", p.in, p.name, err)
		}
		for _, id := range ids {
			proofs[id] = append(proofs[id], p)
		}
	}
	for name, ids := range goldenRules(t) {
		for _, id := range ids {
			if !slices.Contains(ruleIDs(), id) {
				t.Errorf("golden case %s: there is no rule %s", name, id)
			}
			proofs[id] = append(proofs[id], proof{"golden", name})
		}
	}
	for _, name := range conformanceNames(t) {
		if id, _, _ := strings.Cut(name, " "); slices.Contains(ruleIDs(), id) {
			proofs[id] = append(proofs[id], proof{"store/storetest", strconv.Quote(name)})
		}
	}
	return proofs
}

var (
	testName  = regexp.MustCompile(`^(Test|Fuzz)([A-Z0-9_]|$)`)
	codedName = regexp.MustCompile(`^(?:Test|Fuzz|Example)(?:[ABKMESCWNL][0-9]+)+(?:[A-Z_]|$)`)
	// provesLine is a paragraph of a comment, or what was meant to be one.
	provesLine = regexp.MustCompile(`(?m)^Proves .*$`)
	provesText = regexp.MustCompile(`^Proves ([A-Z][0-9]+(?:, [A-Z][0-9]+)*)\.$`)
)

// provenBy returns the rules that a test's comment says it proves.
func provenBy(comment string) ([]string, error) {
	line := provesLine.FindString(comment)
	if line == "" {
		return nil, nil
	}
	m := provesText.FindStringSubmatch(line)
	if m == nil || !strings.HasSuffix(comment, "\n\n"+line+"\n") && comment != line+"\n" {
		return nil, fmt.Errorf("want a paragraph \"Proves A14, K2.\" at the end of the comment, got %q", line)
	}
	ids := strings.Split(m[1], ", ")
	for i, id := range ids {
		if !slices.Contains(ruleIDs(), id) {
			return nil, fmt.Errorf("there is no rule %s", id)
		}
		if slices.Contains(ids[:i], id) {
			return nil, fmt.Errorf("%s is named twice", id)
		}
	}
	return ids, nil
}

// What a comment says is read as it is meant, or refused.
func TestCommentsSayWhatIsProven(t *testing.T) {
	for comment, want := range map[string]string{
		"A login adopts.\n\nProves K2, S5.\n": "K2 S5", "Proves W1.\n": "W1", "A login adopts.\n": "", "It proves nothing.\n": "",
	} {
		ids, err := provenBy(comment)
		if got := strings.Join(ids, " "); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", comment, got, err, want)
		}
	}
	for _, comment := range []string{
		"A login adopts.\nProves K2.\n", "Proves K2.\n\nA login adopts.\n", "Proves K99.\n", "Proves K2 S5.\n", "Proves K2\n", "Proves K2, K2.\n",
	} {
		if ids, err := provenBy(comment); err == nil {
			t.Errorf("%q proves %v", comment, ids)
		}
	}
}

// testComments finds every test and fuzz target of the project, with its
// comment.
func testComments(t *testing.T) map[proof]string {
	t.Helper()
	found := map[proof]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution|parser.ParseComments)
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
				found[proof{dir, f.Name.Name}] = f.Doc.Text()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// conformanceNames returns the names of the subtests of store/storetest.
func conformanceNames(t *testing.T) (names []string) {
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
