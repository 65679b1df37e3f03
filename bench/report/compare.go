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
// ratios are to the load's first server in the same slices of time, Share is to its
// ceiling, and Change and CPUChange are to the server itself in the first setting. A ratio
// to something that took no part is 0. Acked and Lost are in the last result of a server, and of all of its rounds.
type result struct {
	Scenario  string  `json:"scenario"`
	Server    string  `json:"server"`
	Round     int     `json:"round"`
	Rate      float64 `json:"req_per_s"`
	Ratio     float64 `json:"x_base"`
	Share     float64 `json:"x_ceiling,omitempty"`
	Change    float64 `json:"x_first,omitempty"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	CPU       float64 `json:"cpu_us_per_req"`
	CPURatio  float64 `json:"cpu_x_base"`
	CPUChange float64 `json:"cpu_x_first,omitempty"`
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
				return fmt.Errorf("%s, %s: %w", l.name, k.label(), err)
			}
		}
	}
	return nil
}

// open begins the sessions of the server's load.
func (s *server) open(ctx context.Context) (err error) {
	if !s.kind.keeps {
		s.browsers = make([]browser, s.load.sessions)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s.browsers, err = openSessions(ctx, s.addr, s.load.sessions)
	s.acknowledged = int64(len(s.browsers))
	return err
}

// startServer runs one server for one load.
func (c *comparison) startServer(ctx context.Context, k kind, l *scenario) (*server, error) {
	data := filepath.Join(c.dir, l.name, fileName(k.label()))
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
		url, err := c.databases[place].make(l.name + "_" + fileName(k.label()))
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

// groups returns the servers that are measured together: each, as the last one, with
// the baseline of its load, with its ceiling if there is one, and with itself in the
// first setting. On a machine that is not alone, what was measured a moment ago says
// little.
func (c *comparison) groups() [][]*server {
	var all [][]*server
	for i := range c.loads {
		var mine, others, yardsticks []*server
		for _, s := range c.running {
			switch {
			case s.load != &c.loads[i]:
				continue
			case s.yardstick():
				yardsticks = append(yardsticks, s)
			default:
				others = append(others, s)
			}
			mine = append(mine, s)
		}
		measured := map[*server]bool{}
		for _, s := range append(others, yardsticks...) {
			if measured[s] && s.kind.setting == mine[0].kind.setting {
				continue // a yardstick, which has been compared with all there is
			}
			group := with(mine, s)
			if len(group) == 1 {
				continue
			}
			for _, m := range group {
				measured[m] = true
			}
			all = append(all, group)
		}
	}
	return all
}

// yardstick reports whether the others of the load are compared with this server.
func (s *server) yardstick() bool {
	return s.kind.name == s.load.baseline() || s.kind.name == ceiling
}

// with returns those of the servers that one of them is compared with, and it.
func with(mine []*server, s *server) (group []*server) {
	first := mine[0].kind.setting
	for _, m := range mine {
		sameSetting := m.yardstick() && m.kind.setting == s.kind.setting
		itself := m.kind.name == s.kind.name && m.kind.setting == first
		if m != s && (sameSetting || itself) {
			group = append(group, m)
		}
	}
	return append(group, s)
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
			compare(results, group)
			last := &results[len(results)-1]
			fmt.Printf("round %d  %-18s  %-13s  %6.0f/s", round+1, last.Scenario, last.Server, last.Rate)
			for i := range results[:len(results)-1] {
				fmt.Printf("  %.2f x %s", last.Rate/results[i].Rate, results[i].Server)
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

// compare fills in the ratios of what servers reached together.
func compare(results []result, group []*server) {
	last := group[len(group)-1]
	for i, s := range group {
		r := &results[i]
		for j, other := range group {
			o := &results[j]
			if other.kind.setting == s.kind.setting {
				switch other.kind.name {
				case s.load.baseline():
					r.Ratio, r.CPURatio = r.Rate/o.Rate, r.CPU/o.CPU
					if o.DBCPU > 0 {
						r.DBRatio = r.DBCPU / o.DBCPU
					}
				case ceiling:
					r.Share = r.Rate / o.Rate
				}
			} else if s == last && other.kind.name == s.kind.name {
				r.Change, r.CPUChange = r.Rate/o.Rate, r.CPU/o.CPU
			}
		}
	}
}

// check counts what each server has, and so the increments that it acknowledged and
// lost.
func (c *comparison) check(ctx context.Context) error {
	for _, s := range c.running {
		last := -1
		for i := range c.results {
			if c.results[i].Server == s.kind.label() && c.results[i].Scenario == s.load.name {
				last = i
			}
		}
		if last < 0 || !s.counts() {
			continue
		}
		total, err := sum(ctx, s.addr, s.browsers)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", s.load.name, s.kind.label(), err)
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
		file := filepath.Join(c.options.profiles, s.load.name+"-"+fileName(s.kind.label())+".pprof")
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
