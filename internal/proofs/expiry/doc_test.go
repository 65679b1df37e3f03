// Package expiry_test proves that what has expired is never served, that its
// hook is called, and that it goes.
package expiry_test
