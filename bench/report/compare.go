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
)

// A kind is a server to measure. {dir} in its arguments is a folder of its own,
// {postgres} and {redis} the URL of a database of its own.
type kind struct {
	name  string
	build string // the program
	args  []string
	keeps bool // it counts
}

// baseline is the server that most others are compared with.
const baseline = "bare"

var servers = []kind{
	{baseline, "peer", []string{"-kind", "bare"}, false},
	{"mapmutex", "peer", []string{"-kind", "mapmutex"}, true},
	{"scs-mem", "peer", []string{"-kind", "scs-mem"}, true},
	{"stay-mem", "server", []string{"-store", "mem"}, true},
	{"scs-sqlite", "peer", []string{"-kind", "scs-sqlite", "-dir", "{dir}"}, true},
	{"stay-sqlite", "server", []string{"-store", "sqlite:{dir}"}, true},
	{"scs-postgres", "peer", []string{"-kind", "scs-postgres", "-url", "{postgres}"}, true},
	{"stay-postgres", "server", []string{"-store", "{postgres}"}, true},
	{"scs-redis", "peer", []string{"-kind", "scs-redis", "-url", "{redis}"}, true},
	{"stay-redis", "server", []string{"-store", "{redis}"}, true},
}

// A scenario is a load. The first of its servers is the one that the others are
// compared with.
type scenario struct {
	name     string
	title    string
	request  request
	sessions int
	conns    int
	servers  []string
}

func (s *scenario) baseline() string { return s.servers[0] }

var (
	inMemory = []string{baseline, "mapmutex", "scs-mem", "stay-mem"}
	durable  = []string{baseline, "scs-sqlite", "stay-sqlite"}
	remote   = []string{"scs-postgres", "stay-postgres"}
	onRedis  = []string{"scs-redis", "stay-redis"}
)

var scenarios = []scenario{
	{"memory", "increment in memory, 64 sessions", increment, 64, 64, inMemory},
	{"memory-one", "increment in memory, 16 connections on one session", increment, 1, 16, inMemory},
	{"sqlite", "increment, durable on SQLite, 64 sessions", increment, 64, 64, durable},
	{"sqlite-10k", "increment, durable on SQLite, 10,000 sessions on 64 connections", increment, 10_000, 64, durable},
	{"sqlite-one", "increment, durable on SQLite, 16 connections on one session", increment, 1, 16, durable},
	{"read", "read, 64 sessions", read, 64, 64, []string{baseline, "mapmutex", "scs-mem", "stay-mem", "scs-sqlite", "stay-sqlite"}},
	{"postgres", "increment, durable on PostgreSQL, 64 sessions", increment, 64, 64, remote},
	{"postgres-one", "increment, durable on PostgreSQL, 16 connections on one session", increment, 1, 16, remote},
	{"postgres-client", "increment, durable on PostgreSQL, one connection", increment, 1, 1, remote},
	{"postgres-read", "read on PostgreSQL, 64 sessions", read, 64, 64, remote},
	{"redis", "increment, durable on Redis, 64 sessions", increment, 64, 64, onRedis},
	{"redis-one", "increment, durable on Redis, 16 connections on one session", increment, 1, 16, onRedis},
	{"redis-client", "increment, durable on Redis, one connection", increment, 1, 1, onRedis},
	{"redis-read", "read on Redis, 64 sessions", read, 64, 64, onRedis},
}

