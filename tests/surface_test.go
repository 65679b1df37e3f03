package tests_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what users see of the published packages into testdata/api")

// surfaceDir has a file for each published package, named after the package.
var surfaceDir = filepath.Join("testdata", "api")

// What users see of each published package, declarations and comments, is what
// its file in testdata/api says: whoever changes it decides so.
func TestPublishedSurface(t *testing.T) {
	want := map[string]bool{}
	for dir, importPath := range publishedPackages(t) {
		name, text := surface(t, dir, importPath)
		if name == "main" {
			continue // nobody imports a command
		}
		file := filepath.Join(surfaceDir, name+".txt")
		if want[file] {
			t.Errorf("two published packages are named %s", name)
		}
		want[file] = true
		if *update {
			if err := os.MkdirAll(surfaceDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		pinned, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s is published and not pinned: %v\nrun make api", importPath, err)
			continue
		}
		if line, was, is := firstDifference(string(pinned), string(text)); line != 0 {
			t.Errorf("users see something else of %s than tests/%s says, from line %d on:\n\tpinned: %s\n\tnow:    %s\nif that is meant, run make api and commit what changes",
				importPath, filepath.ToSlash(file), line, was, is)
		}
	}
	files, err := filepath.Glob(filepath.Join(surfaceDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if want[file] {
			continue
		}
		if !*update {
			t.Errorf("tests/%s is of no published package: run make api", filepath.ToSlash(file))
		} else if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

// publishedPackages returns the import paths of all packages that users can
// import, by their directories.
func publishedPackages(t *testing.T) map[string]string {
	t.Helper()
	packages := map[string]string{}
	modules := workspace(t)
	for _, m := range modules {
		if !m.published() {
			continue
		}
		top := filepath.Join(root, filepath.FromSlash(m.dir))
		err := filepath.WalkDir(top, func(dir string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if dir != top {
				name := d.Name()
				nested := slices.ContainsFunc(modules, func(other module) bool {
					return dir == filepath.Join(root, filepath.FromSlash(other.dir))
				})
				if nested || name == "internal" || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
					return filepath.SkipDir
				}
			}
			if len(sourceFiles(t, dir)) == 0 {
				return nil
			}
			rel, err := filepath.Rel(top, dir)
			packages[dir] = path.Join(m.path, filepath.ToSlash(rel))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return packages
}

// sourceFiles returns the names of the Go files in a directory that are no
// tests, for whatever platform.
func sourceFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

// surface returns the name of a package and its exported declarations with
// their comments, in the order of go doc. It reads all files, so that the text
// is the same on every platform, and depends on no go command.
func surface(t *testing.T, dir, importPath string) (name string, text []byte) {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, file := range sourceFiles(t, dir) {
		parsed, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, parsed)
	}
	p, err := doc.NewFromFiles(fset, files, importPath)
	if err != nil {
		t.Fatal(err)
	}
	w := surfaceWriter{t: t, fset: fset}
	fmt.Fprintf(&w.text, "package %s // import %q\n\n%s", p.Name, importPath, p.Doc)
	w.values(p.Consts, p.Vars)
	w.funcs(p.Funcs)
	for _, typ := range p.Types {
		w.decl(typ.Decl, typ.Doc)
		w.values(typ.Consts, typ.Vars)
		w.funcs(typ.Funcs, typ.Methods)
	}
	return p.Name, w.text.Bytes()
}

type surfaceWriter struct {
	t    *testing.T
	fset *token.FileSet
	text bytes.Buffer
}

func (w *surfaceWriter) values(groups ...[]*doc.Value) {
	for _, v := range slices.Concat(groups...) {
		w.decl(v.Decl, v.Doc)
	}
}

func (w *surfaceWriter) funcs(groups ...[]*doc.Func) {
	for _, f := range slices.Concat(groups...) {
		f.Decl.Body = nil
		w.decl(f.Decl, f.Doc)
	}
}

// decl writes a declaration and, indented, the comment of it.
func (w *surfaceWriter) decl(decl ast.Decl, comment string) {
	w.text.WriteByte('\n')
	config := printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}
	if err := config.Fprint(&w.text, w.fset, decl); err != nil {
		w.t.Fatal(err)
	}
	w.text.WriteByte('\n')
	for line := range strings.Lines(comment) {
		if line != "\n" {
			w.text.WriteString("    ")
		}
		w.text.WriteString(line)
	}
}

// firstDifference returns the number of the first line in which two texts
// differ and what it is in each, 0 if there is none.
func firstDifference(a, b string) (line int, inA, inB string) {
	if a == b {
		return 0, "", ""
	}
	linesOfA, linesOfB := strings.Split(a, "\n"), strings.Split(b, "\n")
	at := func(lines []string, i int) string {
		if i < len(lines) {
			return lines[i]
		}
		return "(the end)"
	}
	for i := 0; ; i++ {
		if inA, inB = at(linesOfA, i), at(linesOfB, i); inA != inB {
			return i + 1, inA, inB
		}
	}
}
