package tests_test

import (
	"cmp"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A rule keeps one direction of imports. It looks at everything a package is
// built with, directly or not; its tests are free.
type rule struct {
	// from is a package, or with "/..." all packages at and below a path.
	// except are packages of from that the rule leaves out.
	from   string
	except []string
	// not are packages in the form of from, or "others": everything that is
	// neither in the standard library nor part of this project.
	not []string
	// unless are packages of not that may be imported.
	unless  []string
	because string
}

var rules = []rule{
	{
		from: stay + "/store", not: []string{stay, stay + "/internal/...", stay + "/web", "others"},
		because: "a store is written against package store alone, which is standard library only",
	},
	{
		from: stay + "/store/...", not: []string{stay, stay + "/internal/...", stay + "/web"},
		because: "stores keep bytes and revisions; they know nothing of what is built on them",
	},
	{
		// internal/golden, internal/storekit and internal/testkit are for tests: they stand above what they drive.
		from: stay + "/internal/...", except: []string{stay + "/internal/golden", stay + "/internal/storekit", stay + "/internal/testkit", stay + "/internal/testseed"}, not: []string{stay, stay + "/web"},
		because: "the core is used by the root package, not the other way round",
	},
	{
		from: stay + "/internal/keyspace", not: []string{stay + "/internal/..."}, unless: []string{stay + "/internal/keyspace"},
		because: "what keys consist of is known without anything that uses them",
	},
	{
		from: stay + "/internal/signing", not: []string{stay + "/internal/..."}, unless: []string{stay + "/internal/keyspace", stay + "/internal/signing"},
		because: "who signs cookies is handed what it needs: it knows no engine",
	},
	{
		from: stay + "/internal/sweep", not: []string{stay + "/internal/..."}, unless: []string{stay + "/internal/keyspace", stay + "/internal/meta", stay + "/internal/sweep"},
		because: "what has expired are records and keys; what they are its owner tells",
	},
	{
		from: stay + "/internal/rename", not: []string{stay + "/internal/..."}, unless: []string{stay + "/internal/meta", stay + "/internal/rename"},
		because: "what stands between a store and its users knows prefixes of keys, and nothing of what is stored",
	},
	{
		from: stay + "/internal/engine", not: []string{stay + "/internal/signing", stay + "/internal/sweep", stay + "/internal/access"},
		because: "the engine knows instances, not whose they are",
	},
	{
		from: stay + "/internal/...", except: []string{stay + "/internal/access", stay + "/internal/golden", stay + "/internal/storekit", stay + "/internal/testkit", stay + "/internal/proofs/..."}, not: []string{stay + "/internal/access"},
		because: "the door leads into package stay, and is for what stands on it",
	},
	{
		from: stay, not: []string{"net/http", "database/sql"},
		because: "package stay serves programs without HTTP and without SQL",
	},
	{
		from: stay, not: []string{stay + "/store/..."}, unless: []string{stay + "/store"},
		because: "an application pays only for the store that it opens",
	},
	{
		from: stay + "/web", not: []string{"database/sql", stay + "/store/..."}, unless: []string{stay + "/store"},
		because: "package web is built on package stay, never on a store",
	},
	{
		from: stay + "/inspect", not: []string{"database/sql", stay + "/store/...", "others"}, unless: []string{stay + "/store"},
		because: "who inspects an App sees it through package stay and its door, and not its store",
	},
	{
		from: stay + "/manifest", not: []string{stay + "/web", stay + "/store/...", "database/sql", "net/http", "others"}, unless: []string{stay + "/store"},
		because: "whoever says what an App registers sees it through package stay and its door, and needs no store",
	},
	{
		from: stay, not: []string{stay + "/inspect"},
		because: "an App that nobody inspects is built without the pages",
	},
	{
		from: stay + "/web", not: []string{stay + "/inspect"},
		because: "an App that nobody inspects is built without the pages",
	},
	{
		from: stay + "/internal/recent", not: []string{stay + "/internal/..."}, unless: []string{stay + "/internal/recent"},
		because: "what has happened lately are numbers and codes, whoever tells of them",
	},
	{
		from: stay + "/internal/streaming", not: []string{stay + "/internal/..."}, unless: []string{stay + "/internal/streaming"},
		because: "what is known of an open stream are times and names, whoever serves it and whoever asks",
	},
	{
		from: stay + "/internal/origin", not: []string{stay + "/internal/..."}, unless: []string{stay + "/internal/origin"},
		because: "where a request comes from is known by its header alone",
	},
	{
		from: stay + "/stayotel", not: []string{stay + "/web", "database/sql", stay + "/store/..."}, unless: []string{stay + "/store"},
		because: "measuring and tracing belong to package stay; whoever uses neither web nor a store of ours gets the adapter alone",
	},
	{
		from: stay + "/...", not: []string{stay + "/internal/storekit", stay + "/internal/testkit"}, except: []string{stay + "/internal/storekit", stay + "/internal/testkit"},
		because: "testkit and storekit are what tests share; no program is built with them",
	},
	{
		from: stay + "/...", not: []string{stay + "/internal/faultnet", stay + "/internal/natsserver", stay + "/internal/pgserver", stay + "/internal/redisserver", stay + "/internal/process", stay + "/internal/workerd"},
		except:  []string{stay + "/internal/faultnet", stay + "/internal/natsserver", stay + "/internal/pgserver", stay + "/internal/redisserver", stay + "/internal/process", stay + "/internal/workerd", stay + "/bench/report"},
		because: "networks that fail and servers that are killed are for tests, and for the comparison with others",
	},
	{
		from:    stay + "/...",
		except:  []string{stay + "/store/storetest", stay + "/staytest", stay + "/tests/browsertest", stay + "/examples/internal/exampletest", stay + "/internal/golden", stay + "/internal/need", stay + "/internal/storekit", stay + "/internal/testkit", stay + "/internal/testseed", stay + "/tests/routers/fiber2"},
		not:     []string{"testing"},
		because: "package testing adds its flags to the program; only packages made for tests may import it, and fiber 2 itself does",
	},
}

// matches reports whether a package is meant by a pattern of a rule.
func matches(pattern, importPath string) bool {
	if parent, below := strings.CutSuffix(pattern, "/..."); below {
		return importPath == parent || strings.HasPrefix(importPath, parent+"/")
	}
	return importPath == pattern
}

// Imports go one way: store, then stay, then web; see rules.
func TestImportDirection(t *testing.T) {
	ours := list(t, "work")
	standard := map[string]bool{}
	for _, p := range list(t, "std") {
		standard[p.ImportPath] = true
	}
	isOurs := func(importPath string) bool { return matches(stay+"/...", importPath) }

	for _, r := range rules {
		for _, name := range slices.Concat([]string{r.from}, r.except, r.not, r.unless) {
			exists := name == "others" || standard[name] ||
				slices.ContainsFunc(ours, func(p pkg) bool { return matches(name, p.ImportPath) })
			if !exists {
				t.Errorf("the table names %s, which does not exist: mend the rule %q", name, r.because)
			}
		}
		for _, p := range ours {
			if !matches(r.from, p.ImportPath) || slices.Contains(r.except, p.ImportPath) {
				continue
			}
			for _, dep := range p.Deps {
				forbidden := !slices.Contains(r.unless, dep) && slices.ContainsFunc(r.not, func(not string) bool {
					if not == "others" {
						return !standard[dep] && !isOurs(dep)
					}
					return matches(not, dep)
				})
				if forbidden {
					t.Errorf("%s must not import %s, also not through others: %s", p.ImportPath, dep, r.because)
				}
			}
		}
	}
}

// Whoever imports package stay gets one module. Its tests count too: what they
// need belongs into a module of its own.
func TestRootRequiresNothing(t *testing.T) {
	for _, m := range workspace(t) {
		if m.dir != "." {
			continue
		}
		for _, r := range m.file.Require {
			t.Errorf("the root module requires %s: move what imports it into a nested module", r.Mod)
		}
		for _, r := range m.file.Replace {
			t.Errorf("the root module replaces %s, which its users would not get", r.Old)
		}
		return
	}
	t.Error("go.work does not use the root module")
}

// What users download does not reach into what they do not, tests included.
func TestPublishedImportsNothingUnpublished(t *testing.T) {
	isUnpublished := func(importPath string) bool {
		return slices.ContainsFunc(unpublished, func(dir string) bool {
			return matches(stay+"/"+dir+"/...", importPath)
		})
	}
	for _, m := range workspace(t) {
		for _, r := range m.file.Require {
			if m.published() && isUnpublished(r.Mod.Path) {
				t.Errorf("module %s requires %s, which is not published", m.path, r.Mod.Path)
			}
		}
	}
	for _, p := range list(t, "work") {
		for _, imported := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
			if !isUnpublished(p.ImportPath) && isUnpublished(imported) {
				t.Errorf("%s or its tests import %s, which is not published", p.ImportPath, imported)
			}
		}
	}
}

