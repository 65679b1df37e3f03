//go:build !race

package bind_test

// large is how long the large payloads are, in bytes.
const large = 1 << 20
