package deploy

import (
	"bytes"
	"embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// A page is what the templates know.
type page struct {
	Name, Store, Package, Domain, Region, Health string
	Dir, Context                                 string // of the files, and from there to the program
	Unit                                         string // of systemd
	Volume                                       string // of Fly
	Ports                                        string // on the host
	Upstreams                                    []string
	Instances                                    int
	Many, Container                              bool
	Env                                          []variable
}

type variable struct{ Name, Value string }

const firstPort = 3000

func (p *Plan) page(c *Config) page {
	dir := filepath.ToSlash(c.Dir)
	v := page{
		Name: c.Name, Store: p.Store, Package: c.Package, Domain: c.Domain, Region: c.Region, Health: c.Health,
		Dir: dir, Context: strings.TrimSuffix(strings.Repeat("../", strings.Count(dir, "/")+1), "/"),
		Unit: c.Name + ".service", Volume: strings.ReplaceAll(c.Name, "-", "_") + "_data",
		Ports: fmt.Sprint(firstPort), Instances: c.Instances, Many: c.Instances > 1, Container: c.Container,
	}
	if v.Many {
		v.Unit = c.Name + "@.service"
		v.Ports = fmt.Sprintf("%d-%d", firstPort, firstPort+c.Instances-1)
	}
	for i := range c.Instances {
		v.Upstreams = append(v.Upstreams, fmt.Sprintf("127.0.0.1:%d", firstPort+i))
	}
	for _, e := range c.Env {
		name, value, _ := strings.Cut(e, "=")
		v.Env = append(v.Env, variable{name, value})
	}
	return v
}

// A rendering is a file to make.
type rendering struct {
	name, template string
	comment        string // what a line of comment begins with
	why            string
}

func (p *Plan) renderings(c *Config) []rendering {
	all := []rendering{
		{".gitignore", "gitignore", "#", "secrets stay out of version control"},
	}
	add := func(need bool, r rendering) {
		if need {
			all = append(all, r)
		}
	}
	add(p.Store != "sqlite" || len(c.Env) > 0, rendering{"env.example", "env.example", "#", "what the program takes from its environment"})
	image := c.on("compose") || c.on("fly") || c.Container
	add(image, rendering{"Dockerfile", "Dockerfile", "#", "the program as an image: one static file, without root"})
	add(image, rendering{"Dockerfile.dockerignore", "Dockerfile.dockerignore", "#", "what stays out of the image"})
	add(c.on("systemd"), rendering{p.page(c).Unit, "service", "#", "the program as a service of systemd"})
	add(c.on("caddy"), rendering{"Caddyfile", "Caddyfile", "#", "the proxy that ends TLS"})
	add(c.on("fly"), rendering{"fly.toml", "fly.toml", "#", "the program on Fly"})
	add(c.on("compose"), rendering{"compose.yaml", "compose.yaml", "#", "the program, and its database if it has one"})
	add(c.on("compose") && p.Store == "nats", rendering{"nats.conf", "nats.conf", "#", "the server of NATS, which syncs before it acknowledges"})
	add(c.on("cloudflare"), rendering{"wrangler.jsonc", "wrangler.jsonc", "//", "the Worker with its objects"})
	add(c.on("cloudflare") && c.Container, rendering{"index.js", "index.js", "//", "passes requests on to the program"})
	return all
}

// render makes the files and compares them with those that are there.
func (p *Plan) render(c *Config) error {
	v := p.page(c)
	for _, r := range p.renderings(c) {
		text, err := fill(r.template, v)
		if err != nil {
			return err
		}
		if err := p.add(c, r, text); err != nil {
			return err
		}
	}
	if c.on("cloudflare") {
		script, err := c.Worker()
		if err != nil {
			return err
		}
		if err := p.add(c, rendering{"worker.js", "", "//", "keeps the records in the objects"}, []byte(script)); err != nil {
			return err
		}
	}
	text, err := p.record(c)
	if err != nil {
		return err
	}
	if err := p.add(c, rendering{name: recordName, why: "what is deployed, for the next time"}, text); err != nil {
		return err
	}
	slices.SortFunc(p.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

func fill(name string, v page) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, v)
	return out.Bytes(), err
}
