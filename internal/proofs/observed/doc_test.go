// Package observed_test proves what hooks, metrics, spans and logs say about an
// App, and what they never reveal.
package observed_test
