// Command report compares a counter on Stay with a bare handler, with a map
// and a mutex, and with the session library scs, in memory, on SQLite, on
// PostgreSQL and on Redis, of which it starts servers. Run it in the project's folder:
//
//	go run ./bench/report [-rounds N] [-dur D] [-only NAMES] [-scenarios NAMES] [-out FILE] [-dir DIR] [-profiles DIR] [-picture FILE]
//
// Each server is a process of its own on one CPU; the load comes from this
// process, on the others. Within a round every server gets every load once,
// one after the other, and ratios are taken to the bare handler in the same
// round, on PostgreSQL and Redis to scs, so that what else the machine does falls on all
// of them. The database may run on every CPU, and its CPU time is shown by
// itself. Shown are
// the medians of the rounds. An increment is acknowledged when its answer is
// read; one that the counters lack afterwards is lost.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	rounds    int
	duration  time.Duration
	only      string
	scenarios string
	out       string
	dir       string
	profiles  string
	picture   string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "how many rounds; the medians are shown")
	flag.DurationVar(&o.duration, "dur", 1200*time.Millisecond, "how long each server is measured for each load and round")
	flag.StringVar(&o.only, "only", "", "comma-separated `servers`; all by default, and bare always")
	flag.StringVar(&o.scenarios, "scenarios", "", "comma-separated `loads`; all by default")
	flag.StringVar(&o.out, "out", "", "`file` to append every measurement to, as lines of JSON")
	flag.StringVar(&o.dir, "dir", "", "`folder` on the disk to measure; that of temporary files by default")
	flag.StringVar(&o.profiles, "profiles", "", "`folder` for CPU profiles of the servers, one for each load, which slows them a little; none by default")
	flag.StringVar(&o.picture, "picture", "", "`file` to draw the results into, as SVG; none by default")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// run measures and prints. Whatever it started or wrote to temporary files is
// gone when it returns.
func run(ctx context.Context, o *options) (err error) {
	loads, err := choose(scenarios, o.scenarios, func(s scenario) string { return s.name })
	if err != nil {
		return err
	}
	kinds, err := choose(servers, o.only, func(k kind) string { return k.name })
	if err != nil {
		return err
	}
	kinds = withBaselines(loads, kinds)
	if o.rounds < 1 || o.duration <= 0 {
		return errors.New("-rounds and -dur must be positive")
	}
	if o.picture != "" {
		if err := pictured(loads, kinds); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(o.dir, "stay-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	var record *json.Encoder
	if o.out != "" {
		file, err := os.OpenFile(o.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		record = json.NewEncoder(file)
	}
	fmt.Println("building the servers")
	if err := build(ctx, dir); err != nil {
		return err
	}
	p := pin(ctx)
	fmt.Println(p.note)
	if err := describeDisk(dir); err != nil {
		return err
	}

	c := comparison{options: o, dir: dir, pinning: p, loads: loads, record: record, databases: map[string]database{}}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.start(ctx, kinds); err != nil {
		return err
	}
	if err := c.measure(ctx); err != nil {
		return err
	}
	if o.picture != "" {
		if err := drawPicture(o.picture, c.results); err != nil {
			return err
		}
	}
	return printTables(loads, c.results)
}

// withBaselines adds the servers that the others of a load are compared with.
func withBaselines(loads []scenario, chosen []kind) []kind {
	return slices.DeleteFunc(slices.Clone(servers), func(k kind) bool {
		return !slices.ContainsFunc(chosen, func(c kind) bool { return c.name == k.name }) &&
			!slices.ContainsFunc(loads, func(l scenario) bool {
				return l.baseline() == k.name && slices.ContainsFunc(chosen, func(c kind) bool { return slices.Contains(l.servers, c.name) })
			})
	})
}

// choose returns the items that a flag names, in their own order, all if it is
// empty.
func choose[T any](all []T, names string, name func(T) string) ([]T, error) {
	if names == "" {
		return all, nil
	}
	known := make([]string, len(all))
	for i := range all {
		known[i] = name(all[i])
	}
	wanted := strings.Split(names, ",")
	for _, want := range wanted {
		if !slices.Contains(known, want) {
			return nil, fmt.Errorf("there is no %q, only %s", want, strings.Join(known, ", "))
		}
	}
	var chosen []T
	for i := range all {
		if slices.Contains(wanted, known[i]) {
			chosen = append(chosen, all[i])
		}
	}
	return chosen, nil
}
