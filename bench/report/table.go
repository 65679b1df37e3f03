package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
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
		first, database := l.baseline(), usesDatabase(&l, results)
		var rows strings.Builder
		fmt.Fprintf(&rows, "server\treq/s\tx %s\tx ceiling\tp50 ms\tp99 ms\tCPU us/req\tx %s\tx first\tallocs/req\tRSS MB\tlost\tfailed\t", first, first)
		if database {
			fmt.Fprintf(&rows, "database CPU us/req\tx %s\t", first)
		}
		fmt.Fprintln(&rows)
		for _, label := range labels(results, l.name) {
			fmt.Fprintln(&rows, row(label, of(results, l.name, label), database))
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

// usesDatabase reports whether a server of a load uses a database.
func usesDatabase(l *scenario, results []result) bool {
	return slices.ContainsFunc(results, func(r result) bool { return r.Scenario == l.name && r.DBCPU > 0 })
}

func row(name string, rounds []result, database bool) string {
	var failed int64
	for i := range rounds {
		failed += rounds[i].Failed
	}
	m := func(value func(*result) float64) float64 { return median(rounds, value) }
	text := fmt.Sprintf("%s\t%.0f\t%s\t%s\t%.2f\t%.2f\t%.1f\t%s\t%s\t%.0f\t%.0f\t%s\t%d\t", name,
		m(func(r *result) float64 { return r.Rate }),
		spread(rounds, ratio), spread(rounds, share),
		m(func(r *result) float64 { return r.P50 })/1000,
		m(func(r *result) float64 { return r.P99 })/1000,
		m(func(r *result) float64 { return r.CPU }),
		spread(rounds, cpuRatio), spread(rounds, cpuChange),
		m(func(r *result) float64 { return r.Allocs }),
		m(func(r *result) float64 { return r.RSS })/1e6,
		gone(rounds), failed)
	if database {
		text += fmt.Sprintf("%.1f\t%.2f\t",
			m(func(r *result) float64 { return r.DBCPU }),
			m(func(r *result) float64 { return r.DBRatio }))
	}
	return text
}

func ratio(r *result) float64     { return r.Ratio }
func share(r *result) float64     { return r.Share }
func change(r *result) float64    { return r.Change }
func cpuRatio(r *result) float64  { return r.CPURatio }
func cpuChange(r *result) float64 { return r.CPUChange }

// labels returns the servers that were measured under a load, in the order of their
// kinds and then of their settings.
func labels(results []result, load string) []string {
	var all []string
	for i := range results {
		if r := &results[i]; r.Scenario == load && !slices.Contains(all, r.Server) {
			all = append(all, r.Server)
		}
	}
	rank := func(label string) int {
		name, _, _ := strings.Cut(label, " ")
		return slices.IndexFunc(servers, func(k kind) bool { return k.name == name })
	}
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

// gone says how many increments were lost.
func gone(rounds []result) string {
	acked, lost := losses(rounds)
	switch {
	case acked == 0:
		return "-"
	case lost == 0:
		return "none"
	}
	return fmt.Sprintf("%d (%.1f %%)", lost, 100*float64(lost)/float64(acked))
}

// spread writes the median of a ratio, with the quartiles if there are some rounds, and
// "-" if there is no ratio. Rounds without one do not count.
func spread(rounds []result, value func(*result) float64) string {
	rounds = slices.DeleteFunc(slices.Clone(rounds), func(r result) bool { return value(&r) == 0 })
	if len(rounds) == 0 {
		return "-"
	}
	middle := median(rounds, value)
	if len(rounds) < 4 {
		return fmt.Sprintf("%.2f", middle)
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", middle, quantile(rounds, value, 0.25), quantile(rounds, value, 0.75))
}

// median returns the middle value, the mean of two if there is no middle one.
func median(rounds []result, value func(*result) float64) float64 {
	return quantile(rounds, value, 0.5)
}

// quantile returns the value below which a share q of the values lie; between two
// values it lies on the line from one to the other.
func quantile(rounds []result, value func(*result) float64, q float64) float64 {
	values := make([]float64, len(rounds))
	for i := range rounds {
		values[i] = value(&rounds[i])
	}
	slices.Sort(values)
	below, part := math.Modf(q * float64(len(values)-1))
	i := int(below)
	if i+1 == len(values) {
		return values[i]
	}
	return values[i] + part*(values[i+1]-values[i])
}

// describeDisk says what a sync costs where the databases are, since the durable
// results follow it. The file has its length already, as the logs of databases have.
func describeDisk(dir string) (string, error) {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // its syncs are all that matters
	const (
		syncs = 200
		size  = 4096
	)
	if _, err := file.Write(make([]byte, syncs*size)); err != nil {
		return "", err
	}
	if err := file.Sync(); err != nil {
		return "", err
	}
	block := make([]byte, size)
	times := make([]time.Duration, syncs)
	for i := range times {
		if _, err := file.WriteAt(block, int64(i*size)); err != nil {
			return "", err
		}
		began := time.Now()
		if err := file.Sync(); err != nil {
			return "", err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return fmt.Sprintf("a sync of 4 KiB takes %.0f us (p50), %.0f us (p99)", micros(times[syncs/2]), micros(times[syncs*99/100])), nil
}
