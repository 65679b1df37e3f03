package stay

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// An observer measures and traces an App. An App without Metrics and Tracer
// has none, and looks no further.
type observer struct {
	app     *base
	metrics Metrics // nil: nothing is measured
	tracer  Tracer  // nil: nothing is traced
	stops   []func()
	ended   sync.Once // App.Close may be called again
}

// newObserver returns nil if there is nothing to observe for.
func newObserver(app *base) *observer {
	if app.opts.Metrics == nil && app.opts.Tracer == nil {
		return nil
	}
	return &observer{app: app, metrics: app.opts.Metrics, tracer: app.opts.Tracer}
}

// engine returns what the engine tells of its work.
func (ob *observer) engine() engine.Observer {
	if ob == nil {
		return nil
	}
	return ob
}

// begin has the gauges read from now on.
func (ob *observer) begin() {
	if ob == nil || ob.metrics == nil {
		return
	}
	observe := func(name string, read func(engine.Counts) int64) {
		if stop := ob.metrics.Observe(name, func() int64 { return read(ob.app.engine.Counts()) }); stop != nil {
			ob.stops = append(ob.stops, stop)
		}
	}
	observe(cacheStates, func(c engine.Counts) int64 { return c.States })
	observe(cacheSize, func(c engine.Counts) int64 { return c.Bytes })
	observe(cacheUnsaved, func(c engine.Counts) int64 { return c.Unsaved })
	observe(guestsStates, func(c engine.Counts) int64 { return c.Guests })
	observe(guestsSize, func(c engine.Counts) int64 { return c.GuestsBytes })
}

// end undoes begin, once.
func (ob *observer) end() {
	if ob == nil {
		return
	}
	ob.ended.Do(func() {
		for _, stop := range ob.stops {
			stop()
		}
	})
}

// measure takes a measurement that belongs to no change of state.
func (ob *observer) measure(m Measurement) {
	if ob != nil && ob.metrics != nil {
		ob.send(ob.app.engine.Context(), m)
	}
}

// send hands a measurement over. Metrics that panic, which they must not, do not
// take the work along in whose middle they are called.
func (ob *observer) send(ctx context.Context, m Measurement) {
	defer func() {
		if p := recover(); p != nil {
			ob.app.logFailure(crowdMetrics, "stay: Metrics panicked", slog.String("metric", m.Name), slog.Any("panic", p))
		}
	}()
	ob.metrics.Measure(ctx, m)
}

// moduleOf returns the name of a kind's module, "" for records of Stay's own.
func moduleOf(k *engine.Kind) string {
	if t, ok := k.Type.(interface{ moduleName() string }); ok {
		return t.moduleName()
	}
	return ""
}

// Hit implements engine.Observer.
func (ob *observer) Hit(k *engine.Kind) {
	ob.measure(Measurement{Name: cacheHits, Value: 1, Module: moduleOf(k)})
}

// Miss implements engine.Observer.
func (ob *observer) Miss(k *engine.Kind) {
	ob.measure(Measurement{Name: cacheMisses, Value: 1, Module: moduleOf(k)})
}

// Evicted implements engine.Observer.
func (ob *observer) Evicted(k *engine.Kind) {
	name := cacheEvictions
	if k.Backend == nil {
		name = guestsDropped
	}
	ob.measure(Measurement{Name: name, Value: 1, Module: moduleOf(k)})
}

// Stored implements engine.Observer.
func (ob *observer) Stored(k *engine.Kind, updates int) {
	ob.measure(Measurement{Name: batchSize, Value: float64(updates), Module: moduleOf(k)})
}

// updated measures a change that is over.
func (ob *observer) updated(w *watch) {
	if ob.metrics == nil {
		return
	}
	s := &w.span
	if s.Module == "" {
		ob.send(w.ctx, Measurement{Name: sessionDuration, Value: time.Since(w.began).Seconds(), Action: s.Action, Code: s.Code})
		return
	}
	ob.send(w.ctx, Measurement{Name: updateDuration, Value: time.Since(w.began).Seconds(), Module: s.Module, Code: s.Code})
	if s.Runs > 0 {
		ob.send(w.ctx, Measurement{Name: updateWaitTime, Value: s.Wait.Seconds(), Module: s.Module})
	}
	if s.Runs > 1 {
		ob.send(w.ctx, Measurement{Name: updateReruns, Value: float64(s.Runs - 1), Module: s.Module})
	}
}

// failed counts what OnError is told of.
func (ob *observer) failed(e *Error) {
	ob.measure(Measurement{Name: errorsReported, Value: 1, Module: e.Module, Code: e.Code, Phase: e.Phase})
}

// watched returns the store with its calls measured.
func (ob *observer) watched(s store.Store) store.Store {
	if ob == nil || ob.metrics == nil {
		return s
	}
	return watchedStore{s, ob}
}

// A watchedStore measures the calls of a store. It is a value, so that the
// same store is the same one again however often it is wrapped.
type watchedStore struct {
	store.Store
	observer *observer
}

func (s watchedStore) Load(ctx context.Context, now time.Time, reads []store.Read) ([]store.Record, error) {
	began := time.Now()
	recs, err := s.Store.Load(ctx, now, reads)
	m := Measurement{Name: loadDuration, Value: time.Since(began).Seconds()}
	if err != nil {
		m.Code = ErrUnavailable
	}
	s.observer.measure(m)
	return recs, err
}

func (s watchedStore) Commit(ctx context.Context, now time.Time, groups []store.Group) []store.Result {
	began := time.Now()
	res := s.Store.Commit(ctx, now, groups)
	s.observer.measure(Measurement{Name: commitDuration, Value: time.Since(began).Seconds(), Code: commitCode(groups, res)})
	records, begun := 0, 0
	for i, g := range groups {
		for _, w := range g {
			if w.Op == store.Check {
				continue
			}
			records++
			if w.Op == store.Put && w.Base == 0 && strings.HasPrefix(w.Key, keyspace.Sessions) && i < len(res) && res[i].Outcome == store.Applied {
				begun++
			}
		}
	}
	s.observer.measure(Measurement{Name: commitSize, Value: float64(records)})
	if begun > 0 {
		s.observer.measure(Measurement{Name: sessionsBegun, Value: float64(begun)})
	}
	return res
}

// commitCode is the code of a commit that failed: ErrUnknown where the store did
// not say for every group what became of it, else that of the first group that
// it rejected. A conflict is an answer as good as any.
func commitCode(groups []store.Group, res []store.Result) (code Code) {
	if len(res) < len(groups) {
		return ErrUnknown
	}
	for i := range res {
		switch res[i].Outcome {
		case store.Applied, store.Conflict:
		case store.Rejected:
			if code == "" {
				code = rejection(res[i].Err)
			}
		default:
			return ErrUnknown
		}
	}
	return code
}

func rejection(err error) Code {
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, store.ErrClosed):
		return ErrClosed
	}
	return ErrUnavailable
}

func (s watchedStore) Features() store.Features {
	f := s.Store.Features()
	_, lists := s.Store.(store.Lister)
	f.List = f.List && lists
	return f
}

// List implements store.Lister, where the features say so.
func (s watchedStore) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return s.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}
