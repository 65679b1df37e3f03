package web

import (
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/sse"
)

// maxParts is how many parts one stream has: the client sends the print of each
// when it comes back.
const maxParts = 32

// A LivePart is a part of a page that [Live] keeps up to date. [Part], [PartAt],
// [PartFor] and [PartOf] make one.
type LivePart struct {
	id   string
	app  *stay.App
	core access.State // nil: the function looks at what it needs
	// key names whose state it is; nil: that of the request.
	key func(*http.Request) (string, error)
	// render writes a state, which is shared and must stay as it is.
	render func(w io.Writer, r *http.Request, v any) error
	own    bool // rendered for each stream
	looks  bool // the function looks at states by itself
	data   bool // no part of a page, but a message with JSON
}

// Part returns the part of a page in the element with the id. fn renders a
// committed state, which belongs to fn: the inside of that element, or the whole
// element if the first tag that it writes has the id.
//
// fn is called once for each version of a state, and the bytes go to everybody
// who has that state on a page. So it must write the same for all of them, and
// nothing that depends on a request: use [PartFor] for that. What it renders must
// follow from the state. It may be called concurrently.
//
// Part panics if the state or fn is nil, and if the id is not of letters, digits,
// - and _, begins with something else than a letter, is longer than 64 bytes or is
// one of stop, error and open, which mean something in a stream.
func Part[S any](id string, state *stay.State[S], fn func(w io.Writer, s *S) error) LivePart {
	p := newPart("Part", id, state, fn == nil)
	core := p.core
	p.render = func(w io.Writer, _ *http.Request, v any) error { return fn(w, core.Clone(v).(*S)) }
	return p
}

// PartAt is [Part] for the state of a key, as stay.State.At has it, which the
// request names. key is called when a stream begins, once for each. Its error is
// the answer to the request, as by [Error]: it decides who may see that state. If
// it has asked for the session, as for the user, the stream ends with that session,
// and it is called again when the client comes back. What else it asks, such as a
// list of members, it asks again after [LiveOptions].MaxAge at the latest.
func PartAt[S any](id string, state *stay.State[S], key func(r *http.Request) (string, error), fn func(w io.Writer, s *S) error) LivePart {
	if key == nil {
		panic("web: PartAt needs a function that returns the key")
	}
	p := Part(id, state, fn)
	p.key = key
	return p
}

// PartFor is [Part] for what depends on the request that began the stream, such
// as its language. fn is called for each stream and each version. The request is
// not over while the stream lasts, but it is that of the beginning: do not use it
// to find out who the user is, the state tells.
func PartFor[S any](id string, state *stay.State[S], fn func(w io.Writer, r *http.Request, s *S) error) LivePart {
	p := newPart("PartFor", id, state, fn == nil)
	core := p.core
	p.own = true
	p.render = func(w io.Writer, r *http.Request, v any) error { return fn(w, r, core.Clone(v).(*S)) }
	return p
}

func newPart[S any](what, id string, state *stay.State[S], noFunc bool) LivePart {
	core, _ := mount(what, state, noFunc)
	checkPart(what, id)
	return LivePart{id: id, app: state.App(), core: core}
}

func checkPart(what, id string) {
	if !sse.ValidPart(id) {
		panic(fmt.Sprintf("web: %s: %q cannot be the id of a part: use letters, digits, - and _, beginning with a letter; stop, error and open mean something in a stream", what, id))
	}
}

