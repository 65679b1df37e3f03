package stay

import "context"

// Metrics takes the measurements of an App; see [Options].Metrics. Package
// stayotel has one for OpenTelemetry. The methods are called concurrently and
// in the middle of work, also while others wait for the same state: they must
// return at once, must not panic or end their goroutine, as t.Fatal does, and
// must not call the App. A panic of Measure is logged, and everything goes on.
type Metrics interface {
	// Measure takes one measurement of a counter or a histogram. The context
	// is that of the change which was measured, with its span, where there is
	// one; it may have ended. A name that is not known is to be ignored.
	Measure(ctx context.Context, m Measurement)
	// Observe tells how the value of a gauge is read: read may be called at any
	// time, concurrently, and does not wait. New calls it once for each gauge,
	// and App.Close calls what it returns, unless that is nil, from where on the
	// value counts no more. With several Apps the values add up.
	Observe(gauge string, read func() int64) (stop func())
}

// A Measurement is one value of a counter or a histogram, with the attributes
// that [Metric] says the metric has. Fields may be added.
type Measurement struct {
	// Name is the metric's.
	Name string
	// Value is what a counter grows by, or one value of a histogram. Durations
	// are in seconds.
	Value float64
	// Module is the module's name; "" for the records of sessions and users,
	// which belong to none.
	Module string
	// Action is what was done to a session: "login", "logout", "renew",
	// "destroy" or "revoke"; "" for all else.
	Action string
	// Code is the code of what failed, as [CodeOf] says it; "" for what
	// succeeded. Errors of the program's own may bring codes of their own. Where
	// a change failed because its caller's context was cancelled, as that of a
	// request is when the browser leaves, it is "canceled", whatever code the
	// caller got; a deadline that ran out is no such case.
	Code Code
	// Phase is that of the [Error].
	Phase string
}

// A Metric is something that an App measures. [AllMetrics] lists them.
type Metric struct {
	// Name is lower case with dots, such as "stay.update.duration".
	Name string
	// Kind is "counter", "histogram" or "gauge".
	Kind string
	// Unit is "s", "By", or what is counted in braces, such as "{update}".
	Unit string
	// Description is one sentence for people.
	Description string
	// Attributes are what a measurement carries: of "stay.module", "stay.action",
	// "error.type" (Measurement.Code) and "stay.phase" those that can differ.
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
// what is returned.
func AllMetrics() []Metric {
	seconds := func() []float64 {
		return []float64{.00001, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	}
	sizes := func() []float64 { return []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512} }
	return []Metric{
		{updateDuration, "histogram", "s", "From the call of a change of state until it returned.", []string{byModule, byCode}, seconds()},
		{updateWaitTime, "histogram", "s", "From the call of a change until it first had its turn: for its state to be loaded, and for the changes before it.", []string{byModule}, seconds()},
		{updateReruns, "counter", "{run}", "Runs of changes beyond their first, because the state or the session had changed meanwhile.", []string{byModule}, nil},
		{batchSize, "histogram", "{update}", "Changes that one write of a record has stored.", []string{byModule}, sizes()},
		{commitDuration, "histogram", "s", "Commits of the stores.", []string{byCode}, seconds()},
		{commitSize, "histogram", "{record}", "Records that one commit of a store was to write or remove.", nil, sizes()},
		{loadDuration, "histogram", "s", "Reads of the stores.", []string{byCode}, seconds()},
		{cacheHits, "counter", "{use}", "Uses of stored states that were in memory; who waits for another's read is neither a hit nor a miss.", []string{byModule}, nil},
		{cacheMisses, "counter", "{use}", "Stored states that were read from their store.", []string{byModule}, nil},
		{cacheEvictions, "counter", "{state}", "Stored states that left memory to make room for others.", []string{byModule}, nil},
		{cacheStates, "gauge", "{state}", "Stored states in memory, records of sessions and keys without a state included.", nil, nil},
		{cacheSize, "gauge", "By", "What they take, as estimated.", nil, nil},
		{cacheUnsaved, "gauge", "{state}", "States with changes that Debounce has acknowledged and that are not stored yet.", nil, nil},
		{guestsDropped, "counter", "{state}", "Ephemeral states that were dropped to make room for others.", []string{byModule}, nil},
		{guestsStates, "gauge", "{state}", "Ephemeral states in memory.", nil, nil},
		{guestsSize, "gauge", "By", "What they take, as estimated.", nil, nil},
		{errorsReported, "counter", "{error}", "Failures that OnError was told of.", []string{byModule, byCode, byPhase}, nil},
		{sessionDuration, "histogram", "s", "From the call of a Login, Logout, Renew, Destroy or Revoke until it returned.", []string{byAction, byCode}, seconds()},
		{sessionsBegun, "counter", "{session}", "Sessions that began to be stored.", nil, nil},
		{sessionsEnded, "counter", "{session}", "Sessions that were ended by Destroy.", nil, nil},
		{sessionsExpired, "counter", "{session}", "Sessions that were removed after their time was over, revoked ones included.", nil, nil},
	}
}
