// Package watching_test proves what State.Watch promises (L1 to L6, L34 to L36), with two
// ways to commit, on one node and on two.
package watching_test
