package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/stay-go/stay/manifest"
)

// recordName is the file that says what was deployed last.
const recordName = "stay.manifest.json"

// A record is what was deployed last.
type record struct {
	Format  int               `json:"format"` // that of manifests
	Name    string            `json:"name"`
	Store   string            `json:"store"`
	Modules []manifest.Module `json:"modules"`
}

func (p *Plan) record(c *Config) ([]byte, error) {
	text, err := json.MarshalIndent(record{manifest.Format, c.Name, p.Store, c.Program.Modules}, "", "  ")
	return append(text, '\n'), err
}

// last returns what was deployed last; nil if nothing was.
func (c *Config) last() (*record, error) {
	path := filepath.Join(c.Source, c.Dir, recordName)
	text, err := os.ReadFile(path) //nolint:gosec // the user names the folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	old := new(record)
	if err := json.Unmarshal(text, old); err != nil {
		return nil, fmt.Errorf("%s cannot be read: put it back from version control: %w", path, err)
	}
	if old.Format != manifest.Format {
		return nil, fmt.Errorf("%s has format %d, and this command knows format %d: use the newer version of the command", path, old.Format, manifest.Format)
	}
	return old, nil
}

// comparePrevious refuses what would put states out of reach that the program
// which was deployed last has stored.
func (p *Plan) comparePrevious(c *Config, old *record) {
	if old.Name != c.Name {
		p.refuse(fmt.Sprintf("the application is deployed as %s and would be %s: volumes, folders and objects have its name, so it would begin without records", old.Name, c.Name),
			"use --name "+old.Name+"; or another --dir for another deployment")
	}
	if old.Store != p.Store && !c.Moved {
		p.refuse(fmt.Sprintf("the records are in the store %s, and the program would look for them in %s", old.Store, p.Store),
			"copy them with stay copy, then add --moved; or use another --dir for another deployment")
	}
	for _, m := range old.Modules {
		p.compareModule(c, m, old.Modules)
	}
}

// compareModule compares a module that was deployed with what becomes of it.
func (p *Plan) compareModule(c *Config, old manifest.Module, all []manifest.Module) {
	if old.Strategy == "" || slices.Contains(c.Dropped, old.Name) {
		return
	}
	i := slices.IndexFunc(c.Program.Modules, func(m manifest.Module) bool {
		return m.Name == old.Name || slices.Contains(m.Formerly, old.Name)
	})
	if i < 0 {
		n := slices.IndexFunc(c.Program.Modules, func(m manifest.Module) bool {
			return m.Strategy == old.Strategy && !slices.ContainsFunc(all, func(o manifest.Module) bool { return o.Name == m.Name })
		})
		if n < 0 {
			p.warn("module %s is gone: its states stay in the store until they expire", old.Name)
			return
		}
		name := c.Program.Modules[n].Name
		p.refuse(fmt.Sprintf("module %s is gone and %s is new: if it is the same module by another name, nobody would find its states", old.Name, name),
			fmt.Sprintf("give %s Formerly: []string{%q}, or say with --drop %s that its states may go", name, old.Name, old.Name))
		return
	}
	m := c.Program.Modules[i]
	give := fmt.Sprintf("or say with --drop %s that its states may go", old.Name)
	switch {
	case m.Strategy != old.Strategy:
		p.refuse(fmt.Sprintf("module %s was %s and would be %s: its states have other keys then, and nobody would find those that are stored", old.Name, old.Strategy, orEphemeral(m.Strategy)),
			"give the new module another name, "+give)
	case m.Version < old.Version:
		p.refuse(fmt.Sprintf("the schema of module %s goes down from version %d to %d: the program could not read what is stored", old.Name, old.Version, m.Version),
			fmt.Sprintf("keep Version at %d or more and write a step for what changes back", old.Version))
	case m.Oldest > old.Version:
		p.refuse(fmt.Sprintf("module %s has schema version %d stored, and the program reads versions from %d on", old.Name, old.Version, m.Oldest),
			fmt.Sprintf("give Migrate the step %d, %s", old.Version, give))
	}
	for _, name := range old.Formerly {
		if name != m.Name && !slices.Contains(m.Formerly, name) {
			p.warn("module %s no longer has the former name %s: states that have not moved since are not found", m.Name, name)
		}
	}
}

func orEphemeral(strategy string) string {
	if strategy == "" {
		return "ephemeral"
	}
	return strategy
}
