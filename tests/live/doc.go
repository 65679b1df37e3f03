// Package live holds the tests of live pages in a browser: the clients that
// package web knows, as they are published, through what happens to a page that
// stays open.
package live
