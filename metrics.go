package stay

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// Metrics takes the measurements of an App; see [Options].Metrics. Package
// stayotel has one for OpenTelemetry. The methods are called concurrently and
// in the middle of work, also while other callers wait for the same state: they
// must return at once, must not panic or end their goroutine, as t.Fatal does,
// and must not call the App. A panic of Measure is logged, and the work goes
// on.
type Metrics interface {
	// Measure takes one measurement of a counter or a histogram. The context is
	// that of the measured change, with its span if there is one; it may have
	// ended. Ignore unknown names.
	Measure(ctx context.Context, m Measurement)
	// Observe gets the function that reads a gauge: read may be called at any
	// time, concurrently, and does not wait. New calls Observe once for each
	// gauge. App.Close calls the function that Observe returns, unless it is nil;
	// after that the value no longer counts. With several Apps the values add up.
	Observe(gauge string, read func() int64) (stop func())
}

// A Measurement is one value of a counter or a histogram, with the attributes
// that [Metric] says the metric has. Fields may be added.
type Measurement struct {
	// Name is the metric's name.
	Name string
	// Value is the increment of a counter, or one value of a histogram. Durations
	// are in seconds.
	Value float64
	// Module is the module's name; "" for the records of sessions and users, which
	// belong to no module.
	Module string
	// Action is the change of a session: "login", "logout", "renew", "confirm",
	// "destroy" or "revoke"; "" for other measurements.
	Action string
	// Code is the code of the failure, as [CodeOf] returns it; "" for success. The
	// program's errors may have codes of their own. If a change failed because its
	// caller's context was cancelled, as a request's is when the browser
	// disconnects, Code is "canceled", whatever code the caller got. An expired
	// deadline is not such a case.
	Code Code
	// Phase is that of the [Error].
	Phase string
}

// A Metric is one quantity that an App measures. [AllMetrics] lists them.
type Metric struct {
	// Name is lower case with dots, such as "stay.update.duration".
	Name string
	// Kind is "counter", "histogram" or "gauge".
	Kind string
	// Unit is "s", "By", or what is counted in braces, such as "{update}".
	Unit string
	// Description is one sentence for people.
	Description string
	// Attributes are the names of a measurement's attributes: those of
	// "stay.module", "stay.action", "error.type" (Measurement.Code) and
	// "stay.phase" that can differ.
	Attributes []string
	// Buckets are boundaries that fit a histogram's values.
	Buckets []float64
}

// The names of the metrics.
const (
	updateDuration  = "stay.update.duration"
	updateWaitTime  = "stay.update.wait_time"
	updateReruns    = "stay.update.reruns"
	batchSize       = "stay.batch.size"
	commitDuration  = "stay.store.commit.duration"
	commitSize      = "stay.store.commit.size"
	loadDuration    = "stay.store.load.duration"
	cacheHits       = "stay.cache.hits"
	cacheMisses     = "stay.cache.misses"
	cacheEvictions  = "stay.cache.evictions"
	cacheStates     = "stay.cache.states"
	cacheSize       = "stay.cache.size"
	cacheUnsaved    = "stay.cache.unsaved"
	guestsDropped   = "stay.ephemeral.dropped"
	guestsStates    = "stay.ephemeral.states"
	guestsSize      = "stay.ephemeral.size"
	onceForgotten   = "stay.once.forgotten"
	errorsReported  = "stay.errors"
	sessionDuration = "stay.session.change.duration"
	sessionsBegun   = "stay.sessions.begun"
	sessionsEnded   = "stay.sessions.ended"
	sessionsExpired = "stay.sessions.expired"
)

const (
	byModule = "stay.module"
	byAction = "stay.action"
	byCode   = "error.type"
	byPhase  = "stay.phase"
)

// AllMetrics returns the metrics that an App measures, so that instruments can
// be made before there is an App. Later versions may have more. The caller owns
// the slice.
func AllMetrics() []Metric {
	seconds := func() []float64 {
		return []float64{.00001, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	}
	sizes := func() []float64 { return []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512} }
	return []Metric{
		{updateDuration, "histogram", "s", "Time from the call of a change of state until it returns.", []string{byModule, byCode}, seconds()},
		{updateWaitTime, "histogram", "s", "Time from the call of a change until it first runs: it waits for its state to be loaded and for earlier changes.", []string{byModule}, seconds()},
		{updateReruns, "counter", "{run}", "Repeated runs of changes, because the state or the session had changed meanwhile.", []string{byModule}, nil},
		{batchSize, "histogram", "{update}", "Changes stored by one write of a record.", []string{byModule}, sizes()},
		{commitDuration, "histogram", "s", "Commits of the stores.", []string{byCode}, seconds()},
		{commitSize, "histogram", "{record}", "Records written or deleted by one commit of a store.", nil, sizes()},
		{loadDuration, "histogram", "s", "Reads of the stores.", []string{byCode}, seconds()},
		{cacheHits, "counter", "{use}", "Uses of stored states that were in memory; a caller that waits for another caller's read is neither a hit nor a miss.", []string{byModule}, nil},
		{cacheMisses, "counter", "{use}", "Stored states that were read from their store.", []string{byModule}, nil},
		{cacheEvictions, "counter", "{state}", "Stored states that left memory to make room for others.", []string{byModule}, nil},
		{cacheStates, "gauge", "{state}", "Stored states in memory, records of sessions and keys without a state included.", nil, nil},
		{cacheSize, "gauge", "By", "Estimated memory that these states take.", nil, nil},
		{cacheUnsaved, "gauge", "{state}", "States with changes that Debounce has acknowledged and that are not stored yet.", nil, nil},
		{guestsDropped, "counter", "{state}", "Ephemeral states that were dropped to make room for others.", []string{byModule}, nil},
		{guestsStates, "gauge", "{state}", "Ephemeral states in memory.", nil, nil},
		{guestsSize, "gauge", "By", "Estimated memory that these states take.", nil, nil},
		{onceForgotten, "counter", "{action}", "Actions with an id that a state forgot before 24 hours were over, to make room for others: if one is sent again, it takes effect again.", []string{byModule}, nil},
		{errorsReported, "counter", "{error}", "Failures reported to OnError.", []string{byModule, byCode, byPhase}, nil},
		{sessionDuration, "histogram", "s", "Time from the call of a Login, Logout, Renew, Destroy or Revoke until it returns.", []string{byAction, byCode}, seconds()},
		{sessionsBegun, "counter", "{session}", "Sessions that were stored for the first time.", nil, nil},
		{sessionsEnded, "counter", "{session}", "Sessions ended by Destroy.", nil, nil},
		{sessionsExpired, "counter", "{session}", "Sessions removed after they expired, revoked ones included.", nil, nil},
	}
}

