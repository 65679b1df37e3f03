package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stay-go/stay/bench/internal/counter"
)

// A measurement is one of one server under its load.
type measurement struct {
	server *server
	load   *load // nil once it has ended
	mem    counter.Mem

	database database      // nil = it uses none
	dbUsed   time.Duration // CPU of the database in all slices
}

// slice lets the load go on for a while.
func (m *measurement) slice(ctx context.Context, d time.Duration) error {
	if m.database == nil {
		return m.load.slice(ctx, d)
	}
	before, err := m.database.CPU()
	if err != nil {
		return err
	}
	if err := m.load.slice(ctx, d); err != nil {
		return err
	}
	after, err := m.database.CPU()
	m.dbUsed += after - before
	return err
}

// counts reports whether it can be told which increments the server has lost.
func (s *server) counts() bool { return s.load.request == increment && s.kind.keeps }

// begin warms the server up.
func (m *measurement) begin(ctx context.Context) (err error) {
	s := m.server
	m.load = startLoad(s)
	if err = m.load.slice(ctx, warmUp); err != nil {
		return err
	}
	m.load.phase.Store(measuring)
	m.mem, err = s.mem(ctx)
	return err
}

// stop ends the load and returns what came of it.
func (m *measurement) stop() *tally {
	total := m.load.end()
	m.load = nil
	m.server.acknowledged += total.acknowledged
	return total
}

// abandon stops the load, if it has not ended.
func (m *measurement) abandon() {
	if m.load != nil {
		m.stop()
	}
}

// end returns what came of it.
func (m *measurement) end(ctx context.Context) (result, error) {
	s := m.server
	mem, err := s.mem(ctx)
	rss := s.rss()
	total := m.stop()
	if err != nil {
		return result{}, err
	}
	if len(total.latencies) == 0 {
		return result{}, fmt.Errorf("no request was answered: %w", total.failure)
	}
	slices.Sort(total.latencies)
	n := len(total.latencies)
	// Each connection asks as soon as it is answered, so what it waits is the
	// time that it was measured. A clock would count that of connections that
	// are held up, while others still wait for a slow last answer.
	var waited time.Duration
	for _, l := range total.latencies {
		waited += l
	}
	took := waited / time.Duration(s.load.conns)
	r := result{
		Scenario: s.load.name, Server: s.kind.label(),
		Rate:     float64(n) / took.Seconds(),
		P50:      micros(total.latencies[n/2]),
		P99:      micros(total.latencies[n*99/100]),
		CPU:      float64(mem.CPUMicros-m.mem.CPUMicros) / float64(n),
		Allocs:   float64(mem.Mallocs-m.mem.Mallocs) / float64(n),
		Bytes:    float64(mem.AllocBytes-m.mem.AllocBytes) / float64(n),
		RSS:      rss,
		Requests: int64(n),
		Failed:   total.failed,
		DBCPU:    micros(m.dbUsed) / float64(n),
	}
	if total.failure != nil {
		r.FirstFail = total.failure.Error()
	}
	return r, nil
}

func (m *measurement) failed(err error) error {
	return fmt.Errorf("%s, %s: %w", m.server.load.name, m.server.kind.label(), err)
}
