// Package observed_test proves what hooks, metrics, spans and logs tell of an
// App, and what they never tell.
package observed_test