// Live returns a handler of event streams that keep parts of a page up to date.
// One stream brings all parts: first those that the page does not have as they
// are, and then each that has changed. Clients are told apart by their headers. So
// a page opens the stream at /live, with a part "count", where it has
//
//	new EventSource("/live").addEventListener("count", e => ...)     // no library
//	<div hx-ext="sse" sse-connect="/live"><b sse-swap="count"></b></div> // htmx 2, with its extension
//	<i hx-sse:connect="/live"></i> <b id="count"></b>                // htmx 4, with hx-sse
//	<i data-init="@get('/live')"></i> <b id="count"></b>             // Datastar 1
//	<i data-on-load="sse('/live')"></i> <b id="count"></b>           // Datastar 0.21
//
// Datastar gives up after ten attempts, 0.21 after ten in all: set retryMaxCount.
//
// A stream shows committed states, and the newest only: what was between is left
// out, if the client is slow or a state changes more often than
// [LiveOptions].Every. When a client comes back, after a lost connection, a restart
// or an hour in the background, it says what it has, and gets what is different.
//
// The states are those of the session of the request. When the session is over for
// its cookie, as after a login, a logout or a revocation, the stream ends without
// another message and the client comes back with the cookie that it has by then.
// If its session is still over, it gets those parts in their initial state, so what
// was shown goes from the screen. A stream also ends after [LiveOptions].MaxAge,
// and a while before its session would expire: the request with which the client
// comes back keeps the session alive, as any request does. If all parts are of
// Global states or of keys, no session begins and no cookie is set.
//
// If a state cannot be read, or a part cannot be rendered, or is longer than
// [Options].MaxResponse, that part of the page stays as it is and the others go
// on. The error is in the log, once for each version. An error in the first look
// that waiting cannot change, as of the function of [PartAt] or [PartOf], is
// answered as [Error] does. Other methods than GET and HEAD are answered with 405, and requests
// from other origins with 403, see [Options].CrossOrigin.
//
// Streams end by themselves when their http.Server begins to shut down and when
// the App is closed. They do not heed the server's ReadTimeout and WriteTimeout: a
// client that takes nothing for 30 seconds is cut off. A middleware around Live
// must not buffer or compress, and must let http.ResponseController see through.
// An http.TimeoutHandler cannot stand there.
//
// Whatever is live on a page should be written by the stream alone: let actions
// answer with [Done]. Otherwise an answer that was made before a message, and
// arrives after it, shows what is over until the next change.
//
// Live panics without parts, with more than 32, with two of one id, and with parts
// of two Apps.
func Live(parts ...LivePart) http.HandlerFunc {
	ids := map[string]bool{}
	for _, p := range parts {
		switch {
		case p.app == nil:
			panic("web: Live got a LivePart that is empty: make it with Part, PartAt, PartFor or PartOf")
		case ids[p.id]:
			panic(fmt.Sprintf("web: Live got two parts with the id %q", p.id))
		case p.app != parts[0].app:
			panic("web: Live got parts of two Apps")
		}
		ids[p.id] = true
	}
	if len(parts) == 0 || len(parts) > maxParts {
		panic(fmt.Sprintf("web: Live needs 1 to %d parts, and got %d", maxParts, len(parts)))
	}
	return newLive(parts).ServeHTTP
}

// live is a handler of streams.
type live struct {
	parts    []LivePart
	app      access.App
	outside  func() *settings // for requests that do not come through Sessions
	rendered renderings
}

func newLive(parts []LivePart) *live {
	app := access.AppOf(parts[0].app)
	return &live{parts: parts, app: app, outside: sync.OnceValue(func() *settings { return outside(app) })}
}

// Done answers an action whose effect a stream brings to the page: with 204 to
// scripts, htmx and Datastar, and with 303 to the address to if the browser has
// sent a form by itself, as it does without JavaScript, and if htmx is going to
// replace the whole page. The error is always nil, so that a handler can return it.
//
// Do not pass an address that a visitor chose, see [NextPath].
func Done(w http.ResponseWriter, r *http.Request, to string) error {
	if byScript(r) {
		w.WriteHeader(http.StatusNoContent)
	} else {
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
	return nil
}

// byScript reports whether a script has sent r and replaces no page with the
// answer.
func byScript(r *http.Request) bool {
	h := r.Header
	switch {
	case h.Get("HX-Boosted") == "true":
		return false
	case h.Get("HX-Request") == "true", h.Get("Datastar-Request") == "true", asksForJSON(r):
		return true
	}
	mode := h.Get("Sec-Fetch-Mode")
	return mode != "" && mode != "navigate"
}
