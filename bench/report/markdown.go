package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// minTableRounds is how many rounds the figures in guides come from at least.
const minTableRounds = 8

// A table is what stands in a guide between the lines <!-- report NAME --> and
// <!-- end -->.
type table struct {
	needs []place
	write func(results []result) string
}

// tableNamed returns a table by the name that guides give it.
func tableNamed(name string) (t table, err error) {
	switch name {
	case "goals":
		t.write = goalsTable
		for _, g := range goals {
			t.needs = append(t.needs, place{g.load, g.server})
			if g.figure.of != "" {
				t.needs = append(t.needs, place{g.load, g.figure.of})
			}
		}
	case "comparison":
		t.write = comparisonTable
		for _, r := range compared {
			t.needs = append(t.needs, r.place)
		}
	case "settings":
		t.write = settingsTable
	default:
		err = fmt.Errorf("there is no table %q, only goals, comparison and settings", name)
	}
	return t, err
}

// openGuides returns the files that -table names. It is an error if one has a table for
// which something is not to be measured.
func openGuides(o *options, loads []scenario, kinds []kind) (files []string, err error) {
	if o.table == "" {
		return nil, nil
	}
	if o.rounds < minTableRounds {
		return nil, fmt.Errorf("-table needs at least %d rounds (-rounds)", minTableRounds)
	}
	for file := range strings.SplitSeq(o.table, ",") {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		tables := 0
		_, err = fillTables(string(text), func(t table) (string, error) {
			tables++
			for _, p := range t.needs {
				if err := p.among(loads, kinds); err != nil {
					return "", err
				}
			}
			return "", nil
		})
		if err == nil && tables == 0 {
			err = errors.New("there is no line <!-- report NAME -->")
		}
		if err != nil {
			return nil, fmt.Errorf("-table: %s: %w", file, err)
		}
		files = append(files, file)
	}
	return files, nil
}

// writeGuide puts the results into the tables of a file, which may have changed since
// it was opened.
func writeGuide(file string, results []result, measured string) error {
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := fillTables(string(before), func(t table) (string, error) {
		return t.write(results) + "\n" + measured + "\n", nil
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// fillTables replaces each table of a text.
func fillTables(text string, content func(table) (string, error)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "<!-- report ")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		name, rest, named := strings.Cut(rest, " -->\n")
		_, rest, ends := strings.Cut(rest, "<!-- end -->")
		if !named || !ends {
			return "", fmt.Errorf("a table begins, %q, and does not end", name)
		}
		t, err := tableNamed(name)
		if err != nil {
			return "", err
		}
		made, err := content(t)
		if err != nil {
			return "", fmt.Errorf("table %s: %w", name, err)
		}
		fmt.Fprintf(&out, "%s<!-- report %s -->\n%s<!-- end -->", before, name, made)
		text = rest
	}
}

// A place is a server under a load.
type place struct{ load, server string }

// among is an error that says what is missing if the server is not to be measured under
// the load.
func (p place) among(loads []scenario, kinds []kind) error {
	for _, k := range kinds {
		if k.label() != p.server {
			continue
		}
		for _, l := range loads {
			if l.name == p.load {
				return nil
			}
		}
		return fmt.Errorf("the load %s is left out (-scenarios)", p.load)
	}
	return fmt.Errorf("the server %s is left out (-only), or runs in settings (-env)", p.server)
}

// compared are the rows of the table that compares Stay with others.
var compared = []struct {
	label string
	place
}{
	{"bare handler, keeps nothing", place{"sqlite", baseline}},
	{"**64 sessions, durable:** the ceiling", place{"sqlite", ceiling}},
	{"Stay on SQLite", place{"sqlite", "stay-sqlite"}},
	{"scs on SQLite", place{"sqlite", "scs-sqlite"}},
	{"**10,000 sessions, durable:** the ceiling", place{"sqlite-10k", ceiling}},
	{"Stay on SQLite", place{"sqlite-10k", "stay-sqlite"}},
	{"**100,000 sessions, durable,** any of them: the ceiling", place{"sqlite-100k", ceiling}},
	{"Stay on SQLite", place{"sqlite-100k", "stay-sqlite"}},
	{"**100,000 sessions, durable,** some far more often: the ceiling", place{"sqlite-100k-skewed", ceiling}},
	{"Stay on SQLite", place{"sqlite-100k-skewed", "stay-sqlite"}},
	{"**one session, 16 connections, durable:** the ceiling", place{"sqlite-one", ceiling}},
	{"Stay on SQLite", place{"sqlite-one", "stay-sqlite"}},
	{"scs on SQLite", place{"sqlite-one", "scs-sqlite"}},
	{"**64 sessions, in memory:** map behind a mutex", place{"memory", "mapmutex"}},
	{"Stay", place{"memory", "stay-mem"}},
	{"scs", place{"memory", "scs-mem"}},
}

// comparisonTable compares increments of all servers.
func comparisonTable(results []result) string {
	var t strings.Builder
	t.WriteString("| `POST /increment` | requests/s | x bare handler | share of the ceiling | p99 | CPU per request | allocations | lost |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range compared {
		rounds := of(results, r.load, r.server)
		ofCeiling := "-"
		if r.server != baseline {
			ofCeiling = spread(rounds, share)
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %.0f ms | %.0f us | %.0f | %s |\n", r.label,
			thousands(median(rounds, func(r *result) float64 { return r.Rate })),
			spread(rounds, ratio), ofCeiling,
			median(rounds, func(r *result) float64 { return r.P99 / 1000 }),
			median(rounds, func(r *result) float64 { return r.CPU }),
			median(rounds, func(r *result) float64 { return r.Allocs }),
			gone(rounds))
	}
	return t.String()
}

// settingsTable compares every server in every setting.
func settingsTable(results []result) string {
	var t strings.Builder
	t.WriteString("| load | setting | server | requests/s, x bare in the same setting | requests/s, x the first setting | CPU per request | x the first setting | RSS |\n|---|---|---|---|---|---|---|---|\n")
	for _, l := range scenarios {
		for _, label := range labels(results, l.name) {
			rounds := of(results, l.name, label)
			server, setting, _ := strings.Cut(label, " ")
			fmt.Fprintf(&t, "| `%s` | %s | %s | %s | %s | %.1f us | %s | %.0f MB |\n", l.name, setting, server,
				spread(rounds, ratio), spread(rounds, change),
				median(rounds, func(r *result) float64 { return r.CPU }), spread(rounds, cpuChange),
				median(rounds, func(r *result) float64 { return r.RSS / 1e6 }))
		}
	}
	return t.String()
}
