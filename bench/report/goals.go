package main

import (
	"fmt"
	"strings"
)

// A goal is a bound for a figure of Stay under one load.
type goal struct {
	what   string
	load   string
	server string
	figure figure
	limit  float64
}

// A figure is what a goal is about: its median over the rounds.
type figure struct {
	value  func(*result) float64
	format string
	unit   string
	atMost bool   // goals are upper bounds
	of     string // the server that it is a ratio to; "" = none
}

var (
	ofCeiling   = figure{share, "%.2f", " of the ceiling", false, ceiling}
	ofBare      = figure{ratio, "%.2f", " x bare", false, baseline}
	cpuOfBare   = figure{cpuRatio, "%.2f", " x bare", true, baseline}
	p99         = figure{func(r *result) float64 { return r.P99 / 1000 }, "%.1f", " ms", true, ""}
	allocations = figure{func(r *result) float64 { return r.Allocs }, "%.0f", "", true, ""}
)

// goals are those that this program can measure.
var goals = []goal{
	{"durable increment, 64 sessions: requests per second", "sqlite", "stay-sqlite", ofCeiling, 0.65},
	{"the same: p99", "sqlite", "stay-sqlite", p99, 10},
	{"the same: allocations", "sqlite", "stay-sqlite", allocations, 45},
	{"durable increment, 10,000 sessions: requests per second", "sqlite-10k", "stay-sqlite", ofCeiling, 0.50},
	{"durable increment, 100,000 sessions, any of them: requests per second", "sqlite-100k", "stay-sqlite", ofCeiling, 0.30},
	{"durable increment, 100,000 sessions, some far more often: requests per second", "sqlite-100k-skewed", "stay-sqlite", ofCeiling, 0.40},
	{"durable increment, 16 connections on one session: requests per second", "sqlite-one", "stay-sqlite", ofCeiling, 0.60},
	{"read, SQLite: requests per second", "read", "stay-sqlite", ofBare, 0.80},
	{"the same: allocations", "read", "stay-sqlite", allocations, 45},
	{"increment in memory, 64 sessions: CPU per request", "memory", "stay-mem", cpuOfBare, 1.4},
	{"the same: allocations", "memory", "stay-mem", allocations, 45},
}

// goalsTable compares the goals with what was measured.
func goalsTable(results []result) string {
	var t strings.Builder
	t.WriteString("| over HTTP | goal | latest: median, quartiles | met | load |\n|---|---|---|---|---|\n")
	for _, g := range goals {
		rounds := of(results, g.load, g.server)
		at := func(q float64) string { return fmt.Sprintf(g.figure.format, quantile(rounds, g.figure.value, q)) }
		bound := "at least "
		if g.figure.atMost {
			bound = "at most "
		}
		fmt.Fprintf(&t, "| %s | %s%s%s | %s (%s to %s) | %s | `%s` |\n", g.what, bound, fmt.Sprintf(g.figure.format, g.limit), g.figure.unit,
			at(0.5), at(0.25), at(0.75), yes(g.met(rounds)), g.load)
	}
	var stays []result
	for i := range results {
		if strings.HasPrefix(results[i].Server, "stay-") {
			stays = append(stays, results[i])
		}
	}
	_, lost := losses(stays)
	fmt.Fprintf(&t, "| updates that Stay lost | none | %s | %s | all |\n", gone(stays), yes(lost == 0))
	return t.String()
}

// met reports whether the median of the rounds is within the bound.
func (g *goal) met(rounds []result) bool {
	latest := median(rounds, g.figure.value)
	if g.figure.atMost {
		return latest <= g.limit
	}
	return latest >= g.limit
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
