//go:build race

package bind_test

// large is how long the large payloads are, in bytes: shorter under the race
// detector, which takes long for each value.
const large = 128 << 10
