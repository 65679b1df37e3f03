// Package nodes_test proves what several nodes, or programs that differ, promise
// on one store.
package nodes_test
