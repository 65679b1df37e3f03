// Command report compares a counter on Stay with a bare handler, with a map
// and a mutex, with the least that a durable counter needs, and with the session
// library scs, in memory, on SQLite, on PostgreSQL and on Redis, of which it starts
// servers. Run it in the project's folder:
//
//	go run ./bench/report [-rounds N] [-dur D] [-only NAMES] [-scenarios NAMES] [-env SETTINGS]
//		[-out FILE] [-dir DIR] [-profiles DIR] [-picture FILE] [-table FILES]
//
// Each server is a process of its own on one CPU, all of the same program; the load
// comes from this process, on the others. Servers are measured in slices of time, each
// in turn with the bare handler, on PostgreSQL and Redis with scs, so that what else
// the machine does falls on all of them. Where durable changes are measured, the ceiling
// takes part: a map and a log, whose rate is what waiting for the disk leaves at best.
// A database may run on every CPU, and its CPU time is shown by itself. Shown are the
// medians of the rounds, of ratios the quartiles too. An increment is acknowledged when
// its answer is read; one that the counters lack in the end is lost.
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
	env       string
	out       string
	dir       string
	profiles  string
	picture   string
	table     string
	program   string // the servers, if they have been built
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "how many rounds; the medians are shown")
	flag.DurationVar(&o.duration, "dur", 1200*time.Millisecond, "how long each server is measured for each load and round")
	flag.StringVar(&o.only, "only", "", "comma-separated `servers`; all by default, and bare always")
	flag.StringVar(&o.scenarios, "scenarios", "", "comma-separated `loads`; all by default")
	flag.StringVar(&o.env, "env", "", "comma-separated `settings` of the environment to compare, such as 'GOGC=100,GOGC=off GOMEMLIMIT=1GiB': each server runs in each")
	flag.StringVar(&o.out, "out", "", "`file` to append every measurement to, as lines of JSON")
	flag.StringVar(&o.dir, "dir", "", "`folder` on the disk to measure; that of temporary files by default")
	flag.StringVar(&o.profiles, "profiles", "", "`folder` for CPU profiles of the servers, one for each load, which slows them a little; none by default")
	flag.StringVar(&o.picture, "picture", "", "`file` to draw the results into, as SVG; none by default")
	flag.StringVar(&o.table, "table", "", "comma-separated `files` in which the tables between the lines <!-- report NAME --> and <!-- end --> are written anew, from at least 8 rounds; none by default")
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
	loads, kinds, err := o.selected()
	if err != nil {
		return err
	}
	guides, err := openGuides(o, loads, kinds)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "stay-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	c := comparison{options: o, program: o.program, dir: dir, loads: loads, databases: map[string]database{}}
	if o.out != "" {
		file, err := os.OpenFile(o.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.record(json.NewEncoder(file)), file.Close()) }()
	}
	if c.program == "" {
		fmt.Println("building the servers")
		if c.program, err = build(ctx, dir); err != nil {
			return err
		}
	}
	c.pinning = pin(ctx)
	fmt.Println(c.pinning.note)
	disk, err := describeDisk(dir)
	if err != nil {
		return err
	}
	fmt.Println(disk)

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
	for _, file := range guides {
		if err := writeGuide(file, c.results, fmt.Sprintf("%d rounds of %v each; %s.", o.rounds, o.duration, disk)); err != nil {
			return err
		}
	}
	return printTables(loads, c.results)
}

// selected returns the loads and the servers to measure. It is an error if nothing can
// come of them.
func (o *options) selected() ([]scenario, []kind, error) {
	loads, err := choose(scenarios, o.scenarios, func(s scenario) string { return s.name })
	if err != nil {
		return nil, nil, err
	}
	kinds, err := choose(servers, o.only, func(k kind) string { return k.name })
	if err != nil {
		return nil, nil, err
	}
	kinds = withBaselines(loads, kinds)
	if o.rounds < 1 || o.duration <= 0 {
		return nil, nil, errors.New("-rounds and -dur must be positive")
	}
	if o.picture != "" {
		if o.env != "" {
			return nil, nil, errors.New("-picture is of one setting, leave out -env")
		}
		if err := pictured(loads, kinds); err != nil {
			return nil, nil, err
		}
	}
	return loads, withSettings(kinds, o.env), nil
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
