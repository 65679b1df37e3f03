package deploy_test

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/cmd/stay/internal/deploy"
	"github.com/stay-go/stay/manifest"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/natsstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/redisstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

var update = flag.Bool("update", false, "write the golden files")

type cart struct {
	Items []string `json:"items"`
}

func program(t *testing.T) manifest.Manifest {
	app := stay.New(memstore.New(), nil)
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	stay.Register(app, stay.Module[cart]{Name: "cart", Persist: stay.PerSession})
	return manifest.Of(app)
}

func config(t *testing.T) deploy.Config {
	return deploy.Config{
		Name: "shop", Source: t.TempDir(), Dir: "deploy", Package: ".", Instances: 1,
		Domain: "shop.example.com", Region: "fra", Health: "/healthz", Program: program(t),
		Worker: func() (string, error) {
			text, err := os.ReadFile("testdata/worker.js")
			return string(text), err
		},
	}
}

// Every file that is rendered is as it was looked at: testdata/golden has them.
//
// Proves A18.
func TestRenderings(t *testing.T) {
	for name, change := range map[string]func(*deploy.Config){
		"systemd-sqlite": func(c *deploy.Config) { c.Targets = []string{"systemd", "caddy"} },
		"systemd-postgres": func(c *deploy.Config) {
			c.Targets, c.Store, c.Instances = []string{"systemd", "caddy"}, "postgres", 2
		},
		"fly-sqlite":           func(c *deploy.Config) { c.Targets = []string{"fly"} },
		"fly-postgres":         func(c *deploy.Config) { c.Targets, c.Store, c.Instances = []string{"fly"}, "postgres", 2 },
		"compose-postgres":     func(c *deploy.Config) { c.Targets, c.Instances = []string{"compose"}, 2 },
		"compose-sqlite":       func(c *deploy.Config) { c.Targets, c.Store = []string{"compose"}, "sqlite" },
		"compose-redis":        func(c *deploy.Config) { c.Targets, c.Store = []string{"compose", "systemd"}, "redis" },
		"compose-nats":         func(c *deploy.Config) { c.Targets, c.Store = []string{"compose"}, "nats" },
		"systemd-nats":         func(c *deploy.Config) { c.Targets, c.Store = []string{"systemd"}, "nats" },
		"compose-cloudflare":   func(c *deploy.Config) { c.Targets = []string{"compose", "cloudflare"} },
		"cloudflare":           func(c *deploy.Config) { c.Targets = []string{"cloudflare"} },
		"cloudflare-container": func(c *deploy.Config) { c.Targets, c.Container, c.Instances = []string{"cloudflare"}, true, 3 },
		"systemd-shared": func(c *deploy.Config) {
			c.Targets, c.Instances = []string{"systemd", "caddy"}, 2
			c.Program.Store.Type, c.Program.Store.Features.SoleOwner = "sqlitestore.Store", false
		},
		"plain": func(c *deploy.Config) {
			c.Targets, c.Health, c.Dir, c.Package = []string{"compose", "fly", "systemd"}, "", "ops/live", "./cmd/shop"
			c.Store, c.Env = "sqlite", []string{"COLOUR=red"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			change(&c)
			p, err := deploy.New(c)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Refusals) > 0 {
				t.Fatalf("refused: %+v", p.Refusals)
			}
			if err := p.Apply(); err != nil {
				t.Fatal(err)
			}
			var plan strings.Builder
			for i := range p.Files {
				p.Files[i].Diff = "" // the files themselves are golden
			}
			if err := p.Print(&plan); err != nil {
				t.Fatal(err)
			}
			got := rendered(t, filepath.Join(c.Source, c.Dir))
			got["plan.txt"] = plan.String()
			compare(t, filepath.Join("testdata", "golden", name), got)
		})
	}
}

// rendered returns the files of a folder, without secrets.
func rendered(t *testing.T, dir string) map[string]string {
	t.Helper()
	secret := regexp.MustCompile(`[A-Z2-7]{52}`)
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if secret.Match(text) != strings.HasPrefix(name, "secrets/") {
			t.Errorf("%s: a secret is there (%v), and should be in secrets alone", name, secret.Match(text))
		}
		if name == ".gitignore" || name == "worker.js" {
			return nil // the same everywhere
		}
		files[name] = secret.ReplaceAllString(string(text), "SECRET")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func compare(t *testing.T, dir string, got map[string]string) {
	t.Helper()
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for name, text := range got {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	for name, text := range got {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("%v: go test -update writes it", err)
		} else if text != string(want) {
			t.Errorf("%s is not as in testdata/golden (go test -update writes it):\n%s", name, text)
		}
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(dir, path)
			if _, ok := got[name]; !ok {
				t.Errorf("%s is golden and was not rendered", name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A plan that was carried out is in order: the next one has nothing to do.
//
// Proves A18.
func TestAPlanIsCarriedOutOnce(t *testing.T) {
	c := config(t)
	c.Targets = deploy.Targets()
	c.Targets = slices.DeleteFunc(c.Targets, func(t string) bool { return t == "fly" })
	for round := range 2 {
		p, err := deploy.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Refusals) > 0 {
			t.Fatalf("refused: %+v", p.Refusals)
		}
		if p.Changes() != (round == 0) {
			t.Errorf("round %d: changes %v, files %+v", round, p.Changes(), p.Files)
		}
		if err := p.Apply(); err != nil {
			t.Fatal(err)
		}
	}
}

// A file that has changed since the plan was shown is not overwritten.
//
// Proves A18.
func TestAFileThatChangesMeanwhileStays(t *testing.T) {
	c := config(t)
	c.Targets = []string{"caddy"}
	p, err := deploy.New(c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.Source, c.Dir, "Caddyfile")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("Apply: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

// What is planned for a store that is known by name holds for the store itself.
//
// Proves A18.
func TestStoresHaveTheFeaturesThatArePlannedWith(t *testing.T) {
	s, err := sqlitestore.Open(filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	redis := new(redisstore.Store).Features()
	redis.Durable, redis.Groups = true, true // of a server that was asked, and unless it is spread
	objects := new(cloudflarestore.Store).Features()
	objects.Groups, objects.List = true, true // with package sharded in front of it
	nats := new(natsstore.Store).Features()
	nats.Durable, nats.Groups, nats.List, nats.MaxValue = true, true, true, 2<<20-16<<10 // of servers that were asked
	for kind, is := range map[string]store.Features{
		"nats":   nats,
		"sqlite": s.Features(), "postgres": new(pgstore.Store).Features(), "redis": redis, "cloudflare": objects,
	} {
		planned := deploy.Features(kind)
		if planned == nil {
			t.Fatalf("%s is not known", kind)
		}
		// These depend on how it is opened, or say nothing beside Groups.
		is.Watch, planned.Watch, is.GroupsAtHome, planned.GroupsAtHome = false, false, false, false
		if is != *planned {
			t.Errorf("%s has %+v, and is planned with %+v", kind, is, *planned)
		}
	}
}

// Secrets are not made where version control would take them.
//
// Proves A18.
func TestSecretsAreIgnoredByVersionControl(t *testing.T) {
	c := config(t)
	c.Targets = []string{"compose"}
	p, err := deploy.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.Source, c.Dir)
	path := filepath.Join(dir, ".gitignore")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "secrets/", "", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "secrets")); err != nil {
		t.Fatal(err)
	}
	p, err = deploy.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Why, "does not have the line secrets/") {
		t.Errorf("refusals: %+v", p.Refusals)
	}
}