// Every package says once what it is for, in a comment that go doc shows.
func TestOnePackageComment(t *testing.T) {
	for _, p := range list(t, "work") {
		var documented []string
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Error(err)
				continue
			}
			if file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != "" {
				documented = append(documented, name)
			}
		}
		if files := len(p.GoFiles) + len(p.CgoFiles); files > 0 && len(documented) != 1 {
			t.Errorf("package %s: want one file with a package comment, got %q", p.ImportPath, documented)
		}
	}
}

// cycles say of packages how many of their files may form one cycle: each of
// them uses a name that is declared in the next.
var cycles = []struct {
	path    string
	most    int
	because string
}{
	{stay + "/internal/engine", 9, "what is in memory is one knot (engine, kind, instance, cache); what stands on it and what it stands on can be read alone"},
	{stay, 7, "what users name (options, calls, sessions, modules), what is registered, sessions, states and the App stand on each other in this order; each of them is a knot for itself"},
}

// Whoever reads a file has to read those that it uses, and not the whole package.
func TestFilesOfAPackageFormSmallCycles(t *testing.T) {
	for _, c := range cycles {
		packages := list(t, "-export", "-deps", c.path)
		uses := fileUses(t, packages, c.path)
		for _, cycle := range components(uses) {
			if len(cycle) > c.most {
				t.Errorf("%s: %d files form a cycle, at most %d may: %s\n%s", c.path, len(cycle), c.most, c.because, strings.Join(cycle, " "))
			}
		}
	}
}

