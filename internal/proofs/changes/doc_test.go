// Package changes_test proves what a change promises: whole or not at all, once,
// and told truly.
package changes_test
