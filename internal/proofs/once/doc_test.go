// Package once_test proves that changes with an id take effect once (L27 to L32),
// with two ways to commit, on one node and on two.
package once_test
