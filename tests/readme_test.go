package tests_test

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The program that the README begins with is the one that is compiled and
// packed here.
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

// Every other program text in the README stands, to the letter, in a file that
// is compiled.
func TestReadmeIsCompiled(t *testing.T) {
	var sources []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			sources = append(sources, string(readFile(t, path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readFile(t, filepath.Join(root, "README.md"))), "\n```go\n")[1:]
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "\n```")
		if !slices.ContainsFunc(sources, func(source string) bool { return strings.Contains(source, text) }) {
			t.Errorf("no compiled file holds this text of README.md:\n%s", text)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("README.md has %d go blocks", len(blocks))
	}
}
