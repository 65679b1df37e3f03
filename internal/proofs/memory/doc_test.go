// Package memory_test proves that memory is bounded, and what leaves it first.
package memory_test
