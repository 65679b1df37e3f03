package main

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// table is the file with the results, which stand between these lines.
const (
	table = "docs/faults.md"
	from  = "<!-- from tests/mutate -->\n"
	to    = "<!-- end -->\n"
)

// row is the mutant's in the table.
func (m *mutant) row(pkg, test string) string {
	return fmt.Sprintf("| %s | %s | `%s` | `%s` %s |", m.rule, m.name, m.file, place(pkg), test)
}

// place is a package as docs/proofs.md names it.
func place(pkg string) string {
	if pkg = path.Clean(pkg); pkg == "." {
		return "stay"
	}
	return pkg
}

// cut finds the table in the text.
func cut(text string) (before, rows, after string, err error) {
	before, rest, ok1 := strings.Cut(text, from)
	rows, after, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		return "", "", "", fmt.Errorf("%s has no place for the table: it stands between %q and %q", table, from, to)
	}
	return before + from, rows, to + after, nil
}

// writeTable puts the rows into the file.
func writeTable(path string, rows []string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, _, after, err := cut(string(text))
	if err != nil {
		return err
	}
	all := "| rule | what the line does when it is broken | file | caught by |\n|---|---|---|---|\n" + strings.Join(rows, "\n") + "\n"
	return os.WriteFile(path, []byte(before+all+after), 0o600)
}