// The folder of package stay is its table of contents: few files, and the
// methods of an exported type in few of them.
func TestTheRootIsATableOfContents(t *testing.T) {
	const mostFiles, mostProduct, mostOfAType = 70, 36, 4
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	files, product := 0, 0
	methods := map[string]map[string]bool{}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		files++
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		product++
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil {
				continue
			}
			name := strings.TrimLeft(types.ExprString(fn.Recv.List[0].Type), "*")
			if name, _, _ = strings.Cut(name, "["); !ast.IsExported(name) {
				continue
			}
			if methods[name] == nil {
				methods[name] = map[string]bool{}
			}
			methods[name][e.Name()] = true
		}
	}
	if files > mostFiles || product > mostProduct {
		t.Errorf("the root has %d files, %d of them product code: at most %d and %d", files, product, mostFiles, mostProduct)
	}
	for name, in := range methods {
		if len(in) > mostOfAType {
			t.Errorf("the methods of %s stand in %d files, at most %d may have some: %v", name, len(in), mostOfAType, slices.Sorted(maps.Keys(in)))
		}
	}
}

// fileUses returns for each file of a package the others with a declaration that
// it uses: of a name, a method or a field.
func fileUses(t *testing.T, packages []pkg, importPath string) map[string][]string {
	t.Helper()
	exports := map[string]string{}
	var files []*ast.File
	fset := token.NewFileSet()
	uses := map[string][]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
		if p.ImportPath != importPath {
			continue
		}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
			uses[name] = nil
		}
	}
	if len(files) == 0 {
		t.Fatalf("the table names %s, which does not exist", importPath)
	}
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	checked, err := (&types.Config{Importer: imports}).Check(importPath, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	fileOf := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	for name, object := range info.Uses {
		from, to := fileOf(name.Pos()), fileOf(object.Pos())
		if object.Pkg() == checked && from != to && !slices.Contains(uses[from], to) {
			uses[from] = append(uses[from], to)
		}
	}
	return uses
}

// components returns what each file forms a cycle with, the largest first: the
// files that it reaches and that reach it.
func components(uses map[string][]string) [][]string {
	reach := map[string]map[string]bool{}
	for from := range uses {
		seen := map[string]bool{from: true}
		for next := []string{from}; len(next) > 0; next = next[1:] {
			for _, to := range uses[next[0]] {
				if !seen[to] {
					seen[to] = true
					next = append(next, to)
				}
			}
		}
		reach[from] = seen
	}
	var all [][]string
	done := map[string]bool{}
	for from := range uses {
		if done[from] {
			continue
		}
		var cycle []string
		for to := range reach[from] {
			if reach[to][from] {
				cycle = append(cycle, to)
				done[to] = true
			}
		}
		slices.Sort(cycle)
		all = append(all, cycle)
	}
	slices.SortFunc(all, func(a, b []string) int { return cmp.Compare(len(b), len(a)) })
	return all
}

// Until there is a release, a nested module finds its siblings through a
// replace: go mod tidy does not read go.work. The module needs one for every
// sibling that its requirements reach, since replaces of others do not count.
func TestNestedModulesReplaceTheirSiblings(t *testing.T) {
	modules := map[string]module{}
	for _, m := range workspace(t) {
		modules[m.path] = m
	}
	for _, m := range modules {
		replaced := map[string]string{}
		for _, r := range m.file.Replace {
			replaced[r.Old.Path] = r.New.Path
		}
		reached := map[string]bool{}
		for next := []module{m}; len(next) > 0; next = next[1:] {
			for _, r := range next[0].file.Require {
				sibling, ok := modules[r.Mod.Path]
				if !ok || reached[sibling.path] {
					continue
				}
				reached[sibling.path] = true
				next = append(next, sibling)
			}
		}
		for sibling := range reached {
			want := relative(t, m.dir, modules[sibling].dir)
			if got := replaced[sibling]; got != want {
				t.Errorf("%s/go.mod: %s is replaced by %q, want %q", m.dir, sibling, got, want)
			}
		}
	}
}

// relative returns the path from one folder of the project to another, as
// go.mod wants it.
func relative(t *testing.T, from, to string) string {
	t.Helper()
	rel, err := filepath.Rel(from, to)
	if err != nil {
		t.Fatal(err)
	}
	if rel = filepath.ToSlash(rel); !strings.HasPrefix(rel, "..") {
		rel = "./" + rel
	}
	return path.Clean(rel)
}
