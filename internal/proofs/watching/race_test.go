//go:build race

package watching_test

// raceEnabled makes long tests shorter under the race detector.
const raceEnabled = true
