// Package sse writes event streams for the clients that keep pages up to date:
// EventSource alone and with htmx 2, htmx 4, Datastar 1 and Datastar 0.21. They
// read the same format and expect different things in it, see [Dialect].
//
// A stream consists of bursts. A burst has a message for each part of the page
// that has changed, and ends with an [ID], which says what the page has of all
// its parts. The id is a block of its own, at the end: a client that was cut off
// before it comes back with the id of the burst before, and gets all of this one
// again.
package sse
