//go:build !race

package web_test

// raceEnabled makes long tests shorter under the race detector.
const raceEnabled = false
