// Package expiry_test proves that an expired state is never served, that its
// hook is called, and that it is removed.
package expiry_test
