package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A result is one measurement. Times are in microseconds. CPU is that of the
// server, and DBCPU that of the database, if it is a process of its own. The
// ratios are to the load's first server in the same slices of time, Share to its
// ceiling. Acked and Lost are in the last result of a server, and of all of its rounds.
type result struct {
	Scenario  string  `json:"scenario"`
	Server    string  `json:"server"`
	Round     int     `json:"round"`
	Rate      float64 `json:"req_per_s"`
	Ratio     float64 `json:"x_base"`
	Share     float64 `json:"x_ceiling,omitempty"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	CPU       float64 `json:"cpu_us_per_req"`
	CPURatio  float64 `json:"cpu_x_base"`
	DBCPU     float64 `json:"db_cpu_us_per_req,omitempty"`
	DBRatio   float64 `json:"db_cpu_x_base,omitempty"`
	Allocs    float64 `json:"allocs_per_req"`
	Bytes     float64 `json:"bytes_per_req"`
	RSS       float64 `json:"rss_bytes,omitempty"`
	Requests  int64   `json:"requests"`
	Failed    int64   `json:"failed"`
	Acked     int64   `json:"acknowledged"`
	Lost      int64   `json:"lost"`
	FirstFail string  `json:"first_failure,omitempty"`
}

// A comparison is all servers at work.
type comparison struct {
	options *options
	program string // the servers
	dir     string
	pinning pinning
	loads   []scenario

	databases map[string]database // those that the loads need
	running   []*server
	results   []result
}

const (
	// warmUp comes before each measurement.
	warmUp = 250 * time.Millisecond
	// oneSlice is how long a server is measured before it is the baseline's
	// turn again: shorter than the ups and downs of a machine that is not alone.
	oneSlice = 200 * time.Millisecond
	// answersInSlice is how much longer than the slowest answer of the warm-up
	// a slice is at least. It ends when every connection has its last answer,
	// and those that are waited for have the server for themselves.
	answersInSlice = 20
	// openTimeout bounds how long the sessions of one server may take to begin.
	openTimeout = 3 * time.Minute
)

// start runs the servers that the loads need and opens their sessions. Each
// load has servers of its own: the sessions of another one would be work for
// the garbage collector, which those that keep nothing do not have.
func (c *comparison) start(ctx context.Context, kinds []kind) error {
	for i := range c.loads {
		l := &c.loads[i]
		for _, k := range kinds {
			if !slices.Contains(l.servers, k.name) {
				continue
			}
			s, err := c.startServer(ctx, k, l)
			if err != nil {
				return err
			}
			c.running = append(c.running, s)
			s.load = l
			if err := s.open(ctx); err != nil {
				return fmt.Errorf("%s, %s: %w", l.name, k.name, err)
			}
		}
	}
	return nil
}

// open begins the sessions of the server's load.
func (s *server) open(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s.browsers, err = openSessions(ctx, s.addr, s.load.sessions)
	s.acknowledged = int64(len(s.browsers))
	return err
}

// startServer runs one server for one load.
func (c *comparison) startServer(ctx context.Context, k kind, l *scenario) (*server, error) {
	data := filepath.Join(c.dir, l.name, fileName(k.name))
	args := slices.Clone(k.args)
	place := placeOf(k)
	for i, arg := range args {
		if arg != place {
			args[i] = strings.ReplaceAll(arg, "{dir}", data)
			continue
		}
		if c.databases[place] == nil {
			d, err := starters[place](ctx, c.dir, c.pinning)
			if err != nil {
				return nil, err
			}
			c.databases[place] = d
		}
		url, err := c.databases[place].make(l.name + "_" + fileName(k.name))
		if err != nil {
			return nil, err
		}
		args[i] = url
	}
	return startServer(ctx, k, args, c.program, c.pinning)
}

// fileName makes a name of letters, digits and dashes.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' {
			return r
		}
		return '_'
	}, name)
}

// stop ends all servers, and then the databases.
func (c *comparison) stop() error {
	var errs []error
	for _, s := range c.running {
		errs = append(errs, s.stop())
	}
	for _, d := range c.databases {
		d.Stop()
	}
	return errors.Join(errs...)
}

// groups returns the servers that are measured together: each with the baseline
// of its load, and with its ceiling if it has one. On a machine that is not alone,
// what was measured a moment ago says little.
func (c *comparison) groups() [][]*server {
	var all [][]*server
	for i := range c.loads {
		var yardsticks, others []*server
		for _, s := range c.running {
			switch {
			case s.load != &c.loads[i]:
			case s.kind.name == s.load.baseline(), s.kind.name == s.load.ceiling():
				yardsticks = append(yardsticks, s)
			default:
				others = append(others, s)
			}
		}
		for _, s := range others {
			all = append(all, append(slices.Clone(yardsticks), s))
		}
		if len(others) == 0 && len(yardsticks) > 1 {
			all = append(all, yardsticks)
		}
	}
	return all
}

// measure runs all rounds, and then looks for lost increments.
func (c *comparison) measure(ctx context.Context) error {
	groups := c.groups()
	for round := range c.options.rounds {
		for _, group := range groups {
			results, err := c.together(ctx, group)
			if err != nil {
				return err
			}
			compare(results, group[0].load)
			last := &results[len(results)-1]
			fmt.Printf("round %d  %-18s  %-13s  %6.0f/s  %.2f x %.0f/s", round+1, last.Scenario, last.Server, last.Rate, last.Ratio, results[0].Rate)
			if last.Share > 0 {
				fmt.Printf("  %.2f of the ceiling", last.Share)
			}
			fmt.Println()
			for i := range results {
				results[i].Round = round
			}
			c.results = append(c.results, results...)
		}
	}
	return c.check(ctx)
}

// compare fills in the ratios of results that were measured together, the baseline's
// first.
func compare(results []result, l *scenario) {
	base := results[0]
	top := slices.IndexFunc(results, func(r result) bool { return r.Server == l.ceiling() })
	for i := range results {
		r := &results[i]
		r.Ratio, r.CPURatio = r.Rate/base.Rate, r.CPU/base.CPU
		if base.DBCPU > 0 {
			r.DBRatio = r.DBCPU / base.DBCPU
		}
		if top >= 0 {
			r.Share = r.Rate / results[top].Rate
		}
	}
}

// check counts what each server has, and so the increments that it acknowledged and
// lost.
func (c *comparison) check(ctx context.Context) error {
	for _, s := range c.running {
		last := -1
		for i := range c.results {
			if c.results[i].Server == s.kind.name && c.results[i].Scenario == s.load.name {
				last = i
			}
		}
		if last < 0 || !s.counts() {
			continue
		}
		total, err := sum(ctx, s.addr, s.browsers)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", s.load.name, s.kind.name, err)
		}
		c.results[last].Acked = s.acknowledged
		c.results[last].Lost = s.acknowledged - total
	}
	return nil
}

// record writes every result as a line of JSON.
func (c *comparison) record(to *json.Encoder) error {
	for i := range c.results {
		if err := to.Encode(&c.results[i]); err != nil {
			return err
		}
	}
	return nil
}

// together measures servers in turn under the same load, in slices of time.
func (c *comparison) together(ctx context.Context, group []*server) (results []result, err error) {
	var at []*measurement
	for _, s := range group {
		m := &measurement{server: s, database: c.databaseOf(s)}
		at = append(at, m)
		defer m.abandon()
		if err := m.begin(ctx); err != nil {
			return nil, m.failed(err)
		}
	}
	profiled := c.profile(ctx, at)
	defer func() { err = errors.Join(err, profiled()) }()
	slice := oneSlice
	for _, m := range at {
		slice = max(slice, answersInSlice*time.Duration(m.load.slowest.Load()))
	}
	for left := c.options.duration; left > 0; left -= slice {
		for _, m := range at {
			if err := m.slice(ctx, min(left, slice)); err != nil {
				return nil, m.failed(err)
			}
		}
	}
	for _, m := range at {
		r, err := m.end(ctx)
		if err != nil {
			return nil, m.failed(err)
		}
		results = append(results, r)
	}
	return results, nil
}

// profile takes CPU profiles for as long as the servers are measured, if they
// are wanted. The function it returns waits for them.
func (c *comparison) profile(ctx context.Context, of []*measurement) (wait func() error) {
	if c.options.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, len(of))
	for _, m := range of {
		s := m.server
		file := filepath.Join(c.options.profiles, s.load.name+"-"+fileName(s.kind.name)+".pprof")
		go func() { done <- s.profile(ctx, time.Duration(len(of))*c.options.duration, file) }()
	}
	return func() (err error) {
		for range of {
			err = errors.Join(err, <-done)
		}
		return err
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// pause waits for a time to pass, or for ctx to end.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
