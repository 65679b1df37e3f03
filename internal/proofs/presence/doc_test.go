// Package presence_test proves what is promised of the sessions that have pages
// open which follow a state (A20, L24 to L26): their list, their hooks, and what
// several nodes say to each other.
package presence_test
