// Package changes_test proves the promises of a change: all or nothing, once,
// and with a true answer.
package changes_test