// An observer measures and traces an App. An App without Metrics and Tracer has
// none.
type observer struct {
	app     *base
	metrics Metrics // nil: nothing is measured
	tracer  Tracer  // nil: nothing is traced
	stops   []func()
	ended   sync.Once // App.Close may be called again
}

// newObserver returns nil if neither Metrics nor Tracer is set.
func newObserver(app *base) *observer {
	if app.opts.Metrics == nil && app.opts.Tracer == nil {
		return nil
	}
	return &observer{app: app, metrics: app.opts.Metrics, tracer: app.opts.Tracer}
}

// engine returns the observer that the engine calls.
func (ob *observer) engine() engine.Observer {
	if ob == nil {
		return nil
	}
	return ob
}

// begin registers the gauges.
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

// send passes a measurement to Metrics. If Metrics panic, which they must not,
// the work that they measure goes on.
func (ob *observer) send(ctx context.Context, m Measurement) {
	defer func() {
		if p := recover(); p != nil {
			ob.app.logFailure(logMetrics, "stay: Metrics panicked", slog.String("metric", m.Name), slog.Any("panic", p))
		}
	}()
	ob.metrics.Measure(ctx, m)
}

// moduleOf returns the name of a kind's module, "" for Stay's own records.
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

// Forgotten implements engine.Observer.
func (ob *observer) Forgotten(k *engine.Kind, n int) {
	ob.measure(Measurement{Name: onceForgotten, Value: float64(n), Module: moduleOf(k)})
}

// updated measures a finished change.
func (ob *observer) updated(w *measured) {
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

// failed counts a failure that OnError gets.
func (ob *observer) failed(e *Error) {
	ob.measure(Measurement{Name: errorsReported, Value: 1, Module: e.Module, Code: e.Code, Phase: e.Phase})
}

// measuring returns the store with its calls measured.
func (ob *observer) measuring(s store.Store) store.Store {
	if ob == nil || ob.metrics == nil {
		return s
	}
	return measuredStore{s, ob}
}

// A measuredStore measures the calls of a store. It is a value, so that two
// wrappers of the same store are equal.
type measuredStore struct {
	store.Store
	observer *observer
}

func (s measuredStore) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	began := time.Now()
	recs, err := s.Store.Load(ctx, reads)
	m := Measurement{Name: loadDuration, Value: time.Since(began).Seconds()}
	if err != nil {
		m.Code = storeCode(err)
	}
	s.observer.measure(m)
	return recs, err
}

func (s measuredStore) Commit(ctx context.Context, groups []store.Group) []store.Result {
	began := time.Now()
	res := s.Store.Commit(ctx, groups)
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

// commitCode is the code of a commit that failed: ErrUnknown if the store did
// not give the outcome of every group, otherwise the code of the first rejected
// group. A conflict is not a failure.
func commitCode(groups []store.Group, res []store.Result) (code Code) {
	if len(res) < len(groups) {
		return ErrUnknown
	}
	for i := range res {
		switch res[i].Outcome {
		case store.Applied, store.Conflict:
		case store.Rejected:
			if code == "" {
				code = storeCode(res[i].Err)
			}
		default:
			return ErrUnknown
		}
	}
	return code
}

func (s measuredStore) Features() store.Features {
	f := s.Store.Features()
	_, lists := s.Store.(store.Lister)
	_, watches := s.Store.(store.Watcher)
	_, places := s.Store.(store.Placer)
	f.List, f.Watch, f.Places = f.List && lists, f.Watch && watches, f.Places && places
	return f
}

// Place implements store.Placer, if the features say so.
func (s measuredStore) Place(key string) string { return s.Store.(store.Placer).Place(key) }

// Watch implements store.Watcher, if the features say so.
func (s measuredStore) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	return s.Store.(store.Watcher).Watch(ctx, announce)
}

// List implements store.Lister, if the features say so.
func (s measuredStore) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	return s.Store.(store.Lister).List(ctx, now, prefix, after, limit)
}
