package tests_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// root is the project's folder, seen from this package.
const root = ".."

// stay is the path of the root module and the beginning of all others.
const stay = "github.com/stay-go/stay"

// unpublished are the folders of the modules that no user imports. One that
// does not exist is no mistake.
var unpublished = []string{"bench", "examples", "tests", "tests/routers"}

// A module is one of the workspace.
type module struct {
	dir  string // relative to root, "." for the root module
	path string
	file *modfile.File
}

func (m module) published() bool { return !slices.Contains(unpublished, m.dir) }

// workspace returns the modules that go.work uses.
func workspace(t *testing.T) []module {
	t.Helper()
	work, err := modfile.ParseWork("go.work", readFile(t, filepath.Join(root, "go.work")), nil)
	if err != nil {
		t.Fatal(err)
	}
	var modules []module
	for _, use := range work.Use {
		name := filepath.Join(root, use.Path, "go.mod")
		file, err := modfile.Parse(name, readFile(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, module{dir: filepath.ToSlash(filepath.Clean(use.Path)), path: file.Module.Mod.Path, file: file})
	}
	return modules
}

// A pkg is what go list tells of a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Export       string // the file with what it exports, if it was asked for
	GoFiles      []string
	CgoFiles     []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

// list runs go list in the workspace and returns its packages.
func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json"}, args...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	var pkgs []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
