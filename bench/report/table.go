package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// printTables prints the medians of all rounds, a table for each load.
func printTables(loads []scenario, results []result) error {
	for _, l := range loads {
		fmt.Printf("\n%s\n", l.title)
		var rows strings.Builder
		first := l.baseline()
		fmt.Fprintf(&rows, "server\treq/s\tx %s\tp50 ms\tp99 ms\tCPU us/req\tx %s\tallocs/req\tlost\tfailed\t", first, first)
		if usesDatabase(l.servers) {
			fmt.Fprintf(&rows, "database CPU us/req\tx %s\t", first)
		}
		fmt.Fprintln(&rows)
		for _, name := range l.servers {
			if mine := of(results, l.name, name); len(mine) > 0 {
				fmt.Fprintln(&rows, row(name, mine))
			}
		}
		t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		if _, err := io.WriteString(t, rows.String()); err != nil {
			return err
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func row(name string, rounds []result) string {
	var failed int64
	for i := range rounds {
		failed += rounds[i].Failed
	}
	gone := "-"
	if acked, lost := losses(rounds); acked > 0 {
		gone = fmt.Sprintf("%d (%.1f%%)", lost, 100*float64(lost)/float64(acked))
	}
	m := func(value func(*result) float64) float64 { return median(rounds, value) }
	text := fmt.Sprintf("%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.1f\t%.2f\t%.0f\t%s\t%d\t", name,
		m(func(r *result) float64 { return r.Rate }),
		m(func(r *result) float64 { return r.Ratio }),
		m(func(r *result) float64 { return r.P50 })/1000,
		m(func(r *result) float64 { return r.P99 })/1000,
		m(func(r *result) float64 { return r.CPU }),
		m(func(r *result) float64 { return r.CPURatio }),
		m(func(r *result) float64 { return r.Allocs }),
		gone, failed)
	if usesDatabase([]string{name}) {
		text += fmt.Sprintf("%.1f\t%.2f\t",
			m(func(r *result) float64 { return r.DBCPU }),
			m(func(r *result) float64 { return r.DBRatio }))
	}
	return text
}

// median returns the middle value, the mean of two if there is no middle one.
func median(rounds []result, value func(*result) float64) float64 {
	values := make([]float64, len(rounds))
	for i := range rounds {
		values[i] = value(&rounds[i])
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// describeDisk prints what a sync costs where the databases are, since the
// durable results follow it.
func describeDisk(dir string) error {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // its syncs are all that matters
	const syncs = 200
	block := make([]byte, 4096)
	times := make([]time.Duration, syncs)
	for i := range times {
		if _, err := file.Write(block); err != nil {
			return err
		}
		began := time.Now()
		if err := file.Sync(); err != nil {
			return err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	fmt.Printf("a sync of 4 KiB takes %.0f us (p50), %.0f us (p99)\n", micros(times[syncs/2]), micros(times[syncs*99/100]))
	return nil
}
