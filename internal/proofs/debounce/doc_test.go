// Package debounce_test proves what changes promise that are stored a while
// later.
package debounce_test
