package tests_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every piece of Go and of templ in the guides stands, to the letter, in the
// compiled file that the line below it links to. The pieces of the README stand
// in one of them.
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
	readme := goBlocks(t, "README.md")
	for _, block := range readme {
		if !slices.ContainsFunc(sources, func(source string) bool { return strings.Contains(source, block.text) }) {
			t.Errorf("no compiled file holds this text of README.md:\n%s", block.text)
		}
	}
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, doc := range docs {
		for _, block := range goBlocks(t, filepath.Join("docs", filepath.Base(doc))) {
			n++
			switch {
			case block.from == "":
				t.Errorf("%s: the line below this text does not say where it is from, as in \"From [forms.go](../tests/guides/forms/forms.go).\":\n%s", filepath.Base(doc), block.text)
			case !strings.Contains(string(readFile(t, filepath.Join(root, "docs", block.from))), block.text):
				t.Errorf("%s does not hold this text of %s:\n%s", block.from, filepath.Base(doc), block.text)
			}
		}
	}
	if len(readme) == 0 || n == 0 {
		t.Errorf("the README has %d pieces of Go and the guides have %d", len(readme), n)
	}
}

// A goBlock is a piece of Go, or of templ, in a document.
type goBlock struct {
	text string
	from string // the file that the line below links to
}

var fromLine = regexp.MustCompile(`^\nFrom \[[^]]+\]\(([^)]+\.(?:go|templ))\)`)

func goBlocks(t *testing.T, doc string) []goBlock {
	t.Helper()
	var blocks []goBlock
	text := strings.ReplaceAll(string(readFile(t, filepath.Join(root, doc))), "\n```templ\n", "\n```go\n")
	for _, rest := range strings.Split(text, "\n```go\n")[1:] {
		text, after, closed := strings.Cut(rest, "\n```\n")
		if !closed {
			t.Fatalf("%s: a piece of Go does not end", doc)
		}
		block := goBlock{text: text}
		if m := fromLine.FindStringSubmatch(after); m != nil {
			block.from = m[1]
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// The guide to Docker and systemd shows the files of examples/deploy as they are.
func TestDeploymentFilesAreInTheGuide(t *testing.T) {
	guide := string(readFile(t, filepath.Join(root, "docs", "docker-and-systemd.md")))
	for lang, file := range map[string]string{"dockerfile": "Dockerfile", "ini": "todo.service"} {
		want := "```" + lang + "\n" + string(readFile(t, filepath.Join(root, "examples", "deploy", file))) + "```\n"
		if !strings.Contains(guide, want) {
			t.Errorf("docs/docker-and-systemd.md does not show examples/deploy/%s as it is", file)
		}
	}
}
