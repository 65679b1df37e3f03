package main

import "fmt"

// A bar is what the picture says of one server.
type bar struct {
	server string
	label  string
	speed  string // the load that shows how fast it is
	losses string // the load that shows what gets lost; "" = it counts nothing
	kind   barKind

	rate  float64 // increments a second
	ratio float64 // the same, as a share of the bare handler's in the same round
	lost  float64 // share of the acknowledged increments
}

type barKind int

const (
	yardstick barKind = iota
	peer
	ours
)

// bars are the rows of the picture, from the top.
func bars() []bar {
	return []bar{
		{server: baseline, label: "bare handler, keeps nothing", speed: "memory", kind: yardstick},
		{server: "mapmutex", label: "map + mutex, in memory", speed: "memory", losses: "memory-one", kind: peer},
		{server: "stay-mem", label: "Stay, in memory", speed: "memory", losses: "memory-one", kind: ours},
		{server: "scs-mem", label: "scs, in memory", speed: "memory", losses: "memory-one", kind: peer},
		{server: ceiling, label: "durable ceiling: map + log", speed: "sqlite", losses: "sqlite-one", kind: yardstick},
		{server: "stay-sqlite", label: "Stay, durable on SQLite", speed: "sqlite", losses: "sqlite-one", kind: ours},
		{server: "scs-sqlite", label: "scs, durable on SQLite", speed: "sqlite", losses: "sqlite-one", kind: peer},
	}
}

// pictured is an error that names the first thing a picture needs and that is
// not to be measured.
func pictured(loads []scenario, kinds []kind) error {
	for _, b := range bars() {
		for _, load := range []string{b.speed, b.losses} {
			if load == "" {
				continue
			}
			if err := (place{load, b.server}).among(loads, kinds); err != nil {
				return fmt.Errorf("-picture needs %s under the load %s: %w", b.server, load, err)
			}
		}
	}
	return nil
}

// measured fills in what came of the rounds: the medians, and all losses.
func measured(results []result) ([]bar, error) {
	all := bars()
	for i := range all {
		b := &all[i]
		speed := of(results, b.speed, b.server)
		if len(speed) == 0 {
			return nil, fmt.Errorf("%s was not measured under the load %s", b.server, b.speed)
		}
		b.rate = median(speed, func(r *result) float64 { return r.Rate })
		b.ratio = median(speed, func(r *result) float64 { return r.Ratio })
		if b.losses == "" {
			continue
		}
		acked, lost := losses(of(results, b.losses, b.server))
		if acked == 0 {
			return nil, fmt.Errorf("%s acknowledged nothing under the load %s", b.server, b.losses)
		}
		b.lost = float64(lost) / float64(acked)
	}
	return all, nil
}

// of returns the rounds of one server under one load.
func of(results []result, load, server string) []result {
	var mine []result
	for i := range results {
		if results[i].Scenario == load && results[i].Server == server {
			mine = append(mine, results[i])
		}
	}
	return mine
}

// losses sums up what was acknowledged in all rounds, and what of it was lost.
func losses(rounds []result) (acked, lost int64) {
	for i := range rounds {
		acked += rounds[i].Acked
		lost += rounds[i].Lost
	}
	return acked, lost
}
