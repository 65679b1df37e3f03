//go:build race

package main

// raceEnabled says how the tests are built.
const raceEnabled = true
