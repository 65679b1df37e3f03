package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/manifest"
)

// A program is what a manifest says of the modules of a program, by the names that
// their states have in the store.
type program struct {
	manifest.Manifest
	modules map[string]manifest.Module
}

func readProgram(file string) (*program, error) {
	f, err := os.Open(file) //nolint:gosec // the user names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	m, err := manifest.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &program{m, map[string]manifest.Module{}}
	for _, mod := range m.Modules {
		for _, name := range append(slices.Clone(mod.Formerly), mod.Name) {
			p.modules[name] = mod
		}
	}
	return p, nil
}

// scopes are where the states of each strategy stand.
var scopes = map[string]string{
	"PerSession": keyspace.Session, "PerUser": keyspace.User, "Global": keyspace.Global,
	"WithKey": keyspace.Key, "ResolveKey": keyspace.Key,
}

// compare says what of a module's states the program cannot use.
func (d *doctor) compare(prefix string, c *census) {
	if d.program == nil {
		return
	}
	scope, name, _ := keyspace.Split(prefix)
	prefix = printable(prefix)
	mod, ok := d.program.modules[name]
	if !ok {
		d.say(warning, "program", "%s: the program does not register the module: if it has another name now, say so with Formerly", prefix)
		return
	}
	if want := scopes[mod.Strategy]; want != "" && want != scope && scope != keyspace.Guest {
		d.say(warning, "program", "%s: the program's module is %s, so it looks for its states at %s/: these are out of its reach", prefix, mod.Strategy, keyspace.Module(want, name))
		return
	}
	for _, v := range slices.Sorted(maps.Keys(c.versions)) {
		switch {
		case v > mod.Version:
			d.say(fault, "program", "%s: %s of version %d, and the program knows versions up to %d: it refuses them; run a newer program", prefix, count(c.versions[v], "state"), v, mod.Version)
		case v < mod.Oldest:
			d.say(fault, "program", "%s: %s of version %d, and the program reads version %d and later: add the migrations", prefix, count(c.versions[v], "state"), v, mod.Oldest)
		}
	}
}

// needs says what the program needs and the store lacks.
func (d *doctor) needs() {
	if d.program == nil {
		return
	}
	var hooked []string
	for _, mod := range d.program.Modules {
		if mod.Store == nil && mod.Strategy != "" && slices.Contains(mod.Hooks, "OnExpire") {
			hooked = append(hooked, mod.Name)
		}
	}
	if len(hooked) > 0 && !d.store.Features().Expire {
		d.say(fault, "program", "OnExpire of %s needs a store that finds expired records, and this one does not: stay.Register panics", strings.Join(hooked, ", "))
	}
}
