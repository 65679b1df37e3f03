package tests_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// The program that the README begins with is the one that is compiled and
// packed here.
//
// Proves A1.
func TestQuickStartIsCompiled(t *testing.T) {
	const program = "examples/quickstart/main.go"
	readme := string(readFile(t, filepath.Join(root, "README.md")))
	_, rest, found := strings.Cut(readme, "\n```go\n")
	got, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatalf("README.md has no ```go block: put the text of %s into one", program)
	}
	want := strings.Split(strings.TrimSuffix(string(readFile(t, filepath.Join(root, program))), "\n"), "\n")
	lines := strings.Split(got, "\n")
	for i := range max(len(want), len(lines)) {
		if i >= len(want) || i >= len(lines) || want[i] != lines[i] {
			t.Fatalf("line %d of the first ```go block in README.md is not that of %s; copy the file into the block to the letter\nREADME.md: %s\n%s: %s",
				i+1, program, lineAt(lines, i), program, lineAt(want, i))
		}
	}
}

func lineAt(lines []string, i int) string {
	if i >= len(lines) {
		return "(ends before)"
	}
	return lines[i]
}
