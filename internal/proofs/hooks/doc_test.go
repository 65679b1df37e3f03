// Package hooks_test proves when hooks are called, and that they may fail, hang
// and change state.
package hooks_test
