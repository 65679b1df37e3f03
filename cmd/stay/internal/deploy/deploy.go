// Package deploy plans what an application needs where it runs, renders the files
// for that, and writes them. It knows the application by its manifest.
package deploy

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/stay-go/stay/manifest"
)

// Targets are the places where an application can run.
var targets = []string{"caddy", "cloudflare", "compose", "fly", "systemd"}

// Targets returns the names of all targets.
func Targets() []string { return slices.Clone(targets) }

// A Config says what to plan. Names and paths are those of the command line.
type Config struct {
	Name      string // of the application; "" = as before, else that of the program's folder
	Targets   []string
	Source    string // the folder of the program
	Dir       string // of the rendered files, below Source
	Package   string // of the program, "." for example
	Store     string // "sqlite", "postgres", "redis", "nats", "cloudflare"; "" = what fits
	Instances int
	Domain    string // for caddy
	Region    string // for fly
	Health    string // path that App.Check answers; "" = none
	Env       []string
	Container bool     // cloudflare: the program runs there, too
	Dropped   []string // modules whose states may be given up
	Moved     bool     // the records are in the new store already
	Force     bool     // overwrite what was changed by hand
	Program   manifest.Manifest
	// Worker returns the script of the Worker that keeps the records. It is called
	// for the target cloudflare only.
	Worker func() (string, error)
}

// A Plan is what an application needs, and what is done about it.
type Plan struct {
	Name      string    `json:"name"`
	Targets   []string  `json:"targets"`
	Store     string    `json:"store"`
	Instances int       `json:"instances"`
	Needs     []Need    `json:"needs"`
	Warnings  []string  `json:"warnings,omitempty"`
	Refusals  []Refusal `json:"refusals,omitempty"`
	Files     []File    `json:"files"`
	Secrets   []Secret  `json:"secrets,omitempty"`
	// Steps are commands for people, in their order.
	Steps []string `json:"steps,omitempty"`

	dir string
}

// A Need is something that the application needs.
type Need struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// A Refusal is why nothing is written.
type Refusal struct {
	Why string `json:"why"`
	Fix string `json:"fix"`
}

// A Mistake is an error in a Config.
type Mistake struct{ text string }

func (m *Mistake) Error() string { return m.text }

func mistake(format string, args ...any) error { return &Mistake{fmt.Sprintf(format, args...)} }

// What may stand in the files: none of it needs quotes in any of their formats.
var (
	validName    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	validDomain  = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)
	validRegion  = regexp.MustCompile(`^[a-z]{3}$`)
	validPath    = regexp.MustCompile(`^/[A-Za-z0-9/_.-]*$`)
	validDir     = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`)
	validPackage = regexp.MustCompile(`^\.(/[A-Za-z0-9_.-]+)*$`)
	validEnv     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9 _.,:;/@=+?&~-]*$`)
)

func (c *Config) check() error {
	if len(c.Targets) == 0 {
		return mistake("no target: name one with --target, of %s", strings.Join(targets, ", "))
	}
	for _, t := range c.Targets {
		if !slices.Contains(targets, t) {
			return mistake("%q is no target: use %s", t, strings.Join(targets, ", "))
		}
	}
	for _, v := range []struct {
		flag, value string
		valid       *regexp.Regexp
		what        string
	}{
		{"--name", c.Name, validName, "use up to 31 small letters, digits and '-', beginning with a letter"},
		{"--dir", filepath.ToSlash(c.Dir), validDir, "use a folder below this one"},
		{"--package", filepath.ToSlash(c.Package), validPackage, "use a folder below this one, ./cmd/shop for example"},
		{"--region", c.Region, validRegion, "use one of Fly's, three letters"},
		{"--domain", c.Domain, validDomain, "use the name of a host"},
	} {
		if !v.valid.MatchString(v.value) {
			return mistake("%s %q is not valid: %s", v.flag, v.value, v.what)
		}
	}
	switch {
	case !filepath.IsLocal(c.Dir) || filepath.Clean(c.Dir) == ".":
		return mistake("--dir %q is not valid: use a folder below this one", c.Dir)
	case c.Health != "" && !validPath.MatchString(c.Health):
		return mistake("--health %q is not valid: use a path, or \"\" if there is none", c.Health)
	case c.Instances < 1:
		return mistake("--instances is %d, at least 1 is needed", c.Instances)
	case c.Store != "" && Features(c.Store) == nil:
		return mistake("%q is no store: use sqlite, postgres, redis, nats or cloudflare", c.Store)
	case c.Container && !c.on("cloudflare"):
		return mistake("--container is for the target cloudflare")
	}
	for _, e := range c.Env {
		if !validEnv.MatchString(e) {
			name, _, _ := strings.Cut(e, "=")
			return mistake("--env %s is not valid: use NAME=VALUE with letters, digits and punctuation that means nothing to a shell, and put everything else into the environment of the target", name)
		}
	}
	return nil
}

func (c *Config) on(target string) bool { return slices.Contains(c.Targets, target) }

// New makes a plan. It reads what is in Dir and writes nothing. The error is a
// *Mistake if the Config is wrong.
func New(c Config) (*Plan, error) {
	old, err := c.last()
	if err != nil {
		return nil, err
	}
	if c.Name == "" && old != nil {
		c.Name = old.Name
	}
	if c.Name == "" {
		whole, err := filepath.Abs(filepath.Join(c.Source, c.Package))
		if err != nil {
			return nil, err
		}
		c.Name = strings.ToLower(filepath.Base(whole))
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	slices.Sort(c.Targets)
	c.Targets = slices.Compact(c.Targets)
	c.Dir = filepath.Clean(c.Dir)
	kind, feat, err := c.storeKind()
	if err != nil {
		return nil, err
	}
	p := &Plan{Name: c.Name, Targets: c.Targets, Store: kind, Instances: c.Instances, dir: filepath.Join(c.Source, c.Dir)}
	p.needs(&c, feat)
	p.engineRefuses(&c, feat)
	if old != nil {
		p.comparePrevious(&c, old)
	}
	if err := p.render(&c); err != nil {
		return nil, err
	}
	if c.on("cloudflare") {
		if err := p.checkWorker(); err != nil {
			return nil, err
		}
	}
	p.findPasswords()
	p.secrets(&c)
	p.ignored()
	p.steps(&c)
	return p, nil
}

func (p *Plan) refuse(why, fix string) { p.Refusals = append(p.Refusals, Refusal{why, fix}) }

func (p *Plan) need(what, why string) { p.Needs = append(p.Needs, Need{what, why}) }

func (p *Plan) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// Changes reports whether there is something to write.
func (p *Plan) Changes() bool {
	return slices.ContainsFunc(p.Files, func(f File) bool { return f.Action == Create || f.Action == Update }) ||
		slices.ContainsFunc(p.Secrets, func(s Secret) bool { return s.Made })
}
