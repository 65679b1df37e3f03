// Package signing_test proves that signing keys are drawn, rotated, given up and
// guarded.
package signing_test
