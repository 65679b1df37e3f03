// Package keys_test proves the rules of keys that are computed from the state:
// by example, by every order of what meets, and against a model at random.
package keys_test
