package sse

import (
	"net/http"
	"strings"
	"time"
)

// A Dialect is what a client expects in an event stream.
type Dialect uint8

const (
	// Plain is that of EventSource, and of htmx 2, which uses it: a message has
	// the name of its part and the part as its data. The browser comes back
	// after a clean end.
	Plain Dialect = iota
	// HTMX is that of htmx 4: a message has no name, and the part in an
	// <hx-partial>. It comes back after a clean end, and reads when to do so only
	// in a message that has a name or data.
	HTMX
	// Datastar is that of Datastar 1. It takes a clean end for good, and comes
	// back after a connection that breaks.
	Datastar
	// Fragments is that of Datastar 0.21, with other names than Datastar 1.
	Fragments

	// Dialects is how many there are.
	Dialects = iota
)

// DialectOf returns the dialect of the client that sent the headers.
func DialectOf(h http.Header) Dialect {
	switch {
	case h.Get("Datastar-Request") != "":
		if strings.Contains(h.Get("Accept"), "text/html") {
			return Datastar
		}
		return Fragments
	case h.Get("HX-Request") == "true":
		return HTMX
	}
	return Plain
}

// AppendPart appends the message with a part of the page. html is the inside of
// the element with the id, or the whole element: the first tag then has the id.
// The id needs no escapes, see [ValidPart].
func (d Dialect) AppendPart(dst []byte, id string, html []byte) []byte {
	whole := isWhole(id, html)
	switch d {
	case HTMX:
		swap := "innerHTML"
		if whole {
			swap = "outerHTML"
		}
		dst = join(dst, `data: <hx-partial hx-target="#`, id, `" hx-swap="`, swap, `">`)
		dst = appendText(dst, "data: ", html)
		return join(dst, "</hx-partial>\n\n")
	case Datastar:
		dst = join(dst, "event: datastar-patch-elements\n")
		if !whole {
			dst = join(dst, "data: selector #", id, "\ndata: mode inner\n")
		}
		dst = join(dst, "data: elements ")
		dst = appendText(dst, "data: elements ", html)
		return join(dst, "\n\n")
	case Fragments:
		dst = join(dst, "event: datastar-merge-fragments\n")
		before, after := "", ""
		if !whole {
			// It takes the inside of the first element for the inside of the
			// target, and that of a template can be anything: text, several
			// elements, rows of a table.
			dst = join(dst, "data: selector #", id, "\ndata: mergeMode inner\n")
			before, after = "<template>", "</template>"
		}
		dst = join(dst, "data: fragments ", before)
		dst = appendText(dst, "data: fragments ", html)
		return join(dst, after, "\n\n")
	}
	return AppendEvent(dst, id, html)
}

func join(dst []byte, texts ...string) []byte {
	for _, text := range texts {
		dst = append(dst, text...)
	}
	return dst
}

// Names of messages that are no part of a page. Names of parts have no colon.
const (
	// Wait has the time after which the client comes back.
	Wait = "stay:wait"
	// Stop tells the client not to come back. It is also the id that a client
	// sends which does so all the same.
	Stop = "stop"
)

// AppendRetry appends when the client is to come back if the stream ends, at the
// earliest a millisecond later.
func (d Dialect) AppendRetry(dst []byte, after time.Duration) []byte {
	dst = appendRetry(dst, after)
	if d == HTMX {
		dst = append(dst, "event: "+Wait+"\ndata:\n"...)
	}
	return append(dst, '\n')
}

// Breaks reports whether the connection has to break for the client to come
// back; a clean end is for good.
func (d Dialect) Breaks() bool { return d == Datastar || d == Fragments }

// AppendStop appends what keeps the client from coming back, before a clean end.
// A page that does not listen for it, with sse-close="stop" of htmx 2 or
// hx-sse:close="stop" of htmx 4, comes back once with the id Stop and is answered
// with [Dialect.StopStatus].
func (d Dialect) AppendStop(dst []byte) []byte {
	if d.Breaks() {
		return dst
	}
	return append(dst, "event: "+Stop+"\nid: "+Stop+"\ndata:\n\n"...)
}

// StopStatus is the status that keeps the client from asking again. EventSource
// stops at each that is not 200; htmx 4 stops at none, and asks less often after
// an error.
func (d Dialect) StopStatus() int {
	if d == HTMX {
		return http.StatusConflict
	}
	return http.StatusNoContent
}
