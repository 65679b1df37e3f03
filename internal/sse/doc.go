// Package sse writes event streams for the clients that keep pages up to date:
// EventSource alone and with htmx 2, htmx 4, Datastar 1 and Datastar 0.21. They
// read the same format and expect different things in it, see [Dialect].
//
// A stream consists of bursts. A burst has a message for each part of the page
// that has changed, and ends with an [ID], which says what the page has of all its
// parts. The id is a block of its own, at the end: a client that was cut off
// before it gets all of the burst again. For that, a burst begins with an id as
// well, if the page has one of its parts already: the id names none of the parts
// that follow. Otherwise the id of the burst before would stand for what the page
// had then, and a state that changes back while the client is away would leave it
// with what it was sent last.
package sse
