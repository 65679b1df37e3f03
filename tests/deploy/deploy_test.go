// Package deploy runs stay deploy, and has the tools that its files are for read
// them.
package deploy

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/pelletier/go-toml/v2"

	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/workerd"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
)

var command string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "stay-deploy-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		command = filepath.Join(dir, "stay")
		if out, err := exec.Command("go", "build", "-o", command, "github.com/stay-go/stay/cmd/stay").CombinedOutput(); err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

const program = `{"format": 1, "store": {"type": "memstore.Store"}, "modules": [
	{"name": "cart", "strategy": "PerSession", "version": 1, "oldest": 1},
	{"name": "account", "strategy": "PerUser", "version": 1, "oldest": 1}
]}`

// deploy writes the files for a target and returns the folder of the program.
func deploy(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "program.json"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), command, append([]string{"deploy", "--manifest", "program.json", "--name", "shop", "--yes"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("stay deploy: %v\n%s", err, out)
	}
	return dir
}

// The program is built and asked what it registers, with nothing but its source.
//
// Proves A18.
func TestProgramsAreAsked(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), command, "deploy", "--target", "systemd", "--dry-run")
	cmd.Dir = "../../examples/account"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("stay deploy: %v\n%s", err, out)
	}
	for _, want := range []string{"account on systemd, records in sqlite", "PerUser"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
}

// tool finds a program. Without it the test is skipped, and fails if STAY_TEST_REQUIRE
// is set.
func tool(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, names[0])
	return ""
}

func missing(t *testing.T, name string) {
	t.Helper()
	need.Missing(t, name+" is missing: run .ci/require")
}

// run runs a tool and returns what it says.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// NATS takes the configuration of its server, with the password from the environment.
//
// Proves A18.
func TestNATSTakesTheConfiguration(t *testing.T) {
	dir := filepath.Join(deploy(t, "--target", "compose", "--store", "nats"), "deploy")
	secret, err := os.ReadFile(filepath.Join(dir, "secrets", "nats.env"))
	if err != nil {
		t.Fatal(err)
	}
	need.NoError(t, natsserver.Check(filepath.Join(dir, "nats.conf"), strings.TrimSpace(string(secret))), natsserver.ErrMissing)
}