// A result is one measurement. Times are in microseconds. CPU is that of the
// server, and DBCPU that of the database, if it is a process of its own. The
// ratios are to the load's first server in the same round.
type result struct {
	Scenario  string  `json:"scenario"`
	Server    string  `json:"server"`
	Round     int     `json:"round"`
	Rate      float64 `json:"req_per_s"`
	Ratio     float64 `json:"x_base"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	CPU       float64 `json:"cpu_us_per_req"`
	CPURatio  float64 `json:"cpu_x_base"`
	DBCPU     float64 `json:"db_cpu_us_per_req,omitempty"`
	DBRatio   float64 `json:"db_cpu_x_base,omitempty"`
	Allocs    float64 `json:"allocs_per_req"`
	Bytes     float64 `json:"bytes_per_req"`
	Requests  int64   `json:"requests"`
	Failed    int64   `json:"failed"`
	Acked     int64   `json:"acknowledged"`
	Lost      int64   `json:"lost"`
	FirstFail string  `json:"first_failure,omitempty"`
}

// A comparison is all servers at work.
type comparison struct {
	options *options
	dir     string
	pinning pinning
	loads   []scenario
	record  *json.Encoder // nil = nowhere

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
			if s.browsers, err = openSessions(ctx, s.addr, l.sessions); err != nil {
				return fmt.Errorf("%s, %s: %w", l.name, k.name, err)
			}
		}
	}
	return nil
}

// startServer runs one server for one load.
func (c *comparison) startServer(ctx context.Context, k kind, l *scenario) (*server, error) {
	data := filepath.Join(c.dir, l.name, k.name)
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
		url, err := c.databases[place].make(l.name + "_" + k.name)
		if err != nil {
			return nil, err
		}
		args[i] = url
	}
	return startServer(ctx, k, args, c.dir, c.pinning)
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

// measure runs all rounds. The first server of a load is measured again with
// each of the others, in turn: on a machine that is not alone, what was measured
// a moment ago says little.
func (c *comparison) measure(ctx context.Context) error {
	for round := range c.options.rounds {
		var first *server
		for _, s := range c.running {
			if s.kind.name == s.load.baseline() {
				first = s
				continue
			}
			base, r, err := c.pair(ctx, first, s)
			if err != nil {
				return err
			}
			base.Ratio, base.CPURatio = 1, 1
			r.Ratio, r.CPURatio = r.Rate/base.Rate, r.CPU/base.CPU
			if base.DBCPU > 0 {
				base.DBRatio, r.DBRatio = 1, r.DBCPU/base.DBCPU
			}
			fmt.Printf("round %d  %-10s  %-11s  %6.0f/s  %.2f x %.0f/s\n", round+1, r.Scenario, r.Server, r.Rate, r.Ratio, base.Rate)
			for _, m := range []result{base, r} {
				m.Round = round
				c.results = append(c.results, m)
				if c.record == nil {
					continue
				}
				if err := c.record.Encode(m); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// pair measures a server in turn with the first one under the same load.
func (c *comparison) pair(ctx context.Context, first, s *server) (base, r result, err error) {
	var at [2]*measurement
	for i, server := range []*server{first, s} {
		m := &measurement{server: server, database: c.databaseOf(server)}
		at[i] = m
		defer m.abandon()
		if err := m.begin(ctx); err != nil {
			return base, r, m.failed(err)
		}
	}
	profiled := c.profile(ctx, at[:])
	defer func() { err = errors.Join(err, profiled()) }()
	slice := oneSlice
	for _, m := range at {
		slice = max(slice, answersInSlice*time.Duration(m.load.slowest.Load()))
	}
	for left := c.options.duration; left > 0; left -= slice {
		for _, m := range at {
			if err := m.slice(ctx, min(left, slice)); err != nil {
				return base, r, m.failed(err)
			}
		}
	}
	if base, err = at[0].end(ctx); err != nil {
		return base, r, at[0].failed(err)
	}
	if r, err = at[1].end(ctx); err != nil {
		return base, r, at[1].failed(err)
	}
	return base, r, nil
}

// profile takes CPU profiles for as long as both servers are measured, if they
// are wanted. The function it returns waits for them.
func (c *comparison) profile(ctx context.Context, of []*measurement) (wait func() error) {
	if c.options.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, len(of))
	for _, m := range of {
		s := m.server
		file := filepath.Join(c.options.profiles, s.load.name+"-"+s.kind.name+".pprof")
		go func() { done <- s.profile(ctx, 2*c.options.duration, file) }()
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
