package tests_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	modver "golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// version is what the modules are published as here.
const version = "v0.0.1-test"

// Users have no go.work and no replace: the modules are packed as a release
// would publish them, served by a module proxy of files, and the quick start
// is built in an empty module that knows nothing else; so are modules beside it.
//
// Proves A1.
func TestPublishedModulesBuildTheQuickStart(t *testing.T) {
	proxy := publish(t)
	user := newUser(t, proxy)
	user.write("main.go", readFile(t, filepath.Join(root, "examples/quickstart/main.go")))
	user.run("go", "mod", "init", "example.com/app")
	user.run("go", "get", stay+"@"+version, stay+"/store/sqlitestore@"+version)
	user.run("go", "build", "-o", filepath.Join(t.TempDir(), "app"), ".")
	user.run("go", "get", stay+"/stayotel@"+version)
	user.run("go", "build", stay+"/stayotel")

	for _, line := range strings.Split(strings.TrimSpace(user.run("go", "list", "-m", "-f", "{{.Path}} {{.Version}} {{with .Replace}}{{.}}{{end}}", "all")), "\n") {
		fields := strings.Fields(line)
		if matches(stay+"/...", fields[0]) && (len(fields) != 2 || fields[1] != version) {
			t.Errorf("the user's build has %q, want it at %s and not replaced", line, version)
		}
	}
}

// The command is installed as users do it, and the project that it begins builds,
// passes its tests, and says what it needs where it runs.
//
// Proves A1, A18.
func TestPublishedCommandBeginsAProject(t *testing.T) {
	user := newUser(t, publish(t))
	bin := t.TempDir()
	user.env = append(user.env, "GOBIN="+bin)
	user.run("go", "install", stay+"/cmd/stay@"+version)
	command := filepath.Join(bin, "stay")
	if got := user.run(command, "version"); !strings.Contains(got, version) {
		t.Errorf("the version is %q, want %s", got, version)
	}
	user.run(command, "init", "--module", "example.com/shop")
	user.run("go", "vet", ".")
	user.run("go", "test", ".")
	if list := user.run("gofmt", "-l", "."); list != "" {
		t.Errorf("not formatted: %s", list)
	}
	if got := user.run(command, "deploy", "--target", "systemd", "--name", "shop", "--yes"); !strings.Contains(got, "PerSession counter") {
		t.Errorf("the plan to deploy it: %s", got)
	}
	if got := user.run("go", "list", "-m", stay, stay+"/store/sqlitestore"); got != stay+" "+version+"\n"+stay+"/store/sqlitestore "+version+"\n" {
		t.Errorf("the project uses %s", got)
	}
}

// A program that imports only the core has two modules: itself and Stay.
func TestCoreBringsNoOtherModule(t *testing.T) {
	user := newUser(t, publish(t))
	user.write("main.go", []byte(`package main

import (
	_ "github.com/stay-go/stay"
	_ "github.com/stay-go/stay/store/memstore"
	_ "github.com/stay-go/stay/web"
)

func main() {}
`))
	user.run("go", "mod", "init", "example.com/app")
	user.run("go", "get", stay+"@"+version)
	user.run("go", "build", "-o", filepath.Join(t.TempDir(), "app"), ".")
	if got, want := strings.Fields(user.run("go", "list", "-m", "all")), []string{"example.com/app", stay, version}; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("modules of a program that imports the core: %q, want %q", got, want)
	}
}

// publish packs every published module and returns the URL of a proxy that
// serves them.
func publish(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, m := range workspace(t) {
		if !m.published() {
			continue
		}
		name := filepath.Join(dir, filepath.FromSlash(m.path), "@v")
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
		gomod := asPublished(t, m)
		info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Unix(0, 0).UTC()})
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(name, "list"), []byte(version+"\n"))
		writeFile(t, filepath.Join(name, version+".info"), info)
		writeFile(t, filepath.Join(name, version+".mod"), gomod)
		pack(t, m, gomod, filepath.Join(name, version+".zip"))
	}
	return fileURL(t, dir)
}

// asPublished returns a module's go.mod as a release has it: siblings by
// version, no replaces.
func asPublished(t *testing.T, m module) []byte {
	t.Helper()
	file, err := modfile.Parse("go.mod", readFile(t, filepath.Join(root, m.dir, "go.mod")), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append([]*modfile.Replace(nil), file.Replace...) {
		if err := file.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range append([]*modfile.Require(nil), file.Require...) {
		if matches(stay+"/...", r.Mod.Path) {
			if err := file.AddRequire(r.Mod.Path, version); err != nil {
				t.Fatal(err)
			}
		}
	}
	file.Cleanup()
	out, err := file.Format()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pack writes the zip file of a module, without the modules nested in it.
func pack(t *testing.T, m module, gomod []byte, target string) {
	t.Helper()
	files, err := modzip.CheckDir(filepath.Join(root, m.dir))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range files.Valid {
		rel, err := filepath.Rel(filepath.Join(root, m.dir), name)
		if err != nil {
			t.Fatal(err)
		}
		copyTo := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(copyTo), 0o755); err != nil {
			t.Fatal(err)
		}
		data := readFile(t, name)
		if rel == "go.mod" {
			data = gomod
		}
		writeFile(t, copyTo, data)
	}
	out, err := os.Create(target)
	if err != nil {
		t.Fatal(err)
	}
	if err := modzip.CreateFromDir(out, modver.Version{Path: m.path, Version: version}, dir); err != nil {
		t.Fatalf("pack %s: %v", m.path, err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// A user is an empty folder with a Go installation that knows the workspace
// only through a proxy.
type user struct {
	t   *testing.T
	dir string
	env []string
}

// newUser gives the user a module cache of their own, so that nothing of what
// is packed here stays on the machine. What the machine has downloaded already
// serves as a second proxy, and its own proxy as the last.
func newUser(t *testing.T, proxy string) *user {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	machine := strings.Split(strings.TrimSpace(string(out)), "\n")
	downloaded := fileURL(t, filepath.Join(machine[0], "cache", "download"))
	return &user{t: t, dir: t.TempDir(), env: append(
		os.Environ(),
		"GOWORK=off",
		// Trimmed paths let the build cache work although the module cache
		// is a new one every time.
		"GOFLAGS=-mod=mod -modcacherw -trimpath",
		"GOMODCACHE="+t.TempDir(),
		fmt.Sprintf("GOPROXY=%s,%s,%s", proxy, downloaded, machine[1]),
		// These would go round the proxy, or ask the checksum database for
		// versions that are not public.
		"GOPRIVATE=", "GONOPROXY=", "GOSUMDB=off",
	)}
}

// run runs a command in the user's folder and returns its output.
func (u *user) run(name string, args ...string) string {
	u.t.Helper()
	cmd := exec.CommandContext(u.t.Context(), name, args...)
	cmd.Dir, cmd.Env = u.dir, u.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		u.t.Fatalf("as a user: %s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func (u *user) write(name string, data []byte) {
	u.t.Helper()
	writeFile(u.t, filepath.Join(u.dir, name), data)
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// fileURL returns the URL of a folder.
func fileURL(t *testing.T, dir string) string {
	t.Helper()
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return "file://" + filepath.ToSlash(abs)
}