// systemd takes the units without a complaint.
//
// Proves A18.
func TestSystemdTakesTheUnit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("systemd is on Linux only")
	}
	analyze := tool(t, "systemd-analyze")
	for name, args := range map[string][]string{
		"shop.service":  {"--store", "sqlite", "--env", "COLOUR=red and blue"},
		"shop@.service": {"--store", "postgres", "--instances", "2"},
	} {
		dir := deploy(t, append(args, "--target", "systemd")...)
		text, err := os.ReadFile(filepath.Join(dir, "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		// It looks whether the program is there.
		text = bytes.ReplaceAll(text, []byte("/usr/local/bin/shop"), []byte(command))
		unit := filepath.Join(dir, strings.Replace(name, "@", "@3000", 1))
		if err := os.WriteFile(unit, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(run(t, dir, nil, analyze, "verify", "--man=no", unit), "\n") {
			// It reads the machine's own units as well.
			if strings.Contains(line, "shop") || strings.HasPrefix(line, "Unknown") {
				t.Errorf("systemd-analyze: %s", line)
			}
		}
	}
}

// Caddy takes its file.
//
// Proves A18.
func TestCaddyTakesTheFile(t *testing.T) {
	caddy := tool(t, "caddy")
	for _, instances := range []string{"1", "2"} {
		dir := deploy(t, "--target", "caddy", "--store", "postgres", "--domain", "shop.example.com", "--instances", instances)
		home := []string{"HOME=" + t.TempDir(), "XDG_DATA_HOME=" + t.TempDir(), "XDG_CONFIG_HOME=" + t.TempDir()}
		out := run(t, dir, home, caddy, "validate", "--adapter", "caddyfile", "--config", "deploy/Caddyfile")
		if !strings.Contains(out, "Valid configuration") {
			t.Errorf("caddy: %s", out)
		}
		adapted := run(t, dir, home, caddy, "adapt", "--adapter", "caddyfile", "--config", "deploy/Caddyfile")
		if got := strings.Count(adapted, `"dial":"127.0.0.1:300`); got != len(instances)*int(instances[0]-'0') {
			t.Errorf("%s upstreams wanted: %s", instances, adapted)
		}
		if !strings.Contains(adapted, `"Content-Type":["text/html*"`) || strings.Contains(adapted, `event-stream`) {
			t.Errorf("event streams are compressed: %s", adapted)
		}
	}
}

// The loader of docker compose takes the files, with their secrets.
//
// Proves A18.
func TestComposeTakesTheFile(t *testing.T) {
	for _, c := range []struct{ store, secret, volume string }{
		{"postgres", "DATABASE_URL", "database"},
		{"sqlite", "", "data"},
	} {
		dir := deploy(t, "--target", "compose", "--store", c.store)
		o, err := cli.NewProjectOptions([]string{filepath.Join(dir, "deploy", "compose.yaml")})
		if err != nil {
			t.Fatal(err)
		}
		p, err := o.LoadProject(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Fatalf("%s: %v", c.store, err)
		}
		app := p.Services["app"]
		if _, err := os.Stat(filepath.Join(app.Build.Context, app.Build.Dockerfile)); err != nil || app.Build.Context != dir {
			t.Errorf("%s: the image is built in %s from %s: %v", c.store, app.Build.Context, app.Build.Dockerfile, err)
		}
		if c.secret != "" && app.Environment[c.secret] == nil {
			t.Errorf("%s: the program does not get %s", c.store, c.secret)
		}
		if _, ok := p.Volumes[c.volume]; !ok {
			t.Errorf("%s: volumes are %v", c.store, p.Volumes)
		}
		if db, ok := p.Services["db"]; ok {
			if db.HealthCheck == nil || app.DependsOn["db"].Condition != types.ServiceConditionHealthy {
				t.Error("the program does not wait for its database")
			}
			key, err := os.ReadFile(p.Secrets["postgres-password"].File)
			if err != nil || !strings.Contains(*app.Environment[c.secret], ":"+string(key)+"@") {
				t.Errorf("program and database have different passwords: %v", err)
			}
		}
	}
}

// fly.toml is TOML, names files that are there, and has one machine for SQLite.
//
// Proves A18.
func TestFlyFileIsWhole(t *testing.T) {
	dir := deploy(t, "--target", "fly", "--store", "sqlite", "--env", "COLOUR=red")
	text, err := os.ReadFile(filepath.Join(dir, "deploy", "fly.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		App    string
		Build  struct{ Dockerfile string }
		Mounts []struct{ Source, Destination string }
		Env    map[string]string
	}
	if err := toml.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	if f.App != "shop" || len(f.Mounts) != 1 || f.Mounts[0].Destination != "/data" || f.Env["COLOUR"] != "red" {
		t.Errorf("fly.toml: %+v", f)
	}
	if _, err := os.Stat(filepath.Join(dir, "deploy", f.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
}

// wrangler takes what is deployed to Cloudflare, without the network, and so does a
// check of what it does not look at.
//
// Proves A18.
func TestWranglerTakesTheWorker(t *testing.T) {
	node, script := wrangler(t)
	for name, args := range map[string][]string{
		"objects":    nil,
		"containers": {"--container", "--instances", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := deploy(t, append(args, "--target", "cloudflare", "--worker", workerScript(t))...)
			out := run(t, dir, []string{
				"HOME=" + t.TempDir(), "CI=true", "WRANGLER_SEND_METRICS=false", "WRANGLER_SEND_ERROR_REPORTS=false",
			}, node, script, "deploy", "--dry-run", "--containers-rollout=none",
				"--config", "deploy/wrangler.jsonc", "--secrets-file", "deploy/secrets/cloudflare.env")
			if !strings.Contains(out, "env.STAY (StayRecords)") || strings.Contains(out, "WARNING") {
				t.Errorf("wrangler: %s", out)
			}
			if name == "containers" && !strings.Contains(out, "env.PROGRAM (StayProgram)") {
				t.Errorf("wrangler: %s", out)
			}
		})
	}
}

// A program in a container reaches its records by the address that it gets, through
// the script that passes everything else on to programs.
//
// Proves A18.
func TestProgramsReachTheirRecords(t *testing.T) {
	dir := deploy(t, "--target", "cloudflare", "--container", "--worker", workerScript(t))
	scripts := map[string]string{}
	for inside, name := range map[string]string{"main.js": "index.js", "./worker.js": "worker.js"} {
		text, err := os.ReadFile(filepath.Join(dir, "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		scripts[inside] = string(text)
	}
	line, err := os.ReadFile(filepath.Join(dir, "deploy", "secrets", "cloudflare.env"))
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
	server, err := workerd.New(t.TempDir(), workerd.Worker{
		Modules: scripts, Class: "StayRecords", Binding: "STAY", Texts: map[string]string{"STAY_SECRET": secret},
	})
	if errors.Is(err, workerd.ErrMissing) {
		missing(t, "workerd")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	s, err := cloudflarestore.Open(t.Context(), server.URL()+".stay/", secret)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	res := s.Commit(t.Context(), []store.Group{{{Op: store.Put, Key: "global/n/", Value: []byte("1")}}})
	if len(res) != 1 || res[0].Outcome != store.Applied {
		t.Fatalf("commit: %+v", res)
	}
	if recs, err := s.Load(t.Context(), []store.Read{{Key: "global/n/"}}); err != nil || string(recs[0].Value) != "1" {
		t.Errorf("load: %+v, %v", recs, err)
	}
}

// workerScript returns the script of the Worker that keeps records.
func workerScript(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../store/cloudflarestore/worker.js")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// wrangler returns node and the script to run with it, both where .ci/require has
// put them.
func wrangler(t *testing.T) (node, script string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(cache, "stay", "wrangler", "node_modules")
	script = filepath.Join(modules, "wrangler", "bin", "wrangler.js")
	if _, err := os.Stat(script); errors.Is(err, fs.ErrNotExist) {
		missing(t, "wrangler")
	}
	nodes, err := filepath.Glob(filepath.Join(modules, "node-"+runtime.GOOS+"-*", "bin", "node"))
	if err != nil {
		t.Fatal(err)
	}
	return tool(t, append(nodes, "node")[0]), script
}
