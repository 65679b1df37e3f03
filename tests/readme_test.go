package tests_test

import (
	"os"
	"os/exec"
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

// The commands that begin a program from the clone work as they stand, in a
// folder that has nothing else.
//
// Proves A1.
func TestProgramBeginsFromTheClone(t *testing.T) {
	const begin = "mkdir ../app"
	readme := string(readFile(t, filepath.Join(root, "README.md")))
	_, rest, found := strings.Cut(readme, "\n```sh\n"+begin)
	block, _, closed := strings.Cut(begin+rest, "\n```")
	if !found || !closed {
		t.Fatalf("README.md has no ```sh block that begins with %q", begin)
	}
	clone, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	// The test leaves nothing beside the clone, and serves nothing.
	script := strings.ReplaceAll(block, "../app", filepath.Join(t.TempDir(), "app"))
	script = strings.Replace(script, "\ngo run .", "\ngo build .", 1)
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Dir = clone
	cmd.Env = append(os.Environ(), "GOWORK=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s\n%v\n%s", script, err, out)
	}
}

func lineAt(lines []string, i int) string {
	if i >= len(lines) {
		return "(ends before)"
	}
	return lines[i]
}
