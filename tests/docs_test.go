package tests_test

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every program text in the README and the guides stands, to the letter, in a
// file that is compiled.
//
// Proves B6.
func TestDocsAreCompiled(t *testing.T) {
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
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, doc := range append(docs, filepath.Join(root, "README.md")) {
		for _, block := range strings.Split(string(readFile(t, doc)), "\n```go\n")[1:] {
			blocks++
			text, _, _ := strings.Cut(block, "\n```")
			if !slices.ContainsFunc(sources, func(source string) bool { return strings.Contains(source, text) }) {
				t.Errorf("no compiled file holds this text of %s:\n%s", filepath.Base(doc), text)
			}
		}
	}
	if blocks < 4 {
		t.Errorf("the README and the guides have %d go blocks", blocks)
	}
}
