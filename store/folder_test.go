package store_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/storetest"
)

// Proves A13, C1, C2, C3, C4, C5, C6, C7.
func TestFolder(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) func(*testing.T) store.Store {
			dir := t.TempDir() // an empty place
			return func(*testing.T) store.Store {
				return store.FromSimple(folder(dir))
			}
		},
	})
}

// Every piece of Go in the guide for those who write stores is found word for
// word in the file it names, where it is compiled.
func TestGuideCodeIsCompiled(t *testing.T) {
	guide, err := os.ReadFile("../docs/store-contract.md")
	if err != nil {
		t.Fatal(err)
	}
	pieces := regexp.MustCompile("(?s)(<!-- from (\\S+) -->\n)?```go\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(pieces) == 0 {
		t.Fatal("the guide has no code")
	}
	for _, piece := range pieces {
		from, code := piece[2], piece[3]
		if from == "" {
			t.Errorf("a piece of code names no file:\n%s", code)
			continue
		}
		file, err := os.ReadFile("../" + from)
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(file), code) {
			t.Errorf("%s does not have this code:\n%s", from, code)
		}
	}
}
