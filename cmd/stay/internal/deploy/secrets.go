package deploy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Secret is something that is in no rendered file.
type Secret struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	// Path is where it is kept, a file that only its owner can read; "" if people
	// have it.
	Path string `json:"path,omitempty"`
	// Made says that it is new.
	Made bool `json:"made"`

	file  string
	text  string
	there bool
}

func (s *Secret) write() error {
	if !s.Made {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(s.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.text)
	return errors.Join(err, f.Close())
}

// secrets plans what the targets must know. What is there already stays.
func (p *Plan) secrets(c *Config) {
	there := func(name string) bool {
		_, err := os.Lstat(filepath.Join(p.dir, "secrets", name))
		return !errors.Is(err, fs.ErrNotExist)
	}
	add := func(file, name, why, text string) {
		p.Secrets = append(p.Secrets, Secret{
			Name: name, Why: why, Path: filepath.ToSlash(filepath.Join(c.Dir, "secrets", file)), Made: !there(file),
			file: filepath.Join(p.dir, "secrets", file), text: text, there: there(file),
		})
	}
	switch {
	case c.on("cloudflare"):
		add("cloudflare.env", "STAY_SECRET", "the Worker asks for it, and the program sends it", "STAY_SECRET="+rand.Text()+rand.Text()+"\n")
	case p.Store == "cloudflare":
		s := Secret{Name: "STAY_SECRET", Why: "the Worker asks for it, and the program sends it"}
		if c.on("compose") {
			s.Path, s.there = filepath.ToSlash(filepath.Join(c.Dir, "secrets", "cloudflare.env")), there("cloudflare.env")
		}
		p.Secrets = append(p.Secrets, s)
	}
	switch {
	case p.Store == "redis":
		s := Secret{Name: "REDIS_URL", Why: "the program finds its records"}
		if c.on("compose") {
			s.Path, s.there = filepath.ToSlash(filepath.Join(c.Dir, "secrets", "app.env")), there("app.env")
		}
		p.Secrets = append(p.Secrets, s)
	case p.Store == "nats" && c.on("compose"):
		if there("nats.env") != there("app.env") {
			p.refuse(fmt.Sprintf("of %[1]s/secrets/nats.env and %[1]s/secrets/app.env one is missing, and they hold one password", filepath.ToSlash(c.Dir)),
				"put the other back; or remove both, and new ones are made")
		}
		key := "p" + rand.Text() + rand.Text() // a letter first: the server would take some texts for numbers
		add("nats.env", "NATS_PASSWORD", "the server asks for it", "NATS_PASSWORD="+key+"\n")
		add("app.env", "NATS_URL", "the program finds its records", "NATS_URL=nats://app:"+key+"@nats:4222\n")
	case p.Store == "nats":
		p.Secrets = append(p.Secrets, Secret{Name: "NATS_URL", Why: "the program finds its records"})
	case p.Store != "postgres":
	case c.on("compose"):
		// One of them alone is of no use: people put back the other.
		if there("postgres-password") != there("app.env") {
			p.refuse(fmt.Sprintf("of %[1]s/secrets/postgres-password and %[1]s/secrets/app.env one is missing, and they hold one password", filepath.ToSlash(c.Dir)),
				"put the other back; if the database is still empty, remove both")
		}
		key := rand.Text() + rand.Text()
		add("postgres-password", "the password of the database", "PostgreSQL takes it when it makes the database", key)
		add("app.env", "DATABASE_URL", "the program finds its database", "DATABASE_URL=postgres://app:"+key+"@db:5432/app?sslmode=disable\n")
	default:
		p.Secrets = append(p.Secrets, Secret{Name: "DATABASE_URL", Why: "the program finds its database"})
	}
}

// ignored refuses secrets that version control would take.
func (p *Plan) ignored() {
	if !slices.ContainsFunc(p.Secrets, func(s Secret) bool { return s.Made }) {
		return
	}
	for i := range p.Files {
		f := &p.Files[i]
		if f.name == ".gitignore" && !slices.Contains(strings.Split(string(f.effective()), "\n"), "secrets/") {
			p.refuse(f.Path+" does not have the line secrets/, and secrets would be made there", "put the line back")
		}
	}
}

// environment names the lines of the secrets that a program takes from its
// environment.
func (p *Plan) environment() string {
	switch p.Store {
	case "postgres":
		return "DATABASE_URL=..."
	case "redis":
		return "REDIS_URL=..."
	case "nats":
		return "NATS_URL=..."
	case "cloudflare":
		return "STAY_URL=... and STAY_SECRET=..."
	}
	return ""
}

// steps says what is left to do.
func (p *Plan) steps(c *Config) {
	dir := filepath.ToSlash(c.Dir)
	v := p.page(c)
	step := func(format string, args ...any) { p.Steps = append(p.Steps, fmt.Sprintf(format, args...)) }
	if c.on("cloudflare") {
		step("wrangler deploy --config %[1]s/wrangler.jsonc --secrets-file %[1]s/secrets/cloudflare.env", dir)
		if !c.Container {
			step("# the program gets the address that this prints as STAY_URL, and STAY_SECRET from %s/secrets/cloudflare.env", dir)
		}
	}
	if c.on("compose") {
		url := ""
		if p.Store == "cloudflare" {
			url = "STAY_URL=https://... "
		}
		step("%sdocker compose -f %s/compose.yaml up -d --build --wait", url, dir)
	}
	if c.on("fly") {
		step("fly apps create %s   # the first time", c.Name)
		if p.Store == "sqlite" {
			step("fly volumes create %s --count 1 --size 1 --region %s --config %s/fly.toml   # the first time", v.Volume, c.Region, dir)
		}
		if names := p.environment(); names != "" {
			step("fly secrets import --stage --config %s/fly.toml   # reads %s from its input", dir, names)
		}
		if p.Store == "sqlite" || c.Instances == 1 {
			step("fly deploy . --ha=false --config %s/fly.toml", dir)
		} else {
			step("fly deploy . --config %s/fly.toml", dir)
			step("fly scale count %d --config %s/fly.toml", c.Instances, dir)
		}
	}
	if c.on("systemd") {
		step("CGO_ENABLED=0 go build -trimpath -o %[1]s %[2]s && sudo install -m 755 %[1]s /usr/local/bin/", c.Name, c.Package)
		if names := p.environment(); names != "" {
			step("sudo install -D -m 600 /dev/stdin /etc/%[1]s/%[1]s.env   # reads %[2]s from its input", c.Name, names)
		}
		step("sudo install -m 644 %s/%s /etc/systemd/system/ && sudo systemctl daemon-reload", dir, v.Unit)
		var units []string
		if v.Many {
			for i := range c.Instances {
				units = append(units, fmt.Sprintf("%s@%d", c.Name, firstPort+i))
			}
		} else {
			units = []string{c.Name}
		}
		step("sudo systemctl enable --now %s", strings.Join(units, " "))
	}
	if c.on("caddy") {
		step("sudo install -m 644 %s/Caddyfile /etc/caddy/Caddyfile && sudo systemctl reload caddy", dir)
	}
}
