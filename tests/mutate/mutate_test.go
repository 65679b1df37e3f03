package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// The mutants of make mutate fit the code as it is now: the text of each is in
// its file exactly once, and what comes of it compiles. That the tests notice
// them takes longer, and is for make mutate.
func TestMutantsFit(t *testing.T) {
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if problems := check(abs, mutants); problems != nil {
		for _, err := range problems {
			t.Error(err)
		}
		return
	}
	// All that can be in place at once are compiled together.
	sets, err := layers(abs, mutants)
	if err != nil {
		t.Fatal(err)
	}
	for _, texts := range sets {
		if out, err := compile(t, abs, texts); err != nil {
			t.Errorf("mutants of these files do not compile: %v\n%s", err, out)
		}
	}
}

// compile builds the packages of the files with these texts, as the tests are
// built, so that what they need need not be compiled anew.
func compile(t *testing.T, root string, texts map[string]string) ([]byte, error) {
	t.Helper()
	path, err := overlay(t.TempDir(), root, texts)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-overlay", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	var pkgs []string
	for file := range texts {
		if pkg := "./" + filepath.ToSlash(filepath.Dir(file)); !slices.Contains(pkgs, pkg) {
			pkgs = append(pkgs, pkg)
		}
	}
	cmd := exec.Command("go", append(args, pkgs...)...)
	cmd.Dir = root
	return cmd.CombinedOutput()
}

// What does not fit is found, and said so that it can be mended.
func TestMisfitsAreFound(t *testing.T) {
	m := mutant{name: "x", file: "f.go", old: "a == b", new: "true"}
	for _, c := range []struct{ text, want string }{
		{"if a == c {}", "does not hold this text any more"},
		{"a == b || a == b", "holds this text 2 times"},
	} {
		if _, err := m.broken(c.text); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), m.old) {
			t.Errorf("in %q: %v, want %q", c.text, err, c.want)
		}
	}
	if text, err := m.broken("if a == b {}"); err != nil || text != "if true {}" {
		t.Errorf("%q, %v", text, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f.go"), []byte("package f\n\nconst a = b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	same := mutant{name: "same", file: "f.go", old: "a = b", new: "a = b"}
	gone := mutant{name: "gone", file: "g.go", old: "a", new: "b"}
	if problems := check(dir, []mutant{m, same, gone, same}); len(problems) != 5 {
		t.Errorf("%d problems were found, want 5: %v", len(problems), problems)
	}
	// Two that meet in one line are compiled one after the other.
	one, two := mutant{file: "f.go", old: "a = b", new: "a = 1"}, mutant{file: "f.go", old: "= b", new: "= 2"}
	sets, err := layers(dir, []mutant{one, two})
	if err != nil || len(sets) != 2 {
		t.Fatalf("%d layers, %v", len(sets), err)
	}
}

var tableRow = regexp.MustCompile("^\\| [A-Z][0-9]+ \\| (.+) \\| `(.+)` \\| `(.+)` (\\w+) \\|$")

// The table in docs/faults.md has every mutant once, and each test that it
// names is there.
func TestTableIsWhole(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, table))
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _, err := cut(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(rows) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") || strings.HasPrefix(line, "| rule ") {
			continue
		}
		row := tableRow.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if row == nil {
			t.Errorf("cannot read %q", line)
			continue
		}
		names = append(names, row[1])
		i := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == row[1] })
		if i < 0 || mutants[i].file != row[2] {
			t.Errorf("there is no mutant %q in %s: run go run ./tests/mutate -write", row[1], row[2])
		}
		if !declares(t, row[3], row[4]) {
			t.Errorf("%s has no test %s any more, which caught %q: run go run ./tests/mutate -write", row[3], row[4], row[1])
		}
	}
	for _, m := range mutants {
		if !slices.Contains(names, m.name) {
			t.Errorf("%s does not list %q: run go run ./tests/mutate -write", table, m.name)
		}
	}
	if len(names) != len(mutants) {
		t.Errorf("%s lists %d mutants, there are %d", table, len(names), len(mutants))
	}
}

// declares reports whether the package, named as in docs/proofs.md, has the
// test.
func declares(t *testing.T, pkg, test string) bool {
	t.Helper()
	if pkg == "stay" {
		pkg = "."
	}
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}

// A package that notices exists, and each subject of the proofs is asked.
func TestPackagesThatNoticeExist(t *testing.T) {
	for _, m := range mutants {
		for _, pkg := range m.tests {
			if files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go")); err != nil || len(files) == 0 {
				t.Errorf("mutant %q: %s has no tests (%v)", m.name, pkg, err)
			}
		}
	}
	folders, err := filepath.Glob(filepath.Join(root, "internal", "proofs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if subject := filepath.Base(folder); !slices.Contains(subjects, subject) {
			t.Errorf("internal/proofs/%s is not among the subjects: add it", subject)
		}
	}
}
